"""Pytest plugin of `make attack`: runs the tests that play an attack, and shows what was tried and how it ended.

A test is an attack by its mark: `@pytest.mark.attack("what is tried, in one line", harm="leak")`. `harm` is what the
product suffered if the test fails, one of `HARMS`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pytest

#: What a failed attack test stands for, and how the table calls it.
HARMS = {
    "execution": "executions",
    "leak": "leaks",
    "hang": "hangs",
    "neighbour": "neighbours spoiled",
    "breach": "rights crossed",
    "outage": "outages",
    "wrong": "wrong results",
}
_PROPERTY = "attack"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keeps the attacks alone. Raises `UsageError` for a mark that does not say what is tried."""
    attacks, others = [], []
    for item in items:
        mark = item.get_closest_marker("attack")
        if mark is None:
            others.append(item)
            continue
        harm = mark.kwargs.get("harm", "wrong")
        if len(mark.args) != 1 or harm not in HARMS:
            raise pytest.UsageError(f"{item.nodeid}: say what is tried, and a harm of {', '.join(HARMS)}")
        item.user_properties.append((_PROPERTY, f"{harm}\n{mark.args[0]}"))
        attacks.append(item)
    items[:] = attacks
    config.hook.pytest_deselected(items=others)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The table: what was tried, how often, and how it ended."""
    ended: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for outcome, reports in terminalreporter.stats.items():
        for report in reports:
            attack = dict(getattr(report, "user_properties", ())).get(_PROPERTY)
            # A test has a report of its setup, one of its call and one of its teardown: each outcome counts once.
            if attack and outcome in ("passed", "failed", "error", "skipped"):
                harm, tried = attack.split("\n", 1)
                ended[tried, harm]["failed" if outcome == "error" else outcome] += 1
    terminalreporter.section("attacks")
    harms = Counter(dict.fromkeys(HARMS, 0))
    for (tried, harm), counts in sorted(ended.items()):
        said = [f"{counts['failed']} {HARMS[harm]}"] if counts["failed"] else []
        said += [f"{counts['skipped']} not run"] if counts["skipped"] else []
        terminalreporter.write_line(f"{counts.total():5}  {tried}: {', '.join(said) or 'no harm'}")
        harms[harm] += counts["failed"]
    total = sum(counts.total() for counts in ended.values())
    terminalreporter.write_line(
        f"{total:5}  tried, {len(ended)} kinds: " + ", ".join(f"{harms[harm]} {name}" for harm, name in HARMS.items())
    )
