"""Copies of the store: a backup in a file, a backup taken back, and a store that moves to another database.

A backup is an SQLite file with the tables of `tables`, whatever database the store is in. What DBOS keeps is not needed
for a run that ended; one that was under way is ended when its backup is taken back.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy import exc

from reconnect.errors import InputError, StoreError
from reconnect.exit_codes import ExitCode
from reconnect.machine import make_private
from reconnect.result import now
from reconnect.runs import tables
from reconnect.runs.database import FILE, engine_of, is_shared, other_session, reading, writing
from reconnect.runs.store import beside
from reconnect.settings import Settings
from reconnect.text import one_line

#: So many rows are copied at once; a document may have some megabytes.
_STEP = 20
_NOTE = "The run was under way when the backup was made. It was not started again."


def backup(settings: Settings, file: Path) -> int:
    """Writes the store to `file`, at once or not at all, and gives back how many runs it has. Others may go on using
    the store. Raises InputError where the file cannot be written, StoreError."""
    engine = engine_of(settings)
    try:
        temporary = beside(file)
    except OSError as error:
        raise InputError(f"Cannot write {one_line(file)}: {_reason(error)}.") from None
    with _scratch(settings) as scratch:
        source = settings.state / FILE
        if is_shared(engine):
            _copy_rows(engine, engine_of(scratch))
            source = scratch.state / FILE
        try:
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
            _copy_file(source, temporary)
            count = _sound(temporary)
            temporary.replace(file)
        except (OSError, sqlite3.Error) as error:
            temporary.unlink(missing_ok=True)
            raise InputError(f"Cannot write {one_line(file)}: {_reason(error)}.") from None
    return count


def restore(settings: Settings, file: Path) -> int:
    """Replaces the store by the backup in `file`, and gives back how many runs it has; of an older version it is
    migrated. What was under way is ended, and not started again.

    Raises InputError where the file is no sound backup or the store is in use; then the store is as it was. Raises
    StoreError.
    """
    with _scratch(settings) as scratch:
        try:
            _copy_file(file, scratch.state / FILE)
            count = _sound(scratch.state / FILE)
        except (OSError, sqlite3.Error) as error:
            raise InputError(f"{one_line(file)} is not a backup of a store: {_reason(error)}.") from None
        taken = engine_of(scratch)
        _end_what_is_open(taken)
        if settings.database is None:
            taken.dispose()
            with _alone(settings.state / FILE) as store:
                _into(scratch.state / FILE, store)
        else:
            engine = engine_of(settings)
            _refuse_others(engine)
            _copy_rows(taken, engine, replace=True)
    return count


def copy(settings: Settings, address: str) -> int:
    """Copies the store into the empty PostgreSQL database at `address`, and gives back how many runs it has. The store
    stays as it is. Raises InputError where the database is not empty or the store is in use, StoreError."""
    try:
        url = sa.make_url(address)
    except (exc.ArgumentError, ValueError):
        url = sa.make_url("none://")
    if url.get_backend_name() not in {"postgresql", "postgres"}:
        raise InputError("--to takes postgresql://USER@HOST/DATABASE.")
    if url.password is not None:
        raise InputError("Everybody on this machine can read a password in --to. Put it into ~/.pgpass.")
    source = engine_of(settings)
    target = engine_of(settings.model_copy(update={"database": SecretStr(address)}))
    with reading(target) as connection:
        filled = next((one for one in tables.metadata.sorted_tables if _count(connection, one)), None)
    if filled is not None:
        raise InputError(f"The database is not empty: its table {filled.name} has rows.")
    if is_shared(source):
        _refuse_others(source)
        return _copy_rows(source, target)
    source.dispose()
    with _alone(settings.state / FILE):
        pass
    return _copy_rows(source, target)


@contextlib.contextmanager
def _scratch(settings: Settings) -> Iterator[Settings]:
    """The settings of an SQLite store in a folder that is gone afterwards."""
    try:
        make_private(settings.state)
        folder = tempfile.TemporaryDirectory(prefix="store-", dir=settings.state)
    except OSError as error:
        raise StoreError(f"Cannot store runs in {settings.state}: {error.strerror}.") from None
    with folder as name:
        yield settings.model_copy(update={"state_dir": Path(name), "database": None})


def _copy_file(source: Path, target: Path) -> None:
    """A consistent copy of an SQLite database, in one file. Raises sqlite3.Error."""
    with contextlib.closing(sqlite3.connect(target)) as copy:
        _into(source, copy)
        copy.execute("PRAGMA journal_mode=DELETE")


def _into(source: Path, target: sqlite3.Connection) -> None:
    address = f"{source.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as original:
        original.backup(target)


def _sound(file: Path) -> int:
    """How many runs a store's file has. Raises sqlite3.Error where it is damaged, or the file of another program."""
    with contextlib.closing(sqlite3.connect(file)) as database:
        [said] = database.execute("PRAGMA integrity_check(1)").fetchone()
        if said != "ok":
            raise sqlite3.DatabaseError(said)
        database.execute("SELECT version_num FROM alembic_version")
        return int(database.execute("SELECT count(*) FROM runs").fetchone()[0])


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection to the store's file, which nobody else has open when it begins. Raises InputError."""
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with contextlib.closing(sqlite3.connect(file, timeout=1)) as store:
            # Only who is alone can leave the write-ahead log.
            store.execute("PRAGMA journal_mode=DELETE")
            yield store
            store.execute("PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError as error:
        raise InputError(f"The store is in use ({error}). End the service and every run, then try again.") from None
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"The store is damaged: {_reason(error)}. Move {file} away, then try again.") from None


def _refuse_others(engine: sa.Engine) -> None:
    with reading(engine) as connection:
        other = other_session(connection)
    if other is not None:
        raise InputError(f"The store is in use by {other}. End the service and every run, then try again.")


def _copy_rows(source: sa.Engine, target: sa.Engine, replace: bool = False) -> int:
    """Copies every row in one transaction, as the source is at one moment; how many runs there are."""
    frozen = reading(source.execution_options(isolation_level="REPEATABLE READ")) if is_shared(source) else None
    with frozen or writing(source) as old, writing(target) as new:
        for table in reversed(tables.metadata.sorted_tables) if replace else ():
            new.execute(table.delete())
        for table in tables.metadata.sorted_tables:
            found = old.execution_options(yield_per=_STEP).execute(sa.select(table)).mappings()
            for some in found.partitions(_STEP):
                new.execute(table.insert(), [dict(row) for row in some])
        return _count(new, tables.runs)


def _end_what_is_open(engine: sa.Engine) -> None:
    runs, results, remedies = tables.runs, tables.results, tables.remedies
    with writing(engine) as connection:
        found = connection.execute(sa.select(runs.c.run_id, runs.c.notes).where(runs.c.finished_at.is_(None))).all()
        for run_id, notes in found:
            ended = {"finished_at": now(), "exit_code": int(ExitCode.STOPPED), "notes": [*notes, _NOTE]}
            connection.execute(runs.update().where(runs.c.run_id == run_id).values(**ended))
            own = sa.and_(results.c.run_id == run_id, results.c.ending.is_(None))
            connection.execute(results.update().where(own).values(ending="cancelled"))
            begun = sa.and_(remedies.c.run_id == run_id, remedies.c.state == "begun")
            connection.execute(remedies.update().where(begun).values(state="failed", ended_at=now()))


def _count(connection: sa.Connection, table: sa.Table) -> int:
    return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def _reason(error: OSError | sqlite3.Error) -> str:
    said = error.strerror if isinstance(error, OSError) else str(error)
    return one_line(said, 200).rstrip(".")
