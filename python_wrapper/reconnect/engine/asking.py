"""Asking an incident what is missing or contradictory: written down before it is asked, and told as a report is."""

from __future__ import annotations

from collections.abc import Iterable

from reconnect.engine import unkept
from reconnect.engine.slots import Slots
from reconnect.errors import StoreError
from reconnect.result import now
from reconnect.runs.record import Pending
from reconnect.runs.request import Request
from reconnect.runs.store import Run, Runs
from reconnect.settings import Settings


def ask(request: Request, problems: Iterable[str], settings: Settings) -> Run:
    """Asks the incident about `problems`, unless it was asked the same before; the question as it stands when it was
    told or the time for that was over. One that cannot be written down is asked from memory."""
    question = sorted(problems)
    try:
        return _ask(request, question, settings)
    except StoreError:
        run = Runs(settings, in_memory=True).create(request, question=question)
        why = unkept.report(run, [], settings)
        run.record.delivery = "delivered" if why is None else "pending"
        run.record.pending = None if why is None else Pending(since=now(), attempts=1, error_message=why)
        return run


def _ask(request: Request, question: list[str], settings: Settings) -> Run:
    from reconnect.engine import durable

    runs, slots = Runs(settings), Slots(settings)
    if (known := runs.answering(request, now(), question)) is None:
        slot = slots.empty()
        try:
            with durable.Engine(settings, slot) as engine:
                run, ours = runs.claim(
                    request, None, worker=slot.name, within=engine.enqueue, ended_after=now(), question=question
                )
                if ours:
                    durable.wait_until_told(run, settings.report_seconds)
                    return run
        finally:
            slot.release()
        known = run
    if known.run_id not in slots.abandoned():
        durable.wait_until(known.told, settings.report_seconds)
    return known
