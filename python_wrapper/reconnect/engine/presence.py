"""The workers of machines that share a store: who is there, and who takes over what one left that is gone.

Each process that carries out runs holds the lock `carrier` of its worker. Where that is free, the worker is gone, or
about to come back: nobody carries out its runs. Those of a command end then (resuming.py), for only their machine has
what they need.

A process of the service has a row, too: another machine takes over its runs. Its beat is one statement, in the session
that holds the lock: it says at once that the process is there, that the database answers it, and that nobody has taken
its place. Without one for LOST_SECONDS it ends its playbook and itself, as if it had been killed. Others take its runs
when the lock is free and the last beat is GONE_SECONDS old, by the clock of the database: later than it has ended,
however slow either clock is. A process that is stopped keeps its lock, and its runs.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from reconnect import machine
from reconnect.ansible.playbook import KILL_SECONDS, remove_left
from reconnect.ansible.processes import RunProcesses
from reconnect.engine.locks import Kind, Locks, key_of
from reconnect.errors import ReconnectError
from reconnect.runs import tables
from reconnect.runs.database import engine_of, reading, writing
from reconnect.settings import Settings

if TYPE_CHECKING:
    from reconnect.engine.progress import Progress

_LOG = logging.getLogger("reconnect.engine.presence")
#: A process that the database has not answered for so long is lost; one that has not beaten for so long is gone. The
#: time between is for its playbook to end.
LOST_SECONDS = 10.0
GONE_SECONDS = 20.0
#: A machine that has not been there for so long is not missed any more.
FORGOTTEN_SECONDS = 86400.0
_LOOK_SECONDS = 0.5
_LOCK: Kind = "carrier"
_WORKERS, _RUNS = tables.workers, tables.runs
_NOW: sa.ColumnElement[Any] = sa.cast(sa.func.extract("epoch", sa.func.clock_timestamp()) * 1000, sa.BigInteger)


def _silent(seconds: float) -> sa.ColumnElement[bool]:
    return sa.type_coerce(_WORKERS.c.beat_at, sa.BigInteger) < _NOW - round(seconds * 1000)


#: A machine's worker that is missed, one that is there, and a process of one that is.
MISSED = sa.and_(_WORKERS.c.slots > 0, _silent(GONE_SECONDS))
PRESENT = sa.and_(_WORKERS.c.slots > 0, ~_silent(GONE_SECONDS))
WORKING = sa.and_(_WORKERS.c.slots.is_(None), ~_silent(GONE_SECONDS))
#: A process that may be gone.
_SILENT = sa.and_(_WORKERS.c.slots.is_(None), _silent(GONE_SECONDS))
_WITHOUT_WORK = ~sa.exists().where(_RUNS.c.worker == _WORKERS.c.name, tables.WAITING)


class Presence:
    """That this process is the worker of that name; see the head of this module."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._settings = settings
        self._token = secrets.token_hex(8)
        self._own = sa.and_(_WORKERS.c.name == name, _WORKERS.c.token == self._token)
        self._name = name
        self._locks = Locks(settings, self._beat)
        self._said = False
        self._replaced = False
        self._over = threading.Event()

    def take(self) -> bool:
        """Whether no other process is the worker now, nor will be. Raises StoreError."""
        return self._locks.take(_LOCK, self._name)

    def say(self, shared: bool) -> None:
        """Says to others whether they take over what is left here from now on. Raises StoreError."""
        if self._settings.database is None:
            return
        if shared:
            _put(self._settings, self._name, token=self._token, slots=None)
        else:
            with writing(engine_of(self._settings)) as connection:
                connection.execute(_WORKERS.delete().where(_WORKERS.c.name == self._name))
        self._said = shared

    def watch(self, run_ids: Iterable[str], progress: Progress) -> None:
        """From now on these runs of the service end with the presence. Runs of a command go on without the database.
        Raises StoreError."""
        if not self._said and not self._claim():
            return
        processes = {run_id: RunProcesses(run_id) for run_id in run_ids}

        def watch() -> None:
            while not self._over.wait(_LOOK_SECONDS):
                if self._replaced or time.monotonic() - self._locks.held_at > LOST_SECONDS:
                    progress.note("The database of this site does not answer. The run ends here; a worker restarts it.")
                    for run_id, own in processes.items():
                        own.kill_all(KILL_SECONDS)
                        remove_left(run_id)
                    # Nothing of what is known here is kept or told any more: somebody else may have the run.
                    os._exit(1)

        threading.Thread(target=watch, daemon=True).start()

    def _claim(self) -> bool:
        """Goes on as the process of the service that left work here, if it was one."""
        if self._settings.database is not None:
            before = _WORKERS.update().where(_WORKERS.c.name == self._name)
            with writing(engine_of(self._settings)) as connection:
                self._said = connection.execute(before.values(token=self._token, beat_at=_NOW)).rowcount == 1
        return self._said

    def release(self) -> None:
        """Another one may be the worker. Where work is left, whoever finds it takes it over."""
        self._over.set()
        if self._said:
            with contextlib.suppress(ReconnectError), writing(engine_of(self._settings)) as connection:
                connection.execute(_WORKERS.delete().where(self._own, _WITHOUT_WORK))
        self._locks.release()

    def _beat(self, session: sa.Connection) -> None:
        if not self._said:
            session.exec_driver_sql("SELECT 1")
            return
        self._replaced = session.execute(_WORKERS.update().where(self._own).values(beat_at=_NOW)).rowcount == 0


def here(settings: Settings, slots: int) -> None:
    """The worker of this machine takes so many runs at once; with 0 it has ended. Raises StoreError."""
    _put(settings, machine.machine(settings.state), token="", slots=slots)


def gone(settings: Settings) -> set[str]:
    """The workers of the service that are gone and left work. Raises StoreError."""
    if settings.database is None:
        return set()
    forgotten = sa.and_(_WORKERS.c.slots > 0, _silent(FORGOTTEN_SECONDS))
    with reading(engine_of(settings)) as connection:
        # Everybody looks once a second, and mostly nobody is silent.
        if connection.scalar(sa.select(_WORKERS.c.name).where(sa.or_(_SILENT, forgotten)).limit(1)) is None:
            return set()
    with writing(engine_of(settings)) as connection:
        connection.execute(_WORKERS.delete().where(_SILENT, _WITHOUT_WORK))
        connection.execute(_WORKERS.update().where(forgotten).values(slots=0))
        silent = connection.scalars(sa.select(_WORKERS.c.name).where(_SILENT)).all()
        return {name for name in silent if _is_free(connection, name)}


def at_work(settings: Settings) -> set[str]:
    """The workers of the service that were there a moment ago: a playbook may not have ended. Raises StoreError."""
    if settings.database is None:
        return set()
    with reading(engine_of(settings)) as connection:
        return set(connection.scalars(sa.select(_WORKERS.c.name).where(WORKING)))


def take_over(settings: Settings, name: str, worker: str) -> bool:
    """Gives `worker` of this machine what the worker of that name left, if that one is gone. Raises StoreError."""
    if settings.database is None:
        return False
    with writing(engine_of(settings)) as connection:
        if not _is_free(connection, name):
            return False
        if connection.execute(_WORKERS.delete().where(_SILENT, _WORKERS.c.name == name)).rowcount == 0:
            return False
        left = sa.and_(_RUNS.c.worker == name, tables.WAITING)
        number = connection.scalar(
            sa.select(sa.func.count()).select_from(_RUNS).where(left, _RUNS.c.finished_at.is_(None))
        )
        connection.execute(_RUNS.update().where(left).values(worker=worker))
        own = _WORKERS.c.name == machine.machine(settings.state)
        connection.execute(_WORKERS.update().where(own).values(takeovers=_WORKERS.c.takeovers + (number or 0)))
    if number:
        _LOG.warning("worker %s is gone; worker %s takes over its run", name, worker)
    return True


def _is_free(connection: sa.Connection, name: str) -> bool:
    """Whether nobody has the lock of that worker, nor gets it before this transaction ends."""
    return bool(connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(key_of(_LOCK, name)))))


def _put(settings: Settings, name: str, **values: Any) -> None:
    from sqlalchemy.dialects.postgresql import insert

    values["beat_at"] = _NOW
    row = insert(_WORKERS).values(name=name, **values)
    with writing(engine_of(settings)) as connection:
        connection.execute(row.on_conflict_do_update(index_elements=[_WORKERS.c.name], set_=values))
