"""Where everything of the picture of a way stands: once lying down for a wide window, once standing for a narrow one.

Sizes are units of the picture's own view box; the template only writes them down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reconnect.way import WORDS, Condition, Station, vantages

#: One word for a small place; `WORDS` has the long ones.
SHORT: dict[Condition, str] = {
    "fine": "fine",
    "warned": "look",
    "broken": "fault",
    "affected": "fails",
    "mended": "mended",
    "unknown": "not known",
    "unseen": "not seen",
}

_LANES = 5
_LARGE, _SMALL = 40, 16


@dataclass(frozen=True)
class Link:
    """A line that leads to a station; `broken` ones are drawn with a gap and a cross in it."""

    x1: float
    y1: float
    x2: float
    y2: float
    condition: Condition

    @property
    def middle(self) -> tuple[float, float]:
        return (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2

    @property
    def gap(self) -> tuple[float, float]:
        """How far the gap reaches from the middle, along the line."""
        return (9.0, 0.0) if self.y1 == self.y2 else (0.0, 9.0)


@dataclass(frozen=True)
class Mark:
    """A sign for a condition, by its upper left corner and its size."""

    x: float
    y: float
    size: int
    condition: Condition


@dataclass(frozen=True)
class Label:
    """Words; `kind` is name, word or lane."""

    x: float
    y: float
    text: str
    kind: str
    anchor: str = "middle"
    condition: Condition = "unseen"


@dataclass(frozen=True)
class Picture:
    """Everything of one picture, in the order in which it is drawn."""

    width: int
    height: int
    links: list[Link]
    marks: list[Mark]
    labels: list[Label]


def lying(stations: Sequence[Station]) -> Picture:
    """From left to right; below it one lane for each vantage."""
    lanes = vantages(stations)[:_LANES]
    left, step, y = 156, 98, 34
    places = [(left + step * number, y) for number in range(len(stations))]
    links = [
        Link(places[n - 1][0] + _LARGE / 2, y, places[n][0] - _LARGE / 2, y, stations[n].condition)
        for n in range(1, len(stations))
    ]
    marks = [_mark(place, _LARGE, station.condition) for place, station in zip(places, stations, strict=True)]
    labels = []
    for (x, _), station in zip(places, stations, strict=True):
        labels.append(Label(x, y + 40, station.name, "name", condition=station.condition))
        labels.append(Label(x, y + 56, SHORT[station.condition], "word", condition=station.condition))
    for row, vantage in enumerate(lanes):
        lane = y + 86 + 26 * row
        labels.append(Label(0, lane + 4, _cut(vantage, 18), "lane", "start"))
        for (x, _), station in zip(places, stations, strict=True):
            marks += [_mark((x, lane), _SMALL, seen.condition) for seen in station.seen if seen.vantage == vantage]
    return Picture(left + step * (len(stations) - 1) + 40, y + 70 + 26 * len(lanes) + 6, links, marks, labels)


def standing(stations: Sequence[Station]) -> Picture:
    """From top to bottom; beside it one lane for each vantage."""
    lanes = vantages(stations)[:3]
    x, step, top = 22, 58, 50 if lanes else 24
    places = [(x, top + step * number) for number in range(len(stations))]
    links = [
        Link(x, places[n - 1][1] + _LARGE / 2, x, places[n][1] - _LARGE / 2, stations[n].condition)
        for n in range(1, len(stations))
    ]
    marks = [_mark(place, _LARGE, station.condition) for place, station in zip(places, stations, strict=True)]
    labels = []
    for (_, y), station in zip(places, stations, strict=True):
        labels.append(Label(54, y - 1, station.name, "name", "start", station.condition))
        labels.append(Label(54, y + 15, SHORT[station.condition], "word", "start", station.condition))
    for column, vantage in enumerate(lanes):
        lane = 168 + 66 * column
        labels.append(Label(lane, 12, _cut(vantage, 11), "lane"))
        for (_, y), station in zip(places, stations, strict=True):
            marks += [_mark((lane, y), _SMALL, seen.condition) for seen in station.seen if seen.vantage == vantage]
    return Picture(340, top + step * (len(stations) - 1) + 24, links, marks, labels)


def description(stations: Sequence[Station]) -> str:
    """The picture in words, for those who don't see it."""
    return "; ".join(f"{station.name}: {WORDS[station.condition]}" for station in stations) + "."


def _mark(place: tuple[float, float], size: int, condition: Condition) -> Mark:
    return Mark(place[0] - size / 2, place[1] - size / 2, size, condition)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
