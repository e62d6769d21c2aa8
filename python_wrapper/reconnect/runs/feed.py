"""The feed: what the service tells others, numbered in the order in which it was kept.

A row is written in the transaction of what it tells. So whoever reads on from a number misses nothing.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from sqlalchemy import exc

from reconnect.errors import DamagedError, StoreError
from reconnect.result import now
from reconnect.runs import tables
from reconnect.runs.database import is_shared, reading
from reconnect.text import one_line

_LOG = logging.getLogger("reconnect.runs.feed")
_FEED = tables.feed
#: The key of the advisory lock under which PostgreSQL counts.
_COUNTING = 0x5265636F66656564

Kind = Literal["ended", "approval", "given_up", "fault"]


@dataclass(frozen=True)
class Entry:
    """A row; without a run where that is removed. See `tables.feed`."""

    sequence: int
    at: datetime
    kind: Kind
    run_id: str | None
    subject: str
    unreadable_at: datetime | None


def add(connection: sa.Connection, kind: Kind, run_id: str, at: datetime, subject: str = "") -> None:
    """Adds a row in the transaction of what it tells, unless it is there."""
    own = sa.and_(_FEED.c.run_id == run_id, _FEED.c.kind == kind, _FEED.c.subject == subject)
    if is_shared(connection.engine):
        # Numbers become visible in their order.
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_COUNTING)))
    if connection.scalar(sa.select(_FEED.c.sequence).where(own)) is None:
        row = {"sequence": last(connection) + 1, "at": at, "kind": kind, "run_id": run_id, "subject": subject}
        connection.execute(_FEED.insert().values(**row))


def last(connection: sa.Connection) -> int:
    """The newest number; 0 where there is none."""
    return connection.scalar(sa.select(sa.func.max(_FEED.c.sequence))) or 0


def after(connection: sa.Connection, sequence: int, limit: int) -> list[Entry]:
    """At most `limit` rows after the one with that number, the oldest first."""
    found = sa.select(_FEED).where(_FEED.c.sequence > sequence).order_by(_FEED.c.sequence).limit(limit)
    return [Entry(**row) for row in connection.execute(found).mappings()]


def is_unreadable(error: Exception) -> bool:
    """Whether what went wrong with an entry goes wrong each time. What the store or this machine refuses may not."""
    if isinstance(error, exc.DBAPIError):
        return isinstance(error, exc.DataError | exc.IntegrityError)
    if isinstance(error, StoreError):
        return isinstance(error, DamagedError)
    return not isinstance(error, OSError | MemoryError)


def pass_over(connection: sa.Connection, entry: Entry, error: Exception) -> None:
    """Records that an entry is unreadable, and says so in the log the first time: the others must not wait for it.
    Raises `error` where it `is_unreadable` is not."""
    if not is_unreadable(error):
        raise error
    unknown = sa.and_(_FEED.c.sequence == entry.sequence, _FEED.c.unreadable_at.is_(None))
    if connection.execute(_FEED.update().where(unknown).values(unreadable_at=now())).rowcount:
        what = f"entry {entry.sequence} ({entry.kind}) of the feed is unreadable and passed over"
        defect = None if isinstance(error, DamagedError) else error
        _LOG.error("%s: %s", what, one_line(error, 200), exc_info=defect, extra={"run": entry.run_id})


def newest(engine: sa.Engine) -> int:
    """The newest number; 0 where there is none. Raises StoreError."""
    with reading(engine) as connection:
        return last(connection)
