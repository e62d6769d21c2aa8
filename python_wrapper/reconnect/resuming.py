"""What was begun and is not ended: showing it, and going on with it."""

from __future__ import annotations

from reconnect.diagnose import Diagnosis
from reconnect.progress import Progress
from reconnect.project import Project
from reconnect.result import now, rfc3339
from reconnect.runs import Pending, Run, Runs
from reconnect.settings import Settings
from reconnect.slots import Slot, Slots
from reconnect.text import one_line


def waiting(settings: Settings) -> list[Run]:
    """The runs that nobody carries out at the moment, and those whose report is pending; the oldest first."""
    abandoned = set(Slots(settings.state).abandoned())
    found = [
        run
        for run in Runs(settings.runs_dir)
        if run.record.delivery == "pending" or (run.run_id in abandoned and run.record.finished_at is None)
    ]
    return list(reversed(found))


def told(run: Run) -> str:
    """A line about a run that is not ended: what is pending, why, and until when."""
    record, incident = run.record, one_line(run.record.request.incident or "no incident", 120)
    if record.finished_at is None:
        return f"{run.run_id}  {incident}  the run was interrupted; 'reconnect resume' goes on with it"
    pending, what = record.pending, "question" if record.question else "report"
    if pending is None:
        return f"{run.run_id}  {incident}  the {what} has not been tried yet"
    times = f"tried {pending.attempts} time{'' if pending.attempts == 1 else 's'} since {rfc3339(pending.since)}"
    if pending.given_up:
        return f"{run.run_id}  {incident}  GIVEN UP, {what} {times}: {one_line(pending.error_message)}"
    again = f", again at {rfc3339(pending.next_at)}" if pending.next_at else ""
    return f"{run.run_id}  {incident}  {what} pending, {times}{again}: {one_line(pending.error_message)}"


def go_on(project: Project, settings: Settings, progress: Progress) -> list[Run]:
    """Goes on with everything that nobody does at the moment, place by place; gives back what is still waiting."""
    for slot in Slots(settings.state).left():
        try:
            _go_on_at(slot, slot.work(), project, settings, progress)
        finally:
            slot.release()
    return waiting(settings)


def go_on_with_due(project: Project, settings: Settings, progress: Progress, but: str) -> None:
    """Goes on with the reports that other commands left and whose next attempt is due; `but` is this one's own run. A
    run that was interrupted is left to `go_on`."""
    runs = Runs(settings.runs_dir)
    for slot in Slots(settings.state).left():
        try:
            left = [run for run_id in slot.work() if (run := runs.get(run_id))]
            due = [run.run_id for run in left if run.run_id != but and _due(run)]
            if due and all(run.record.finished_at for run in left):
                progress.note("Going on with reports that are pending …")
                _go_on_at(slot, due, project, settings, progress)
        finally:
            slot.release()


def _due(run: Run) -> bool:
    if run.record.delivery != "pending":
        return False
    pending = run.record.pending
    return pending is None or not (pending.given_up or (pending.next_at and pending.next_at > now()))


def _go_on_at(slot: Slot, run_ids: list[str], project: Project, settings: Settings, progress: Progress) -> None:
    from reconnect import durable

    runs = Runs(settings.runs_dir)
    with durable.Engine(settings, slot, Diagnosis(project, settings, progress)) as engine:
        for run_id in run_ids:
            if run := runs.get(run_id):
                _go_on(engine, run)
        engine.tidy(runs)


def _go_on(engine: object, run: Run) -> None:
    from reconnect import durable

    assert isinstance(engine, durable.Engine)
    if run.record.finished_at is None and engine.unknown(run.run_id):
        engine.begin(run)
    durable.wait_until(lambda: engine.ended(run.run_id))
    run.record = run.read()
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

    durable.wait_until(tried, durable.ATTEMPT_SECONDS)
