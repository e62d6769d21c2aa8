"""Runs and their reports as durable workflows: what was begun is carried to its end, whatever ends this process.

DBOS keeps in its database which workflows are under way and which of their steps have ended. A run is one workflow: the
playbook, then the report, a workflow of its own because it may take days. Both are bound to the place (slots.py)
they were begun from, so that a run is carried out by the command that asked for it, with its terminal, its environment
and its credentials; whoever takes the place of a process that is gone goes on with what it left. Runs on one server
follow each other: the queue has a partition per server and every partition takes one run at a time (and see turns.py).

What a run found is in the run's own folder; nothing but ids and sentences enters the database.
"""

from __future__ import annotations

import contextlib
import logging
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from dbos import DBOS, SetEnqueueOptions, SetWorkflowID
from sqlalchemy import event
from sqlalchemy.pool import Pool

from reconnect import delivery
from reconnect.errors import ReconnectError, TrackerError
from reconnect.result import Result, now
from reconnect.runs import Pending, Run, Runs, alone
from reconnect.settings import Settings
from reconnect.slots import Slot
from reconnect.text import one_line
from reconnect.trackers import open_incident

_RUNS = "runs"
_REPORTS = "reports"
#: A report is tried again after about this long, twice as long every time, in seconds.
FIRST_DELAY = 2.0
LONGEST_DELAY = 900.0
#: How long a command waits for an attempt that is under way to be answered or given up, in seconds.
ATTEMPT_SECONDS = 60.0
#: Answers that trying again a moment later does not change.
_FINAL = frozenset({400, 401, 403, 404})
_POLL = 0.1


@event.listens_for(Pool, "connect")
def _know_the_time(connection: Any, _record: object) -> None:
    """Teaches an older SQLite (before 3.42) `unixepoch('subsec')`.

    DBOS takes it for granted from Python 3.12 on, but which SQLite a Python has is its distribution's choice; without
    it the function says NULL, which no column for a time takes.
    """
    if isinstance(connection, sqlite3.Connection) and sqlite3.sqlite_version_info < (3, 42):
        connection.create_function("unixepoch", 1, lambda _: round(time.time(), 3))


class Performer(Protocol):
    """Who carries out a run; see `diagnose.Diagnosis`."""

    def perform(self, run: Run) -> bool:
        """Carries out the run and keeps its results; whether they are to be reported to its incident."""


@dataclass
class _Process:
    """What the workflows of this process work with: DBOS calls plain functions."""

    settings: Settings
    performer: Performer
    held: dict[str, tuple[Run, list[Result]]]


_process: _Process | None = None


class Engine:
    """DBOS in this process, at the place `slot`; use it as a context."""

    def __init__(self, settings: Settings, slot: Slot, performer: Performer) -> None:
        self._settings = settings
        self._slot = slot
        self._performer = performer

    def __enter__(self) -> Engine:
        global _process
        _process = _Process(self._settings, self._performer, {})
        logging.getLogger("dbos").setLevel(logging.CRITICAL + 1)
        try:
            # One after the other: the first one makes the tables.
            with alone(self._settings.state):
                self._launch()
        except Exception as error:
            raise ReconnectError(f"Runs can't be kept in the database of this site: {one_line(error, 300)}") from None
        return self

    def _launch(self) -> None:
        # Of many processes each asks less often, so that all of them together don't keep the database busy.
        poll = _POLL * max(1.0, self._slot.number / 4)
        DBOS(
            config={
                "name": "reconnect",
                "system_database_url": database_url(self._settings),
                "executor_id": self._slot.name,
                # Only workflows of one's own version are taken from a queue: this binds them to their place.
                "application_version": self._slot.name,
                "log_level": "CRITICAL",
                "notification_listener_polling_interval_sec": poll,
            }
        )
        DBOS.launch()
        DBOS.register_queue(
            _RUNS, partition_concurrency=1, worker_concurrency=1, polling_interval_sec=poll, on_conflict="always_update"
        )
        DBOS.register_queue(_REPORTS, polling_interval_sec=poll, on_conflict="always_update")

    def __exit__(self, *error: object) -> None:
        DBOS.destroy()

    def begin(self, run: Run) -> None:
        """Puts the run into the queue of its server."""
        self._slot.keep(list(dict.fromkeys([*self._slot.work(), run.run_id])))
        partition = "+".join(sorted(run.record.request.servers))
        with SetWorkflowID(run.run_id), SetEnqueueOptions(queue_partition_key=partition):
            DBOS.enqueue_workflow(_RUNS, _carry_out, run.run_id)

    def begin_report(self, run: Run) -> None:
        """Begins the report of a run that never came to it, or whose report was given up."""
        with SetWorkflowID(_round(run)):
            DBOS.enqueue_workflow(_REPORTS, _report, run.run_id)

    def cancel(self, run: Run) -> None:
        """Takes the run out of the queue."""
        DBOS.cancel_workflow(run.run_id)

    def unknown(self, workflow_id: str) -> bool:
        """Whether there is no such workflow: its process was killed between writing it down and beginning it."""
        return DBOS.get_workflow_status(workflow_id) is None

    def report_unknown(self, run: Run) -> bool:
        """Whether there is no workflow that reports the run."""
        return self.unknown(_round(run))

    def ended(self, workflow_id: str) -> bool:
        """Whether a workflow is not, or no longer, under way."""
        status = DBOS.get_workflow_status(workflow_id)
        return status is None or status.status not in {"PENDING", "ENQUEUED", "DELAYED"}

    def urge(self, run: Run) -> None:
        """Has a report that waits for its next attempt tried now."""
        with contextlib.suppress(Exception):
            DBOS.send(_round(run), "now", topic="now")

    def tidy(self, runs: Runs) -> list[str]:
        """Forgets what is done at this place; gives back the runs that aren't."""
        left = [run_id for run_id in self._slot.work() if not self._done(runs, run_id)]
        self._slot.keep(left)
        return left

    def _done(self, runs: Runs, run_id: str) -> bool:
        run = runs.get(run_id)
        if run is None:
            return True
        return run.record.finished_at is not None and run.record.delivery in {"none", "delivered"}


def report_id(run_id: str) -> str:
    """The id of the workflow that reports a run."""
    return f"{run_id}-report"


def _round(run: Run) -> str:
    """The same, each time that a person has it tried anew."""
    rounds = run.record.pending.rounds if run.record.pending else 0
    return report_id(run.run_id) + (f"-{rounds}" if rounds else "")


def database_url(settings: Settings) -> str:
    """Where DBOS keeps its workflows."""
    if settings.database is not None:
        return settings.database.get_secret_value()
    return f"sqlite:///{settings.state / 'workflows.sqlite'}"


def wait_until(condition: Callable[[], bool], seconds: float | None = None) -> bool:
    """Whether `condition` came true within `seconds`."""
    deadline = None if seconds is None else time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if deadline is not None and time.monotonic() >= deadline:
            return False
        pause.wait(_POLL)
    return True


def wait_until_told(run: Run, seconds: float) -> None:
    """Waits until the incident knows of the run, for at most `seconds`, and for one attempt in any case."""
    if not wait_until(run.told, seconds):
        wait_until(run.tried, ATTEMPT_SECONDS)


@DBOS.workflow(name="run", max_recovery_attempts=None)
def _carry_out(run_id: str) -> None:
    """A run from its first step to the report it begins."""
    if _perform(run_id):
        with SetWorkflowID(report_id(run_id)):
            DBOS.enqueue_workflow(_REPORTS, _report, run_id)


@DBOS.step(name="perform")
def _perform(run_id: str) -> bool:
    process = _here()
    run = Runs(process.settings.runs_dir).get(run_id)
    if run is None:
        return False
    if run.record.finished_at is None:
        return process.performer.perform(run)
    return run.record.delivery != "none"


@DBOS.workflow(name="report", max_recovery_attempts=None)
def _report(run_id: str) -> None:
    """The report of a run, tried until the incident has it or a person has to look."""
    number = 1
    while True:
        delay = _attempt(run_id, number)
        if delay is None:
            return
        DBOS.recv("now", timeout_seconds=delay)
        number += 1


@DBOS.step(name="attempt")
def _attempt(run_id: str, number: int) -> float | None:
    """Tells the incident what it doesn't know yet; the seconds after which to try again, None when there is no need."""
    process = _here()
    run = Runs(process.settings.runs_dir).get(run_id)
    if run is None or run.record.delivery in {"none", "delivered"}:
        return None
    pending = run.record.pending or Pending(since=now())
    try:
        tracker = open_incident(run.record.request.incident or "", process.settings)
        # What could not be kept in the run's folder is still known here.
        results = process.held[run_id][1] if run_id in process.held else run.results()
        for telling in delivery.tellings(run, results, process.settings):
            delivery.tell(tracker, telling)
    except ReconnectError as error:
        delay = _delay(number, error)
        pending.attempts += 1
        pending.error_message = str(error)
        pending.final = isinstance(error, TrackerError) and error.code in _FINAL
        pending.next_at = now() + timedelta(seconds=delay)
        pending.given_up = (now() - pending.since).total_seconds() + delay > process.settings.report_limit_seconds
        run.record.pending = pending
        _save(run)
        return None if pending.given_up else delay
    run.record.delivery = "delivered"
    run.record.pending = None
    _save(run)
    return None


def _delay(number: int, error: ReconnectError) -> float:
    """Twice as long every time, and a little different for everybody; never sooner than the tracker asked."""
    delay: float = min(FIRST_DELAY * 2 ** min(number - 1, 20), LONGEST_DELAY) * random.uniform(0.5, 1.0)
    asked = error.retry_after if isinstance(error, TrackerError) else None
    return delay if asked is None else max(delay, asked * random.uniform(1.0, 1.1))


def _save(run: Run) -> None:
    with contextlib.suppress(OSError):
        run.save()


def hold(run: Run, results: list[Result]) -> None:
    """Remembers a run's results, which may not be on disk when it is full."""
    if _process is not None:
        _process.held[run.run_id] = (run, results)


def _here() -> _Process:
    assert _process is not None, "workflows run within an Engine"
    return _process
