"""Checks: the service diagnoses servers by itself, again and again, so that a fault is known before users call.

A check is an ordinary run that changes nothing; what it finds is told by outgoing/faults.py. There is none on a server
on which people work (on hold, under maintenance, another run) until a moment after that, and the checks leave workers
to those who wait. Each machine renews the leases of its checks; a check of a machine that is gone is ended, and begins
again elsewhere.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from reconnect import machine
from reconnect.ansible.inventory import Inventory
from reconnect.engine import policy
from reconnect.errors import InputError, ReconnectError, StoreError
from reconnect.hours import within
from reconnect.incidents.client_report import ClientReport
from reconnect.result import now
from reconnect.runs import tables
from reconnect.runs.database import reading, writing
from reconnect.runs.record import Record
from reconnect.runs.request import DIAGNOSE, Asked
from reconnect.service import work
from reconnect.service.desk import Desk
from reconnect.service.loop import Loop
from reconnect.service.starting import asker_of
from reconnect.settings.checks import CheckSettings

_LOG = logging.getLogger("reconnect.service.incoming.checks")
_CHECKS, _RUNS, _RESULTS = tables.checks, tables.runs, tables.results
#: The trigger of a run that a check began.
SCHEDULE = "schedule"
#: A run that a check began and that has not ended.
_OPEN = sa.and_(_RUNS.c.finished_at.is_(None), _RUNS.c.trigger == SCHEDULE)
#: Seconds between two looks for checks that are due.
_PAUSE = 15.0
#: A check that cannot begin, or is to be confirmed by another one, comes again after so long.
SOON = timedelta(minutes=3)
#: Each machine renews the leases of the runs that it has whenever it looks.
_LEASE = timedelta(minutes=5)


class Checks(Loop):
    """Begins the checks of one site. Raises InputError where a check names a server that is not in the inventory."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(_LOG, "cannot begin checks", _PAUSE, level=logging.WARNING)
        self._desk = desk
        self._checks = desk.settings.service.checks
        for check in self._checks.values():
            self._servers(check, desk.inventory())

    def look(self) -> None:
        """Begins what is due. Raises ReconnectError."""
        self._renew()
        self._end_lost()
        found, at = self._desk.inventory(), datetime.now().time()
        wanted = []
        for name, check in self._checks.items():
            try:
                wanted += [(name, server) for server in self._servers(check, found) if within(check.hours, at)]
            except InputError as error:
                _LOG.warning("check %s: %s", name, error)
        for name, server in self._due(wanted):
            if not self._has_room():
                return
            if (until := self._take(name, server)) and not self._is_busy(server, found):
                self._begin(name, server, until)

    def _renew(self) -> None:
        """Renews the leases of the checks whose run is here, or waits for whoever takes it."""
        here = _RUNS.c.worker.startswith(f"{machine.machine(self._desk.settings.state)}.", autoescape=True)
        own = sa.select(_RUNS.c.run_id).where(_OPEN, sa.or_(_RUNS.c.worker.is_(None), here))
        with writing(self._desk.engine) as connection:
            leased = _CHECKS.update().where(_CHECKS.c.run_id.in_(own))
            connection.execute(leased.values(leased_until=now() + _LEASE))

    def _end_lost(self) -> None:
        """Ends the checks that nobody renews: an open run keeps others from its server. They are due again."""
        lost = sa.select(_RUNS.c.run_id).join(_CHECKS, _CHECKS.c.run_id == _RUNS.c.run_id)
        with reading(self._desk.engine) as connection:
            run_ids = list(connection.scalars(lost.where(_OPEN, _CHECKS.c.leased_until <= now())))
        for run in self._desk.runs.readable(run_ids):
            if work.end_lost(run, self._desk.project, self._desk.settings):
                own = _CHECKS.c.run_id == run.run_id
                with writing(self._desk.engine) as connection:
                    connection.execute(_CHECKS.update().where(own).values(next_at=now()))

    def _servers(self, check: CheckSettings, found: Inventory) -> list[str]:
        return found.servers(check.servers or sorted(found.allowed))

    def _due(self, wanted: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those whose time has come, the one that waits longest first. The first ones are spread over the interval."""
        with writing(self._desk.engine) as connection:
            rows = connection.execute(sa.select(_CHECKS.c.name, _CHECKS.c.server, _CHECKS.c.next_at))
            known = {(row.name, row.server): row.next_at for row in rows}
            for name, server in wanted:
                if (name, server) not in known:
                    first = now() + timedelta(minutes=random.uniform(0, self._checks[name].minutes))
                    connection.execute(_CHECKS.insert().values(name=name, server=server, next_at=first))
        due = [(known[one], one) for one in wanted if one in known and known[one] <= now()]
        return [one for _, one in sorted(due)]

    def _take(self, name: str, server: str) -> datetime | None:
        """Until when this is the process that begins it; if it cannot, it comes again then."""
        due, until = sa.and_(_is(name, server), _CHECKS.c.next_at <= now()), now() + SOON
        with writing(self._desk.engine) as connection:
            return until if connection.execute(_CHECKS.update().where(due).values(next_at=until)).rowcount else None

    def _has_room(self) -> bool:
        """Whether a worker is left for those who wait: checks take half of them, and at least one."""
        leased = _CHECKS.c.leased_until > now()
        own = sa.select(sa.func.count()).join_from(_CHECKS, _RUNS, _CHECKS.c.run_id == _RUNS.c.run_id)
        own = own.where(_OPEN, leased)
        with reading(self._desk.engine) as connection:
            return (connection.scalar(own) or 0) < max(1, self._desk.settings.service.workers // 2)

    def _is_busy(self, server: str, found: Inventory) -> bool:
        """Whether people work on the server, or another run."""
        groups = [group for group, members in found.groups.items() if server in members]
        own, _invalid = policy.in_force(self._desk.settings)
        if self._desk.guards.held(server) or own.under_maintenance(now(), groups):
            return True
        open_run = (
            sa.select(_RUNS.c.run_id)
            .join(_RESULTS, _RESULTS.c.run_id == _RUNS.c.run_id)
            .where(_RUNS.c.finished_at.is_(None), _RESULTS.c.server == server)
        )
        with reading(self._desk.engine) as connection:
            return connection.scalar(open_run.limit(1)) is not None

    def _begin(self, name: str, server: str, until: datetime) -> None:
        """Begins a check, and sets the next one. Raises StoreError."""
        following = now() + timedelta(minutes=self._checks[name].minutes * random.uniform(0.9, 1.1))

        def noted(connection: sa.Connection, record: Record) -> None:
            values = {"next_at": following, "run_id": record.run_id, "leased_until": now() + _LEASE}
            own = sa.and_(_is(name, server), _CHECKS.c.next_at == until)
            if not connection.execute(_CHECKS.update().where(own).values(**values)).rowcount:
                raise ReconnectError("Another machine begins it.")

        asked = Asked(playbook=DIAGNOSE, servers=[server])
        try:
            started = self._desk.starter.start(asked, ClientReport(), asker_of(None, SCHEDULE), within=noted)
        except StoreError:
            raise
        except ReconnectError as error:
            # The others need not wait for this one.
            _LOG.warning("check %s of %s cannot begin: %s", name, server, error)
        else:
            _LOG.info("check %s of %s begins", name, server, extra={"run": started.run.run_id})


def _is(name: str, server: str) -> sa.ColumnElement[bool]:
    return sa.and_(_CHECKS.c.name == name, _CHECKS.c.server == server)
