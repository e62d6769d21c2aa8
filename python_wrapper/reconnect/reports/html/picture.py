"""The picture of a path: one from left to right for a wide window, one from top to bottom for a narrow one.

Sizes are units of the picture's own view box; the template only writes them down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reconnect import texts
from reconnect.reports.path import Condition, Station, vantages
from reconnect.texts import Language

_LANES = 5
_LARGE, _SMALL = 40, 16


@dataclass(frozen=True)
class Link:
    """A line that leads to a station; a `broken` one has a gap with a cross."""

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
    """One picture, in the order of drawing."""

    width: int
    height: int
    links: list[Link]
    marks: list[Mark]
    labels: list[Label]


def lying(stations: Sequence[Station], language: Language) -> Picture:
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
        labels.append(Label(x, y + 40, _name(station, language), "name", condition=station.condition))
        labels.append(Label(x, y + 56, _short(station, language), "word", condition=station.condition))
    for row, vantage in enumerate(lanes):
        lane = y + 86 + 26 * row
        labels.append(Label(0, lane + 4, _cut(vantage, 18), "lane", "start"))
        for (x, _), station in zip(places, stations, strict=True):
            marks += [_mark((x, lane), _SMALL, seen.condition) for seen in station.seen if seen.vantage == vantage]
    return Picture(left + step * (len(stations) - 1) + 40, y + 70 + 26 * len(lanes) + 6, links, marks, labels)


def standing(stations: Sequence[Station], language: Language) -> Picture:
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
        labels.append(Label(54, y - 1, _name(station, language), "name", "start", station.condition))
        labels.append(Label(54, y + 15, _short(station, language), "word", "start", station.condition))
    for column, vantage in enumerate(lanes):
        lane = 168 + 66 * column
        labels.append(Label(lane, 12, _cut(vantage, 11), "lane"))
        for (_, y), station in zip(places, stations, strict=True):
            marks += [_mark((lane, y), _SMALL, seen.condition) for seen in station.seen if seen.vantage == vantage]
    return Picture(340, top + step * (len(stations) - 1) + 24, links, marks, labels)


def description(stations: Sequence[Station], language: Language) -> str:
    """The picture in words, for screen readers."""
    said = [f"{_name(one, language)}: {texts.text(f'condition.{one.condition}', language)}" for one in stations]
    return "; ".join(said) + "."


def _name(station: Station, language: Language) -> str:
    return texts.text(f"station.{station.name}", language)


def _short(station: Station, language: Language) -> str:
    return texts.text(f"short.{station.condition}", language)


def _mark(place: tuple[float, float], size: int, condition: Condition) -> Mark:
    return Mark(place[0] - size / 2, place[1] - size / 2, size, condition)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
