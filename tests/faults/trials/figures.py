"""The figures of a run, and the bars they have to reach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from .trial import Outcome


@dataclass(frozen=True)
class Figure:
    """``good`` of ``all``, and what it has to be."""

    name: str
    good: int
    all: int
    bar: str
    reached: bool

    def __str__(self) -> str:
        share = f" ({self.good / self.all:.1%})" if self.all else ""
        return f"{self.name:<34} {self.good}/{self.all}{share:<10} {self.bar:<8} {'ok' if self.reached else 'MISSED'}"


def figures(outcomes: Iterable[Outcome]) -> list[Figure]:
    """Every figure, from the outcomes of a run."""
    every = list(outcomes)
    faults, controls, pairs, unknowns = (
        [one for one in every if one.kind == kind] for kind in ("fault", "control", "pair", "unknown")
    )
    must = [one for one in faults if one.must_fix]
    approved = [one for one in faults if not one.must_fix and one.fixed is not None]
    judged = [one for one in every if one.same_offline is not None]
    broken = [one for one in every if one.kind != "control"]
    return [
        at_least("root cause named", sum(one.right for one in faults), len(faults), 0.97),
        none("wrong root cause", sum(one.wrong for one in broken), len(broken)),
        none("false alarms on controls", sum(bool(one.misses) for one in controls), len(controls)),
        at_least("double faults", sum(not one.misses for one in pairs), len(pairs), 0.9),
        at_least("unknown cause said to be unknown", sum(not one.misses for one in unknowns), len(unknowns), 1),
        at_least("fixed, of those that must", sum(bool(one.fixed) for one in must), len(must), 1),
        at_least("fixed after an approval", sum(bool(one.fixed) for one in approved), len(approved), 1),
        at_least("same verdict from saved evidence", sum(bool(one.same_offline) for one in judged), len(judged), 1),
    ]


def at_least(name: str, good: int, total: int, share: float) -> Figure:
    return Figure(name, good, total, f"≥ {share:.0%}", good >= share * total)


def none(name: str, bad: int, total: int) -> Figure:
    return Figure(name, bad, total, "0", bad == 0)


def confusion(outcomes: Iterable[Outcome]) -> Counter[tuple[str, str]]:
    """How often what was injected was called what, where the two differ."""
    return Counter(
        (", ".join(one.expected) or "nothing", ", ".join(one.named) or "nothing") for one in outcomes if not one.right
    )


def document(outcomes: list[Outcome], seconds: float) -> dict[str, Any]:
    """The run as JSON."""
    return {
        "schema": "reconnect/faults/v1",
        "seconds": round(seconds, 1),
        "figures": [asdict(one) for one in figures(outcomes)],
        "confusion": [
            {"expected": expected, "named": named, "times": times}
            for (expected, named), times in confusion(outcomes).items()
        ],
        "cases": [asdict(one) for one in sorted(outcomes, key=lambda one: one.case)],
    }
