"""How runs end, how long they take and how many people said are wrong, counted over the runs that are kept."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import get_args

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reconnect.outcomes import Answer
from reconnect.result import Outcome
from reconnect.runs.store import Runs
from reconnect.text import one_line

_BAR = 8
#: The ways in by which an incident begins a run itself.
_BY_ITSELF = frozenset({"hook", "poll"})


@dataclass(frozen=True)
class Line:
    """One group of results: `share` of all in 0–1, the median of their seconds, how many people called wrong.

    `accuracy` is the share (0–1) of them that nobody called wrong; None where it says what was right instead.
    """

    by: str
    name: str
    number: int
    share: float
    median_seconds: float
    wrong: int = 0
    accuracy: float | None = 1.0


def stats(runs: Runs) -> list[Line]:
    """The results of all runs by ending, by server, by root cause, those with a verdict, and by what was right instead;
    the most frequent first."""
    verdicts = get_args(Outcome)
    seconds: dict[str, dict[str, list[float]]] = {"outcome": {}, "server": {}, "cause": {}, "verdict": {}, "right": {}}
    wrong: Counter[tuple[str, str]] = Counter()
    total = 0
    for one in runs.endings():
        total += 1
        rights = [] if one.right is None else [one.right]
        for by, names in (
            ("outcome", [one.ending]),
            ("server", [one.server]),
            ("cause", one.causes),
            ("verdict", ["all"] if one.ending in verdicts else []),
            ("right", rights),
        ):
            for name in names:
                seconds[by].setdefault(name, []).append(one.seconds)
                wrong[by, name] += len(rights)
    return [
        Line(
            by,
            name,
            len(took),
            len(took) / total,
            round(statistics.median(took), 3),
            wrong[by, name],
            None if by == "right" else 1 - wrong[by, name] / len(took),
        )
        for by, groups in seconds.items()
        for name, took in sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    ]


@dataclass(frozen=True)
class Figures:
    """How well a site does since some day.

    `weeks` has the outcomes of each week, by its Monday (UTC). `incidents` are those that a run has ended for; `closed`
    are the seconds from the first run of an incident to the end of the one whose report closed it, in order; `alone` is
    how many of these no person had a hand in. `wrong` is how many verdicts people called wrong, by what they said is
    right.
    """

    weeks: dict[date, Counter[str]]
    causes: Counter[str]
    incidents: int
    closed: list[float]
    alone: int
    wrong: Counter[str]

    @property
    def outcomes(self) -> Counter[str]:
        """How often each outcome was."""
        return sum(self.weeks.values(), Counter[str]())

    def closed_within(self, share: float) -> float | None:
        """The seconds within which this share (0–1) of the closed incidents was; the nearest rank."""
        return self.closed[max(0, math.ceil(share * len(self.closed)) - 1)] if self.closed else None


def figures(runs: Runs, since: datetime, answers: Mapping[str, Answer]) -> Figures:
    """The figures of the runs that began since then; `answers` says which outcomes close an incident."""
    weeks: dict[date, Counter[str]] = {}
    causes, wrong = Counter[str](), Counter[str]()
    began: dict[str, datetime] = {}
    by_hand: set[str] = set()
    ended: dict[str, datetime] = {}
    for _, results in itertools.groupby(runs.endings(since), key=lambda one: one.run_id):
        own = list(results)
        first = own[0]
        for one in own:
            day = one.started_at.date()
            weeks.setdefault(day - timedelta(days=day.weekday()), Counter())[one.ending] += 1
            causes.update(one.causes)
            wrong.update([] if one.right is None else [one.right])
        if first.incident is None or first.finished_at is None:
            continue
        began.setdefault(first.incident, first.started_at)
        if first.trigger not in _BY_ITSELF:
            by_hand.add(first.incident)
        if first.delivery == "delivered" and all(
            one.ending in answers and answers[one.ending].do == "close" for one in own
        ):
            ended.setdefault(first.incident, first.finished_at)
    closed = sorted((at - began[incident]).total_seconds() for incident, at in ended.items())
    return Figures(weeks, causes, len(began), closed, len(ended.keys() - by_hand), wrong)


def show(console: Console, lines: Iterable[Line]) -> None:
    """Prints the lines as a table whose last column is a plot of the shares."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("by", "name", "runs", "wrong", "accuracy", "share", "median"):
        table.add_column(heading, justify="left" if heading in {"by", "name"} else "right", overflow="fold")
    table.add_column("")
    for line in lines:
        table.add_row(
            line.by,
            Text(one_line(line.name, 60)),
            str(line.number),
            str(line.wrong),
            "" if line.accuracy is None else f"{line.accuracy:.0%}",
            f"{line.share:.0%}",
            f"{line.median_seconds:.1f} s",
            "█" * max(round(line.share * _BAR), 1),
        )
    console.print(table)
