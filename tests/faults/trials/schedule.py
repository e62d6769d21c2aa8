"""The order of the cases: servers side by side, and one after the other what every server suffers from."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar


class Placed(Protocol):
    """A case of a server that needs hosts for itself, with `wide` all of them."""

    @property
    def server(self) -> str: ...
    @property
    def places(self) -> frozenset[str]: ...
    @property
    def wide(self) -> bool: ...


Case = TypeVar("Case", bound=Placed)


def stopped_by_signals() -> threading.Event:
    """Set by Ctrl-C and SIGTERM, which end nothing by themselves from now on."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def queues(cases: Iterable[Case]) -> tuple[list[list[Case]], list[Case]]:
    """A queue of cases for each server, and the cases for which nothing else may run."""
    alone: list[Case] = []
    by_server: dict[str, list[Case]] = {}
    for case in cases:
        if case.wide:
            alone.append(case)
        else:
            by_server.setdefault(case.server, []).append(case)
    for queue in by_server.values():
        # What needs a shared host takes longest and may have to wait for it: while it does, there is still other work.
        queue.sort(key=lambda case: len(case.places) == 1)
    return list(by_server.values()), alone


class Turns:
    """Who works on which host: a queue goes on with its first case whose hosts nobody else needs."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._busy: set[str] = set()
        self._changed = threading.Condition()

    def take(self, queue: list[Case]) -> Case | None:
        """The next case, taken out of its queue; None when there is none, or no more are wanted."""
        with self._changed:
            while queue and not self._stop.is_set():
                free = next((case for case in queue if not case.places & self._busy), None)
                if free is not None:
                    queue.remove(free)
                    self._busy |= free.places
                    return free
                self._changed.wait()
            return None

    def give_back(self, case: Placed) -> None:
        """The case has ended."""
        with self._changed:
            self._busy -= case.places
            self._changed.notify_all()


def run_all(cases: Iterable[Case], run: Callable[[Case], None], stop: threading.Event) -> None:
    """Run every case once; after ``stop`` only those that have begun are brought to their end."""
    side_by_side, alone = queues(cases)
    turns = Turns(stop)

    def work(queue: list[Case]) -> None:
        while (case := turns.take(queue)) is not None:
            try:
                run(case)
            finally:
                turns.give_back(case)

    with ThreadPoolExecutor(len(side_by_side) or 1) as pool:
        workers = [pool.submit(work, queue) for queue in side_by_side]
        try:
            for worker in workers:
                worker.result()
        except BaseException:
            stop.set()
            raise
    work(alone)
