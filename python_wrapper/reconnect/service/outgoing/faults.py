"""Faults: what checks find, each once. One incident is opened for a fault, and told when the fault is gone.

What is told has a marker of the fault itself, which no later check changes: a process that is killed tells nothing
twice. That a server is unreachable says little of the server: it counts once a second check says so, too, and servers
that became unreachable at once have one incident.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from reconnect import outcomes, texts
from reconnect.errors import ReconnectError, TrackerError
from reconnect.incidents import delivery, trackers
from reconnect.incidents.trackers.tracker import Comment, Opening
from reconnect.names import Incident
from reconnect.reports import comment, pages
from reconnect.reports.redaction import Redaction
from reconnect.result import Result, now
from reconnect.runs import feed, tables
from reconnect.runs.database import writing
from reconnect.runs.store import Run
from reconnect.service.desk import Desk
from reconnect.service.incoming.checks import SCHEDULE, SOON
from reconnect.service.outgoing.follower import Follower, Row
from reconnect.settings.checks import CheckSettings
from reconnect.settings.trackers import TrackerSettings
from reconnect.text import one_line

_LOG = logging.getLogger("reconnect.service.outgoing.faults")
_FAULTS, _CHECKS = tables.faults, tables.checks
_PAUSE = 5.0
#: The fault of a server that Ansible cannot log in to.
UNREACHABLE = "unreachable"
#: What an open incident is told, by what its marker says.
_TOLD = {"gone": "report.check_gone", "back": "report.check_back", "joins": "report.check_joins"}
#: Servers became unreachable at once where no more than this lies between one and the next.
_AT_ONCE = timedelta(hours=2)


@dataclass(frozen=True)
class Found:
    """A fault: its title, and the codes of the findings that say so."""

    title: str
    codes: list[str]


@dataclass(frozen=True)
class Checked:
    """A run that a check began, and what it says of each server."""

    run: Run
    results: list[Result]


class Faults(Follower[Checked]):
    """The faults that the checks of one site find."""

    source = "faults"
    table = _FAULTS
    waiting = sa.or_(_FAULTS.c.told_run_id.is_(None), _FAULTS.c.told_run_id != _FAULTS.c.run_id)
    lease = 300.0

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk, _LOG, "cannot tell what checks found", _PAUSE)
        self._checks = desk.settings.service.checks

    def read(self, entry: feed.Entry) -> Checked | None:
        """The run that ended, if a check began it."""
        run = self._desk.runs.get(entry.run_id) if entry.kind == "ended" and entry.run_id else None
        kept = run.kept() if run else None
        if run is None or kept is None or kept.asker.trigger != SCHEDULE:
            return None
        return Checked(run, run.results())

    def keep(self, connection: sa.Connection, found: Checked) -> None:
        """Keeps what the run says of each server."""
        own = _CHECKS.c.run_id == found.run.run_id
        row = connection.execute(sa.select(_CHECKS).where(own)).mappings().first()
        check = self._checks.get(row["name"]) if row is not None else None
        if row is None or check is None:
            return
        for result in found.results:
            unreachable = result.state == UNREACHABLE
            if unreachable or result.state == "succeeded":
                connection.execute(_CHECKS.update().where(own).values(unreachable=unreachable))
            if unreachable and not row["unreachable"]:
                soon = min(row["next_at"], now() + SOON)
                connection.execute(_CHECKS.update().where(own).values(next_at=soon))
            else:
                self._keep(connection, row["name"], check, found.run, result)

    def tell(self, row: Row) -> dict[str, Any]:
        """Tells the incident of a fault how it is. Raises ReconnectError."""
        return {**self._tell(row), "told_run_id": row["run_id"], "attempts": 0, "next_at": now()}

    def failed(self, row: Row, error: ReconnectError, next_at: datetime) -> dict[str, Any]:
        """It is tried for as long as it takes."""
        _LOG.warning("%s on %s: %s", row["fault"], row["server"], error, extra={"run": row["run_id"]})
        return {}

    def _keep(self, connection: sa.Connection, name: str, check: CheckSettings, run: Run, result: Result) -> None:
        own = _FAULTS.c.server == result.server
        known = {row["fault"]: row for row in connection.execute(sa.select(_FAULTS).where(own)).mappings()}
        found = faults_of(result, check.warnings)
        for fault, one in found.items():
            row = known.get(fault)
            values: dict[str, Any] = {
                "name": name,
                "title": one_line(one.title, 300),
                "codes": one.codes,
                "run_id": run.run_id,
            }
            is_new = row is None or row["gone_at"] is not None
            if is_new:
                values |= {"since": now(), "gone_at": None, "first_run_id": run.run_id}
            if row is None:
                rest = {"server": result.server, "fault": fault, "told_gone": False, "attempts": 0, "next_at": now()}
                connection.execute(_FAULTS.insert().values(**values, **rest))
            else:
                connection.execute(_FAULTS.update().where(own, _FAULTS.c.fault == fault).values(**values))
            if is_new:
                feed.add(connection, "fault", run.run_id, now(), fault)
        for fault, row in known.items():
            if fault not in found and row["gone_at"] is None and is_gone(result, fault, row["codes"]):
                gone = {"gone_at": now(), "run_id": run.run_id, "first_run_id": run.run_id}
                connection.execute(_FAULTS.update().where(own, _FAULTS.c.fault == fault).values(**gone))

    def _tell(self, row: Row) -> dict[str, Any]:
        incident = self._incident(row)
        if incident is not None and self._is_closed(incident):
            with writing(self._desk.engine) as connection:
                connection.execute(_FAULTS.update().where(self._is(row)).values(incident=None, marker=None))
            incident = None
        known = {"incident": str(incident) if incident else None, "told_gone": False}
        if row["gone_at"] is not None:
            if incident is not None and not row["told_gone"]:
                self._comment(incident, row, "gone")
            return {**known, "told_gone": incident is not None}
        if incident is None:
            return {**known, **self._open(row)}
        if row["told_gone"]:
            self._comment(incident, row, "back")
        return known

    def _incident(self, row: Row) -> Incident | None:
        """The incident of a fault; also one that was opened without being noted."""
        if row["incident"] is not None:
            return Incident.parse(row["incident"])
        check = self._checks.get(row["name"])
        if row["marker"] is None or check is None or check.tracker is None:
            return None
        return trackers.find(check.tracker, row["marker"], self._desk.settings)

    def _is_closed(self, incident: Incident) -> bool:
        settings = self._desk.settings
        try:
            details = trackers.open_incident(incident, settings).read()
        except TrackerError as error:
            if error.code == 404:
                return True
            raise
        return trackers.is_closed(details, settings.tracker(incident))

    def _open(self, row: Row) -> dict[str, str]:
        """Opens the incident of a fault, or tells that of the servers that became unreachable with this one."""
        check, run = self._checks.get(row["name"]), self._desk.runs.get(row["run_id"])
        if check is None or check.tracker is None or run is None:
            return {}
        with writing(self._desk.engine) as connection:
            others = {str(other["incident"]) for other in self._at_once(connection, row) if other["incident"]}
        for incident in sorted(others):
            if not self._is_closed(Incident.parse(incident)):
                self._comment(Incident.parse(incident), row, "joins")
                return {"incident": incident}
        marker, servers = self._claim(row, others)
        opening = self._opening(row, run, check, marker, servers)
        made = trackers.create(check.tracker, opening, self._desk.settings)
        _LOG.info("incident %s opened for %s on %s", made, row["fault"], row["server"], extra={"run": run.run_id})
        return {"incident": str(made)}

    def _claim(self, row: Row, closed: Collection[str]) -> tuple[str, list[str]]:
        """The marker of the incident that is to be opened, kept before it is, and the servers that share it: the first
        one opens it. Raises ReconnectError for the others, and where another one is being opened for them."""
        with writing(self._desk.engine) as connection:
            others = [other for other in self._at_once(connection, row) if other["incident"] not in closed]
            own = connection.scalar(sa.select(_FAULTS.c.marker).where(self._is(row)))
            if any(other["incident"] or other["marker"] not in {None, own} for other in others):
                raise ReconnectError("The incident of another server that is unreachable is being opened.")
            marker = own or f"{row['fault']} {row['run_id']}"
            for one in (row, *others):
                connection.execute(_FAULTS.update().where(self._is(one)).values(marker=marker))
        servers = sorted(str(one["server"]) for one in (row, *others))
        if row["server"] != servers[0]:
            raise ReconnectError(f"The incident of {servers[0]}, which is unreachable, too, is being opened.")
        return marker, servers

    def _at_once(self, connection: sa.Connection, row: Row) -> list[Row]:
        """The other servers that became unreachable when this one did, and whose incident goes to the same queue."""
        if row["fault"] != UNREACHABLE:
            return []
        near = sa.and_(
            _FAULTS.c.fault == UNREACHABLE,
            _FAULTS.c.gone_at.is_(None),
            _FAULTS.c.since.between(row["since"] - _AT_ONCE, row["since"] + _AT_ONCE),
        )
        # In one order: two processes that open at once wait for each other.
        rows = connection.execute(sa.select(_FAULTS).where(near).order_by(_FAULTS.c.server).with_for_update())
        return [
            other
            for other in rows.mappings()
            if other["server"] != row["server"] and self._goes_to(other) == self._goes_to(row)
        ]

    def _goes_to(self, row: Row) -> tuple[str | None, str] | None:
        check = self._checks.get(row["name"])
        return None if check is None else (check.tracker, check.queue)

    def _opening(self, row: Row, run: Run, check: CheckSettings, marker: str, servers: Sequence[str]) -> Opening:
        settings = self._desk.settings
        assert check.tracker is not None, "only a tracker opens incidents"
        own: TrackerSettings = getattr(settings, check.tracker)
        # The report in the language of its reader.
        request = run.record.request.model_copy(update={"language": own.language})
        record = run.record.model_copy(update={"request": request})
        said = texts.text("report.check_found", own.language, server=row["server"], check=row["name"])
        if len(servers) > 1:
            said += "\n" + texts.text("report.check_at_once", own.language, servers=", ".join(servers))
        title = texts.title(row["fault"], row["title"], own.language)
        redaction = Redaction(pages.secrets_of(settings))
        # A tracker cuts a long subject, and the marker is at its end.
        subject = redaction.text(f"{one_line(', '.join(servers), 60)}: {one_line(title, 60)}")
        text = redaction.text(f"{said}\n\n{comment.text(record, run.results())}")
        return Opening(
            marker,
            f"{subject} ({marker})",
            delivery.bounded(text, own.language),
            check.queue,
            {own.fields.server: row["server"]} if own.fields.server and len(servers) == 1 else {},
        )

    def _comment(self, incident: Incident, row: Row, what: str) -> None:
        settings = self._desk.settings
        said = {"server": row["server"], "fault": row["fault"], "run": row["first_run_id"]}
        text = texts.text(_TOLD[what], settings.tracker(incident).language, **said)
        marker = f"reconnect-{row['first_run_id']}-{what}-{row['fault']}"
        delivery.tell(trackers.open_incident(incident, settings), Comment(marker, text))


def faults_of(result: Result, warnings: Collection[str]) -> dict[str, Found]:
    """What a check found on a server: causes, and those of its findings that count although they only warn."""
    verdict = result.verdict
    if result.state == UNREACHABLE:
        # What a verdict says then was seen from here alone, through the network that may be the fault.
        return {UNREACHABLE: Found(outcomes.table()[UNREACHABLE].headline, [])}
    if verdict is None:
        return {}
    found = {
        root.cause: Found(
            root.title,
            sorted({one.code for one in result.findings if one.cause == root.cause and one.status == "fail"}),
        )
        for root in verdict.root_causes
    }
    for one in result.findings:
        if one.status == "warn" and one.code in warnings:
            found.setdefault(one.code, Found(one.summary, [one.code]))
    return found


def is_gone(result: Result, fault: str, codes: Collection[str]) -> bool:
    """Whether a check saw that a fault is not there. What it could not see says nothing, nor does a run that failed."""
    if result.state != "succeeded" or result.verdict is None:
        return False
    if fault == UNREACHABLE:
        return True
    if not codes:
        return result.verdict.outcome == "healthy"
    about = [one for one in result.findings if one.code in codes]
    seen = {one.status for one in about}
    bad = {"fail", "unknown"} | ({"warn"} if fault in codes else set())
    return {one.code for one in about} == set(codes) and not seen & bad
