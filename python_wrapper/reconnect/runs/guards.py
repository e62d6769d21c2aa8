"""Who may begin a remedy now, on all machines that use the store: holds, pairs, and the blast radius; and who has
escalated what no remedy fixes.

Whether a remedy may begin is decided and written down in one transaction. So parallel runs count each other.

Of the servers that need the same remedy for the same cause, one is the canary. Once it is fixed and verified, twice as
many as were verified so far may be under way at the same time. After the first that did not help, no other begins.

Of the nodes of a pair, one at a time is changed, whatever the remedy. What did not help on one begins on no other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from reconnect.result import UNTOUCHED, now, rfc3339
from reconnect.runs import tables
from reconnect.runs.database import engine_of, is_shared, reading, writing, writing_of
from reconnect.runs.record import Hold
from reconnect.settings import Settings
from reconnect.text import counted, one_line

_HOLDS, _REMEDIES, _RUNS = tables.holds, tables.remedies, tables.runs
#: The `server` of a hold on everything.
EVERYTHING = ""
#: A reason is no longer than this, in characters.
REASON_LENGTH = 300
#: The key of the advisory lock under which PostgreSQL counts.
_COUNTING = 0x5265636F72656D65

BEGUN, DONE, ESCALATED, JOINED = "begun", "done", "escalated", "joined"
#: The `remedy` of a cause that a person has to fix.
NO_REMEDY = ""


@dataclass(frozen=True)
class Reach:
    """How far a remedy may reach: on at most `servers` servers, or on `percent` of the inventory's where that is more,
    within `window` seconds."""

    servers: int
    percent: int
    window: int

    def most(self, inventory: int) -> int:
        """The number of servers, of an inventory of so many."""
        return max(self.servers, inventory * self.percent // 100)


@dataclass(frozen=True)
class Wish:
    """A remedy that a run wants to begin on a server; `inventory` is how many servers there are in all, `partners` are
    the other nodes of its pair. It `undoes` what another run did: then no radius limits it, and it may be tried on a
    node where it did not help on the partner."""

    run_id: str
    server: str
    server_id: str | None
    remedy: str
    cause: str
    inventory: int
    partners: tuple[str, ...] = ()
    undoes: bool = False


@dataclass(frozen=True)
class Permission:
    """Whether a remedy may begin. If not, `reason` says why; `wait`: it may later, `escalate`: the next level has to
    look at it. `room`: how many servers may begin it now."""

    allowed: bool
    reason: str = ""
    room: int = 1
    wait: bool = False
    escalate: bool = False


@dataclass(frozen=True)
class Escalation:
    """What a run escalated for a server; `more` are the servers that only the run which joined it has the cause on."""

    run_id: str
    server: str
    cause: str
    more: list[str]


class Guards:
    """The guards of one store. Whatever it does raises StoreError when the database fails. What a `worker` writes of a
    run raises TakenError where somebody else has it by now."""

    def __init__(self, settings: Settings, worker: str | None = None) -> None:
        self._engine = engine_of(settings)
        self._worker = worker

    # Holds

    def hold(self, servers: Sequence[str], reason: str, held_by: str) -> None:
        """Holds servers, or everything; an older hold on the same gives way."""
        said = {"reason": one_line(reason, REASON_LENGTH), "held_by": one_line(held_by, 80), "since": now()}
        with writing(self._engine) as connection:
            connection.execute(_HOLDS.delete().where(_HOLDS.c.server.in_(servers)))
            connection.execute(_HOLDS.insert(), [{"server": server, **said} for server in servers])

    def release(self, servers: Sequence[str]) -> list[str]:
        """Releases servers, or everything; those that were on hold."""
        with writing(self._engine) as connection:
            held = list(connection.scalars(sa.select(_HOLDS.c.server).where(_HOLDS.c.server.in_(servers))))
            connection.execute(_HOLDS.delete().where(_HOLDS.c.server.in_(servers)))
        return held

    def holds(self) -> list[Hold]:
        """The holds in force."""
        with reading(self._engine) as connection:
            return [Hold(*row) for row in connection.execute(sa.select(_HOLDS).order_by(_HOLDS.c.server))]

    def held(self, server: str, server_id: str | None = None) -> Hold | None:
        """The hold on a server, however it is called where its id is known; one on everything comes first."""
        with reading(self._engine) as connection:
            return _held(connection, server, server_id)

    def names(self, server: str, server_id: str | None) -> set[str]:
        """The names by which the machine is known, this one among them: an inventory may have several."""
        with reading(self._engine) as connection:
            if (server_id := server_id or _server_id(connection, server)) is None:
                return {server}
            of_machine = sa.select(_REMEDIES.c.server).distinct().where(_REMEDIES.c.server_id == server_id)
            known = connection.scalars(of_machine).all()
            # A name may have gone to another machine.
            return {server, *(name for name in known if _server_id(connection, name) == server_id)}

    # Remedies

    def begin(self, wish: Wish, reach: Reach) -> Permission:
        """Whether the remedy may begin now; where it may, it has begun."""
        with writing_of(wish.run_id, self._worker, self._engine) as connection:
            _alone(connection)
            hold = _held(connection, wish.server, wish.server_id)
            if hold is not None:
                release = f"reconnect release {hold.server}".rstrip()
                return Permission(False, f"{hold.sentence()} '{release}' ends it. Nothing is changed while it stands.")
            found = _standing(connection, wish, reach)
            if not found.allowed:
                if found.escalate:
                    _note(connection, wish, ESCALATED)
                return found
            _note(connection, wish, BEGUN)
        return Permission(True)

    def may_begin(self, wish: Wish, reach: Reach) -> Permission:
        """What `begin` would say now, but for holds; nothing is written down."""
        with reading(self._engine) as connection:
            return _standing(connection, wish, reach)

    def end(self, run_id: str, server: str, remedy: str, cause: str, state: str) -> None:
        """A remedy ended; one that changed nothing is not counted."""
        own = sa.and_(_row(run_id, server, remedy, cause), _REMEDIES.c.state == BEGUN)
        with writing_of(run_id, self._worker, self._engine) as connection:
            if state in UNTOUCHED:
                connection.execute(_REMEDIES.delete().where(own))
            else:
                connection.execute(_REMEDIES.update().where(own).values(state=state, ended_at=now()))

    def end_all(self, run_id: str) -> None:
        """See `end_all`."""
        with writing_of(run_id, self._worker, self._engine) as connection:
            end_all(connection, run_id)

    # Escalations

    def escalate(self, run_id: str, causes: Collection[tuple[str, str]], window: int) -> None:
        """The run of an incident escalates causes (server, cause), unless those of other incidents have escalated each
        of them within `window` seconds: then it joins them. What was decided for a run stays."""
        with writing_of(run_id, self._worker, self._engine) as connection:
            _alone(connection)
            decided = sa.select(_REMEDIES.c.run_id).where(
                _REMEDIES.c.run_id == run_id,
                _REMEDIES.c.state.in_([ESCALATED, JOINED]),
                _REMEDIES.c.remedy == NO_REMEDY,
            )
            if connection.scalar(decided.limit(1)) is not None:
                return
            lately = now() - timedelta(seconds=window), now()
            known = all(_escalated(connection, run_id, cause, *lately) is not None for _, cause in causes)
            for server, cause in causes:
                _note(connection, Wish(run_id, server, None, NO_REMEDY, cause, 1), JOINED if known else ESCALATED)

    def joined(self, run_id: str) -> Escalation | None:
        """The escalation that a run has joined; None where it escalated itself or there was nothing to escalate."""
        with reading(self._engine) as connection:
            own = connection.execute(
                _REMEDIES.select().where(_REMEDIES.c.run_id == run_id, _REMEDIES.c.state == JOINED)
            )
            for row in (rows := own.all()):
                first = _escalated(connection, run_id, row.cause, datetime.fromtimestamp(0, UTC), row.began_at)
                if first is not None:
                    earlier = sa.select(_REMEDIES.c.server).where(
                        _REMEDIES.c.remedy == NO_REMEDY,
                        _REMEDIES.c.cause == row.cause,
                        _REMEDIES.c.run_id != run_id,
                        _REMEDIES.c.began_at.between(first.began_at, row.began_at),
                    )
                    more = {one.server for one in rows} - set(connection.scalars(earlier))
                    return Escalation(first.run_id, first.server, row.cause, sorted(more))
        return None

    def identities(self, servers: Sequence[str]) -> list[str]:
        """What each server is known by: the id that it gave last, else its name."""
        with reading(self._engine) as connection:
            return [_server_id(connection, server) or server for server in servers]


def end_all(connection: sa.Connection, run_id: str) -> None:
    """Whatever a run has begun and not ended was not verified: it counts as failed."""
    begun = sa.and_(_REMEDIES.c.run_id == run_id, _REMEDIES.c.state == BEGUN)
    connection.execute(_REMEDIES.update().where(begun).values(state="failed", ended_at=now()))


def _alone(connection: sa.Connection) -> None:
    """Nobody else counts before the transaction ends; SQLite has one writer anyway."""
    if is_shared(connection.engine):
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_COUNTING)))


def _held(connection: sa.Connection, server: str, server_id: str | None) -> Hold | None:
    server_id = server_id or _server_id(connection, server)
    holds = [Hold(*row) for row in connection.execute(sa.select(_HOLDS).order_by(_HOLDS.c.server))]
    for hold in holds:
        if hold.server in {EVERYTHING, server}:
            return hold
        if server_id is not None and _server_id(connection, hold.server) == server_id:
            return hold
    return None


def _server_id(connection: sa.Connection, server: str) -> str | None:
    known = (
        sa.select(_REMEDIES.c.server_id)
        .where(_REMEDIES.c.server == server, _REMEDIES.c.server_id.is_not(None))
        .order_by(_REMEDIES.c.began_at.desc())
        .limit(1)
    )
    found: str | None = connection.scalar(known)
    return found


def _standing(connection: sa.Connection, wish: Wish, reach: Reach) -> Permission:
    """What stands against the wish. Servers are counted by their names: a name is given by the inventory, an id by the
    server itself."""
    recent = connection.execute(
        sa.select(_REMEDIES)
        .where(_REMEDIES.c.remedy == wish.remedy, _REMEDIES.c.began_at > now() - timedelta(seconds=reach.window))
        .order_by(_REMEDIES.c.began_at)
    ).all()
    touched = [row for row in recent if row.state != ESCALATED]
    same = [row for row in touched if row.cause == wish.cause]
    own = [row for row in same if (row.run_id, row.server) == (wish.run_id, wish.server)]
    if any(row.state == BEGUN for row in own):
        # A run that was interrupted asks again.
        return Permission(True)
    if (of_pair := _of_pair(connection, wish, reach)) is not None:
        return of_pair
    if wish.undoes:
        return Permission(True)
    what = f"{wish.remedy} for {wish.cause}"
    last = {row.server: row for row in same if row.server != wish.server}
    failed = next((row for row in last.values() if row.state not in {BEGUN, DONE}), None)
    if failed is not None:
        return Permission(
            False,
            f"{what} did not help on {failed.server} (run {failed.run_id}). No other server gets it before "
            f"{rfc3339(failed.began_at + timedelta(seconds=reach.window))}.",
        )
    servers = {row.server for row in touched} | {wish.server}
    most = reach.most(wish.inventory)
    if len(servers) > most:
        told = next((row for row in recent if row.state == ESCALATED and row.cause == wish.cause), None)
        before = f" Run {told.run_id} escalated it for {told.server}." if told else ""
        return Permission(
            False,
            f"{wish.remedy} was begun on {counted(len(servers) - 1, 'server')} within "
            f"{counted(reach.window // 60, 'minute')}. That is the limit: find out what they have in common.{before}",
            escalate=told is None,
        )
    verified = {row.server for row in same if row.state == DONE}
    under_way = {server: row for server, row in last.items() if row.state == BEGUN}
    room = max(1, 2 * len(verified)) - len(under_way)
    if room < 1:
        first = next(iter(under_way.values()))
        return Permission(
            False,
            f"{what} is under way on {', '.join(under_way)} (run {first.run_id}). Other servers wait until it is "
            "verified there.",
            wait=True,
        )
    return Permission(True, room=room)


def _of_pair(connection: sa.Connection, wish: Wish, reach: Reach) -> Permission | None:
    """What stands against the wish on a partner; None: nothing."""
    if not wish.partners:
        return None
    since = now() - timedelta(seconds=reach.window)
    # Whatever they are called.
    ids = {_server_id(connection, partner) for partner in wish.partners} - {None, wish.server_id}
    partner = sa.or_(_REMEDIES.c.server.in_(wish.partners), _REMEDIES.c.server_id.in_(ids))
    rows = connection.execute(
        sa.select(_REMEDIES, _RUNS.c.finished_at, partner.label("of_partner"))
        .join(_RUNS, _RUNS.c.run_id == _REMEDIES.c.run_id)
        .where(
            sa.or_(_REMEDIES.c.server == wish.server, partner),
            _REMEDIES.c.remedy != NO_REMEDY,
            sa.or_(_REMEDIES.c.began_at > since, _REMEDIES.c.state == BEGUN),
        )
        .order_by(_REMEDIES.c.began_at)
    ).all()
    same = [row for row in rows if row.remedy == wish.remedy and row.began_at > since]
    last = {row.server: row for row in same if row.of_partner and row.state != ESCALATED}
    # What a run that is over began and did not end is not verified.
    failed = next((row for row in last.values() if row.state != DONE and (row.state != BEGUN or row.finished_at)), None)
    if failed is not None and not wish.undoes:
        told = next((row for row in same if row.state == ESCALATED), None)
        before = f" Run {told.run_id} escalated it for {told.server}." if told else ""
        return Permission(
            False,
            f"{wish.remedy} did not help on {failed.server}, a partner of {wish.server} (run {failed.run_id}). It does "
            f"not begin here before {rfc3339(failed.began_at + timedelta(seconds=reach.window))}: find out why it did "
            f"not help.{before}",
            escalate=told is None,
        )
    begun = next((row for row in rows if row.of_partner and row.state == BEGUN and not row.finished_at), None)
    if begun is not None:
        return Permission(
            False,
            f"{begun.remedy} is under way on {begun.server}, a partner of {wish.server} (run {begun.run_id}). One node "
            "at a time is changed.",
            wait=True,
        )
    return None


def _escalated(
    connection: sa.Connection, run_id: str, cause: str, since: datetime, until: datetime
) -> sa.Row[Any] | None:
    """The newest escalation of a cause by a run of another incident."""
    own = sa.select(_RUNS.c.tracker, _RUNS.c.incident).where(_RUNS.c.run_id == run_id).subquery()
    return connection.execute(
        sa.select(_REMEDIES)
        .join(_RUNS, _RUNS.c.run_id == _REMEDIES.c.run_id)
        .join(own, sa.or_(_RUNS.c.tracker != own.c.tracker, _RUNS.c.incident != own.c.incident))
        .where(
            _REMEDIES.c.remedy == NO_REMEDY,
            _REMEDIES.c.cause == cause,
            _REMEDIES.c.state == ESCALATED,
            _REMEDIES.c.began_at.between(since, until),
        )
        .order_by(_REMEDIES.c.began_at.desc())
        .limit(1)
    ).first()


def _row(run_id: str, server: str, remedy: str, cause: str) -> sa.ColumnElement[bool]:
    """Its primary key."""
    return sa.and_(
        _REMEDIES.c.run_id == run_id,
        _REMEDIES.c.server == server,
        _REMEDIES.c.remedy == remedy,
        _REMEDIES.c.cause == cause,
    )


def _note(connection: sa.Connection, wish: Wish, state: str) -> None:
    connection.execute(_REMEDIES.delete().where(_row(wish.run_id, wish.server, wish.remedy, wish.cause)))
    connection.execute(
        _REMEDIES.insert().values(
            run_id=wish.run_id,
            server=wish.server,
            server_id=wish.server_id,
            remedy=wish.remedy,
            cause=wish.cause,
            began_at=now(),
            state=state,
        )
    )
