"""What a site needs: a model of incidents that wait for workers, and a simulation that the model is compared with.

docs/explanation/scale.md explains both. The service times are those of a site: ``reconnect runs --json``. What a run
takes of the processor is what ``tests/bench/servers.py`` prints.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

#: How busy the cores of a worker may be.
FULL = 0.8
#: Incidents that a simulation has after the first ones, which find an empty queue and are not counted.
NUMBER = 20_000
FIRST = 2_000


@dataclass(frozen=True)
class Site:
    """A site: `rate` incidents an hour about `servers` servers; `workers` machines, each with `slots` runs at once.

    A run takes one of `seconds`, of which the database has `database` for itself alone: what a writer of SQLite
    keeps from all others; with PostgreSQL, what its processors spend.
    """

    rate: float
    servers: int
    workers: int
    slots: int
    seconds: Sequence[float]
    database: float = 0.02

    @property
    def places(self) -> int:
        return self.workers * self.slots

    @property
    def busy(self) -> float:
        """The share of all slots that is taken."""
        return self.rate / 3600 * statistics.fmean(self.seconds) / self.places

    @property
    def capacity(self) -> float:
        """The incidents an hour that it can work on at most: what slots, or else the database, can take."""
        database = 1 / self.database if self.database else math.inf
        return 3600 * min(self.places / statistics.fmean(self.seconds), database)

    def wait(self) -> float:
        """The mean wait for a slot, in seconds: M/G/c by Allen and Cunneen, from Erlang's formula C."""
        if self.busy >= 1:
            return math.inf
        offered, term, total = self.busy * self.places, 1.0, 1.0
        for number in range(1, self.places):
            term *= offered / number
            total += term
        last = term * offered / self.places / (1 - self.busy)
        mean = statistics.fmean(self.seconds)
        variation = statistics.pvariance(self.seconds) / mean**2
        return last / (total + last) * mean / (self.places * (1 - self.busy)) * (1 + variation) / 2


@dataclass(frozen=True)
class Seen:
    """What a simulation saw: the incidents an hour that were worked on, and the waits for a slot in seconds."""

    throughput: float
    waits: Sequence[float]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.waits)

    def share(self, part: float) -> float:
        """The wait that `part` of all incidents do not exceed."""
        return sorted(self.waits)[min(int(len(self.waits) * part), len(self.waits) - 1)]


def simulate(site: Site, number: int = NUMBER, first: int = FIRST, seed: int = 15) -> Seen:
    """Incidents that come at random about random servers, in their order, one run at a time on each server."""
    chance = random.Random(seed)
    at = 0.0
    waiting: deque[tuple[float, int]] = deque()
    #: When each slot in use is free, and whose run is in it.
    ending: list[tuple[float, int]] = []
    taken: set[int] = set()
    waits: list[float] = []
    coming, database, begun, last = chance.expovariate(site.rate / 3600), 0.0, 0.0, 0.0
    arrived = 0
    while len(waits) < first + number:
        # The next thing that happens is an end, or an incident.
        if ending and (ending[0][0] <= coming or arrived >= first + number):
            at, server = heapq.heappop(ending)
            taken.discard(server)
        else:
            at, arrived = coming, arrived + 1
            waiting.append((at, chance.randrange(site.servers)))
            coming = at + chance.expovariate(site.rate / 3600)
        held = deque[tuple[float, int]]()
        while waiting and len(ending) < site.places:
            since, server = waiting.popleft()
            if server in taken:
                held.append((since, server))
                continue
            # One after the other, the runs write that they begin and how they end.
            database = max(database, at) + site.database
            last = database + chance.choice(site.seconds)
            heapq.heappush(ending, (last, server))
            taken.add(server)
            waits.append(at - since)
            begun = at if len(waits) == first else begun
        waiting.extendleft(reversed(held))
    return Seen((len(waits) - first) / (at - begun) * 3600, waits[first:])


def efficiency(workers: int, slots: int, seconds: Sequence[float], database: float) -> float:
    """What `workers` machines do of so many times what one does, with more incidents than they can take."""
    done = []
    for machines in (1, workers):
        site = Site(1, 10_000, machines, slots, seconds, database)
        flood = Site(site.capacity * 3, 10_000, machines, slots, seconds, database)
        done.append(simulate(flood, number=4_000, first=400).throughput)
    return done[1] / (workers * done[0])


def times(file: Path) -> list[float]:
    """The seconds of the runs in the answer of ``reconnect runs --json``."""
    ended = [run for run in json.loads(file.read_text(encoding="utf-8")) if run["finished_at"]]
    moments = [(datetime.fromisoformat(run["started_at"]), datetime.fromisoformat(run["finished_at"])) for run in ended]
    found = [(end - begin).total_seconds() for begin, end in moments]
    if not found:
        raise SystemExit(f"{file} has no run that has ended.")
    return found


def main() -> None:
    """Print the model beside the simulation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, help="the answer of 'reconnect runs --json'")
    parser.add_argument("--rate", type=float, default=1000, help="incidents an hour")
    parser.add_argument("--servers", type=int, default=10_000)
    parser.add_argument("--cpu", type=float, default=1.5, help="CPU seconds of a run on the control node")
    parser.add_argument("--cores", type=int, default=4, help="cores of a worker")
    parser.add_argument("--slots", type=int, help="runs at once on a worker; default: what its cores can take")
    parser.add_argument("--database", type=float, default=0.02, help="seconds of the database for a run")
    options = parser.parse_args()
    seconds = times(options.runs)
    mean = statistics.fmean(seconds)
    most = max(int(FULL * options.cores * mean / options.cpu), 1)
    slots = options.slots or most
    print(f"{len(seconds)} runs took {mean:.1f} s in the mean, {statistics.median(seconds):.1f} s in the median")
    print(f"{options.cores} cores can take {most} runs at once with {options.cpu:g} CPU s each; {slots} slots are used")
    print("workers  capacity/h  efficiency   busy  wait: model  simulated    p95    p99")
    for workers in (1, 2, 4):
        site = Site(options.rate, options.servers, workers, slots, seconds, options.database)
        worth = efficiency(workers, slots, seconds, options.database)
        line = f"{workers:7}  {site.capacity:10.0f}  {worth:10.2f}  {site.busy:5.0%}"
        if site.rate >= site.capacity:
            print(f"{line}  more incidents than it can take")
            continue
        seen = simulate(site)
        print(f"{line}  {site.wait():9.1f} s  {seen.mean:7.1f} s  {seen.share(0.95):5.1f}  {seen.share(0.99):5.1f}")


if __name__ == "__main__":
    main()
