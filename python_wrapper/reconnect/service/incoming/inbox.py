"""The inbox: what hooks and pollers deliver, each delivery once, and intake, which reads the incident again.

A delivery is only a hint. It is kept before it is answered; intake asks the tracker itself what the incident says, and
what the policy lets it have fixed.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from reconnect.engine import policy
from reconnect.errors import ReconnectError
from reconnect.incidents.client_report import ClientReport
from reconnect.incidents.intake import Intake
from reconnect.incidents.trackers import is_closed, open_incident
from reconnect.names import Incident
from reconnect.result import now
from reconnect.runs import tables
from reconnect.runs.database import reading, writing
from reconnect.runs.request import DIAGNOSE, FIX, Asked
from reconnect.runs.store import Run
from reconnect.service import metrics
from reconnect.service.desk import Desk
from reconnect.service.loop import Loop
from reconnect.service.starting import asker_of
from reconnect.text import one_line

_LOG = logging.getLogger("reconnect.service.incoming.inbox")
_DELIVERIES = tables.deliveries
#: A delivery is tried again after about this long, twice as long every time, in seconds; then it is given up.
_FIRST_DELAY = 2.0
_MOST_ATTEMPTS = 12
#: Seconds between two looks for deliveries that are due, where nobody tells of one.
_PAUSE = 1.0
#: So long after a run of an incident ended a delivery about it may be the echo of its own report, where nobody says who
#: caused it, in seconds.
ECHO_SECONDS = 60
#: Of one incident no more runs than this end in so many seconds, whoever is said to have caused them: with a wrong
#: ignore_user Reconnect would answer itself.
_MOST_RUNS, _MOST_SECONDS = 3, 600

#: How the sources begin that are polled: `poll rt`.
POLL = "poll "

#: The names that the rules of Request Tracker, Zammad and ServiceNow change an incident under, also after a report.
_RULES = frozenset({"RT_System", "-", "system"})

Kept = Literal["new", "duplicate"]


@dataclass(frozen=True)
class Delivery:
    """What a source delivers: which incident may need a run, and whether somebody else than Reconnect is known to have
    caused that."""

    source: str
    delivery_id: str
    incident: Incident
    by_other: bool = False


class Inbox(Loop):
    """The deliveries of one site."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(_LOG, "cannot take in deliveries", _PAUSE)
        self._desk = desk
        self._engine = desk.engine

    def put(self, delivery: Delivery, trace_id: str | None = None) -> Kept:
        """Keeps a delivery, unless it is kept already. Raises StoreError."""
        row = {
            "source": delivery.source,
            "delivery_id": one_line(delivery.delivery_id, 200),
            "received_at": now(),
            "tracker": delivery.incident.tracker,
            "incident": delivery.incident.id,
            "by_other": delivery.by_other,
            "trace_id": trace_id or secrets.token_hex(16),
            "state": "received",
            "reason": "",
            "attempts": 0,
            "next_at": now(),
        }
        own = sa.and_(_DELIVERIES.c.source == row["source"], _DELIVERIES.c.delivery_id == row["delivery_id"])
        with writing(self._engine) as connection:
            if connection.scalar(sa.select(_DELIVERIES.c.source).where(own)) is not None:
                kept: Kept = "duplicate"
            else:
                kept = "new"
                try:
                    with connection.begin_nested():
                        connection.execute(_DELIVERIES.insert().values(**row))
                except IntegrityError:
                    kept = "duplicate"
        metrics.DELIVERIES.labels(delivery.source, kept).inc()
        self._wake.set()
        return kept

    def look(self) -> None:
        """Takes in what is due."""
        while self.take_next():
            pass

    def take_next(self) -> bool:
        """Takes in the delivery that is due first; False where none is."""
        due = sa.and_(_DELIVERIES.c.state == "received", _DELIVERIES.c.next_at <= now())
        with writing(self._engine) as connection:
            row = (
                connection.execute(
                    sa.select(_DELIVERIES)
                    .where(due)
                    .order_by(_DELIVERIES.c.next_at)
                    .limit(1)
                    .with_for_update(skip_locked=True)
                )
                .mappings()
                .first()
            )
            if row is None:
                return False
            # Whoever is killed meanwhile leaves it to be tried again.
            delay = _FIRST_DELAY * 2 ** row["attempts"]
            later = {"attempts": row["attempts"] + 1, "next_at": now() + timedelta(seconds=delay)}
            connection.execute(_DELIVERIES.update().where(_is(row)).values(**later))
        try:
            state, reason, run_id = self._take(row)
        except Exception as error:
            # Also an InputError may be gone the next time: a tracker that is away, a policy that is being edited.
            last = row["attempts"] + 1 >= _MOST_ATTEMPTS
            state, reason, run_id = ("failed" if last else "received"), str(error), None
            if not isinstance(error, ReconnectError):
                _LOG.exception("cannot take in %s: a defect of Reconnect", row["incident"])
                reason = f"A defect of Reconnect: {type(error).__name__}: {reason}"
        with writing(self._engine) as connection:
            values = {"state": state, "reason": one_line(reason, 400), "run_id": run_id}
            own = sa.and_(_is(row), _DELIVERIES.c.next_at == later["next_at"])
            if not connection.execute(_DELIVERIES.update().where(own).values(**values)).rowcount:
                # It took so long that it was tried again meanwhile.
                return True
        if state != "received":
            metrics.DELIVERIES.labels(row["source"], state).inc()
        said = {"source": row["source"], "delivery": row["delivery_id"], "trace_id": row["trace_id"], "run": run_id}
        _LOG.info("delivery %s: %s", state, reason, extra=said)
        return True

    def newest(self, limit: int = 50) -> list[dict[str, Any]]:
        """The newest deliveries."""
        found = sa.select(_DELIVERIES).order_by(_DELIVERIES.c.received_at.desc()).limit(limit)
        with reading(self._engine) as connection:
            return [dict(row) for row in connection.execute(found).mappings()]

    def _take(self, row: Mapping[Any, Any]) -> tuple[str, str, str | None]:
        """What becomes of a delivery, why, and the run that answers it. Raises ReconnectError."""
        desk, incident = self._desk, Incident(row["tracker"], row["incident"])
        settings = desk.settings
        own = settings.tracker(incident)
        details = open_incident(incident, settings).read()
        if is_closed(details, own):
            return "ignored", f"The incident is closed: {details.status}.", None
        if details.queue in {own.second_level, own.third_level}:
            return "ignored", f"The incident is with {details.queue}.", None
        polled = row["source"].startswith(POLL)
        queues: dict[str, list[str]] = {name: own.queues for name, own in settings.service.polls.items()}
        if polled and queues.get(incident.tracker) and details.queue not in queues[incident.tracker]:
            return "ignored", f"The queue {details.queue} is not polled.", None
        about_account = bool(own.fields.account and details.fields.get(own.fields.account, "").strip())
        site = policy.in_force(settings)[0].incidents
        asked = Asked(
            playbook=FIX if about_account else DIAGNOSE,
            incident=incident,
            apply=site.may_fix(datetime.now().time()),
            watch=site.watch if about_account else 0,
        )
        trigger = "poll" if polled else "hook"
        started = desk.starter.start(
            asked,
            ClientReport(),
            asker_of(None, trigger, row["trace_id"]),
            answering=lambda taken: self._answering(incident, row["received_at"], row["by_other"], taken),
        )
        run_id = started.run.run_id
        if not started.new:
            return "ignored", f"Run {run_id} answers this incident.", run_id
        return "taken", "The incident is asked for what is missing." if started.problems else "A run begins.", run_id

    def _answering(self, incident: Incident, received_at: datetime, by_other: bool, taken: Intake) -> Run | None:
        """The run that is open, not yet reported, or had just been when the delivery came: its report is an event, too,
        unless the delivery is `by_other`.

        One that an incident began answers only what it read there. A question answers nothing: whether the incident
        still says too little is known once it is read again. Raises ReconnectError where a run is under way for the
        same servers and account that does not know the rest: there is one of them at a time.
        """
        runs, pending = tables.runs, tables.pending_reports
        unheard = sa.exists().where(pending.c.run_id == runs.c.run_id, sa.or_(pending.c.final, pending.c.given_up))
        own = sa.select(runs.c.run_id).where(
            runs.c.tracker == incident.tracker, runs.c.incident == incident.id, runs.c.question_key.is_(None)
        )
        with reading(self._engine) as connection:
            lately = own.where(runs.c.finished_at > received_at - timedelta(seconds=_MOST_SECONDS))
            heard = by_other and len(connection.scalars(lately.limit(_MOST_RUNS)).all()) < _MOST_RUNS
            recent = runs.c.finished_at > received_at - timedelta(seconds=0 if heard else ECHO_SECONDS)
            run_ids = list(connection.scalars(own.where(sa.or_(sa.and_(tables.WAITING, ~unheard), recent))))
        request, rest = taken.request, (taken.request.questions, taken.reported)
        for run in reversed(self._desk.runs.readable(sorted(run_ids))):
            if (kept := run.kept()) is None:
                continue
            known = run.record.request
            alike = (known.servers, known.account) == (request.servers, request.account)
            if not kept.asker.is_incident or (alike and (known.questions, run.client_report()) == rest):
                return run
            if alike and run.record.finished_at is None:
                raise ReconnectError(f"Run {run.run_id} is under way with what the incident said before.")
        return None


def is_other(user: str | None, ignore_user: str | None) -> bool:
    """Whether the user who caused a delivery is known to be a person that is not Reconnect."""
    return None not in (user, ignore_user) and user not in {ignore_user, *_RULES}


def _is(row: Mapping[Any, Any]) -> sa.ColumnElement[bool]:
    return sa.and_(_DELIVERIES.c.source == row["source"], _DELIVERIES.c.delivery_id == row["delivery_id"])
