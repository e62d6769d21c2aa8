"""What became of servers and calls, and the bars that it has to reach."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from reconnect.result import UNTOUCHED
from trials.figures import Figure, at_least, none
from trials.tools import ROOT

sys.path.append(str(ROOT / "collections"))

from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge

Result = dict[str, Any]
CAUSES = judge.catalogue()
REMEDIES = {cause.remedy.name: cause.remedy for cause in CAUSES.values() if cause.remedy}


def counts(one: Result) -> bool:
    """Whether the case says something of the product: it ran to its end, and nobody disturbed it."""
    return one.get("can_register") is not None and not (one.get("error") or one.get("disturbed"))


def carried_out(one: Result) -> list[dict[str, Any]]:
    """The remedies that began."""
    return [remedy for remedy in one.get("remedies") or [] if remedy["state"] not in UNTOUCHED]


def drops_calls(one: Result) -> bool:
    """Whether calls ended with a remedy. Nothing is approved here; without a remedy the fault itself ended them."""
    return one.get("calls_dropped", 0) > 0 and bool(carried_out(one))


def stays(one: Result) -> bool:
    """Whether a remedy left what nobody can undo: it is of that kind, or was not rolled back after it failed."""
    return any(
        not REMEDIES[remedy["remedy"]].can_be_undone
        or (
            remedy["state"] == "failed"
            and REMEDIES[remedy["remedy"]].leaves == "changes"
            and remedy["changed"]
            and not remedy["rolled_back"]
        )
        for remedy in carried_out(one)
    )


def is_wrong(one: Result) -> bool:
    """Whether a remedy was for a cause that is not the fault's, as far as the fault says which these are; one for a
    server with which phones register has to be right, too."""
    allowed = set(one["expected"])
    known = bool(allowed) or bool(one["can_register"])
    return known and any(remedy["cause"] not in allowed for remedy in carried_out(one))


def must_fix(one: Result) -> bool:
    """Whether the policy has it fixed without an approval: the suite says so; a mutation's causes do, or those that
    were named where it allows several."""
    if one["source"] == "suite":
        return bool(one["must_fix"])
    policies = {CAUSES[cause].policy for cause in one["expected"]}
    if len(policies) > 1:
        policies = set(one["policies"])
    return not one["can_register"] and policies == {"auto"}


def is_fixed(one: Result) -> bool:
    """Whether the product says that it is fixed, and a phone registers."""
    return one["exit_code"] == 0 and str(one["outcome"]).startswith("fixed") and bool(one["registers_after"])


def figures(results: Iterable[Result]) -> list[Figure]:
    """Every figure of the cases that count."""
    every = [one for one in results if counts(one)]
    auto = [one for one in every if must_fix(one)]
    return [
        none("calls dropped without an approval", sum(map(drops_calls, every)), len(with_calls(every))),
        none("changes that cannot be undone", sum(map(stays, every)), len(every)),
        none("wrong remedies", sum(map(is_wrong, every)), len(every)),
        at_least("as well as before, by a phone", sum(not one["worse"] for one in every), len(every), 1),
        at_least("auto: fixed and verified", sum(map(is_fixed, auto)), len(auto), 0.95),
    ]


def with_calls(results: Iterable[Result]) -> list[Result]:
    """The cases in which a call was up when the product began."""
    return [one for one in results if one.get("calls")]


def summary(results: Iterable[Result], wanted: int) -> str:
    """The table, and a line for each case that missed a bar or does not count."""
    every = list(results)
    counted = [one for one in every if counts(one)]
    suite = sum(one.get("source") == "suite" for one in counted)
    lines = [
        *(str(one) for one in figures(every)),
        f"{len(counted)} cases of {wanted}: {suite} of the suite, {len(counted) - suite} mutations; "
        f"a call was up in {len(with_calls(counted))}; a remedy began in {len([*filter(carried_out, counted)])}",
    ]
    missed: list[tuple[str, Callable[[Result], object]]] = [
        ("calls dropped", drops_calls),
        ("cannot be undone", stays),
        ("wrong remedy", is_wrong),
        ("worse than before", lambda one: bool(one["worse"])),
        ("auto and not fixed", lambda one: must_fix(one) and not is_fixed(one)),
    ]
    return "\n".join([*lines, *listed(every, counts, missed, line)])


def listed(
    every: list[Result],
    counts: Callable[[Result], bool],
    missed: Iterable[tuple[str, Callable[[Result], object]]],
    line: Callable[[Result], str],
) -> Iterator[str]:
    """Under its title a line for each that missed a bar; at the end those that do not count."""
    counted, left = [one for one in every if counts(one)], [one for one in every if not counts(one)]
    groups = [(title, [one for one in counted if is_missed(one)]) for title, is_missed in missed]
    for title, found in [*groups, ("not counted", left)]:
        if found:
            yield from ("", title, *map(line, found))


def line(one: Result) -> str:
    """A case in a line."""
    if not counts(one):
        return f"  {one['id']}: {one.get('error') or one.get('disturbed') or 'no label'}"[:300]
    change = (one.get("mutation") or {}).get("after", "")
    states = ", ".join(f"{remedy['remedy']} {remedy['state']}" for remedy in one["remedies"]) or "no remedy"
    phone = f"{'registers' if one['can_register'] else 'no'} → {'registers' if one['registers_after'] else 'no'}"
    calls = f" | calls {one['calls']}, dropped {one['calls_dropped']}" if one["calls"] else ""
    named = ", ".join(one["root_causes"]) or "no cause"
    return f"  {one['id']} {change[:60]!r} | {named}: {one['outcome']} | {states} | {phone}{calls}"
