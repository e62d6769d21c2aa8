"""Asking an incident what is missing or contradictory: written down before it is asked, and told as a report is."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from reconnect.diagnose import Diagnosis
from reconnect.progress import Progress
from reconnect.project import Project
from reconnect.runs import Request, Run, Runs
from reconnect.settings import Settings
from reconnect.slots import Slots


def ask(request: Request, problems: Iterable[str], project: Project, settings: Settings, progress: Progress) -> Run:
    """Asks the incident about `problems`, unless it was asked the same before; the question as it stands when it was
    told or the time for that was over. Raises ReconnectError when it can't be written down."""
    from reconnect import durable

    question = sorted(problems)
    runs, slots = Runs(settings.runs_dir), Slots(settings.state)
    slot = slots.empty()
    try:
        with runs.claimed():
            known = _asked(runs, request.incident, question)
            run = known or runs.create(request, None, lambda run_id: slot.keep([run_id]), question)
        if known is None:
            with durable.Engine(settings, slot, Diagnosis(project, settings, progress)) as engine:
                engine.begin_report(run)
                durable.wait_until_told(run, settings.report_seconds)
                engine.tidy(runs)
        elif run.run_id not in slots.abandoned():
            durable.wait_until(run.told, settings.report_seconds)
    finally:
        slot.release()
    return run


def _asked(runs: Runs, incident: str | None, question: list[str]) -> Run | None:
    """The same question to the same incident; an older one the incident itself tells of."""
    for run in itertools.islice(runs, 200):
        if run.record.request.incident == incident and run.record.question == question:
            return run
    return None
