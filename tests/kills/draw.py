"""What fails, of a seed: in which order, after which time, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal

What = Literal["machine", "worker", "run", "cut", "database", "service"]

#: Of ten kills of a worker so many end its whole machine, the worker alone, and the process of one run alone.
WAYS: dict[What, int] = {"machine": 6, "worker": 2, "run": 2}
#: For how long each is away, in seconds. A worker is gone after 20 s, its playbook has ended 10 s before. A database
#: that is away for more than 10 s has failed.
AWAY: dict[What, tuple[float, float]] = {
    "machine": (1, 35),
    "worker": (1, 15),
    "run": (0, 0),
    "cut": (22, 40),
    "database": (0, 3),
    "service": (0, 4),
}
#: The time before each of them, in seconds: some happen while the one before is still being taken over.
BEFORE = (1.0, 40.0)


@dataclass(frozen=True)
class Failure:
    """What fails, how many seconds after the one before, and for how many seconds."""

    seed: int
    number: int
    what: What
    before: float
    away: float

    @property
    def id(self) -> str:
        return f"{self.seed}/{self.number}/{self.what}"


def failures(seed: int, kills: int, restarts: int, cuts: int, services: int) -> list[Failure]:
    """The same for the same numbers, on every machine."""
    rng = Random(f"kills/{seed}/{kills}/{restarts}/{cuts}/{services}")
    others: list[tuple[What, int]] = [("database", restarts), ("cut", cuts), ("service", services)]
    cards = [*_ways(rng, kills), *(what for what, number in others for _ in range(number))]
    rng.shuffle(cards)
    return [
        Failure(seed, number, what, round(rng.uniform(*BEFORE), 2), round(rng.uniform(*AWAY[what]), 2))
        for number, what in enumerate(cards)
    ]


def _ways(rng: Random, kills: int) -> Iterator[What]:
    """The ways of so many kills; each ten have every way as often as it is due."""
    for start in range(0, kills, 10):
        deck = [way for way, share in WAYS.items() for _ in range(share)]
        rng.shuffle(deck)
        yield from deck[: kills - start]
