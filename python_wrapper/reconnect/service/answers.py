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
_ANSWERS = tables.answers


class Answers:
    """The runs that answer the requests of one store."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def once(self, who: str, key: str | None, request: str, make: Callable[[Within | None], Run]) -> str:
        """The id of the run that answers this request of this person, begun only where there is none. `make` hands on
        what it is given to the transaction that makes the run: neither is there without the other. So what is killed
        leaves nothing that a later request waits for. Raises Problem where the key was for another request, or another
        request was faster: then this one begins no run."""
        if key is None:
            return make(None).run_id
        own = sa.and_(_ANSWERS.c.who == who, _ANSWERS.c.key == key)
        digest, at = hashlib.sha256(request.encode()).hexdigest(), now()

        def known(connection: sa.Connection) -> str | None:
            row = connection.execute(sa.select(_ANSWERS).where(own)).first()
            if row is not None and row.request != digest:
                raise Problem(422, "Another request used this Idempotency-Key. Send a new one.")
            return None if row is None else str(row.run_id)

        def bind(connection: sa.Connection, record: Record) -> None:
            # Of two at once, PostgreSQL has the second one wait here for the first.
            insert = importlib.import_module(f"sqlalchemy.dialects.{connection.dialect.name}").insert(_ANSWERS)
            answer = insert.values(who=who, key=key, request=digest, at=at, run_id=record.run_id)
            connection.execute(answer.on_conflict_do_nothing())
            if known(connection) != record.run_id:
                said = "A request with this Idempotency-Key was faster. Send it again."
                raise Problem(409, said, Retry_After="2")

        with writing(self._engine) as connection:
            # One without a run is of an older version, which was killed.
            connection.execute(_ANSWERS.delete().where(sa.or_(_ANSWERS.c.at < at - KEPT, _ANSWERS.c.run_id.is_(None))))
            run_id = known(connection)
        if run_id is not None:
            return run_id
        run = make(bind)
        with writing(self._engine) as connection:
            # A run that was under way for the same incident answers, too.
            bind(connection, run.record)
        return run.run_id
