"""The database of this site: SQLite in the state folder, or the PostgreSQL that RECONNECT_DATABASE names.

DBOS keeps its workflows in the same database, through the same engine: a run and its place in the queue are written in
one transaction.
"""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import sqlite3
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event, exc

from reconnect.errors import DamagedError, StoreError, TakenError
from reconnect.machine import make_private
from reconnect.runs import tables
from reconnect.runs.holders import Holder, holder_of
from reconnect.settings import Settings
from reconnect.settings.service import MOST_WORKERS
from reconnect.text import one_line

if TYPE_CHECKING:
    import psycopg

FILE = "workflows.sqlite"
#: How long a writer waits for another one, in seconds.
BUSY_SECONDS = 30
#: The same in PostgreSQL, which ends a transaction whose process says nothing for `_IDLE_SECONDS`: a process that is
#: stopped (SIGSTOP) holds up the others no longer than that.
_LOCK_SECONDS, _IDLE_SECONDS = 60, 30
#: The byte of SQLite's shared memory that a writer has locked (WAL_WRITE_LOCK of its wal.c).
_WRITER_BYTE = 120
#: How a session of ours begins its name; the process and the machine follow.
_APPLICATION = "reconnect"
#: What says that another process is in the way: SQLite's primary result code, PostgreSQL's SQLSTATE.
_SQLITE_BUSY, _POSTGRESQL_BUSY = 5, "55P03"
#: How long a PostgreSQL that is restarted is waited for, and how often it is looked for, in seconds.
RESTART_SECONDS = 8.0
_LOOK_SECONDS = 0.2
#: The key of the advisory lock under which PostgreSQL's tables are made.
_MIGRATION = 0x5265636F6E6E6563
#: What SQLite says (primary result codes) where trying again a moment later does not help: read-only, I/O error,
#: damaged, full, cannot be opened, no database.
_SQLITE_REFUSALS = frozenset({8, 10, 11, 13, 14, 26})
#: The same for PostgreSQL: the class of an SQLSTATE (connection, resources, operator, system, damaged), or a whole one
#: (read-only transaction).
_POSTGRESQL_REFUSALS = ("08", "53", "57", "58", "XX", "25006")


def engine_of(settings: Settings) -> sa.Engine:
    """The engine of this process for the database of `settings`; its tables are up to date.

    Raises StoreError when the database fails.
    """
    address = settings.database.get_secret_value() if settings.database is not None else None
    return _engine(address, settings.state)


def is_shared(engine: sa.Engine) -> bool:
    """Whether other machines use the same database."""
    return engine.dialect.name == "postgresql"


class Restarts:
    """Waits for a PostgreSQL that answered a moment ago and now takes no connection: it is restarted. One that is away
    for longer is waited for once. `known`: it answered whoever began this process."""

    known = False

    def __init__(self) -> None:
        self._answered = self.known

    def connect(self, dialect: sa.Dialect, _record: object, words: Any, options: Any) -> Any:
        """A connection, as SQLAlchemy's event `do_connect` wants it."""
        until = time.monotonic() + (RESTART_SECONDS if self._answered else 0)
        while True:
            try:
                connection = dialect.connect(*words, **options)
            except dialect.loaded_dbapi.OperationalError:
                if time.monotonic() >= until:
                    self._answered = False
                    raise
                time.sleep(_LOOK_SECONDS)
            else:
                self._answered = True
                return connection


@contextlib.contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction, which is kept at the end or not at all. Raises StoreError."""
    with one_sentence(engine), engine.begin() as connection:
        if not is_shared(engine):
            # What is read in it must still hold when it writes.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection


@contextlib.contextmanager
def writing_of(run_id: str, worker: str | None, engine: sa.Engine) -> Iterator[sa.Connection]:
    """The same, of one run. Where a `worker` writes, it has the run until the transaction ends; TakenError where it has
    it no more."""
    own = sa.select(tables.runs.c.run_id).where(tables.runs.c.run_id == run_id, tables.runs.c.worker == worker)
    with writing(engine) as connection:
        if worker is not None and connection.scalar(own.with_for_update()) is None:
            raise TakenError(run_id)
        yield connection


@contextlib.contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection to read from. Raises StoreError; DamagedError where what was read is damaged."""
    try:
        with one_sentence(engine), engine.connect() as connection:
            yield connection
    except (ValueError, zlib.error) as error:
        raise DamagedError(f"The database of this site is damaged: {one_line(error, 300).rstrip('.')}.") from None


#: The option of a connection whose errors refuse nothing: whoever has it connects again.
RETRIED = "reconnect_retried"


class Refusals:
    """What a database refused since `clear`, whoever asked: DBOS tries for ever and tells nobody."""

    def __init__(self) -> None:
        self.first: str | None = None

    def clear(self) -> None:
        """Forgets them."""
        self.first = None

    def note(self, context: sa.ExceptionContext) -> None:
        """Notes an error of the database that trying again does not cure."""
        if context.is_pre_ping or (context.connection and context.connection.get_execution_options().get(RETRIED)):
            return
        error = context.original_exception
        code = getattr(error, "sqlite_errorcode", None)
        state = getattr(error, "sqlstate", None)
        lost = (
            code & 0xFF in _SQLITE_REFUSALS
            if isinstance(code, int)
            else str(state).startswith(_POSTGRESQL_REFUSALS) or context.is_disconnect
        )
        if lost and self.first is None:
            self.first = _sentence(error)


#: Of this process.
refusals = Refusals()


def in_memory() -> sa.Engine:
    """A database of its own that no disk has, for what a store refuses."""
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False})
    event.listen(engine, "connect", _prepare_sqlite)
    tables.metadata.create_all(engine)
    return engine


@contextlib.contextmanager
def one_sentence(engine: sa.Engine | None = None) -> Iterator[None]:
    """Whatever the database refuses meanwhile is a StoreError; of a known `engine` it names who is in the way."""
    try:
        yield
    except exc.SQLAlchemyError as error:
        said = getattr(error, "orig", None) or error
        who = _in_the_way(engine, said) if engine is not None else None
        raise StoreError(_sentence(said, who)) from None


def _sentence(said: object, who: Holder | None = None) -> str:
    # Of PostgreSQL without the statement, which psycopg adds.
    said = getattr(getattr(said, "diag", None), "message_primary", None) or said
    sentence = f"Cannot store runs in the database of this site: {one_line(said, 300).rstrip('.')}."
    if who is None:
        return sentence
    stopped = f" It is stopped: continue it (kill -CONT {who.pid}) or end it (kill -KILL {who.pid})."
    return f"{sentence} It is held by {who}.{stopped if who.stopped else ''}"


def _in_the_way(engine: sa.Engine, error: object) -> Holder | None:
    """Whom the database has waited for in vain."""
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(code, int) and code & 0xFF == _SQLITE_BUSY:
        return holder_of(Path(f"{engine.url.database}-shm"), _WRITER_BYTE)
    if getattr(error, "sqlstate", None) == _POSTGRESQL_BUSY:
        with contextlib.suppress(exc.SQLAlchemyError), engine.connect() as connection:
            found = connection.exec_driver_sql(
                "SELECT application_name, host(client_addr), false FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' "
                "AND state <> 'idle' ORDER BY xact_start LIMIT 1"
            ).first()
            return _session(found)
    return None


def lock_holder(connection: sa.Connection, key: int, quiet: float) -> Holder | None:
    """Who holds an advisory lock of PostgreSQL; who has said nothing for more than `quiet` seconds is stopped."""
    found = connection.execute(
        sa.text(
            "SELECT application_name, host(client_addr), "
            "clock_timestamp() - state_change > make_interval(secs => :quiet) FROM pg_locks "
            "JOIN pg_stat_activity USING (pid) JOIN pg_database ON pg_database.oid = pg_locks.database "
            "WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND pg_database.datname = current_database() "
            "AND classid::bigint = :high AND objid::bigint = :low"
        ),
        {"quiet": quiet, "high": key >> 32 & 0xFFFFFFFF, "low": key & 0xFFFFFFFF},
    ).first()
    return _session(found)


def other_session(connection: sa.Connection) -> Holder | None:
    """Who else has a session of Reconnect's at this PostgreSQL."""
    found = connection.exec_driver_sql(
        "SELECT application_name, host(client_addr), false FROM pg_stat_activity WHERE datname = current_database() "
        f"AND starts_with(application_name, '{_APPLICATION} ') "
        "AND application_name <> current_setting('application_name') LIMIT 1"
    ).first()
    return _session(found)


def _session(row: Any) -> Holder | None:
    """A session of PostgreSQL (application name, address, whether it is stopped) as the process that it is of."""
    if row is None:
        return None
    name, _, words = str(row[0]).partition(" ")
    pid, _, machine = words.partition(" ")
    if name != _APPLICATION or not pid.isdigit():
        who = f"a session of {one_line(row[0] or 'another program', 80)}"
        return Holder(0, who, False, one_line(row[1] or "the database's machine", 80))
    return Holder(int(pid), name, bool(row[2]), one_line(machine, 80))


@functools.cache
def _engine(address: str | None, state: Path) -> sa.Engine:
    with one_sentence():
        engine = _sqlite(state) if address is None else _postgresql(address)
        try:
            _migrate(engine)
        except exc.OperationalError as error:
            if "does not exist" not in str(error.orig) or not is_shared(engine):
                raise
            _create_database(engine)
            _migrate(engine)
        return engine


def _sqlite(state: Path) -> sa.Engine:
    file = state / FILE
    try:
        make_private(state)
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreError(f"Cannot store runs in {state}: {error.strerror}.") from None
    # Whatever the folder is called: in an address '?' would end its name.
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(file)), pool_size=20, max_overflow=20)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "handle_error", refusals.note)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    """As DBOS sets up its own connections; and an older SQLite (before 3.42) learns `unixepoch('subsec')`, which DBOS
    takes for granted from Python 3.12 on."""
    connection.isolation_level = "IMMEDIATE"
    connection.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
    connection.execute("PRAGMA foreign_keys=ON")
    if sqlite3.sqlite_version_info < (3, 42):
        connection.create_function("unixepoch", 1, lambda _: round(time.time(), 3))


def _postgresql(address: str) -> sa.Engine:
    try:
        url = sa.make_url(address)
        known = url.get_backend_name() in {"postgresql", "postgres"}
    except (exc.ArgumentError, ValueError):
        known = False
    if not known:
        raise StoreError("RECONNECT_DATABASE is invalid. Use postgresql://USER:PASSWORD@HOST/DATABASE.")
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=20,
        # Each run that a worker has begun a process for keeps one, as long as that works.
        max_overflow=20 + MOST_WORKERS,
        pool_pre_ping=True,
        # A database that is not reached any more is known by that after so many seconds.
        connect_args={
            "connect_timeout": 10,
            "keepalives_idle": 5,
            "keepalives_interval": 3,
            "keepalives_count": 3,
            "tcp_user_timeout": 14_000,
        },
    )
    event.listen(engine, "do_connect", Restarts().connect)
    event.listen(engine, "connect", _prepare_postgresql)
    event.listen(engine, "handle_error", refusals.note)
    return engine


def _prepare_postgresql(connection: psycopg.Connection[Any], _record: object) -> None:
    """A session says whose it is, and holds up nobody for ever."""
    connection.execute(
        "SELECT set_config('application_name', %s, false), set_config('lock_timeout', %s, false), "
        "set_config('idle_in_transaction_session_timeout', %s, false)",
        (f"{_APPLICATION} {os.getpid()} {platform.node()}", f"{_LOCK_SECONDS}s", f"{_IDLE_SECONDS}s"),
    )
    connection.commit()


def _create_database(engine: sa.Engine) -> None:
    server = sa.create_engine(engine.url.set(database="postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    name = server.dialect.identifier_preparer.quote(str(engine.url.database))
    # Another machine may make it at the same moment.
    with contextlib.suppress(exc.IntegrityError, exc.ProgrammingError), server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")


def _migrate(engine: sa.Engine) -> None:
    """Brings the tables up to date; only who has to do so pays for Alembic."""
    with engine.connect() as connection:
        if _revision(connection) == tables.HEAD:
            return
        if not is_shared(engine):
            connection.rollback()
            # Readers and a writer don't wait for each other; where others are connected already, it stays as it is.
            with contextlib.suppress(exc.OperationalError):
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    with engine.begin() as connection:
        if is_shared(engine):
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION)))
        else:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        if _revision(connection) == tables.HEAD:
            return
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        try:
            command.upgrade(config, "head")
        except CommandError:
            revision = one_line(_revision(connection), 40)
            raise StoreError(
                f"The store is of a newer version of Reconnect (revision {revision}). Install that version again, or "
                "restore a backup that this one made."
            ) from None


def _revision(connection: sa.Connection) -> Any:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
