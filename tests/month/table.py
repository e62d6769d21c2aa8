"""What became of the incidents, and the bars that it has to reach."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from injected.table import carried_out, drops_calls, listed
from trials.figures import Figure, at_least, none

Result = dict[str, Any]


def counts(one: Result) -> bool:
    """Whether the incident says something of the product: the lab could make it."""
    return "error" not in one


def is_closed(one: Result) -> bool:
    """Whether the incident is closed."""
    return bool(one["status"] == "resolved")


def ends_rightly(one: Result) -> bool:
    """Whether the incident ended as it had to, and in time."""
    if not one["in_time"]:
        return False
    if one["must"] == "asked":
        return (one["questions"], one["diagnoses"], is_closed(one)) == (1, 0, False)
    ending = one["endings"][-1] if one["endings"] else ""
    right = ending.startswith(tuple(one["right_endings"]))
    if one["must"] == "open":
        return right and not is_closed(one) and one["named"] == sorted(one["causes"])
    return right and is_closed(one)


def is_wrongly_closed(one: Result) -> bool:
    """Whether an incident is closed that people have to work on, or for another reason than the right one."""
    return is_closed(one) and not ends_rightly(one)


def is_wrongly_fixed(one: Result) -> bool:
    """Whether a remedy began for a cause that the fault does not allow, or one that only people may fix."""
    return any(one["must"] == "open" or remedy["cause"] not in one["expected"] for remedy in carried_out(one))


def drops(one: Result) -> bool:
    """Whether calls ended with a remedy that nobody approved."""
    return one["must"] != "approved" and drops_calls(one)


def lost(one: Result) -> int:
    """How many reports and questions the incident did not get."""
    markers = set(one["markers"])
    told = sum(marker.endswith("-report") for marker in markers)
    asked = sum(marker.startswith("reconnect-question-") for marker in markers)
    nothing = not (one["diagnoses"] or one["questions"])
    return int(max(0, one["diagnoses"] - told) + max(0, one["questions"] - asked) + nothing)


def doubled(one: Result) -> int:
    """How much the incident was told twice, or by a run too many."""
    runs = 2 if one["must"] == "approved" else 1
    return int(len(one["markers"]) - len(set(one["markers"])) + max(0, one["diagnoses"] - runs))


def points(one: Result) -> bool:
    """Whether an incident of a storm is the first one, or points to it."""
    return one["incident"] == one["first"] or f"rt:{one['first']}" in one["points_to"]


def figures(results: Iterable[Result]) -> list[Figure]:
    """Every figure of the incidents that count."""
    every = [one for one in results if counts(one)]
    storm = [one for one in every if one["must"] == "storm"]
    storms = len({one["first"] for one in storm})
    by_must = {must: [one for one in every if one["must"] == must] for must in ("closed", "approved", "open", "asked")}

    def right(name: str, must: str, share: float) -> Figure:
        return at_least(name, sum(map(ends_rightly, by_must[must])), len(by_must[must]), share)

    return [
        right("closed without a person", "closed", 0.99),
        right("closed after an approval", "approved", 0.99),
        right("rightly escalated", "open", 0.97),
        right("asked for what is missing", "asked", 1),
        none("wrongly closed", sum(map(is_wrongly_closed, every)), len(every)),
        none("wrong fixes", sum(map(is_wrongly_fixed, every)), len(every)),
        none("calls dropped", sum(map(drops, every)), sum(bool(one.get("calls")) for one in every)),
        none("reports lost", sum(map(lost, every)), len(every)),
        none("reports doubled", sum(map(doubled, every)), len(every)),
        none("storm: diagnoses beyond the first", sum(one["begun"] for one in storm) - storms, len(storm)),
        none("storm: remedies beyond the first", sum(len(carried_out(one)) for one in storm) - storms, len(storm)),
        at_least("storm: answers that point to it", sum(map(points, storm)), len(storm), 1),
    ]


def seconds(results: Iterable[Result]) -> dict[str, float]:
    """Median and 95th percentile of the seconds from incident to close, of those closed without a person."""
    found = sorted(one["seconds"] for one in results if counts(one) and one["must"] == "closed" and is_closed(one))
    if not found:
        return {}
    p95 = found[min(len(found) - 1, int(0.95 * len(found)))]
    return {"median": statistics.median(found), "p95": p95}


def summary(results: Iterable[Result], wanted: int) -> str:
    """The table, and a line for each incident that missed a bar or does not count."""
    every = list(results)
    counted = [one for one in every if counts(one)]
    took = ", ".join(f"{name} {value:.0f} s" for name, value in seconds(every).items()) or "none"
    lines = [
        *(str(one) for one in figures(every) if one.all),
        f"from incident to close: {took}",
        f"{len(counted)} incidents of {wanted}; {sum(bool(one['outage']) for one in counted)} beside an outage",
    ]
    missed: list[tuple[str, Callable[[Result], object]]] = [
        ("not ended as it has to", lambda one: one["must"] != "storm" and not ends_rightly(one)),
        ("wrong fix", is_wrongly_fixed),
        ("calls dropped", drops),
        ("reports lost or doubled", lambda one: lost(one) or doubled(one)),
    ]
    return "\n".join([*lines, *listed(every, counts, missed, line)])


def line(one: Result) -> str:
    """An incident in a line."""
    if not counts(one):
        return f"  {one['id']}: {one['error']}"[:300]
    states = ", ".join(f"{remedy['remedy']} {remedy['state']}" for remedy in one["remedies"]) or "no remedy"
    outage = f" | {one['outage']} failed" if one["outage"] else ""
    took = f" | {one['seconds']:.0f} s" if one["seconds"] is not None else ""
    named, ended = ", ".join(one["named"]) or "no cause", ", ".join(one["endings"]) or "no run"
    return f"  {one['id']} rt:{one['incident']} {one['status']} | {named}: {ended} | {states}{outage}{took}"


def document(results: Iterable[Result], seed: int) -> dict[str, Any]:
    """The month as JSON."""
    every = list(results)
    return {
        "schema": "reconnect/month/v1",
        "seed": seed,
        "figures": [asdict(one) for one in figures(every)],
        "seconds": seconds(every),
        "incidents": every,
    }
