"""Followers: each takes the entries of the feed, keeps what is to be told as rows, and tells each row until it is told.

How far the feed is read and the rows are kept in one transaction. A row is claimed before it is told, and noted
afterwards. Only where this process is killed in between, the same is told again: what is told has a marker.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar, Generic, TypeVar

import sqlalchemy as sa

from reconnect.engine.durable import delay
from reconnect.errors import ReconnectError
from reconnect.result import now
from reconnect.runs import feed, tables
from reconnect.runs.database import reading, writing
from reconnect.service.desk import Desk
from reconnect.service.loop import Loop

_CURSORS = tables.cursors
#: So many entries are taken at once.
_STEP = 100

Row = Mapping[Any, Any]
Found = TypeVar("Found")


class Follower(Loop, Generic[Found]):
    """Follows the feed of one site from its first look on.

    Rows of `table` that are `waiting` have `attempts` and `next_at`. Whoever is killed while it tells one leaves it for
    `lease` seconds: longer than telling takes.
    """

    source: ClassVar[str]
    table: ClassVar[sa.Table]
    waiting: ClassVar[sa.ColumnElement[bool]]
    lease: ClassVar[float]

    def __init__(self, desk: Desk, log: logging.Logger, failure: str, seconds: float) -> None:
        super().__init__(log, failure, seconds, level=logging.WARNING)
        self._desk = desk

    @abstractmethod
    def read(self, entry: feed.Entry) -> Found | None:
        """What of an entry is to be kept; None where nothing is."""

    @abstractmethod
    def keep(self, connection: sa.Connection, found: Found) -> None:
        """Keeps it."""

    @abstractmethod
    def tell(self, row: Row) -> dict[str, Any]:
        """Tells a row; the values that it has then."""

    @abstractmethod
    def failed(self, row: Row, error: ReconnectError, next_at: datetime) -> dict[str, Any]:
        """The values of a row that could not be told and is tried again at `next_at`."""

    def look(self) -> None:
        """Takes what is new, and tells what is due. Raises StoreError."""
        while self.take():
            pass
        while self.tell_next():
            pass

    def take(self) -> bool:
        """Takes some of the feed; whether there was any. The first time it begins with what comes from then on."""
        own = _CURSORS.c.source == self.source
        with reading(self._desk.engine) as connection:
            position = connection.scalar(sa.select(_CURSORS.c.position).where(own))
            entries = feed.after(connection, int(position), _STEP) if position is not None else []
        if position is None:
            self._begin()
        if not entries:
            return False
        taken: list[tuple[feed.Entry, Found]] = []
        unread: list[tuple[feed.Entry, Exception]] = []
        for entry in entries:
            try:
                found = self.read(entry)
            except Exception as error:
                unread.append((entry, error))
            else:
                taken += [(entry, found)] if found is not None else []
        with writing(self._desk.engine) as connection:
            at = {"position": str(entries[-1].sequence), "read_at": now()}
            same = sa.and_(own, _CURSORS.c.position == position)
            if not connection.execute(_CURSORS.update().where(same).values(**at)).rowcount:
                # Another process has taken them.
                return True
            for entry, found in taken:
                try:
                    with connection.begin_nested():
                        self.keep(connection, found)
                except Exception as error:
                    unread.append((entry, error))
            for entry, reason in unread:
                feed.pass_over(connection, entry, reason)
        return True

    def tell_next(self) -> bool:
        """Tells the row that is due first; False where none is."""
        due = sa.and_(self.waiting, self.table.c.next_at <= now())
        first = sa.select(self.table).where(due).order_by(self.table.c.next_at).limit(1)
        with writing(self._desk.engine) as connection:
            row = connection.execute(first.with_for_update(skip_locked=True)).mappings().first()
            if row is None:
                return False
            claim = {"attempts": row["attempts"] + 1, "next_at": now() + timedelta(seconds=self.lease)}
            connection.execute(self.table.update().where(self._is(row)).values(**claim))
        try:
            values = self.tell(row)
        except Exception as error:
            if not isinstance(error, ReconnectError):
                self._log.exception("%s: a defect of Reconnect", self._failure, extra={"run": row["run_id"]})
                error = ReconnectError(f"A defect of Reconnect: {type(error).__name__}.")
            next_at = now() + timedelta(seconds=delay(row["attempts"] + 1, error))
            values = {"next_at": next_at, **self.failed(row, error, next_at)}
        with writing(self._desk.engine) as connection:
            # Where it took longer than the lease, somebody else may have it.
            own = self.table.c.next_at == claim["next_at"]
            connection.execute(self.table.update().where(self._is(row), own).values(**values))
        return True

    def _begin(self) -> None:
        with writing(self._desk.engine) as connection:
            if connection.scalar(sa.select(_CURSORS.c.source).where(_CURSORS.c.source == self.source)) is None:
                at = {"position": str(feed.last(connection)), "read_at": now()}
                connection.execute(_CURSORS.insert().values(source=self.source, **at))

    def _is(self, row: Row) -> sa.ColumnElement[bool]:
        return sa.and_(*(column == row[column.name] for column in self.table.primary_key))
