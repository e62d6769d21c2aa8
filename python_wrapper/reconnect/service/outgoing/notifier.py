"""The notifier: takes from the feed what waits for a person, and tells it over every channel, once.

Only where this process is killed between the answer of a channel and the note of it, the same message goes out again,
with the same id.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from reconnect.errors import ReconnectError
from reconnect.result import now, rfc3339
from reconnect.runs import feed, tables
from reconnect.runs.database import reading, writing
from reconnect.service.desk import Desk
from reconnect.service.outgoing.channels import channels
from reconnect.service.outgoing.faults import UNREACHABLE
from reconnect.service.outgoing.follower import Follower, Row
from reconnect.service.outgoing.wording import message
from reconnect.text import one_line

_LOG = logging.getLogger("reconnect.service.outgoing.notifier")
_ROWS, _FAULTS = tables.notifications, tables.faults
_PAUSE = 2.0
#: A message names all servers that are unreachable; there is no second one for so long.
_UNREACHABLE_AGAIN = timedelta(hours=1)
#: An unreachable server that the message of another one will name looks again after so long.
_TURN = timedelta(seconds=30)


class Notifier(Follower[list[dict[str, Any]]]):
    """The notifications of one site. Raises InputError where a channel's settings are invalid."""

    source = "notifications"
    table = _ROWS
    waiting = _ROWS.c.state == "waiting"
    lease = 900.0

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk, _LOG, "cannot notify", _PAUSE)
        self._channels = channels(desk.settings)
        self._limit = timedelta(seconds=desk.settings.service.notifications.limit_seconds)

    def read(self, entry: feed.Entry) -> list[dict[str, Any]]:
        """A row for each channel that is to tell it. What is as old as what is given up is not told."""
        run = self._desk.runs.get(entry.run_id) if entry.run_id and now() - entry.at < self._limit else None
        if run is None or message(entry.kind, run, entry.subject, entry.at, self._desk.settings) is None:
            return []
        common = {"run_id": run.run_id, "kind": entry.kind, "subject": entry.subject, "since": entry.at}
        state = {"state": "waiting", "attempts": 0, "next_at": now(), "error_message": ""}
        return [{**common, **state, "channel": channel} for channel in self._channels]

    def keep(self, connection: sa.Connection, found: list[dict[str, Any]]) -> None:
        """Keeps the rows that are new."""
        for row in found:
            if connection.scalar(sa.select(_ROWS.c.state).where(self._is(row))) is None:
                connection.execute(_ROWS.insert().values(**row))

    def tell(self, row: Row) -> dict[str, Any]:
        """Sends it, unless nobody is waited for any more. Raises ReconnectError."""
        began = now()
        named: list[str] = []
        if (row["kind"], row["subject"]) == ("fault", UNREACHABLE):
            named, next_at = self._unreachable(row, began)
            if next_at is not None:
                return {"next_at": next_at, "attempts": 0}
        channel, run = self._channels.get(row["channel"]), self._desk.runs.get(row["run_id"])
        settings = self._desk.settings
        said = message(row["kind"], run, row["subject"], row["since"], settings) if run and channel else None
        if channel is None or said is None:
            return {"state": "over", "error_message": ""}
        channel.send(said)
        with writing(self._desk.engine) as connection:
            others = _ROWS.c.run_id.in_(named), _ROWS.c.run_id != row["run_id"], self.waiting
            connection.execute(_ROWS.update().where(_alike(row), *others).values(state="over"))
        what = f"notified by {row['channel']} of what waits since {rfc3339(row['since'])}"
        _LOG.info(what, extra={"run": row["run_id"]})
        return {"state": "sent", "next_at": began, "error_message": ""}

    def failed(self, row: Row, error: ReconnectError, next_at: datetime) -> dict[str, Any]:
        """It is given up where it is tried too long."""
        state = "given_up" if next_at > row["since"] + self._limit else "waiting"
        level = logging.ERROR if state == "given_up" else logging.WARNING
        _LOG.log(level, "%s: %s: %s", row["channel"], state, error, extra={"run": row["run_id"]})
        return {"state": state, "error_message": one_line(error, 400)}

    def _unreachable(self, row: Row, at: datetime) -> tuple[list[str], datetime | None]:
        """The runs whose servers the next message names, and when to look again: the first one that waits sends it, so
        two processes send no two. The message is read after this: it names all that wait now."""
        while self.take():
            pass
        waiting = sa.select(_ROWS.c.run_id).where(_alike(row), self.waiting).order_by(_ROWS.c.since, _ROWS.c.run_id)
        sent = sa.select(sa.func.max(_ROWS.c.next_at, type_=_ROWS.c.next_at.type)).where(_ROWS.c.state == "sent")
        with reading(self._desk.engine) as connection:
            # In this order: who has sent it meanwhile is either still the first one, or has sent it.
            named, sent_at = list(connection.scalars(waiting)), connection.scalar(sent.where(_alike(row)))
        if sent_at is not None and sent_at + _UNREACHABLE_AGAIN > at:
            return named, sent_at + _UNREACHABLE_AGAIN
        return named, None if named[:1] == [row["run_id"]] else at + _TURN


def _alike(row: Row) -> sa.ColumnElement[bool]:
    """The rows of the same kind and channel."""
    return sa.and_(*(_ROWS.c[name] == row[name] for name in ("kind", "subject", "channel")))
