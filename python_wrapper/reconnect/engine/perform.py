"""Who performs a run: the playbook, the end of what it left, and the results.

However a run ends, each of its servers gets a result document.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from reconnect import exit_codes, invalid, log, outcomes, texts
from reconnect.ansible import inventory
from reconnect.ansible.isolation import Isolation
from reconnect.ansible.playbook import KILL_SECONDS, Ended, Play, PlayEnd, PlayRunner, StepEnd, Watch, remove_left
from reconnect.ansible.processes import RunProcesses
from reconnect.ansible.project import Project
from reconnect.ansible.warm.starting import Warm
from reconnect.common import REGISTRATIONS
from reconnect.engine import locks, policy, shared, traces, undoing
from reconnect.engine.progress import Progress
from reconnect.errors import InputError, ReconnectError, StoreError, TakenError
from reconnect.exit_codes import ExitCode
from reconnect.incidents import delivery, escalation
from reconnect.reports import comment
from reconnect.result import UNTOUCHED, Result, State, Step, ending, now
from reconnect.runs import store
from reconnect.runs.record import Record
from reconnect.runs.request import Request
from reconnect.runs.store import Run
from reconnect.settings import Settings
from reconnect.text import one_line

if TYPE_CHECKING:
    from reconnect.engine.guard import Guard

_LOG = logging.getLogger("reconnect.engine.perform")
CLEANUP_PLAYBOOK = "cleanup.yml"
#: A document of a server that is larger than this is not kept, in bytes.
MAX_DOCUMENT_BYTES = 64 * 1024**2
#: How often the steps that ended are written down, and whether the run is withdrawn is read, in seconds.
EVENT_SECONDS = 0.5
#: How often to ask whether a remedy that waits for another server may begin, in seconds.
BATCH_SECONDS = 0.5

_STOPPED: dict[Ended, State] = {"timed_out": "timed_out", "cancelled": "cancelled"}


@dataclass(frozen=True)
class Performed:
    """How a run ended, also where that could not be kept; `superseded` where another one follows, which is reported in
    this one's place."""

    record: Record
    results: list[Result]
    superseded: bool


class Performer:
    """Performs runs until `cancelled` is set, each until it is withdrawn; see `Performed` for what `superseded` says of
    the results. Where the policy is invalid, they change nothing and say why.
    """

    def __init__(
        self,
        project: Project,
        settings: Settings,
        progress: Progress,
        cancelled: threading.Event,
        superseded: Callable[[Run, list[Result]], bool] = lambda run, results: False,
        resumes: bool = False,
    ) -> None:
        self._project = project
        self._settings = settings
        self._progress = progress
        self._superseded = superseded
        self._cancelled = cancelled
        self._resumes = resumes
        self.performed: dict[str, Performed] = {}
        #: The ids of the runs that have begun here: they cannot be given up any more.
        self.began: set[str] = set()
        self._played: set[str] = set()
        self._over: set[str] = set()
        # Notified when a run begins or is over: whoever waits for it need not ask the store.
        self._changed = threading.Condition()
        # A run is begun or given up while it waits for its turn, never both.
        self._beginning = threading.Lock()
        self._given_up: set[str] = set()

    def perform(self, run: Run) -> bool:
        """Runs the playbook, ends what it left and keeps the results; whether they go to the incident."""
        try:
            try:
                return self._begin(run)
            except StoreError:
                if run.run_id in self._played:
                    raise
                # A database that was restarted in that moment answers again, and nothing was carried out.
                run.record = run.read()
                return self._begin(run)
        except TakenError as error:
            return self._leave(run, error)
        except locks.StoppedHolderError as error:
            return self.close(run, "timed_out", str(error))
        except Exception as error:
            return self._finish(run, self._failed(run, error), [])
        finally:
            self._over.add(run.run_id)
            self._tell()

    def _begin(self, run: Run) -> bool:
        """Performs the run when it has its turn. Raises ReconnectError where it cannot be begun."""
        from reconnect.runs.guards import Guards

        names = Guards(self._settings).identities(run.record.request.servers)
        with locks.held(self._settings, "server", names, lambda: run.run_id in self._given_up) as held:
            with self._beginning:
                if run.run_id in self._given_up:
                    return False
                self.began.add(run.run_id)
            self._tell()
            run.check()
            if (withdrawn := run.withdrawn()) is not None:
                return self._end_withdrawn(run, *withdrawn)
            log.about(run, _LOG, logging.INFO, "run begins")
            if self._resumes and delivery.is_reported(run, self._settings):
                # It was told from memory. What it changed may have been changed by a person since.
                return self._finish(run, lost(run), [])
            if (known := shared.results(run, self._settings)) is not None:
                log.about(run, _LOG, logging.INFO, "the run takes the verdict of the one before it")
                return self._finish(run, known, [])
            run.record.begun += 1
            run.save()
            self._played.add(run.run_id)
            return self._perform(run, held)

    def is_over(self, run: Run) -> bool:
        """Whether nothing of the run is under way here any more, however it ended."""
        return run.run_id in self._over

    def wait(self, run: Run, seconds: float) -> None:
        """Waits until the run is over, but for at most `seconds` until it begins."""
        with self._changed:
            if self._changed.wait_for(lambda: run.run_id in self.began | self._over, seconds):
                self._changed.wait_for(lambda: self.is_over(run))

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def give_up(self, run: Run) -> bool:
        """Whether the run has not begun and now never will."""
        with self._beginning:
            if run.run_id not in self.began:
                self._given_up.add(run.run_id)
            return run.run_id in self._given_up

    def close(self, run: Run, state: State, said: str) -> bool:
        """Keeps that the run is not carried out, or not any more, and why; whether that goes to the incident."""
        return self._finish(run, without_documents(run, state, said), [])

    def _end_withdrawn(self, run: Run, state: State, said: str) -> bool:
        """Ends a run that is not to begin, and what a process that was killed left of it."""
        if run.record.begun:
            self._progress.note(f"The run {run.run_id} was interrupted. Ending what it left.")
            with contextlib.suppress(ReconnectError, OSError):
                self._end_what_was_left(run)
            run.remove_work()
        return self.close(run, state, said)

    def _perform(self, run: Run, held: locks.Locks) -> bool:
        notes: list[str] = []
        try:
            if run.record.begun > 1:
                self._progress.note(f"The run {run.run_id} was interrupted. Ending what it left, then starting again.")
                self._end_what_was_left(run)
            run.begin_work()
            cancelled = _Cancelled(self._cancelled)
            with _events(run, cancelled) as happened:
                results, notes = self._run_playbook(run, happened, held, cancelled)
        except Exception as error:
            results = self._failed(run, error)
        finally:
            run.remove_work()
        if run.record.begun > 1:
            notes.append(f"The run was interrupted. It was started again, {run.record.begun} times in all.")
        return self._finish(run, results, notes)

    def _failed(self, run: Run, error: Exception) -> list[Result]:
        """The results of a run that an error ended, however far it had come."""
        said = str(error)
        if isinstance(error, OSError):
            said = f"The run stopped: {one_line(error, 300)}."
        elif not isinstance(error, ReconnectError):
            self._progress.output(traceback.format_exc())
            said = f"A defect of Reconnect: {type(error).__name__}: {one_line(error, 300)}"
        return without_documents(run, "failed", said)

    def _finish(self, run: Run, results: list[Result], notes: list[str]) -> bool:
        """Keeps how the run ended; whether that goes to the incident, which is told even where the disk is full."""
        record = run.record
        notes = [*record.notes, *notes]
        codes = [exit_codes.of_result(result) for result in results]
        superseded = self._superseded(run, results)
        self.performed[run.run_id] = Performed(record, results, superseded)
        reported = record.request.incident is not None and not superseded
        record.endings = {result.server: ending(result) for result in results}
        record.delivery = "pending" if reported else "none"
        record.notes = notes
        record.finished_at = now()
        record.exit_code = exit_codes.worst(codes)
        try:
            self._keep(run, results, reported)
        except TakenError as error:
            return self._leave(run, error)
        except ReconnectError as error:
            notes.append(str(error))
            record.exit_code = exit_codes.worst([*codes, ExitCode.DEFECT])
            with contextlib.suppress(ReconnectError):
                run.save()
                run.happened("ended", exit_code=record.exit_code)
        log.about(run, _LOG, logging.INFO, "run ended", exit_code=int(record.exit_code))
        traces.ended(run, results, self._settings)
        return reported

    def _keep(self, run: Run, results: list[Result], reported: bool) -> None:
        """Keeps how the run ended, and what it escalates. Raises ReconnectError."""
        report = comment.markdown(run.record, results)

        def keep() -> None:
            if reported:
                own, _invalid = policy.in_force(self._settings)
                escalation.decide(run, results, self._settings, own.blast_radius.window)
            run.finish(results, report)

        try:
            keep()
        except StoreError:
            # As in `perform`. It may have kept the end before it was restarted.
            if run.read().finished_at is None:
                keep()

    def _leave(self, run: Run, error: TakenError) -> bool:
        """Keeps and tells nothing: whoever has the run now does."""
        self.performed.pop(run.run_id, None)
        log.about(run, _LOG, logging.INFO, str(error))
        return False

    def _end_what_was_left(self, run: Run) -> None:
        """Ends what the process that was killed left here and on the servers."""
        RunProcesses(run.run_id).kill_all(KILL_SECONDS)
        remove_left(run.run_id)
        run.begin_work()
        self._clean_up(run, self._plays(run), run.record.request.servers)

    def _plays(self, run: Run) -> PlayRunner:
        warm = Warm(self._settings.warm_folder, self._project.collection) if self._settings.warm else None
        return PlayRunner(self._project, run.run_id, self._settings.stop_seconds, warm, Isolation.of(self._settings))

    def _run_playbook(
        self, run: Run, happened: list[dict[str, Any]], held: locks.Locks, cancelled: threading.Event
    ) -> tuple[list[Result], list[str]]:
        request = run.record.request
        groups: Mapping[str, Collection[str]] = {}
        # A run may have waited for its turn for long.
        own, refusal = policy.in_force(self._settings)
        if own.names_groups():
            groups = inventory.load(Path(request.inventory), self._project, self._settings.inventories).groups
        try:
            own.check_asked(self._project)
            own.check(groups)
        except InputError as error:
            refusal = str(error)
        if refusal:
            refusal = f"{refusal} Nothing is changed until then."
            own = own.model_copy(update={"pairs": []})
        steps: list[tuple[datetime, StepEnd]] = []

        def step(end: StepEnd) -> None:
            steps.append((now(), end))
            log.about(run, _LOG, logging.DEBUG, "step", server=end.server, step=end.step, state=end.state)
            happened.append(store.event("step", end.server, step=end.step, state=end.state, seconds=end.seconds))
            self._progress.step(end)

        plays, watch = self._plays(run), Watch(step, self._progress.output)
        notes = [refusal] if refusal else []
        results: dict[str, Result] = {}
        # Not before a run: who asks for help does not wait for SQLAlchemy.
        from reconnect.engine.guard import Guard

        guard = Guard(self._settings, own, run, held, happened.append, groups, refusal)
        threading.Thread(target=_load_texts, args=(request.language,), daemon=True).start()
        batch, number, deadline = list(request.servers), 1, time.monotonic() + request.timeout
        with guard.listening() as environment:
            while True:
                documents = run.work_dir / f"documents-{number}"
                documents.mkdir(mode=0o700)
                steps.clear()
                serving = [one for one in results if _serves(results[one])]
                play = self._play(run, documents, batch, environment, serving, own)
                end = plays.run(play, max(0.0, deadline - time.monotonic()), cancelled, watch)
                ended = [
                    _ending(run, server, end, documents, guard.handed_over(server), steps, notes) for server in batch
                ]
                self._clean_up_after(run, plays, end, ended, notes)
                # What the play began and did not report is under way no more: nobody waits for it.
                with contextlib.suppress(ReconnectError):
                    guard.end(ended)
                results |= {result.server: _joined(results.get(result.server), result) for result in ended}
                if not end.by_itself or not (batch := self._next_batch(guard, deadline, cancelled)):
                    break
                number += 1
        return [results[server] for server in request.servers], notes

    def _next_batch(self, guard: Guard, deadline: float, cancelled: threading.Event) -> list[str]:
        """The servers whose remedy was deferred and may begin now; waits for what is under way elsewhere."""
        said = False
        while (batch := guard.next_batch()) is not None:
            if batch:
                self._progress.note(f"Continuing with {', '.join(batch)}.")
                return batch
            if not said:
                self._progress.note("Waiting until the remedy is verified on the servers that another run fixes.")
                said = True
            cancelled.wait(BATCH_SECONDS)
            if cancelled.is_set() or time.monotonic() > deadline:
                break
        return []

    def _clean_up_after(
        self, run: Run, plays: PlayRunner, end: PlayEnd, results: Sequence[Result], notes: list[str]
    ) -> None:
        """Ends what a play that did not end by itself left on the servers that it reached."""
        if end.left_running:
            notes.append(f"Could not end these processes: {', '.join(end.left_running)}.")
        reached = [result for result in results if result.state != "unreachable"]
        if not reached or not end.started or end.by_itself:
            return
        begun, at = time.monotonic(), now()
        cleaned = self._clean_up(run, plays, [result.server for result in reached])
        if not cleaned:
            notes.append("The clean-up on the server did not end; a lease that is left ends when it expires.")
        seconds = round(time.monotonic() - begun, 3)
        for result in reached:
            state = "ok" if cleaned else "failed"
            result.timeline.append(Step(at=at, step="clean up", state=state, seconds=seconds))

    def _play(
        self,
        run: Run,
        documents: Path,
        servers: Sequence[str],
        environment: Mapping[str, str],
        serving: list[str],
        own: policy.Policy,
    ) -> Play:
        request, kept = run.record.request, run.kept()
        return Play(
            playbook=self._project.playbook(request.playbook),
            inventory=Path(request.inventory),
            hosts=servers,
            variables={
                "reconnect_run_id": run.run_id,
                "reconnect_interrupted": run.record.begun > 1,
                "reconnect_serving": serving,
                **own.variables(datetime.now(), kept is not None and kept.asker.is_incident),
                **request.variables(),
                "reconnect_mask_numbers": self._settings.mask_numbers,
                # Ansible would read a path with braces in it as a template. What a template gives is not read again.
                "reconnect_client_report_file": "{{ lookup('ansible.builtin.env', 'RECONNECT_CLIENT_REPORT_FILE') }}",
            },
            extra_vars=request.extra_vars,
            environment={
                "RECONNECT_RESULT_DIR": str(documents),
                "RECONNECT_CLIENT_REPORT_FILE": str(run.client_report_file) if request.client_report else "",
                **self._undone(run),
                **environment,
            },
            folders=[run.work_dir, *(Path(file).parent for file in environment.values())],
            check=request.mode == "check",
        )

    def _undone(self, run: Run) -> dict[str, str]:
        """Where the playbook finds what it undoes. It is a file: what a server said must not become a template."""
        if run.record.request.undo is None:
            return {}
        found = store.Runs(self._settings).get(run.record.request.undo)
        if found is None:
            raise ReconnectError(f"The run {run.record.request.undo} is not kept any more.")
        file = run.work_dir / "undo.json"
        store.write_bytes(file, json.dumps(undoing.changes(found.results())).encode())
        return {"RECONNECT_UNDO_FILE": str(file)}

    def _clean_up(self, run: Run, plays: PlayRunner, servers: Sequence[str]) -> bool:
        """Releases the run's lease and ends its processes on `servers`; nobody can skip it, and it is bounded."""
        self._progress.note(f"Cleaning up on {', '.join(servers)}, at most {self._settings.cleanup_seconds:g} s …")
        play = Play(
            playbook=self._project.playbook(CLEANUP_PLAYBOOK),
            inventory=Path(run.record.request.inventory),
            hosts=servers,
            variables={"reconnect_run_id": run.run_id},
            extra_vars=run.record.request.extra_vars,
        )
        watch = Watch(output=self._progress.output)
        end = plays.run(play, self._settings.cleanup_seconds, threading.Event(), watch)
        return end.ended == "finished" and end.return_code == 0


def _load_texts(language: texts.Language) -> None:
    """Loads what the end of a run is told with, while its playbook runs."""
    texts.catalogue(language)
    outcomes.table()


class _Cancelled(threading.Event):
    """Set for one run, or for `everything` that this process carries out."""

    def __init__(self, everything: threading.Event) -> None:
        super().__init__()
        self._everything = everything

    def is_set(self) -> bool:
        """See threading.Event."""
        return super().is_set() or self._everything.is_set()


@contextlib.contextmanager
def _events(run: Run, cancelled: threading.Event) -> Iterator[list[dict[str, Any]]]:
    """A list to which events may be added from any thread; they are written down beside the play, which never waits for
    the database. Sets `cancelled` where somebody withdraws the run meanwhile."""
    happened: list[dict[str, Any]] = [store.event("begun", number=run.record.begun)]
    ended = threading.Event()

    def write() -> None:
        written = 0
        last = False
        while not last:
            last = ended.wait(EVENT_SECONDS)
            new = happened[written:]
            if new:
                with contextlib.suppress(ReconnectError):
                    run.add_events(new)
            written += len(new)
            with contextlib.suppress(ReconnectError):
                if run.withdrawn() is not None:
                    cancelled.set()

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        yield happened
    finally:
        ended.set()
        writer.join()


def _ending(
    run: Run,
    server: str,
    end: PlayEnd,
    documents: Path,
    handed_over: dict[str, Any] | None,
    steps: Sequence[tuple[datetime, StepEnd]],
    notes: list[str],
) -> Result:
    """The server's result: its document, else one that says why there is none. What was handed over is newer than what
    is on the disk."""
    _keep_evidence(run, documents, server, notes)
    found = _collected(run, documents, server, handed_over)
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


def _serves(result: Result) -> bool:
    """Whether a registration succeeded on the server when it was looked at last."""
    return any(one.status == "pass" and one.code in REGISTRATIONS for one in result.findings)


def _joined(first: Result | None, last: Result) -> Result:
    """The result of a server whose run took several plays: the last word, with what was done before."""
    if first is None:
        return last
    last.started_at = first.started_at
    last.timeline = [*first.timeline, *last.timeline]
    carried = [remedy for remedy in first.remedies if remedy.state not in UNTOUCHED]
    last.remedies = [*carried, *last.remedies]
    if first.verdict and last.verdict:
        fixed = {remedy.cause for remedy in carried if remedy.state == "done"}
        known = {cause.cause for cause in last.verdict.root_causes}
        before = [cause for cause in first.verdict.root_causes if cause.cause in fixed - known]
        last.verdict.root_causes = [*before, *last.verdict.root_causes]
    return last


def _keep_evidence(run: Run, documents: Path, server: str, notes: list[str]) -> None:
    """Keeps the evidence and the packets of a server, where there are any."""

    def keep(name: str, as_what: Callable[[bytes], None]) -> None:
        file = documents / name
        try:
            if file.stat().st_size > MAX_DOCUMENT_BYTES:
                notes.append(f"{name} is larger than {MAX_DOCUMENT_BYTES // 1024**2} MiB and was not kept.")
                return
            as_what(file.read_bytes())
        except OSError:
            return
        except ReconnectError as error:
            notes.append(str(error))

    keep(f"evidence-{server}.json", lambda content: run.keep_evidence(server, content))
    keep(f"evidence-{server}.after.json", lambda content: run.keep_evidence(server, content, after=True))
    keep(f"packets-{server}.pcap", lambda content: run.keep_packets(server, content))


def _collected(run: Run, documents: Path, server: str, handed_over: dict[str, Any] | None) -> Result | str | None:
    """The server's result document; None when there is none, a sentence when it is not what it should be."""
    path = documents / f"{server}.json"
    if handed_over is None and not path.is_file():
        return None
    request = run.record.request
    try:
        fields = json.loads(path.read_bytes()) if handed_over is None else handed_over
        fields.update(run_id=run.run_id, mode=request.mode, account=request.account, incident=_name(request))
        return Result.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        said = f"{invalid.where(first)}: {invalid.in_a_sentence(first)}"
        return f"The result document of {server} is not valid: {said}."
    except (ValueError, AttributeError, TypeError, RecursionError, OSError) as error:
        return f"Cannot read the result document of {server}: {one_line(error, 160)}."


def _stopped(end: PlayEnd, timeout: float, last: StepEnd | None) -> str:
    why = "was cancelled" if end.ended == "cancelled" else f"took longer than {timeout:g} s and was ended"
    return f"The run {why}{_after(last)}."


def _unexplained(end: PlayEnd, last: StepEnd | None) -> str:
    said = f": {end.errors[0]}" if end.errors else "."
    return f"ansible-playbook ended with {end.return_code}{_after(last)} and left no result{said}"


def _after(last: StepEnd | None) -> str:
    return f" after the step '{one_line(last.step, 120)}'" if last else " before its first step had ended"


def without_documents(run: Run, state: State, error_message: str) -> list[Result]:
    """The results of a run that left none."""
    return [_without_document(run, server, state, error_message) for server in run.record.request.servers]


def lost(run: Run) -> list[Result]:
    """The results of a run that ended and whose results could not be kept."""
    return without_documents(run, "failed", "The run ended, but its results could not be kept.")


def _without_document(run: Run, server: str, state: State, error_message: str) -> Result:
    request = run.record.request
    return Result(
        run_id=run.run_id,
        state=state,
        playbook=request.playbook,
        mode=request.mode,
        server=server,
        account=request.account,
        incident=_name(request),
        started_at=run.record.started_at,
        finished_at=now(),
        error_message=error_message,
    )


def _name(request: Request) -> str | None:
    return str(request.incident) if request.incident else None
