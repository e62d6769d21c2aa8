"""Runs as rows: every statement that reads or writes one. Only `store` knows this module."""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import logging
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from reconnect.result import Result, State, ending, now, to_json
from reconnect.runs import feed, guards, tables
from reconnect.runs.database import is_shared, reading, writing, writing_of
from reconnect.runs.record import Asker, Ended, Kept, Pending, Record, Wanted
from reconnect.runs.request import Request
from reconnect.text import one_line

_LOG = logging.getLogger("reconnect.runs.rows")
_RUNS, _RESULTS, _DOCUMENTS = tables.runs, tables.results, tables.documents
_EVENTS, _PENDING = tables.events, tables.pending_reports
#: So many rows are read, or removed, at once.
STEP = 100

#: Writes more into the transaction that makes a run.
Within = Callable[[sa.Connection, Record], None]


@dataclass(frozen=True)
class Origin:
    """What is known of a new run beside its record. `request_key` is the same for the same request of an incident,
    `question_key` for the same question to one."""

    worker: str | None
    asker: Asker
    request_key: str | None = None
    question_key: str | None = None


def packed(content: bytes) -> bytes:
    """`content` as it is kept."""
    return zlib.compress(content, 6)


class Rows:
    """The rows of one database. With a `worker` it is the one that writes of a run, as long as that is its own."""

    def __init__(self, engine: sa.Engine, worker: str | None = None) -> None:
        self._engine = engine
        self.worker = worker

    def by(self, worker: str) -> Rows:
        """The same, for this worker."""
        return Rows(self._engine, worker)

    def _writing_of(self, run_id: str) -> AbstractContextManager[sa.Connection]:
        return writing_of(run_id, self.worker, self._engine)

    def insert(self, record: Record, origin: Origin, client_report: bytes | None, within: Within | None) -> None:
        """A new run, and what `within` writes, in one transaction."""
        with writing(self._engine) as connection:
            _insert(connection, record, origin, client_report)
            if within is not None:
                within(connection, record)

    def take(
        self,
        record: Record,
        origin: Origin,
        client_report: bytes | None,
        documents: Iterable[tuple[str, str, bytes]],
        results: Iterable[Result],
    ) -> None:
        """A run with all of its documents (kind, server, content), in one transaction."""
        with writing(self._engine) as connection:
            _insert(connection, record, origin, client_report)
            for kind, server, content in documents:
                _keep(connection, record.run_id, kind, server, content)
            for result in results:
                _save_result(connection, result)

    def insert_unless(
        self,
        record: Record,
        origin: Origin,
        client_report: bytes | None,
        within: Within | None,
        ended_after: datetime,
    ) -> Record | None:
        """The same, unless there is a run of the same request that is open or ended after `ended_after`, or one that
        asked the same question: that one's record."""
        with writing(self._engine) as connection:
            key = origin.request_key or origin.question_key
            if is_shared(self._engine):
                number = int.from_bytes(hashlib.sha256(str(key).encode()).digest()[:8], signed=True)
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))
            if (known := _same(connection, origin, ended_after)) is not None:
                return known
            record.notes += [
                f"Run {run_id} of the same incident is unreadable; this run takes its place."
                for run_id in _set_aside(connection, origin)
            ]
            _insert(connection, record, origin, client_report)
            if within is not None:
                within(connection, record)
        return None

    def same(self, origin: Origin, ended_after: datetime) -> Record | None:
        """The run that `insert_unless` would find."""
        with reading(self._engine) as connection:
            return _same(connection, origin, ended_after)

    def get(self, run_id: str) -> Record | None:
        """The record of one run."""
        with reading(self._engine) as connection:
            return next(iter(_records(connection, _RUNS.c.run_id == run_id)), None)

    def kept(self, run_id: str) -> Kept | None:
        """What is kept of one run beside its record."""
        asker = (_RUNS.c.requester, _RUNS.c.trigger, _RUNS.c.trace_id)
        columns = (*asker, _RUNS.c.worker, _RUNS.c.plan_hash, _RUNS.c.withdrawn)
        with reading(self._engine) as connection:
            row = connection.execute(sa.select(*columns).where(_RUNS.c.run_id == run_id)).first()
        if row is None:
            return None
        return Kept(Asker(*row[:3]), row.worker, row.plan_hash, tuple(row.withdrawn) if row.withdrawn else None)

    def withdrawn(self, run_id: str) -> tuple[State, str] | None:
        """The state that a run is to end with, and why, where it is withdrawn. Who waits asks again and again."""
        with reading(self._engine) as connection:
            said = connection.scalar(sa.select(_RUNS.c.withdrawn).where(_RUNS.c.run_id == run_id))
        return tuple(said) if said else None

    def ended(self, run_id: str) -> bool:
        """Whether a run has ended. Who waits asks again and again."""
        with reading(self._engine) as connection:
            return connection.scalar(sa.select(_RUNS.c.finished_at).where(_RUNS.c.run_id == run_id)) is not None

    def adopt(self, run_id: str, worker: str, left_by: str | None, withdrawn: tuple[State, str] | None) -> bool:
        """Gives a run that no worker has, or an open one that `left_by` has, to this one, which begins it or, where it
        is `withdrawn`, ends it so; whether it is this one's now."""
        left = tables.WAITING if left_by is None else _RUNS.c.finished_at.is_(None)
        own = sa.and_(_RUNS.c.run_id == run_id, _RUNS.c.worker.is_not_distinct_from(left_by), left)
        with writing(self._engine) as connection:
            values = {"worker": worker} if withdrawn is None else {"worker": worker, "withdrawn": withdrawn}
            return connection.execute(_RUNS.update().where(own).values(**values)).rowcount == 1

    def withdraw(self, run_id: str, state: State, said: str) -> bool:
        """Has a run end, for the first reason that is given; whether it had not ended."""
        own = sa.and_(_RUNS.c.run_id == run_id, _RUNS.c.finished_at.is_(None))
        values = {"withdrawn": sa.func.coalesce(_RUNS.c.withdrawn, sa.literal([state, said], tables.Json))}
        with writing(self._engine) as connection:
            return connection.execute(_RUNS.update().where(own).values(values)).rowcount == 1

    def beginning_with(self, prefix: str, limit: int) -> list[Record]:
        """The newest runs whose id begins with `prefix`."""
        with reading(self._engine) as connection:
            return _records(connection, sa.and_(*_between(prefix, prefix + "g")), limit)

    def newest(self, wanted: Wanted, limit: int | None) -> list[Record]:
        """The runs that are as wanted, the newest first."""
        with reading(self._engine) as connection:
            return _readable(connection, wanted, limit)

    def readable(self, run_ids: Sequence[str]) -> list[Record]:
        """The records of these runs that are there and can be read, the oldest first."""
        with reading(self._engine) as connection:
            return [
                record
                for some in _steps(run_ids)
                for record in reversed(_readable(connection, _RUNS.c.run_id.in_(some)))
            ]

    def worked_at(self, worker: str) -> list[str]:
        """The runs that are not done at this worker, the oldest first."""
        found = sa.select(_RUNS.c.run_id).where(tables.WAITING, _RUNS.c.worker == worker).order_by(_RUNS.c.run_id)
        with reading(self._engine) as connection:
            return list(connection.scalars(found))

    def workers(self) -> list[str]:
        """The workers with runs that are not done."""
        found = sa.select(_RUNS.c.worker).distinct().where(tables.WAITING, _RUNS.c.worker.is_not(None))
        with reading(self._engine) as connection:
            return list(connection.scalars(found))

    def waiting(self) -> list[tuple[str | None, Record]]:
        """Every run that is not done, with its worker, the oldest first."""
        found = sa.select(_RUNS.c.run_id, _RUNS.c.worker).where(tables.WAITING).order_by(_RUNS.c.run_id)
        with reading(self._engine) as connection:
            workers = {row.run_id: row.worker for row in connection.execute(found)}
        return [(workers[record.run_id], record) for record in self.readable(list(workers))]

    def save(self, record: Record) -> None:
        """Keeps a record as it is now."""
        with self._writing_of(record.run_id) as connection:
            _save(connection, record)

    def touch(self, run_id: str) -> None:
        """Writes what is kept already."""
        with self._writing_of(run_id) as connection:
            connection.execute(_RUNS.update().where(_RUNS.c.run_id == run_id).values(begun=_RUNS.c.begun))

    def finish(self, record: Record, results: Sequence[Result], report: bytes) -> None:
        """Keeps how a run ended, and that it did, all at once."""
        with self._writing_of(record.run_id) as connection:
            _save(connection, record)
            for result in results:
                _save_result(connection, result)
            plans = [result.verdict.model_dump(mode="json")["plan"] if result.verdict else [] for result in results]
            plan_hash = hashlib.sha256(json.dumps(plans).encode()).hexdigest() if any(plans) else None
            connection.execute(_RUNS.update().where(_RUNS.c.run_id == record.run_id).values(plan_hash=plan_hash))
            _keep(connection, record.run_id, "report", "", report)
            said = {"exit_code": record.exit_code}
            over = {"at": record.finished_at or now(), "kind": "ended", "server": None, "data": said}
            _add_events(connection, record.run_id, [over])

    def results(self, run_id: str) -> list[Result]:
        """The result documents of a run, in the order in which the servers were asked for."""
        found = sa.select(_RESULTS.c.document).where(_RESULTS.c.run_id == run_id, _RESULTS.c.document.is_not(None))
        with reading(self._engine) as connection:
            documents = list(connection.scalars(found.order_by(_RESULTS.c.position)))
            return [Result.model_validate_json(zlib.decompress(document)) for document in documents]

    def save_result(self, result: Result) -> None:
        """Keeps the result document of one server."""
        with self._writing_of(result.run_id) as connection:
            _save_result(connection, result)

    def keep(self, run_id: str, kind: str, server: str, content: bytes) -> None:
        """Keeps a document, in the place of the one of the same kind."""
        with self._writing_of(run_id) as connection:
            _keep(connection, run_id, kind, server, content)

    def document(self, run_id: str, kind: str, server: str) -> bytes | None:
        """A document; None where there is none, or where it is not what was kept."""
        found = sa.select(_DOCUMENTS.c.content, _DOCUMENTS.c.sha256).where(
            _DOCUMENTS.c.run_id == run_id, _DOCUMENTS.c.kind == kind, _DOCUMENTS.c.server == server
        )
        with reading(self._engine) as connection:
            row = connection.execute(found).first()
        if row is None:
            return None
        try:
            content = zlib.decompress(row.content)
        except zlib.error:
            return None
        return content if hashlib.sha256(content).hexdigest() == row.sha256 else None

    def add_events(self, run_id: str, events: Iterable[Mapping[str, Any]]) -> None:
        """Adds what happened (`at`, `kind`, `server`, `data`), numbered on from the last event of the run."""
        with self._writing_of(run_id) as connection:
            _add_events(connection, run_id, events)

    def events(self, run_id: str, after: int = 0) -> list[dict[str, Any]]:
        """What happened in a run after the event numbered `after`, in that order."""
        found = sa.select(_EVENTS).where(_EVENTS.c.run_id == run_id, _EVENTS.c.sequence > after)
        with reading(self._engine) as connection:
            return [dict(row) for row in connection.execute(found.order_by(_EVENTS.c.sequence)).mappings()]

    def endings(self, since: datetime | None) -> Iterator[Ended]:
        """Every result that is kept, of runs that began since then; those of a run one after the other."""
        of_result = sa.and_(
            _DOCUMENTS.c.run_id == _RESULTS.c.run_id,
            _DOCUMENTS.c.server == _RESULTS.c.server,
            _DOCUMENTS.c.kind == "wrong",
        )
        of_run = (_RUNS.c.run_id, _RUNS.c.started_at, _RUNS.c.finished_at, _RUNS.c.tracker, _RUNS.c.incident)
        of_server = (_RESULTS.c.server, _RESULTS.c.ending, _RESULTS.c.causes, _RESULTS.c.seconds)
        columns = (*of_run, _RUNS.c.trigger, _RUNS.c.delivery, *of_server, _DOCUMENTS.c.content)
        from_ = sa.join(_RUNS, _RESULTS, _RUNS.c.run_id == _RESULTS.c.run_id).outerjoin(_DOCUMENTS, of_result)
        ended = sa.select(*columns).select_from(from_).where(_RESULTS.c.seconds.is_not(None))
        if since is not None:
            ended = ended.where(_RUNS.c.run_id >= stamp(since))
        with reading(self._engine) as connection:
            ordered = ended.order_by(_RUNS.c.run_id)
            for row in connection.execution_options(yield_per=STEP * 10).execute(ordered):
                right = None if row.content is None else zlib.decompress(row.content).decode()
                incident = f"{row.tracker}:{row.incident}" if row.incident else None
                yield Ended(
                    row.run_id,
                    row.started_at,
                    row.finished_at,
                    incident,
                    row.trigger,
                    row.delivery,
                    row.server,
                    row.ending,
                    row.causes,
                    row.seconds,
                    right,
                )

    def remove_ended(self, before: datetime) -> int:
        """Removes at most STEP runs that ended before that moment and whose report is not pending; how many."""
        old = (
            sa.select(_RUNS.c.run_id)
            .where(_RUNS.c.finished_at < before, _RUNS.c.delivery != "pending")
            .order_by(_RUNS.c.finished_at)
            .limit(STEP)
        )
        with writing(self._engine) as connection:
            run_ids = list(connection.scalars(old))
            # Everything else of a run goes with it.
            connection.execute(_RUNS.delete().where(_RUNS.c.run_id.in_(run_ids)))
        return len(run_ids)


def _insert(connection: sa.Connection, record: Record, origin: Origin, client_report: bytes | None) -> None:
    request = record.request
    tracker, _, incident = str(request.incident or "").partition(":")
    connection.execute(
        _RUNS.insert().values(
            run_id=record.run_id,
            playbook=request.playbook,
            mode=request.mode,
            requester=origin.asker.requester,
            trigger=origin.asker.trigger,
            account=request.account,
            tracker=tracker or None,
            incident=incident or None,
            started_at=record.started_at,
            worker=origin.worker,
            trace_id=origin.asker.trace_id,
            language=request.language,
            inventory_hash=request.inventory_hash,
            request_key=origin.request_key,
            question_key=origin.question_key,
            request=request.model_dump(mode="json"),
            question=record.question,
            **_changing(record),
        )
    )
    for position, server in enumerate(dict.fromkeys(request.servers)):
        connection.execute(
            _RESULTS.insert().values(
                run_id=record.run_id, server=server, position=position, ending=record.endings.get(server)
            )
        )
    if record.pending is not None:
        connection.execute(_PENDING.insert().values(run_id=record.run_id, **record.pending.model_dump()))
    if client_report is not None:
        _keep(connection, record.run_id, "client_report", "", client_report)
    _add_events(connection, record.run_id, [{"at": record.started_at, "kind": "asked", "server": None, "data": {}}])


def _changing(record: Record) -> dict[str, Any]:
    """The columns that change while a run goes on."""
    return {
        "finished_at": record.finished_at,
        "exit_code": record.exit_code,
        "delivery": record.delivery,
        "begun": record.begun,
        "notes": record.notes,
    }


def _save(connection: sa.Connection, record: Record) -> None:
    connection.execute(_RUNS.update().where(_RUNS.c.run_id == record.run_id).values(**_changing(record)))
    if record.finished_at is not None:
        # However the run ended: others would wait for what nobody ends.
        guards.end_all(connection, record.run_id)
    for server, ended in record.endings.items():
        connection.execute(
            _RESULTS.update()
            .where(_RESULTS.c.run_id == record.run_id, _RESULTS.c.server == server)
            .values(ending=ended)
        )
    connection.execute(_PENDING.delete().where(_PENDING.c.run_id == record.run_id))
    if record.pending is not None:
        connection.execute(_PENDING.insert().values(run_id=record.run_id, **record.pending.model_dump()))
        if record.pending.given_up:
            feed.add(connection, "given_up", record.run_id, now(), str(record.pending.rounds))


def _save_result(connection: sa.Connection, result: Result) -> None:
    connection.execute(
        _RESULTS.update()
        .where(_RESULTS.c.run_id == result.run_id, _RESULTS.c.server == result.server)
        .values(
            state=result.state,
            ending=ending(result),
            causes=sorted({cause.cause for cause in result.verdict.root_causes}) if result.verdict else [],
            seconds=(result.finished_at - result.started_at).total_seconds(),
            document=packed(json.dumps(to_json(result)).encode()),
        )
    )


def _keep(connection: sa.Connection, run_id: str, kind: str, server: str, content: bytes) -> None:
    # Each dialect loads all its drivers; the engine has loaded its own one.
    insert = importlib.import_module(f"sqlalchemy.dialects.{connection.dialect.name}").insert
    values = {
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "content": packed(content),
    }
    statement = insert(_DOCUMENTS).values(run_id=run_id, kind=kind, server=server, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=list(_DOCUMENTS.primary_key), set_=values))


def _add_events(connection: sa.Connection, run_id: str, events: Iterable[Mapping[str, Any]]) -> None:
    # Whoever else adds to the same run waits for the run's row.
    connection.execute(sa.select(_RUNS.c.run_id).where(_RUNS.c.run_id == run_id).with_for_update())
    last = connection.scalar(sa.select(sa.func.max(_EVENTS.c.sequence)).where(_EVENTS.c.run_id == run_id)) or 0
    rows = [{**event, "run_id": run_id, "sequence": number} for number, event in enumerate(events, last + 1)]
    if rows:
        connection.execute(_EVENTS.insert(), rows)
    for row in rows:
        if row["kind"] == "ended":
            feed.add(connection, "ended", run_id, row["at"])


def _same(connection: sa.Connection, origin: Origin, ended_after: datetime) -> Record | None:
    if origin.question_key is not None:
        return next(iter(_readable(connection, _RUNS.c.question_key == origin.question_key)), None)
    if origin.request_key is None:
        return None
    open_or_new = sa.or_(_RUNS.c.finished_at.is_(None), _RUNS.c.finished_at > ended_after)
    alike = sa.and_(_RUNS.c.request_key == origin.request_key, open_or_new)
    return next(iter(_readable(connection, alike, limit=1)), None)


def _set_aside(connection: sa.Connection, origin: Origin) -> list[str]:
    """Takes the keys of a new run from those that have them and do not answer it: they cannot be read."""
    if origin.question_key is not None:
        damaged = _RUNS.c.question_key == origin.question_key
    elif origin.request_key is not None:
        damaged = sa.and_(_RUNS.c.request_key == origin.request_key, _RUNS.c.finished_at.is_(None))
    else:
        return []
    run_ids = list(connection.scalars(sa.select(_RUNS.c.run_id).where(damaged)))
    connection.execute(_RUNS.update().where(_RUNS.c.run_id.in_(run_ids)).values(request_key=None, question_key=None))
    return run_ids


def _records(
    connection: sa.Connection, wanted: Wanted | sa.ColumnElement[bool], limit: int | None = None
) -> list[Record]:
    """The records of the runs that are as wanted, the newest first: one statement for them, one for their servers."""
    chosen = page(wanted, limit).subquery()
    found = (
        sa.select(_RUNS, *(column.label(f"pending_{column.name}") for column in _PENDING.c))
        .join(chosen, chosen.c.run_id == _RUNS.c.run_id)
        .outerjoin(_PENDING, _PENDING.c.run_id == _RUNS.c.run_id)
        .order_by(_RUNS.c.run_id.desc())
    )
    rows = connection.execute(found).mappings().all()
    endings: dict[str, dict[str, str]] = {row["run_id"]: {} for row in rows}
    for run_ids in _steps(list(endings)):
        ended = sa.select(_RESULTS.c.run_id, _RESULTS.c.server, _RESULTS.c.ending).where(
            _RESULTS.c.run_id.in_(run_ids), _RESULTS.c.ending.is_not(None)
        )
        for run_id, server, how in connection.execute(ended.order_by(_RESULTS.c.run_id, _RESULTS.c.position)):
            endings[run_id][server] = how
    return [_record(row, endings[row["run_id"]]) for row in rows]


def _readable(
    connection: sa.Connection, wanted: Wanted | sa.ColumnElement[bool], limit: int | None = None
) -> list[Record]:
    """The same without those that cannot be read: a run that is damaged hides no other one."""
    try:
        return _records(connection, wanted, limit)
    except ValueError:
        found: list[Record] = []
        for run_id in list(connection.scalars(page(wanted, None if limit is None else limit + STEP))):
            try:
                found += _records(connection, _RUNS.c.run_id == run_id)
            except ValueError as error:
                _say_unreadable(run_id, one_line(error, 200))
        return found[:limit]


@functools.cache
def _say_unreadable(run_id: str, why: str) -> None:
    """Says so once: lists are read again and again."""
    _LOG.error("run %s is unreadable and left out: %s", run_id, why, extra={"run": run_id})


def page(wanted: Wanted | sa.ColumnElement[bool], limit: int | None) -> sa.Select[Any]:
    """The ids of the runs that are as wanted, the newest first. It ends with the page, read along an index."""
    if not isinstance(wanted, Wanted):
        return sa.select(_RUNS.c.run_id).where(wanted).order_by(_RUNS.c.run_id.desc()).limit(limit)
    conditions: list[sa.ColumnElement[bool]] = []
    run_id: sa.ColumnElement[str] = _RUNS.c.run_id
    found = sa.select(run_id)
    if wanted.server is not None or wanted.ending is not None:
        # A server has a row of every run it was part of: one index gives them in order.
        run_id = _RESULTS.c.run_id
        found = sa.select(run_id)
        if wanted.server is None:
            found = found.distinct()
        if wanted.account is not None or wanted.requester is not None:
            found = found.join(_RUNS, _RUNS.c.run_id == run_id)
    if wanted.server is not None:
        conditions.append(_RESULTS.c.server == wanted.server)
    if wanted.ending is not None:
        conditions.append(_RESULTS.c.ending == wanted.ending)
    if wanted.account is not None:
        conditions.append(_RUNS.c.account == wanted.account)
    if wanted.requester is not None:
        conditions.append(_RUNS.c.requester == wanted.requester)
    if wanted.since is not None:
        conditions.append(run_id >= stamp(wanted.since))
    if wanted.until is not None:
        conditions.append(run_id < stamp(wanted.until + timedelta(milliseconds=1)))
    if wanted.within is not None:
        conditions.append(tables.only_of(run_id, wanted.within))
    if wanted.before is not None:
        conditions.append(run_id < wanted.before)
    return found.where(*conditions).order_by(run_id.desc()).limit(limit)


def stamp(moment: datetime) -> str:
    """How the id of a run begins that was started at `moment` (UTC)."""
    return f"{moment:%Y%m%d-%H%M%S}-{moment.microsecond // 1000:03d}"


def _between(first: str, end: str) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return _RUNS.c.run_id >= first, _RUNS.c.run_id < end


def _record(row: Mapping[Any, Any], endings: dict[str, str]) -> Record:
    pending = None
    if row["pending_run_id"] is not None:
        pending = Pending(**{name: row[f"pending_{name}"] for name in Pending.model_fields})
    return Record(
        run_id=row["run_id"],
        request=Request.model_validate(row["request"]),
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        exit_code=row["exit_code"],
        endings=endings,
        delivery=row["delivery"],
        pending=pending,
        notes=row["notes"],
        begun=row["begun"],
        question=row["question"],
    )


def _steps(run_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (run_ids[first : first + STEP] for first in range(0, len(run_ids), STEP))
