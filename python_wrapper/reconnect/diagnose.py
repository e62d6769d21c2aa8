"""A run from the request to the reported result.

However a run ends, each of its servers gets a result document and the incident is told.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil
from pydantic import ValidationError

from reconnect import exit_codes, reports
from reconnect.client_report import ClientReport
from reconnect.errors import ReconnectError
from reconnect.exit_codes import ExitCode
from reconnect.playbook import KILL_SECONDS, Ended, Play, PlayEnd, PlayRunner, StepEnd, Watch
from reconnect.processes import RunProcesses
from reconnect.progress import Progress
from reconnect.project import Project
from reconnect.result import Result, State, Step, ending, now
from reconnect.runs import Request, Run, Runs, write_text
from reconnect.settings import Settings
from reconnect.slots import Slots
from reconnect.text import one_line
from reconnect.turns import turn

CLEANUP_PLAYBOOK = "cleanup.yml"

_STOPPED: dict[Ended, State] = {"timed_out": "timed_out", "cancelled": "cancelled"}


def warm_up() -> None:
    """Begins to load what only runs need, while somebody else is waited for."""
    threading.Thread(target=importlib.import_module, args=("reconnect.durable",)).start()


@dataclass(frozen=True)
class Report:
    """How a run ended: its documents, the exit code, and what else a person has to know."""

    run: Run
    results: list[Result]
    exit_code: ExitCode
    notes: list[str]
    superseded: bool = False


class Diagnosis:
    """Carries out one request; `cancelled` may be set from a signal handler at any time."""

    def __init__(self, project: Project, settings: Settings, progress: Progress) -> None:
        self._project = project
        self._settings = settings
        self._progress = progress
        self.cancelled = threading.Event()
        self._superseded: Callable[[Run, list[Result]], bool] | None = None
        self._followed = False
        self._results: dict[str, list[Result]] = {}
        # A run is begun or given up while it waits for its turn, never both.
        self._beginning = threading.Lock()
        self._given_up = threading.Event()

    def carry_out(
        self,
        request: Request,
        client_report: ClientReport | None,
        superseded: Callable[[Run, list[Result]], bool] | None = None,
    ) -> Report:
        """Runs the playbook, ends what it left, writes and delivers the results.

        Where `superseded` says so of the results, another run follows that tells the incident in this one's place.
        """
        from reconnect import durable  # a quarter of a second that only runs have to pay, see `warm_up`

        runs = Runs(self._settings.runs_dir)
        self._superseded = superseded
        slots = Slots(self._settings.state)
        slot = slots.empty()
        try:
            with runs.claimed():
                other = _answering(runs, request) if superseded is None else None
                said = client_report.model_dump(mode="json") if client_report is not None else None
                run = other or runs.create(request, said, lambda run_id: slot.keep([run_id]))
            if other is not None:
                return self._follow(other, slots)
            with durable.Engine(self._settings, slot, self) as engine:
                engine.begin(run)
                while not engine.ended(run.run_id):
                    if self.cancelled.is_set() and self._give_up(run):
                        engine.cancel(run)
                        self._cancelled_in_queue(run)
                        if run.record.delivery == "pending":
                            engine.begin_report(run)
                    elif not run.read().begun:
                        self._go_on_with_abandoned(slots)
                    time.sleep(0.05 * max(1.0, slot.number / 2))
                durable.wait_until_told(run, self._settings.report_seconds)
                engine.tidy(runs)
        finally:
            slot.release()
        return self._report(run, self._results.get(run.run_id) or run.results())

    def perform(self, run: Run) -> bool:
        """Runs the playbook, ends what it left and keeps the results; whether the incident is to be told of them."""
        request = run.record.request
        try:
            with turn(self._settings.state, request.servers, self._given_up.is_set):
                with self._beginning:
                    if self._given_up.is_set():
                        return False
                    run.record.begun += 1
                    run.save()
                return self._perform(run)
        except ReconnectError as error:
            return self._finish(run, [_without_document(run, s, "failed", str(error)) for s in request.servers], [])

    def _perform(self, run: Run) -> bool:
        request = run.record.request
        notes: list[str] = []
        try:
            if run.record.begun > 1:
                self._end_what_was_left(run)
            results, notes = self._run_playbook(run)
        except Exception as error:
            self._progress.output(traceback.format_exc())
            said = f"A defect of Reconnect: {type(error).__name__}: {one_line(error, 300)}"
            results = [_without_document(run, server, "failed", said) for server in request.servers]
        finally:
            run.remove_work()
        if run.record.begun > 1:
            notes.append(f"The run was interrupted and begun anew, {run.record.begun} times in all.")
        return self._finish(run, results, notes)

    def _finish(self, run: Run, results: list[Result], notes: list[str]) -> bool:
        """Keeps how the run ended; whether the incident is to be told."""
        from reconnect import durable

        codes = [exit_codes.of_result(result) for result in results]
        run.record.endings = {result.server: ending(result) for result in results}
        if not _kept(run, results, notes):
            codes.append(ExitCode.DEFECT)
        self._results[run.run_id] = results
        durable.hold(run, results)
        self._followed = self._superseded is not None and self._superseded(run, results)
        told = run.record.request.incident is not None and not self._followed
        run.record.delivery = "pending" if told else "none"
        run.record.notes = notes
        run.record.finished_at = now()
        run.record.exit_code = exit_codes.worst(codes)
        with contextlib.suppress(OSError):
            run.save()
        return told

    def _give_up(self, run: Run) -> bool:
        """Whether the run has not begun and now never will."""
        with self._beginning:
            if not run.read().begun:
                self._given_up.set()
            return self._given_up.is_set()

    def _cancelled_in_queue(self, run: Run) -> None:
        said = "The run was cancelled while it waited for its turn."
        servers = run.record.request.servers
        self._finish(run, [_without_document(run, server, "cancelled", said) for server in servers], [])

    def _end_what_was_left(self, run: Run) -> None:
        """Ends what the process that was killed left here and on the servers, and begins with an empty folder."""
        self._progress.note(f"The run {run.run_id} was interrupted: ending what it left, then beginning anew.")
        RunProcesses(run.run_id).kill_all(KILL_SECONDS)
        run.remove_work()
        run.work_dir.mkdir(mode=0o700)
        plays = PlayRunner(self._project, run.run_id, run.work_dir, self._settings.stop_seconds)
        self._clean_up(run, plays, run.record.request.servers)

    def _go_on_with_abandoned(self, slots: Slots) -> None:
        """Has another process go on with runs that nobody carries out: one of them may stand before this one."""
        runs = Runs(self._settings.runs_dir)
        left = [runs.get(run_id) for run_id in slots.abandoned()]
        if any(run is not None and run.record.finished_at is None for run in left):
            self._progress.note("Going on with runs that were interrupted …")
            subprocess.run([sys.executable, "-m", "reconnect", "resume"], stdout=sys.stderr, check=False)

    def _follow(self, run: Run, slots: Slots) -> Report:
        """Waits for a run that was begun for the same incident."""
        self._progress.note(f"The incident is being answered by the run {run.run_id} already.")
        while run.read().finished_at is None and not self.cancelled.is_set():
            self._go_on_with_abandoned(slots)
            time.sleep(0.2)
        run.record = run.read()
        if run.record.delivery == "pending" and not self.cancelled.is_set():
            deadline = time.monotonic() + self._settings.report_seconds
            while not run.told() and time.monotonic() < deadline:
                time.sleep(0.2)
        if run.record.finished_at is None:
            return Report(run, [], ExitCode.STOPPED, [f"The run {run.run_id} goes on."])
        return self._report(run, run.results())

    def _report(self, run: Run, results: list[Result]) -> Report:
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
        return Report(run, results, code, notes, self._followed)

    def _run_playbook(self, run: Run) -> tuple[list[Result], list[str]]:
        request = run.record.request
        steps: list[tuple[datetime, StepEnd]] = []

        def step(end: StepEnd) -> None:
            steps.append((now(), end))
            self._progress.step(end)

        documents = run.work_dir / "documents"
        documents.mkdir(mode=0o700)
        plays = PlayRunner(self._project, run.run_id, run.work_dir, self._settings.stop_seconds)
        play = self._play(run, documents)
        end = plays.run(play, request.timeout, self.cancelled, Watch(step, self._progress.output))
        results = [_ending(run, server, end, documents, steps) for server in request.servers]
        notes = [f"These processes could not be ended: {', '.join(end.left_running)}."] if end.left_running else []
        reached = [result for result in results if result.state != "unreachable"]
        if reached and end.started and not end.by_itself:
            begun, at = time.monotonic(), now()
            cleaned = self._clean_up(run, plays, [result.server for result in reached])
            if not cleaned:
                notes.append("The clean-up on the server did not end; a lease that is left ends when it expires.")
            seconds = round(time.monotonic() - begun, 3)
            for result in reached:
                state = "ok" if cleaned else "failed"
                result.timeline.append(Step(at=at, step="clean up", state=state, seconds=seconds))
        return results, notes

    def _play(self, run: Run, documents: Path) -> Play:
        request = run.record.request
        return Play(
            playbook=self._project.playbook(request.playbook),
            inventory=Path(request.inventory),
            hosts=request.servers,
            variables={
                "reconnect_run_id": run.run_id,
                "reconnect_interrupted": run.record.begun > 1,
                "reconnect_lease_wait": self._settings.lease_seconds,
                "reconnect_apply": request.mode == "apply",
                "reconnect_approvals": request.approvals,
                "reconnect_account": request.account or "",
                "reconnect_watch": request.watch,
                "reconnect_continue": request.go_on,
                "reconnect_rotate_password": request.rotate_password,
                "reconnect_call_test": request.call_test,
                "reconnect_idle_test": request.idle_test,
                "reconnect_capture": request.capture,
                "reconnect_mask_numbers": self._settings.mask_numbers,
                "reconnect_client_report_file": str(run.client_report_file) if request.client_report else "",
            },
            environment={"RECONNECT_RESULT_DIR": str(documents)},
            check=request.mode == "check",
        )

    def _clean_up(self, run: Run, plays: PlayRunner, servers: Sequence[str]) -> bool:
        """Releases the run's lease and ends its processes on `servers`; nobody can skip it, and it is bounded."""
        self._progress.note(f"Cleaning up on {', '.join(servers)}, at most {self._settings.cleanup_seconds:g} s …")
        play = Play(
            playbook=self._project.playbook(CLEANUP_PLAYBOOK),
            inventory=Path(run.record.request.inventory),
            hosts=servers,
            variables={"reconnect_run_id": run.run_id},
        )
        watch = Watch(output=self._progress.output)
        end = plays.run(play, self._settings.cleanup_seconds, threading.Event(), watch)
        return end.ended == "finished" and end.return_code == 0


def _answering(runs: Runs, request: Request) -> Run | None:
    """The run that was still under way for the same request of the same incident when this process began."""
    if request.incident is None:
        return None
    asked_at = psutil.Process().create_time()
    same = ("playbook", "mode", "servers", "account", "incident", "approvals", "rotate_password")
    for run in itertools.islice(runs, 50):
        finished = run.record.finished_at
        alike = all(getattr(run.record.request, name) == getattr(request, name) for name in same)
        if alike and not run.record.question and (finished is None or finished.timestamp() > asked_at):
            return run
    return None


def _kept(run: Run, results: Sequence[Result], notes: list[str]) -> bool:
    """Writes results and report into the run's folder; a full disk does not keep them from the incident."""
    try:
        for result in results:
            run.save_result(result)
        write_text(run.report_file, reports.markdown(run.record, results))
    except OSError as error:
        notes.append(f"The run can't be kept in {run.folder}: {error.strerror}.")
        return False
    return True


def _ending(run: Run, server: str, end: PlayEnd, documents: Path, steps: Sequence[tuple[datetime, StepEnd]]) -> Result:
    """The server's result: its document, else one that says why there is none."""
    found = _collected(run, documents, server)
    own = [(at, step) for at, step in steps if step.server == server]
    last = own[-1][1] if own else None
    if isinstance(found, Result):
        if end.ended != "finished" and found.state == "failed":
            found.state = _STOPPED[end.ended]
            found.error_message = _stopped(end, run.record.request.timeout, last)
            found.finished_at = now()
        return found
    state: State
    if last is not None and last.state == "unreachable":
        state, said = "unreachable", f"The server could not be reached in the step '{one_line(last.step, 120)}'."
    elif end.ended != "finished":
        state, said = _STOPPED[end.ended], _stopped(end, run.record.request.timeout, last)
    else:
        state, said = "failed", found or _unexplained(end, last)
    result = _without_document(run, server, state, said)
    result.timeline = [
        Step(at=at, step=one_line(step.step, 200), state=step.state, seconds=step.seconds) for at, step in own
    ]
    return result


def _collected(run: Run, documents: Path, server: str) -> Result | str | None:
    """The server's result document, its evidence kept beside it; None when there is no document, a sentence when it
    is not what it should be."""
    for suffix in ("", ".after"):
        with contextlib.suppress(OSError):
            (documents / f"evidence-{server}{suffix}.json").rename(run.evidence_dir / f"{server}{suffix}.json")
    with contextlib.suppress(OSError):
        (documents / f"packets-{server}.pcap").rename(run.packets_file(server))
    path = documents / f"{server}.json"
    if not path.is_file():
        return None
    request = run.record.request
    try:
        fields = json.loads(path.read_bytes())
        fields.update(run_id=run.run_id, mode=request.mode, account=request.account, incident=request.incident)
        return Result.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"The result document of {server} is not valid: {one_line(where, 120)}: {first['msg'].lower()}."
    except (ValueError, AttributeError, TypeError, OSError) as error:
        return f"The result document of {server} can't be read: {one_line(error, 160)}."


def _stopped(end: PlayEnd, timeout: float, last: StepEnd | None) -> str:
    why = "was cancelled" if end.ended == "cancelled" else f"took longer than {timeout:g} s and was ended"
    return f"The run {why}{_after(last)}."


def _unexplained(end: PlayEnd, last: StepEnd | None) -> str:
    said = f": {end.errors[0]}" if end.errors else "."
    return f"ansible-playbook ended with {end.return_code}{_after(last)} and left no result{said}"


def _after(last: StepEnd | None) -> str:
    return f" after the step '{one_line(last.step, 120)}'" if last else " before its first step had ended"


def _without_document(run: Run, server: str, state: State, error_message: str) -> Result:
    request = run.record.request
    return Result(
        run_id=run.run_id,
        state=state,
        playbook=request.playbook,
        mode=request.mode,
        server=server,
        account=request.account,
        incident=request.incident,
        started_at=run.record.started_at,
        finished_at=now(),
        error_message=error_message,
    )
