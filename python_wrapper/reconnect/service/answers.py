"""Requests with an Idempotency-Key: the same key and request give the same run for a day."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from reconnect.result import now
from reconnect.runs import tables
from reconnect.runs.database import writing
from reconnect.service.problems import Problem

if TYPE_CHECKING:
    from reconnect.runs.record import Record
    from reconnect.runs.rows import Within
    from reconnect.runs.store import Run

KEPT = timedelta(hours=24)
#: A request that has no run after this long has none any more: its process is gone.
_UNDER_WAY = timedelta(minutes=5)
_ANSWERS = tables.answers


class Answers:
    """The runs that answer the requests of one store."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def once(self, who: str, key: str | None, request: str, make: Callable[[Within | None], Run]) -> str:
        """The id of the run that answers this request of this person, begun only where there is none. `make` hands on
        what it is given to the transaction that makes the run: neither is there without the other. Raises Problem
        where the key was for another request, its run is still being made, or another request was faster: then this one
        begins no run."""
        if key is None:
            return make(None).run_id
        own = sa.and_(_ANSWERS.c.who == who, _ANSWERS.c.key == key)
        digest, at = hashlib.sha256(request.encode()).hexdigest(), now()
        # One that took so long that its row was removed is not the one that a later request made.
        mine = sa.and_(own, _ANSWERS.c.at == at)
        with writing(self._engine) as connection:
            expired = sa.or_(
                _ANSWERS.c.at < at - KEPT,
                sa.and_(_ANSWERS.c.run_id.is_(None), _ANSWERS.c.at < at - _UNDER_WAY),
            )
            connection.execute(_ANSWERS.delete().where(expired))
            # Of two at once, PostgreSQL has the second one wait here for the first.
            insert = importlib.import_module(f"sqlalchemy.dialects.{connection.dialect.name}").insert(_ANSWERS)
            begun = insert.values(who=who, key=key, request=digest, at=at).on_conflict_do_nothing()
            first = connection.execute(begun).rowcount == 1
            row = None if first else connection.execute(sa.select(_ANSWERS).where(own)).first()
        if not first:
            if row is not None and row.request != digest:
                raise Problem(422, "Another request used this Idempotency-Key. Send a new one.")
            if row is None or row.run_id is None:
                raise _again("still runs")
            return str(row.run_id)

        def bind(connection: sa.Connection, record: Record) -> None:
            free = sa.or_(_ANSWERS.c.run_id.is_(None), _ANSWERS.c.run_id == record.run_id)
            if connection.execute(_ANSWERS.update().where(mine, free).values(run_id=record.run_id)).rowcount != 1:
                raise _again("was faster")

        try:
            run = make(bind)
        except BaseException:
            with writing(self._engine) as connection:
                connection.execute(_ANSWERS.delete().where(mine, _ANSWERS.c.run_id.is_(None)))
            raise
        with writing(self._engine) as connection:
            # A run that was under way for the same incident answers, too.
            bind(connection, run.record)
        return run.run_id


def _again(why: str) -> Problem:
    """The same request gets its answer a moment later."""
    return Problem(409, f"A request with this Idempotency-Key {why}. Send it again.", Retry_After="2")
