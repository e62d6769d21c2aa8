"""What was begun and is not ended: showing it, and resuming it."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

from reconnect import machine
from reconnect.ansible import inventory
from reconnect.ansible.project import Project
from reconnect.engine import presence
from reconnect.engine.locks import Locks
from reconnect.engine.perform import Performer
from reconnect.engine.progress import Progress
from reconnect.engine.slots import Slot, Slots
from reconnect.errors import InputError, StoreError, TakenError
from reconnect.reports import comment
from reconnect.result import State, now, rfc3339
from reconnect.runs import unsent
from reconnect.runs.record import Pending
from reconnect.runs.store import Run, Runs
from reconnect.settings import Settings
from reconnect.text import counted, one_line


def waiting(settings: Settings) -> list[Run]:
    """The runs that nobody carries out at the moment, and those whose report is pending; the oldest first."""
    _take_over_unsent(settings)
    abandoned = {*Slots(settings).abandoned(), *(run.run_id for _, run in lost(settings))}
    return [
        run
        for _, run in Runs(settings).waiting()
        if run.record.delivery == "pending" or (run.run_id in abandoned and run.record.finished_at is None)
    ]


def told(run: Run, settings: Settings) -> str:
    """A line about a run that is not ended: what is pending, why, and until when."""
    record, incident = run.record, one_line(run.record.request.incident or "no incident", 120)
    if record.finished_at is None:
        kept = run.kept()
        does = "ends it" if kept and kept.withdrawn else "starts it again"
        again = f"the run was interrupted; 'reconnect resume' {does}"
        if kept and kept.worker and not machine.is_here(settings.state, kept.worker):
            there = machine.of_worker(kept.worker)
            again += f" on {there}; 'reconnect cancel {run.run_id}' ends it if that machine is gone"
        return f"{run.run_id}  {incident}  {again}"
    pending, what = record.pending, "question" if record.question else "report"
    if pending is None:
        return f"{run.run_id}  {incident}  the {what} has not been tried yet"
    times = f"tried {counted(pending.attempts, 'time')} since {rfc3339(pending.since)}"
    if pending.given_up:
        return f"{run.run_id}  {incident}  GIVEN UP, {what} {times}: {one_line(pending.error_message)}"
    again = f", again at {rfc3339(pending.next_at)}" if pending.next_at else ""
    return f"{run.run_id}  {incident}  {what} pending, {times}{again}: {one_line(pending.error_message)}"


def resume(
    project: Project, settings: Settings, progress: Progress, cancelled: threading.Event | None = None
) -> list[Run]:
    """Resumes everything of this machine that nobody does at the moment, worker by worker; gives back what is still
    waiting here. What is under way when `cancelled` is set ends, and the rest goes on."""
    cancelled = cancelled or threading.Event()
    _take_over_unsent(settings)
    for slot in Slots(settings).left():
        try:
            _resume(slot, slot.work(), project, settings, progress, cancelled)
        finally:
            slot.release()
            cancelled.clear()
    here = {run.run_id for worker, run in Runs(settings).waiting() if machine.is_here(settings.state, worker)}
    return [run for run in waiting(settings) if run.run_id in here]


def _take_over_unsent(settings: Settings) -> None:
    """Gives the store what it refused when the tracker did not answer either."""
    runs = Runs(settings)
    for file, one in unsent.kept(settings):
        run = runs.get(one.record.run_id)
        if run is None:
            slot = Slots(settings).empty()
            try:
                runs.copy(one.record, one.results, slot.name)
            finally:
                slot.release()
        elif run.record.finished_at is None and (kept := run.kept()) and machine.is_here(settings.state, kept.worker):
            run.record = one.record
            with contextlib.suppress(TakenError):
                run.by(str(kept.worker)).finish(one.results, comment.markdown(one.record, one.results))
        file.unlink(missing_ok=True)


def adopt(run_id: str, project: Project, settings: Settings, progress: Progress, cancelled: threading.Event) -> None:
    """Carries out and reports a run that no worker has, or whose worker is gone, with what else that one left; unless
    another process was faster. Raises ReconnectError."""
    slot, runs = Slots(settings, shared=True).empty(), Runs(settings)
    try:
        run = runs.get(run_id)
        kept = run.kept() if run else None
        if runs.adopt(run_id, slot.name):
            slot.watch([run_id], progress)
            _work(slot, [run_id], Performer(project, settings, progress, cancelled), settings, cancelled)
        elif run and kept and kept.worker:
            _compare_inventories(run, project, settings)
            if presence.take_over(settings, kept.worker, slot.name):
                _resume(slot, slot.work(), project, settings, progress, cancelled)
    finally:
        slot.release()


def _compare_inventories(run: Run, project: Project, settings: Settings) -> None:
    """Raises InputError unless the inventory of this machine is the one of a run that is to be begun again."""
    request = run.record.request
    if run.record.finished_at is not None or request.inventory_hash is None:
        return
    if inventory.load(Path(request.inventory), project, settings.inventories).digest != request.inventory_hash:
        raise InputError(
            f"Cannot take over run {run.run_id}: this machine has another inventory {request.inventory}. "
            "Copy the same files to all machines."
        )


def lost(settings: Settings) -> list[tuple[str, Run]]:
    """The runs of other machines that no process carries out, each with its worker. Such a machine may resume them, or
    be gone."""
    at_work = presence.at_work(settings)
    with Locks(settings) as locks:
        return [
            (worker, run)
            for worker, run in Runs(settings).waiting()
            if worker is not None
            and run.record.finished_at is None
            and not machine.is_here(settings.state, worker)
            and worker not in at_work
            and locks.holder("carrier", worker) is None
        ]


def withdraw(run: Run, performer: Performer, settings: Settings, state: State = "cancelled") -> bool | None:
    """Ends a run that no worker has, or one of another machine that no process carries out, so that none begins it;
    whether that goes to the incident. None where somebody has it."""
    from reconnect.engine import durable

    kept, run.record = run.kept(), run.read()
    if kept is None or run.record.finished_at is not None or machine.is_here(settings.state, kept.worker):
        return None
    said = "The run was cancelled before it began."
    slot = Slots(settings, shared=True).empty()
    try:
        with Locks(settings) as locks:
            if kept.worker is not None:
                if not locks.take("carrier", kept.worker) or kept.worker in presence.at_work(settings):
                    return None
                said = (
                    f"The machine {machine.of_worker(kept.worker)}, which had this run, is gone. "
                    "What it began is not known. Diagnose again."
                )
            # From here on nobody else writes of it; somebody may have had it, or ended it, a moment ago.
            if not Runs(settings).adopt(run.run_id, slot.name, kept.worker, (state, said)):
                return None
            run.record = run.read()
            if kept.worker is not None:
                durable.forget(run.run_id, settings)
            return performer.close(run.by(slot.name), state, said)
    finally:
        slot.release()


def resume_due(project: Project, settings: Settings, progress: Progress, but: str) -> None:
    """Retries the reports that other commands left and that are due; `but` is this one's own run. A run that was
    interrupted is left to `resume`."""
    runs = Runs(settings)
    for slot in Slots(settings).left():
        try:
            left = runs.readable(slot.work())
            pending = [run.run_id for run in left if run.run_id != but and due(run)]
            if pending and all(run.record.finished_at for run in left):
                progress.note("Retrying reports that are pending …")
                _resume(slot, pending, project, settings, progress, threading.Event())
        finally:
            slot.release()


def due(run: Run) -> bool:
    if run.record.delivery != "pending":
        return False
    pending = run.record.pending
    return pending is None or not (pending.given_up or (pending.next_at and pending.next_at > now()))


def _resume(
    slot: Slot,
    run_ids: list[str],
    project: Project,
    settings: Settings,
    progress: Progress,
    cancelled: threading.Event,
) -> None:
    slot.watch(run_ids, progress)
    _work(slot, run_ids, Performer(project, settings, progress, cancelled, resumes=True), settings, cancelled)


def _work(slot: Slot, run_ids: list[str], performer: Performer, settings: Settings, cancelled: threading.Event) -> None:
    from reconnect.engine import durable, unkept

    runs = Runs(settings)
    with durable.Engine(settings, slot, performer) as engine:
        for run_id in run_ids:
            for run in runs.readable([run_id]):
                with contextlib.suppress(TakenError):
                    try:
                        _resume_run(engine, run.by(slot.name), cancelled)
                    except StoreError as error:
                        if performed := performer.performed.get(run_id):
                            unkept.finish(run.by(slot.name), performed, error, settings)
                        raise


def _resume_run(engine: object, run: Run, cancelled: threading.Event) -> None:
    from reconnect.engine import durable
    from reconnect.runs.database import refusals

    assert isinstance(engine, durable.Engine)
    # Its workflow may have ended, or have been taken out of the queue, before the run's end was kept.
    if run.record.finished_at is None and engine.unknown(run.run_id, ended=False):
        engine.begin(run)
    engine.carry_out(run, cancelled)
    run.record = run.read()
    # The database answers, whatever it refused before.
    refusals.clear()
    if run.record.delivery != "pending":
        return
    before = run.record.pending.attempts if run.record.pending else 0
    if run.record.pending and run.record.pending.given_up:
        run.record.pending = Pending(since=now(), rounds=run.record.pending.rounds + 1)
        before = 0
        run.save()
    if engine.report_unknown(run):
        engine.begin_report(run)
    else:
        engine.urge(run)

    def tried() -> bool:
        run.record = run.read()
        return run.record.delivery != "pending" or (run.record.pending or Pending(since=now())).attempts > before

    durable.wait_until(lambda: tried() or refusals.first is not None, durable.ATTEMPT_SECONDS)
    if refusals.first is not None and not tried():
        raise StoreError(refusals.first)
