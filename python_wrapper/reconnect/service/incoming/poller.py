"""Pollers: each asks a tracker what was made or changed, because every sender of hooks gives up some day.

What a poller finds goes into the inbox as a delivery. The cursor is the moment of the last poll that succeeded, so what
happened while the service or the tracker was away is asked for afterwards.
"""

from __future__ import annotations

import logging
import math
from datetime import datetime

import sqlalchemy as sa

from reconnect.errors import InputError
from reconnect.incidents import trackers
from reconnect.incidents.trackers.tracker import MOST_CHANGES
from reconnect.names import Incident
from reconnect.result import now, rfc3339
from reconnect.runs import tables
from reconnect.runs.database import reading, writing
from reconnect.service import metrics
from reconnect.service.desk import Desk
from reconnect.service.incoming.inbox import POLL, Delivery, Inbox, is_other
from reconnect.service.loop import Loop
from reconnect.settings.service import Polled

_LOG = logging.getLogger("reconnect.service.incoming.poller")
_CURSORS = tables.cursors
#: A poll asks for this much more than passed since the last one, in minutes: trackers round, and commit late.
_OVERLAP = 2
#: And for no more than this.
_MOST_MINUTES = 7 * 24 * 60


class Poller(Loop):
    """Asks one tracker. Raises InputError where its settings are invalid, or it cannot say what has changed."""

    def __init__(self, desk: Desk, inbox: Inbox, tracker: Polled) -> None:
        self._own = desk.settings.service.polls[tracker]
        said = {"source": tracker}
        super().__init__(_LOG, "cannot poll", self._own.seconds, level=logging.WARNING, said=said)
        self._desk = desk
        self._inbox = inbox
        self._tracker = tracker
        if self._own.ignore_user is None and tracker != "file":
            raise InputError(
                f"The setting service.polls.{tracker} needs ignore_user, the name that Reconnect has in this tracker."
            )
        trackers.of_module(tracker, "changes")
        #: What the last poll found, which the next one finds again.
        self._known: set[str] = set()

    def look(self) -> None:
        """Asks the tracker."""
        self.poll()

    def poll(self) -> int:
        """Asks once; how many deliveries are new. The first time it begins with what is new from then on. Raises
        ReconnectError."""
        began, last = now(), self._read_at()
        if last is not None:
            metrics.POLL_LAG.labels(self._tracker).set((began - last).total_seconds())
        minutes = math.ceil((began - (last or began)).total_seconds() / 60) + _OVERLAP
        new, known = 0, set()
        changes = trackers.changes(self._tracker, self._desk.settings, min(minutes, _MOST_MINUTES))
        if len(changes) >= MOST_CHANGES:
            _LOG.warning(
                "more incidents changed than are read: older ones are left out", extra={"source": self._tracker}
            )
        for change in changes:
            # A path may be long, and the end of a long identifier is not kept.
            identifier = f"{change.version} {change.incident.id}"
            known.add(identifier)
            own = self._own.ignore_user is not None and change.user == self._own.ignore_user
            if identifier not in self._known and not own and self._is_valid(change.incident):
                by_other = is_other(change.user, self._own.ignore_user)
                delivery = Delivery(POLL + self._tracker, identifier, change.incident, by_other)
                new += self._inbox.put(delivery) == "new"
        self._known = known
        self._keep(began)
        metrics.POLL_LAG.labels(self._tracker).set(0)
        return new

    def _is_valid(self, incident: Incident) -> bool:
        try:
            trackers.open_incident(incident, self._desk.settings)
        except InputError as error:
            _LOG.warning("ignored: %s", error, extra={"source": self._tracker})
            return False
        return True

    def _read_at(self) -> datetime | None:
        with reading(self._desk.engine) as connection:
            at: datetime | None = connection.scalar(
                sa.select(_CURSORS.c.read_at).where(_CURSORS.c.source == self._tracker)
            )
        return at

    def _keep(self, at: datetime) -> None:
        values = {"position": rfc3339(at), "read_at": at}
        own = _CURSORS.c.source == self._tracker
        with writing(self._desk.engine) as connection:
            if not connection.execute(_CURSORS.update().where(own).values(**values)).rowcount:
                connection.execute(_CURSORS.insert().values(source=self._tracker, **values))
