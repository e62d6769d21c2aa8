"""What is kept of one person is erased: the runs of an account, or of an incident, with all that belongs to them.

The audit stays as it is, or its chain would break: it names runs, not accounts.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable

import sqlalchemy as sa

from reconnect.errors import InputError
from reconnect.names import Incident
from reconnect.runs import tables, unsent
from reconnect.runs.database import engine_of, is_shared, reading, writing
from reconnect.runs.record import Record
from reconnect.settings import Settings

_RUNS, _DELIVERIES, _ANSWERS = tables.runs, tables.deliveries, tables.answers
_LINKS = tables.selfchecks


def found(settings: Settings, account: str | None, incident: Incident | None) -> list[str]:
    """The runs that `erase` would erase, the oldest first."""
    with reading(engine_of(settings)) as connection:
        return _found(connection, _meant(account, incident))


def erase(
    settings: Settings,
    account: str | None,
    incident: Incident | None,
    note: Callable[[sa.Connection, list[str]], None],
) -> list[str]:
    """Erases the runs of `account` or `incident`, also those whose report is pending, and gives back their ids; `note`
    writes in the same transaction. In SQLite nothing of them is left in the file.

    Raises InputError where one is under way; then nothing is erased. Raises StoreError.
    """
    engine, meant = engine_of(settings), _meant(account, incident)
    with writing(engine) as connection:
        open_run = connection.scalar(sa.select(_RUNS.c.run_id).where(meant, _RUNS.c.finished_at.is_(None)).limit(1))
        if open_run is not None:
            raise InputError(f"The run {open_run} is under way. Wait until it has ended, then try again.")
        run_ids = _found(connection, meant)
        asked = sa.select(_RUNS.c.tracker, _RUNS.c.incident).where(meant, _RUNS.c.incident.is_not(None)).distinct()
        incidents = [tuple(row) for row in connection.execute(asked)]
        if incident is not None:
            incidents.append((incident.tracker, incident.id))
        for tracker, identifier in incidents:
            own = sa.and_(_DELIVERIES.c.tracker == tracker, _DELIVERIES.c.incident == identifier)
            connection.execute(_DELIVERIES.delete().where(own))
        of_link = _LINKS.c.account == account if incident is None else _LINKS.c.incident == str(incident)
        connection.execute(_LINKS.delete().where(sa.or_(of_link, _LINKS.c.run_id.in_(run_ids))))
        for run_id in run_ids:
            connection.execute(_ANSWERS.delete().where(_ANSWERS.c.run_id == run_id))
        # Everything else of a run goes with it.
        connection.execute(_RUNS.delete().where(meant))
        note(connection, run_ids)
    _erase_files(settings, run_ids, account, incident)
    if not is_shared(engine):
        with reading(engine) as connection:
            connection.exec_driver_sql("VACUUM")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return run_ids


def _meant(account: str | None, incident: Incident | None) -> sa.ColumnElement[bool]:
    if incident is not None:
        return sa.and_(_RUNS.c.tracker == incident.tracker, _RUNS.c.incident == incident.id)
    return _RUNS.c.account == account


def _found(connection: sa.Connection, meant: sa.ColumnElement[bool]) -> list[str]:
    return list(connection.scalars(sa.select(_RUNS.c.run_id).where(meant).order_by(_RUNS.c.run_id)))


def _erase_files(settings: Settings, run_ids: list[str], account: str | None, incident: Incident | None) -> None:
    """Reports that no store took, and the folders that earlier versions made of a run."""

    def is_meant(record: Record) -> bool:
        request = record.request
        return request.incident == incident if incident is not None else request.account == account

    for file, one in unsent.kept(settings):
        if is_meant(one.record):
            file.unlink(missing_ok=True)
    for run_id in run_ids:
        shutil.rmtree(settings.state / "runs" / run_id, ignore_errors=True)
