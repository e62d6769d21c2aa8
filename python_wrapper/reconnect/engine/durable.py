"""Runs and their reports as durable workflows: what was begun is carried to its end, whatever ends this process.

DBOS keeps in the store's database which workflows are under way and which of their steps have ended. A run is one
workflow: the playbook, then the report, a workflow of its own because it may take days. Both are bound to the worker
(slots.py) they were begun by, so that a run is carried out by the command that asked for it, with its terminal, its
environment and its credentials; whoever takes the slot of a process that is gone goes on with what it left. Runs on one
server follow each other: the queue has a partition per server and every partition takes one run at a time (and see
locks.py).

Nothing but ids enters DBOS's own tables.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, EnqueueOptions, SetEnqueueOptions, SetWorkflowID

from reconnect import log
from reconnect.engine import locks, traces
from reconnect.engine.perform import Performer, lost
from reconnect.engine.slots import Slot
from reconnect.errors import ReconnectError, StoreError, TakenError, TrackerError
from reconnect.incidents import delivery
from reconnect.result import State, now
from reconnect.runs.database import engine_of, is_shared, one_sentence, refusals
from reconnect.runs.record import Pending, Record
from reconnect.runs.store import Run, Runs
from reconnect.settings import Settings
from reconnect.text import one_line

_LOG = logging.getLogger("reconnect.engine.durable")
_NAME = "reconnect"
_RUNS = "runs"
#: Questions, which are written in the transaction that makes their run. Reports of runs begin without a queue.
_REPORTS = "reports"
#: A report is tried again after about this long, twice as long every time, in seconds.
FIRST_DELAY = 2.0
LONGEST_DELAY = 900.0
#: How long a command waits for an attempt that is under way to be answered or given up, in seconds.
ATTEMPT_SECONDS = 60.0
#: How long the store may refuse what a run needs before the run goes on without it, in seconds.
REFUSED_SECONDS = 5.0
#: How long the store may take to note the end of a run, in seconds: more than a writer waits for another one.
NOTED_SECONDS = 90.0
#: How often a run that waits for its turn writes to the store: DBOS would wait for it for ever.
_WRITE_SECONDS = 10.0
_POLL = 0.1
#: Seconds between two looks at a run that has been performed and is about to end.
_MOMENT = 0.02
#: Seconds between two looks at what another process may change. What this one does is told at once.
_PAUSE = 0.25
#: Notified when this process has tried to tell an incident.
_tried = threading.Condition()


@dataclass(frozen=True)
class _Process:
    """What the workflows of this process work with: DBOS calls plain functions."""

    settings: Settings
    performer: Performer | None
    worker: str


_process: _Process | None = None


class Engine:
    """DBOS in this process, which is the worker of `slot`; use it as a context.

    Without a `performer` it only reports. A slot that was `empty` has no question of another process to ask.
    """

    def __init__(
        self, settings: Settings, slot: Slot, performer: Performer | None = None, *, empty: bool = False
    ) -> None:
        self._settings = settings
        self._slot = slot
        self._performer = performer
        self._queues: Sequence[str] = [_RUNS] if empty else [_RUNS, _REPORTS]
        self._client: DBOSClient | None = None

    def __enter__(self) -> Engine:
        global _process
        _process = _Process(self._settings, self._performer, self._slot.name)
        logging.getLogger("dbos").setLevel(logging.CRITICAL + 1)
        refusals.clear()
        try:
            with locks.held(self._settings, "launch", ["dbos"]):
                self._launch()
        except ReconnectError:
            raise
        except Exception as error:
            raise StoreError(f"Cannot store runs in the database of this site: {one_line(error, 300)}.") from None
        return self

    def _launch(self) -> None:
        database = engine_of(self._settings)
        if not _has_tables(database):
            # DBOS looks for queues when it starts, and then once a second: the first run would wait for that.
            self._start(database, [_RUNS, _REPORTS])
            DBOS.destroy()
        self._start(database, self._queues)
        self._client = _client(database)

    def _start(self, database: sa.Engine, queues: Sequence[str]) -> None:
        # Of many processes each asks less often, so that all of them together don't keep the database busy.
        poll = _POLL * max(1.0, self._slot.number / 4)
        DBOS(
            config={
                "name": _NAME,
                "system_database_engine": database,
                "executor_id": self._slot.name,
                # Only workflows of one's own version are taken from a queue: this binds them to their worker.
                "application_version": self._slot.name,
                "log_level": "CRITICAL",
                "notification_listener_polling_interval_sec": poll,
            }
        )
        DBOS.listen_queues(queues)
        DBOS.launch()
        DBOS.register_queue(
            _RUNS, partition_concurrency=1, worker_concurrency=1, polling_interval_sec=poll, on_conflict="always_update"
        )
        if _REPORTS in queues:
            DBOS.register_queue(_REPORTS, polling_interval_sec=poll, on_conflict="always_update")

    def __exit__(self, *error: object) -> None:
        if self._client is not None:
            self._client.destroy()
        DBOS.destroy()

    def enqueue(self, connection: sa.Connection, record: Record) -> None:
        """Puts a run into the queue of its server, or its question into the queue of reports, in the transaction that
        makes the run."""
        assert self._client is not None, "an Engine is used as a context"
        options: EnqueueOptions = {
            "workflow_name": "report" if record.question else "run",
            "workflow_id": report_id(record.run_id) if record.question else record.run_id,
            "queue_name": _REPORTS if record.question else _RUNS,
            "app_version": self._slot.name,
        }
        if not record.question:
            options["queue_partition_key"] = _partition(record)
        self._client.enqueue_in_transaction(connection, options, record.run_id)

    def begin(self, run: Run) -> None:
        """Puts a run into the queue of its server that is in none."""
        with one_sentence(), SetWorkflowID(run.run_id), SetEnqueueOptions(queue_partition_key=_partition(run.record)):
            DBOS.enqueue_workflow(_RUNS, _carry_out, run.run_id)

    def begin_report(self, run: Run) -> None:
        """Begins the report of a run that never came to it, or whose report was given up."""
        with one_sentence(), SetWorkflowID(_round(run)):
            DBOS.start_workflow(_report, run.run_id)

    def carry_out(
        self,
        run: Run,
        cancelled: threading.Event,
        waiting: Callable[[], None] = lambda: None,
    ) -> None:
        """Waits until the run has been carried out, or never will be because it was cancelled in the queue. `waiting`
        is called again and again until it begins; from then on the performer says when it is over.

        Raises StoreError when the store refuses what the run needs; then nothing of the run is under way here.
        """
        performer = self._performer
        assert performer is not None, "only who performs runs waits for one"
        write_at = time.monotonic() + _WRITE_SECONDS
        performed_at: float | None = None
        refused_at: float | None = None
        while True:
            began, performed = run.run_id in performer.began, run.run_id in performer.performed
            try:
                if self.ended(run.run_id):
                    return
                if cancelled.is_set() and not performed:
                    self._withdraw(run, performer, "cancelled", "The run was cancelled while it waited for its turn.")
                elif not (began or performed or run.record.begun) and (withdrawn := run.withdrawn()):
                    # What one left that had begun is ended when it has its turn.
                    self._withdraw(run, performer, *withdrawn)
                elif not (began or performed):
                    waiting()
                    if time.monotonic() > write_at:
                        write_at += _WRITE_SECONDS
                        run.touch()
            except locks.StoppedHolderError as error:
                self._withdraw(run, performer, "timed_out", str(error))
            except StoreError as error:
                refusals.first = refusals.first or str(error)
            if refusals.first is not None and performed and _is_kept(run):
                # It was refused for a moment only, for example while the database was restarted.
                refusals.clear()
                refused_at = None
            if refusals.first is not None and (performed or not began):
                refused_at = refused_at or time.monotonic()
                if time.monotonic() - refused_at > REFUSED_SECONDS and (performed or performer.give_up(run)):
                    raise StoreError(refusals.first)
            if performed:
                performed_at = performed_at or time.monotonic()
                if time.monotonic() - performed_at > NOTED_SECONDS:
                    raise StoreError(
                        f"The database of this site is busy: it took no end of a run for {NOTED_SECONDS:g} s."
                    )
            # Between the end of the performance and that of its workflow lies a moment.
            time.sleep(_MOMENT) if performer.is_over(run) else performer.wait(run, _PAUSE)

    def _withdraw(self, run: Run, performer: Performer, state: State, said: str) -> None:
        """Takes the run out of the queue unless it has begun, and keeps why."""
        if not performer.give_up(run):
            return
        # Whoever resumes it, where this process is killed now, ends it, too.
        run.withdraw(state, said)
        with one_sentence():
            DBOS.cancel_workflow(run.run_id)
        if performer.close(run, state, said):
            self.begin_report(run)

    def unknown(self, workflow_id: str, *, ended: bool = True) -> bool:
        """Whether this worker has no such workflow, under way or `ended`. One that another worker left is forgotten,
        however it ended there: nobody else goes on with it."""
        with one_sentence():
            status = DBOS.get_workflow_status(workflow_id)
            if status is None:
                return True
            own = status.app_version in (None, self._slot.name) and (ended or _under_way(status.status))
            if not own:
                DBOS.delete_workflow(workflow_id)
            return not own

    def report_unknown(self, run: Run) -> bool:
        """Whether there is no workflow that reports the run."""
        return self.unknown(_round(run))

    def ended(self, workflow_id: str) -> bool:
        """Whether a workflow is not, or no longer, under way."""
        with one_sentence():
            status = DBOS.get_workflow_status(workflow_id)
        return status is None or not _under_way(status.status)

    def urge(self, run: Run) -> None:
        """Has a report that waits for its next attempt tried now."""
        with contextlib.suppress(Exception):
            DBOS.send(_round(run), "now", topic="now")


def forget(run_id: str, settings: Settings) -> None:
    """Takes the run of a worker that is gone out of the queue of its server, where it keeps all others waiting."""
    database = engine_of(settings)
    with one_sentence():
        if _has_tables(database):
            client = _client(database)
            client.cancel_workflow(run_id)
            client.destroy()


def _client(database: sa.Engine) -> DBOSClient:
    return DBOSClient(system_database_engine=database, application_name=_NAME, lazy=True)


def _has_tables(database: sa.Engine) -> bool:
    return sa.inspect(database).has_table("queues", schema="dbos" if is_shared(database) else None)


def _under_way(status: str) -> bool:
    return status in {"PENDING", "ENQUEUED", "DELAYED"}


def _partition(record: Record) -> str:
    return "+".join(sorted(record.request.servers))


def report_id(run_id: str) -> str:
    """The id of the workflow that reports a run."""
    return f"{run_id}-report"


def _round(run: Run) -> str:
    """The same, each time that a person has it tried again."""
    rounds = run.record.pending.rounds if run.record.pending else 0
    return report_id(run.run_id) + (f"-{rounds}" if rounds else "")


def _is_kept(run: Run) -> bool:
    """Whether the store has the end of a run."""
    try:
        return run.ended()
    except StoreError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float | None = None) -> bool:
    """Whether `condition` came true within `seconds`; it is looked at after each attempt to tell an incident."""
    deadline = time.monotonic() + (float("inf") if seconds is None else seconds)
    with _tried:
        while not condition():
            if (left := deadline - time.monotonic()) <= 0:
                return False
            _tried.wait(min(_PAUSE, left))
    return True


def wait_until_told(run: Run, seconds: float) -> None:
    """Waits until the incident knows of the run, for at most `seconds`, and for one attempt in any case.

    Raises StoreError when the store refuses to note that.
    """

    def refused() -> bool:
        return refusals.first is not None

    if not wait_until(lambda: run.told() or refused(), seconds):
        wait_until(lambda: run.tried() or refused(), ATTEMPT_SECONDS)
    if refusals.first is not None and run.record.delivery == "pending":
        raise StoreError(refusals.first)


@DBOS.workflow(name="run", max_recovery_attempts=None)
def _carry_out(run_id: str) -> None:
    """A run from its first step to the report it begins."""
    if _perform(run_id):
        with SetWorkflowID(report_id(run_id)):
            DBOS.start_workflow(_report, run_id)


@DBOS.step(name="perform")
def _perform(run_id: str) -> bool:
    process = _here()
    run = _own(run_id, process)
    if run is None:
        return False
    if run.record.finished_at is None:
        assert process.performer is not None, "only a worker that performs runs has any in its queue"
        return process.performer.perform(run)
    return run.record.delivery != "none"


@DBOS.workflow(name="report", max_recovery_attempts=None)
def _report(run_id: str) -> None:
    """The report of a run, tried until the incident has it or a person has to look."""
    number = 1
    while True:
        delay = _attempt(run_id, number)
        with _tried:
            _tried.notify_all()
        if delay is None:
            return
        DBOS.recv("now", timeout_seconds=delay)
        number += 1


@DBOS.step(name="attempt")
def _attempt(run_id: str, number: int) -> float | None:
    """Tells the incident what it doesn't know yet; the seconds after which to try again, None when there is no need."""
    process = _here()
    run = _own(run_id, process)
    incident = run.record.request.incident if run else None
    if run is None or incident is None or run.record.delivery in {"none", "delivered"}:
        return None
    began = now()
    pending = run.record.pending or Pending(since=began)
    try:
        # What could not be kept is still known here.
        performed = process.performer.performed.get(run_id) if process.performer else None
        results = performed.results if performed else run.results()
        if not results and not run.record.question:
            results = lost(run)
        delivery.report(run, results, process.settings)
    except TakenError:
        return None
    except ReconnectError as error:
        seconds = delay(number, error)
        pending.attempts += 1
        pending.error_message = str(error)
        pending.final = isinstance(error, TrackerError) and error.code in delivery.FINAL
        pending.next_at = now() + timedelta(seconds=seconds)
        pending.given_up = (now() - pending.since).total_seconds() + seconds > process.settings.report_limit_seconds
        run.record.pending = pending
        traces.reported(run, number, began, now(), True, process.settings)
        _save(run)
        log.about(run, _LOG, logging.WARNING, f"report {'given up' if pending.given_up else 'pending'}: {error}")
        return None if pending.given_up else seconds
    # A command may end as soon as the store has it.
    traces.reported(run, number, began, now(), False, process.settings)
    run.record.delivery = "delivered"
    run.record.pending = None
    _save(run)
    log.about(run, _LOG, logging.INFO, "report delivered")
    return None


def delay(number: int, error: ReconnectError) -> float:
    """Twice as long every time, and a little different for everybody; never sooner than the tracker asked."""
    seconds: float = min(FIRST_DELAY * 2 ** min(number - 1, 20), LONGEST_DELAY) * random.uniform(0.5, 1.0)
    asked = error.retry_after if isinstance(error, TrackerError) else None
    return seconds if asked is None else max(seconds, asked * random.uniform(1.0, 1.1))


def _save(run: Run) -> None:
    with contextlib.suppress(ReconnectError):
        run.save()


def _own(run_id: str, process: _Process) -> Run | None:
    """The run, unless another worker took it over: DBOS here still knows it."""
    run = Runs(process.settings).get(run_id)
    with contextlib.suppress(TakenError):
        if run is not None:
            run = run.by(process.worker)
            run.check()
            return run
    return None


def _here() -> _Process:
    assert _process is not None, "workflows run within an Engine"
    return _process
