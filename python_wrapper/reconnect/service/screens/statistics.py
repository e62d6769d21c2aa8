"""Second level's statistics: figures of the last weeks, each plot with a table that says the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from fastapi import APIRouter, Response

from reconnect import outcomes, texts
from reconnect.ansible import judging
from reconnect.result import now
from reconnect.runs.stats import Figures, figures
from reconnect.service.desk import Desk
from reconnect.service.screens.frame import Visit, looks, page, router

_WEEKS = 12
#: So many causes are shown.
_CAUSES = 15
#: The plot of the weeks, in units of its own: height of the tallest week, width of a week and of its bar.
_HEIGHT, _STEP, _BAR = 160, 52, 34


@dataclass(frozen=True)
class Bar:
    """One row of a distribution; `share` is of all in 0–1."""

    name: str
    title: str
    number: int
    share: float


@dataclass(frozen=True)
class Week:
    """A week that began on `monday`: how many results need nobody, and how many somebody. Its bar is at `x`; `high` and
    `low` are the heights of these two parts."""

    monday: date
    good: int
    bad: int
    x: int
    low: float
    high: float

    @property
    def number(self) -> int:
        """The week of the year (ISO 8601)."""
        return self.monday.isocalendar().week


def routes(desk: Desk) -> APIRouter:
    """The page, for the runs of `desk`."""
    pages = router()

    @pages.get("/statistics")
    def statistics(visit: Visit = looks(desk, "audit")) -> Response:
        """How runs end, why, how fast incidents are closed, and how often a verdict is wrong."""
        today = now().date()
        first = today - timedelta(days=today.weekday(), weeks=_WEEKS - 1)
        found = figures(desk.runs, datetime.combine(first, time.min, UTC), desk.settings.answers)
        names = {name: visit.say(f"outcome.{name}") for name in found.outcomes}
        known = judging.causes(desk.project) if found.causes or found.wrong else {}
        titles = {
            name: texts.title(name, known[name].title if name in known else name, visit.language)
            for name in found.causes | found.wrong
        } | {name: visit.say(f"right.{name}") for name in ("none", "unknown")}
        return page(
            visit,
            "statistics.html.j2",
            found=found,
            since=first,
            weeks=_weeks(found, first),
            height=_HEIGHT,
            step=_STEP,
            bar=_BAR,
            outcomes=_bars(found.outcomes, names),
            causes=_bars(found.causes, titles)[:_CAUSES],
            wrong=_bars(found.wrong, titles),
            lasting=_lasting,
        )

    return pages


def _weeks(found: Figures, first: date) -> list[Week]:
    mondays = [first + timedelta(weeks=number) for number in range(_WEEKS)]
    table = outcomes.table()
    counted = []
    for monday in mondays:
        week = found.weeks.get(monday, Counter())
        good = sum(number for name, number in week.items() if name in table and table[name].tone == "good")
        counted.append((monday, good, week.total() - good))
    most = max(good + bad for _, good, bad in counted) or 1
    return [
        Week(monday, good, bad, number * _STEP, round(bad * _HEIGHT / most, 1), round(good * _HEIGHT / most, 1))
        for number, (monday, good, bad) in enumerate(counted)
    ]


def _bars(counted: Counter[str], titles: dict[str, str]) -> list[Bar]:
    total = counted.total()
    return [Bar(name, titles[name], number, number / total) for name, number in counted.most_common()]


def _lasting(seconds: float | None) -> str:
    """A time as people say it."""
    if seconds is None:
        return "–"
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
