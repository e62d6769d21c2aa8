"""The worker of the service: a process for each run, as if a command had been called for it.

So a run that fails takes nothing else with it, and one whose service is killed goes on. What nobody goes on with is
resumed, as `reconnect resume` does.

`reconnect carry-out RUN` carries one run out; without a run it resumes what was left and sends what is due.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, NoReturn

from reconnect import log, settings
from reconnect.ansible import project
from reconnect.ansible.playbook import StepEnd
from reconnect.ansible.project import Project
from reconnect.ansible.warm import command
from reconnect.engine import presence, resuming
from reconnect.engine.locks import Locks
from reconnect.engine.perform import Performer
from reconnect.engine.slots import Slots
from reconnect.errors import ReconnectError
from reconnect.result import State
from reconnect.runs import database
from reconnect.runs.store import Run, Runs
from reconnect.service.loop import Loop
from reconnect.settings import Settings
from reconnect.text import one_line

_LOG = logging.getLogger("reconnect.service.work")
#: Seconds between two looks for runs that wait, where nobody tells of one.
_PAUSE = 1.0
#: Seconds between two looks for what was left and for reports that are due.
_RESUME_SECONDS = 10.0
#: Seconds after which a machine whose runs nobody carries out is gone. A machine that is there resumes them before.
_GONE_SECONDS = 900.0
#: Seconds until a run is begun again whose process failed before it had taken the run, or was killed.
_AGAIN_SECONDS = 30.0
_KILLED_SECONDS = 2.0


class _Begun(NamedTuple):
    """The process of a run."""

    process: subprocess.Popen[bytes]
    servers: frozenset[str]
    locks: Locks


class Worker(Loop):
    """Begins the runs that wait, at most `service.workers` at once and one at a time on a server; `ended` is called
    when one ended, and every few seconds, because some end elsewhere."""

    def __init__(self, here: Project, loaded: Settings, wake: threading.Event, ended: Callable[[], None]) -> None:
        super().__init__(_LOG, "cannot begin runs", _PAUSE, wake=wake)
        self._project = here
        self._settings = loaded
        self._ended = ended
        self._runs = Runs(loaded)
        self._processes: dict[str, _Begun] = {}
        self._not_before: dict[str, float] = {}
        self._lost_since: dict[str, float] = {}
        self._resuming: subprocess.Popen[bytes] | None = None
        self._resume_at = time.monotonic()

    def stop(self) -> None:
        """See Loop. Other machines do not miss this one."""
        super().stop()
        with contextlib.suppress(ReconnectError):
            self._there(0)

    def _there(self, slots: int) -> None:
        """Tells the machines that share the store how many runs this one takes."""
        if self._settings.database is not None and (slots == 0 or not self._stopped.is_set()):
            presence.here(self._settings, slots)

    def look(self) -> None:
        """Begins what waits, also what a worker left that is gone, and has what was left here resumed."""
        self._there(self._settings.service.workers)
        for run_id, begun in list(self._processes.items()):
            if (code := begun.process.poll()) is not None:
                self._processes.pop(run_id).locks.release()
                if code:
                    self._not_before[run_id] = time.monotonic() + (_AGAIN_SECONDS if code > 0 else _KILLED_SECONDS)
                if (ended := self._runs.get(run_id)) is not None:
                    log.about(ended, _LOG, logging.INFO, "the process of the run ended", exit_code=code)
                self._resume_at = time.monotonic()
        self._not_before = {run_id: at for run_id, at in self._not_before.items() if at > time.monotonic()}
        busy = {server for begun in self._processes.values() for server in begun.servers}
        gone = presence.gone(self._settings)
        for worker, run in self._runs.waiting():
            if len(self._processes) >= self._settings.service.workers:
                break
            servers = frozenset(run.record.request.servers)
            held_up = run.run_id in self._processes or run.run_id in self._not_before or servers & busy
            left = worker in gone and (run.record.finished_at is None or resuming.due(run))
            if (worker is None or left) and not held_up and (locks := self._alone(run)) is not None:
                self._processes[run.run_id] = _Begun(
                    _process(self._project, self._settings, run.run_id), servers, locks
                )
                log.about(run, _LOG, logging.INFO, "a process takes the run")
            # A run waits for every older one on its servers.
            busy |= servers if run.record.finished_at is None else set()
        self._resume(gone)

    def _alone(self, run: Run) -> Locks | None:
        """What keeps other machines from beginning a process for the run; None where one of them has."""
        locks = Locks(self._settings)
        if self._settings.database is None or locks.take("begin", run.run_id):
            return locks
        locks.release()
        return None

    def _resume(self, gone: set[str]) -> None:
        if time.monotonic() < self._resume_at:
            return
        self._resume_at = time.monotonic() + _RESUME_SECONDS
        if self._resuming is None or self._resuming.poll() is not None:
            abandoned = self._runs.readable(Slots(self._settings).abandoned())
            if any(run.record.finished_at is None or resuming.due(run) for run in abandoned):
                self._resuming = _process(self._project, self._settings)
        self._end_lost(gone)
        self._ended()

    def _end_lost(self, gone: set[str]) -> None:
        """Ends what other machines have left for long and nobody takes over: an open run keeps others from its
        servers."""
        lost, moment = resuming.lost(self._settings), time.monotonic()
        self._lost_since = {run.run_id: self._lost_since.get(run.run_id, moment) for _, run in lost}
        for worker, run in lost:
            # What is taken over may have to wait for its turn; what failed here may fail everywhere.
            if worker in gone and run.run_id not in self._not_before:
                continue
            if moment - self._lost_since[run.run_id] >= _GONE_SECONDS:
                end_lost(run, self._project, self._settings)


def cancel(run: Run, here: Project, loaded: Settings) -> bool:
    """Has a run end, also one that waits, whoever has it, on whatever machine; whether it had not ended."""
    if not run.withdraw("cancelled", "The run was cancelled."):
        return False
    _withdraw(run, here, loaded)
    return True


def end_lost(run: Run, here: Project, loaded: Settings) -> bool:
    """Ends a run of a machine that is gone; whether it was one."""
    if not _withdraw(run, here, loaded, "failed"):
        return False
    log.about(run, _LOG, logging.WARNING, "the machine of the run is gone; the run ends")
    return True


def _withdraw(run: Run, here: Project, loaded: Settings, state: State = "cancelled") -> bool:
    """Ends a run that nobody has, so that none begins it; whether it was one."""
    performer = Performer(here, loaded, _Log(run.traced()), threading.Event())
    reported = resuming.withdraw(run, performer, loaded, state)
    if reported:
        _process(here, loaded)
    return reported is not None


def _process(here: Project, loaded: Settings, *words: str) -> subprocess.Popen[bytes]:
    # A signal for the service is none for its runs.
    process = subprocess.Popen(command.work(*words), stdin=subprocess.DEVNULL, start_new_session=True)
    # The next one begins faster.
    command.begin(here, loaded)
    return process


class _Log:
    """The progress of a run, in the log; `said` is what each line says of it."""

    def __init__(self, said: Mapping[str, object] | None = None) -> None:
        self._said = said

    def step(self, end: StepEnd) -> None:
        """The store has every step."""

    def note(self, sentence: str) -> None:
        """A sentence about the run itself."""
        _LOG.info(one_line(sentence), extra=self._said)

    def output(self, line: str) -> None:
        """Ansible's own words are not kept: they may hold what a server said."""


def main(words: list[str]) -> NoReturn:
    """See the head of this module."""
    cancelled = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: cancelled.set())
    try:
        loaded = settings.load()
        log.set_up(loaded)
        here = project.find(loaded)
        # Whoever began this process has read there which run it is.
        database.Restarts.known = True
        if words:
            run = Runs(loaded).find(words[0])
            resuming.adopt(run.run_id, here, loaded, _Log(run.traced()), cancelled)
        else:
            resuming.resume(here, loaded, _Log(), cancelled)
    except ReconnectError as error:
        _LOG.error(one_line(error, 1000))
        sys.stderr.flush()
        os._exit(1)
    sys.stderr.flush()
    # A report that waits for its next attempt has a thread that waits with it.
    os._exit(0)
