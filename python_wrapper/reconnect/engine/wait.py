"""Who waits for a run: begins it, or follows the one that handles the same incident already, until it is reported."""

from __future__ import annotations

import contextlib
import importlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import psutil

from reconnect import exit_codes
from reconnect.ansible.project import Project
from reconnect.engine import locks, unkept
from reconnect.engine.perform import Performed, Performer, without_documents
from reconnect.engine.progress import Progress
from reconnect.engine.slots import Slots
from reconnect.errors import StoreError, TakenError
from reconnect.exit_codes import ExitCode
from reconnect.incidents.client_report import ClientReport
from reconnect.result import Result, State
from reconnect.runs.request import Request
from reconnect.runs.store import Run, Runs
from reconnect.settings import Settings

#: Seconds between two looks at the store while another process is waited for.
_PAUSE = 0.25


def warm_up() -> None:
    """Begins to load what only runs need, while somebody else is waited for."""
    threading.Thread(target=importlib.import_module, args=("reconnect.engine.durable",)).start()


@dataclass(frozen=True)
class Report:
    """How a run ended: its documents, the exit code, and what else a person has to know."""

    run: Run
    results: list[Result]
    exit_code: ExitCode
    notes: list[str]
    superseded: bool = False


class Waiter:
    """Waits for runs; `cancelled` may be set from a signal handler at any time, and is then passed on to the run."""

    def __init__(self, project: Project, settings: Settings, progress: Progress) -> None:
        self._project = project
        self._settings = settings
        self._progress = progress
        self._runs = Runs(settings)
        self._slots = Slots(settings)
        self.cancelled = threading.Event()

    def carry_out(
        self,
        request: Request,
        client_report: ClientReport | None,
        superseded: Callable[[Run, list[Result]], bool] | None = None,
    ) -> Report:
        """Has the request carried out and reported, once, however many ask for it at the same time.

        Where `superseded` says so of the results, another run follows that is reported in this one's place; such a run
        is nobody else's.
        """
        said = client_report.model_dump(mode="json") if client_report is not None else None
        asked_at = datetime.fromtimestamp(psutil.Process().create_time(), UTC)
        try:
            other = self._runs.answering(request, asked_at) if superseded is None else None
            begun = other or self._begin(request, said, asked_at, superseded)
        except StoreError as error:
            # What is not written down is not executed.
            run = Runs(self._settings, in_memory=True).create(request, said)
            return self._unkept(run, None, error)
        return begun if isinstance(begun, Report) else self._follow(begun)

    def _begin(
        self,
        request: Request,
        client_report: dict[str, object] | None,
        asked_at: datetime,
        superseded: Callable[[Run, list[Result]], bool] | None,
    ) -> Report | Run:
        """Has a run of our own carried out; the one to wait for where somebody was faster, or took ours."""
        from reconnect.engine import durable  # a quarter of a second that only runs have to pay, see `warm_up`

        performer = Performer(
            self._project, self._settings, self._progress, self.cancelled, superseded or (lambda run, results: False)
        )
        slot = self._slots.empty()
        run: Run | None = None
        try:
            with durable.Engine(self._settings, slot, performer, empty=True) as engine:
                if superseded is None:
                    claimed, ours = self._runs.claim(
                        request, client_report, worker=slot.name, within=engine.enqueue, ended_after=asked_at
                    )
                    if not ours:
                        return claimed
                    run = claimed
                else:
                    run = self._runs.create(request, client_report, worker=slot.name, within=engine.enqueue)
                engine.carry_out(run, self.cancelled, self._in_the_queue(run))
                if run.run_id in performer.performed:
                    durable.wait_until_told(run, self._settings.report_seconds)
            if (performed := performer.performed.get(run.run_id)) is not None:
                return self._report(run, performed.results, performed.superseded)
        except StoreError as error:
            if run is None:
                raise
            with contextlib.suppress(TakenError):
                return self._unkept(run, performer.performed.get(run.run_id), error)
        finally:
            slot.release()
        return run

    def _unkept(self, run: Run, performed: Performed | None, error: StoreError) -> Report:
        """Tells the incident, from memory, of a run that the store refuses; of one that was not `performed` why."""
        if performed is None:
            said = f"Nothing was executed. {error}"
            state: State = "cancelled" if self.cancelled.is_set() else "failed"
            performed = Performed(run.record, without_documents(run, state, said), False)
        told = unkept.finish(run, performed, error, self._settings)
        return Report(run, performed.results, told.exit_code, told.notes, performed.superseded)

    def _in_the_queue(self, run: Run) -> Callable[[], None]:
        """What to do while a run waits for its turn."""
        patience = locks.Patience("the turn before this run")

        def look() -> None:
            self._resume_abandoned(run)
            patience.check(lambda: self._slots.files_before(run))

        return look

    def _follow(self, run: Run) -> Report:
        """Waits for a run that was begun for the same incident, or taken from this command."""
        other = f"Run {run.run_id} already handles this incident. Waiting for it."
        self._progress.note(other if run.worker is None else str(TakenError(run.run_id)))
        patience = locks.Patience(f"run {run.run_id}")
        while not (run.ended() or self.cancelled.is_set()):
            self._resume_abandoned(run)
            try:
                patience.check(lambda: self._slots.files_before(run))
            except locks.StoppedHolderError as error:
                return Report(run, [], ExitCode.STOPPED, [str(error)])
            time.sleep(_PAUSE)
        run.record = run.read()
        if run.record.delivery == "pending" and not self.cancelled.is_set():
            deadline = time.monotonic() + self._settings.report_seconds
            while not run.told() and time.monotonic() < deadline:
                time.sleep(_PAUSE)
        if run.record.finished_at is None:
            return Report(run, [], ExitCode.STOPPED, [f"Run {run.run_id} goes on."])
        return self._report(run, run.results())

    def _resume_abandoned(self, waiting: Run) -> None:
        """Has another process resume runs that nobody carries out: one of them may stand before the one that is waited
        for."""
        left = self._runs.readable(self._slots.abandoned())
        if any(run.record.finished_at is None for run in left):
            self._progress.note("Resuming runs that were interrupted …")
            resuming = subprocess.Popen([sys.executable, "-P", "-m", "reconnect", "resume"], stdout=sys.stderr)
            while not (self.cancelled.is_set() or waiting.withdrawn()):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    resuming.wait(_PAUSE)
                    return

    def _report(self, run: Run, results: list[Result], superseded: bool = False) -> Report:
        notes = list(run.record.notes)
        code = ExitCode(run.record.exit_code or 0)
        run.record = latest if (latest := run.read()).finished_at else run.record
        if run.record.delivery == "pending":
            pending = run.record.pending
            said = pending.error_message if pending else "it has not been tried yet."
            notes.append(
                f"The report for {run.record.request.incident} is pending: {said} 'reconnect resume' tries it again."
            )
            code = exit_codes.worst([code, ExitCode.REPORT_PENDING])
        return Report(run, results, code, notes, superseded)
