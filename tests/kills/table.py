"""What became of the runs, and the bars that it has to reach."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from trials.figures import Figure, at_least, none

from .draw import WAYS
from .records import Result

#: Seconds within which somebody else has begun what was killed.
BAR = 30.0


#: What is said of a takeover, and how. Only the first one has a bar.
NAMES = {
    "taken": "begun again",
    "disturbed": "begun again, with another failure meanwhile",
    "playbooks": "its playbook runs again",
}


def is_run(one: Result) -> bool:
    """Whether it is the result of a run, not that of a failure."""
    return "run" in one


def lost(one: Result) -> bool:
    """Whether a run has no end, no result or no report, or ended with an error."""
    return bool(one["lost"])


def kept_twice(one: Result) -> bool:
    """Whether a run has more than one result or end, or is one that nobody asked for: an answer too many."""
    return bool(one["run"]) and (not one["asked"] or max(one["results"]) > 1)


def told_wrongly(one: Result) -> bool:
    """Whether an incident was not told exactly once, or somebody was told who did not ask."""
    return bool(one["run"]) and list(one["told"]) != [int(one["tells"])] * 3


def ended_wrongly(one: Result) -> bool:
    """Whether the playbook did not come to its end exactly once after its last begin."""
    return bool(one["run"]) and one["ends"] != 1


def went_on(one: Result) -> bool:
    """Whether something of a run went on while another attempt had begun on the same server."""
    return bool(one.get("beside"))


def without_reason(one: Result) -> bool:
    """Whether a run was begun again although nothing had ended it."""
    return bool(one.get("without_reason"))


MISSES: dict[str, Callable[[Result], bool]] = {
    "runs lost": lost,
    "runs kept twice": kept_twice,
    "incidents not told exactly once": told_wrongly,
    "playbooks not ended exactly once": ended_wrongly,
    "went on beside another": went_on,
    "begun again without a reason": without_reason,
}


def seconds(results: Iterable[Result], *whats: str, of: str = "taken") -> list[float]:
    """How long every takeover after such failures took, the shortest first; see NAMES."""
    return sorted(taken for one in results if one.get("what") in whats for taken in one[of].values())


def figures(results: Iterable[Result]) -> list[Figure]:
    """Every figure."""
    every = list(results)
    runs = [one for one in every if is_run(one)]

    def within(name: str, *whats: str) -> Figure:
        found = seconds(every, *whats)
        return at_least(f"{name} ≤ {BAR:.0f} s", sum(one <= BAR for one in found), len(found), 1)

    return [
        within("takeover: worker killed", *WAYS),
        within("takeover: worker cut off", "cut"),
        *(none(name, sum(map(miss, runs)), len(runs)) for name, miss in MISSES.items()),
    ]


def summary(results: Iterable[Result], wanted: int) -> str:
    """The table, and a line for each failure and run that missed a bar."""
    every = list(results)
    failures = [one for one in every if not is_run(one)]
    counts = {what: sum(one["what"] == what for one in failures) for what in (*WAYS, "cut", "database", "service")}
    kills = sum(counts[way] for way in WAYS)
    lines = [str(one) for one in figures(every)]
    for name, whats in (("killed", tuple(WAYS)), ("cut off", ("cut",))):
        for of, what in NAMES.items():
            if found := seconds(every, *whats, of=of):
                p95 = found[min(len(found) - 1, int(0.95 * len(found)))]
                median = statistics.median(found)
                lines.append(f"{name}, {what}: median {median:.1f} s, p95 {p95:.1f} s, longest {found[-1]:.1f} s")
    lines.append(
        f"{len(failures)} failures of {wanted}: {kills} kills of a worker "
        f"({', '.join(f'{counts[way]} {way}' for way in WAYS)}), {counts['database']} restarts of the database, "
        f"{counts['cut']} cuts, {counts['service']} kills of the service"
    )
    for one in every:
        if is_run(one):
            lines += [f"  {name}: {line(one)}" for name, miss in MISSES.items() if miss(one)]
        elif any(taken > BAR for taken in one["taken"].values()):
            lines.append(f"  slow takeover: {line(one)}")
    return "\n".join(lines)


def line(one: Result) -> str:
    """A failure or a run in a line."""
    if not is_run(one):
        taken = ", ".join(f"{run} after {seconds} s" for run, seconds in one["taken"].items()) or "nothing to take over"
        return f"{one['id']} of {one['host'] or 'the site'}, back after {one['after']} s | {taken}"
    known = {name: value for name, value in one.items() if name not in {"id", "host", "case", "run"}}
    return f"{one['id']} on {one['host']} | " + ", ".join(f"{name} {value}" for name, value in known.items())


def document(results: Iterable[Result], seed: int) -> dict[str, Any]:
    """The figures as JSON."""
    every = list(results)
    return {
        "schema": "reconnect/kills/v1",
        "seed": seed,
        "figures": [asdict(one) for one in figures(every)],
        "takeovers": {"killed": seconds(every, *WAYS), "cut": seconds(every, "cut")},
        "results": every,
    }
