"""What waits for a person, in words: what it is, since when, and where to look. No more than its incident is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from reconnect import outcomes, texts
from reconnect.incidents import escalation
from reconnect.reports import pages
from reconnect.reports.redaction import Redaction
from reconnect.result import Result, now, rfc3339
from reconnect.runs import tables
from reconnect.runs.database import engine_of, reading
from reconnect.runs.feed import Kind
from reconnect.runs.store import Run
from reconnect.service.outgoing.channels import Message
from reconnect.service.outgoing.faults import UNREACHABLE
from reconnect.service.people import Person
from reconnect.service.plans import plan_of
from reconnect.settings import Settings
from reconnect.text import one_line

_APPROVALS, _FAULTS = tables.approvals, tables.faults


def message(kind: Kind, run: Run, subject: str, since: datetime, settings: Settings) -> Message | None:
    """The notification; None where nobody is waited for, or no more. Raises StoreError."""
    words = {"approval": _approval, "ended": _escalation, "given_up": _given_up, "fault": _fault}
    told = words[kind](run, subject, settings)
    if told is None:
        return None
    what, page = told
    say, minutes = settings.service.notifications.language, max(0, int((now() - since).total_seconds() // 60))
    lines = [
        what,
        texts.text("notify.since", say, since=rfc3339(since), hours=minutes // 60, minutes=minutes % 60),
        f"{settings.service.origin}{page}",
    ]
    redaction = Redaction(pages.secrets_of(settings))
    subject_line = texts.text(f"notify.{kind}_subject", say, servers=_names(run.record.request.servers))
    identifier = "-".join(filter(None, ("reconnect", run.run_id, kind, subject)))
    return Message(identifier, redaction.text(subject_line), redaction.text("\n".join(lines)))


def _approval(run: Run, approval_id: str, settings: Settings) -> tuple[str, str] | None:
    waits = sa.and_(
        _APPROVALS.c.approval_id == approval_id, _APPROVALS.c.state == "pending", _APPROVALS.c.expires_at > now()
    )
    with reading(engine_of(settings)) as connection:
        until = connection.scalar(sa.select(_APPROVALS.c.expires_at).where(waits))
    if until is None:
        return None
    plan = plan_of(run, run.results())
    left = plan.left_by(Person("", "first_level")) if plan else []
    remedies = sorted({f"{step.remedy} ({step.cause})" for _, step in left})
    return _text(run, settings, "notify.approval", remedies=", ".join(remedies), until=rfc3339(until)), "/approvals"


def _escalation(run: Run, _: str, settings: Settings) -> tuple[str, str] | None:
    results = run.results()
    answer = outcomes.answer(results, settings.answers)
    incident = run.record.request.incident
    # Of a storm the first incident is told; the others point to it.
    if answer.do != "move" or incident is None or escalation.joined(run, settings) is not None:
        return None
    level = texts.text(f"level.{answer.level}", settings.service.notifications.language)
    causes = _causes(results, settings)
    return _text(run, settings, "notify.ended", level=level, causes=causes), f"/runs/{run.run_id}"


def _given_up(run: Run, rounds: str, settings: Settings) -> tuple[str, str] | None:
    pending = run.record.pending
    if pending is None or not pending.given_up or str(pending.rounds) != rounds:
        return None
    return _text(run, settings, "notify.given_up"), "/outbox"


def _fault(run: Run, fault: str, settings: Settings) -> tuple[str, str] | None:
    (server,) = run.record.request.servers
    there = sa.select(_FAULTS.c.server, _FAULTS.c.name, _FAULTS.c.title).where(
        _FAULTS.c.fault == fault, _FAULTS.c.gone_at.is_(None)
    )
    with reading(engine_of(settings)) as connection:
        rows = connection.execute(there.order_by(_FAULTS.c.server)).all()
    # Where there is a tracker, the incident says it.
    known = settings.service.checks
    titles = {row.server: row.title for row in rows if row.name in known and known[row.name].tracker is None}
    if server not in titles:
        return None
    title = texts.title(fault, titles[server], settings.service.notifications.language)
    said = _text(run, settings, "notify.fault", title=one_line(title, 200), fault=fault)
    if fault == UNREACHABLE and len(titles) > 1:
        language = settings.service.notifications.language
        said += "\n" + texts.text("report.check_at_once", language, servers=", ".join(titles))
    return said, f"/runs/{run.run_id}"


def _text(run: Run, settings: Settings, identifier: str, **said: str) -> str:
    request = run.record.request
    incident = one_line(request.incident, 120) if request.incident else ""
    servers = _names(request.servers)
    language = settings.service.notifications.language
    return texts.text(identifier, language, run=run.run_id, servers=servers, incident=incident, **said)


def _causes(results: Sequence[Result], settings: Settings) -> str:
    language = settings.service.notifications.language
    roots = {one.cause: one.title for result in results if result.verdict for one in result.verdict.root_causes}
    return _names([f"{texts.title(cause, title, language)} ({cause})" for cause, title in roots.items()]) or "–"


def _names(names: Sequence[str]) -> str:
    """The first of many, and how many more there are."""
    some = ", ".join(one_line(name, 200) for name in names[:5])
    return some + (f" +{len(names) - 5}" if len(names) > 5 else "")
