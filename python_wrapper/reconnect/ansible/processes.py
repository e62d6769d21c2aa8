"""The processes of a run on the control node, and their end.

ansible-core puts its workers into sessions of their own and ssh keeps masters in the background, so neither a process
group nor a parent shows what belongs to a run. Two things do: every process of a run carries the run's id in its
environment, and what loses its parent becomes a child of this process, which makes itself the subreaper (prctl(2)).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time
from collections.abc import Callable, Iterable

import psutil

#: The environment variable with the run that a process belongs to.
MARK = "RECONNECT_RUN_ID"

_PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 36, 37


def adopt_orphans(adopt: bool = True) -> None:
    """Makes this process the parent of descendants that lose theirs, or not any more; Linux only; elsewhere only the
    mark is used."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0)


def adopts_orphans() -> bool:
    """Whether this process is the parent of descendants that lose theirs."""
    if sys.platform != "linux":
        return False
    adopts = ctypes.c_int(0)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(adopts), 0, 0, 0)
    return bool(adopts.value)


class RunProcesses:
    """Every process that belongs to the run `run_id`."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._itself = psutil.Process()
        self._killed: set[int] = set()

    def alive(self) -> list[psutil.Process]:
        """The run's processes that still run: those that carry its mark, and the descendants of this process."""
        found = {process.pid: process for process in self._itself.children(recursive=True)}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.pid != self._itself.pid and process.environ().get(MARK) == self._run_id:
                    found[process.pid] = process
                    found.update({child.pid: child for child in process.children(recursive=True)})
        return [process for process in found.values() if _runs(process)]

    def terminate_oldest(self, seconds: float) -> None:
        """Asks the process this one started first, ansible-playbook, to end, and waits for that up to `seconds`.

        What this process adopted since is left alone: a connection that breaks would look like an unreachable server.
        """
        with contextlib.suppress(psutil.Error, ValueError):
            oldest = min(self._itself.children(), key=psutil.Process.create_time)
            oldest.terminate()
            wait_until(lambda: not _runs(oldest), seconds)

    def kill_all(self, seconds: float) -> list[psutil.Process]:
        """Kills until none is left or `seconds` are over; gives back those that are left.

        It looks again after each round: a process may have started others before it was killed.
        """
        deadline = time.monotonic() + seconds
        while alive := self.alive():
            if time.monotonic() > deadline:
                return alive
            for process in alive:
                self._killed.add(process.pid)
                with contextlib.suppress(psutil.Error):
                    process.kill()
            wait_until(lambda: not any_runs(alive), 0.5)
        return []

    def reap(self) -> None:
        """Takes note of the end of those that were killed and had become children of this process."""
        for pid in self._killed:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def any_runs(processes: Iterable[psutil.Process]) -> bool:
    """Whether one of `processes` still runs; a zombie does not."""
    return any(_runs(process) for process in processes)


def wait_until(condition: Callable[[], bool], seconds: float, interval: float = 0.02) -> bool:
    """Whether `condition` came true within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(interval)
    return True


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.Error:
        return False
