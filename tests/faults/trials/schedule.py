"""The order of the cases: servers side by side, and one after the other what every server suffers from."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from .cases import Case

Run = Callable[[Case], None]


def queues(cases: Iterable[Case]) -> tuple[list[list[Case]], list[Case]]:
    """A queue of cases for each server, and the cases for which nothing else may run."""
    alone: list[Case] = []
    by_server: dict[str, list[Case]] = {}
    for case in cases:
        if case.wide:
            alone.append(case)
        else:
            by_server.setdefault(case.server, []).append(case)
    for index, queue in enumerate(by_server.values()):
        # What is broken on a shared host has to wait for its turn: the servers come to it at different times.
        queue.sort(key=lambda case, last=index % 2: (len(case.places) > 1) is bool(last))
    return list(by_server.values()), alone


def run_all(cases: Iterable[Case], run: Run, stop: threading.Event) -> None:
    """Run every case once; after ``stop`` only those that have begun are brought to their end."""
    side_by_side, alone = queues(cases)

    def work(queue: list[Case]) -> None:
        for case in queue:
            if stop.is_set():
                return
            run(case)

    with ThreadPoolExecutor(len(side_by_side) or 1) as pool:
        workers = [pool.submit(work, queue) for queue in side_by_side]
        try:
            for worker in workers:
                worker.result()
        except BaseException:
            stop.set()
            raise
    work(alone)
