"""One set of locks, each named after what it protects.

`worker` a worker and what it has to do. Only this machine's processes meet there.
`begin`  a run of the service that a process is begun for, so that no other machine begins one, too.
`server` a server, while a run is carried out on it. The queue gives the runs on one server their order. It cannot keep
         two of them apart: every worker takes its own runs out of the queue, so two that look at the same moment both
         find nobody at work, and a run on several servers stands in another partition than a run on one of them.
`carrier` a worker by the name that it has on all machines, while a process is that worker (presence.py).
`launch` the start of DBOS: the first process makes its tables.

A lock ends with its process, however that ends. A process that is stopped (SIGSTOP, Ctrl-Z) keeps its locks: whoever
waits for it gives up after `STOPPED_SECONDS` and names it.

Where machines meet, at a server with PostgreSQL as the store, a lock is an advisory lock of the database; all others
are locks on files of the state folder. Whoever holds one of the database beats: a process that is stopped does not, and
is known by that on all machines. With a session that the database has ended it takes its locks again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from reconnect.errors import ReconnectError, StoreError
from reconnect.machine import make_private
from reconnect.runs.holders import Holder, holder_of
from reconnect.settings import Settings
from reconnect.text import one_line

if TYPE_CHECKING:
    from sqlalchemy import Connection

Kind = Literal["worker", "begin", "server", "carrier", "launch"]

_MET_BY_MACHINES: frozenset[Kind] = frozenset({"begin", "server", "carrier"})
_POLL = 0.05
#: How long a stopped process may hold what another one waits for, in seconds; how often it is looked for.
STOPPED_SECONDS = 30.0
_LOOK_SECONDS = 1.0
#: How often the holder of an advisory lock beats, and how long one that is not stopped takes at most, in seconds.
BEAT_SECONDS = 2.0
QUIET_SECONDS = 30.0
#: PostgreSQL ends the session of a machine that is gone after about 14 seconds, and its locks with it.
_KEEP_ALIVE = (
    "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 3; SET tcp_keepalives_count = 3; "
    "SET tcp_user_timeout = 14000; SET idle_session_timeout = 0"
)


class StoppedHolderError(ReconnectError):
    """A process that is stopped holds what is waited for."""

    def __init__(self, what: str, holder: Holder) -> None:
        super().__init__(
            f"Cannot begin: {holder} is stopped and holds {what}. "
            f"Continue it (kill -CONT {holder.pid}) or end it (kill -KILL {holder.pid})."
        )


class Patience:
    """How long a stopped process has held what is waited for."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._looked_at = 0.0
        self._stopped: Holder | None = None
        self._since = 0.0

    def check(self, files: Callable[[], Iterable[Path]]) -> None:
        """See `look`, of the locks on what `files` gives."""
        self.look(lambda: map(holder_of, files()))

    def look(self, holders: Callable[[], Iterable[Holder | None]]) -> None:
        """Looks, about once a second, who holds the locks. Raises StoppedHolderError when one of these processes is
        stopped for `STOPPED_SECONDS`, and what `holders` raises."""
        if time.monotonic() - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = time.monotonic()
        stopped = next((holder for holder in holders() if holder and holder.stopped), None)
        if stopped != self._stopped:
            self._stopped, self._since = stopped, time.monotonic()
        if stopped is not None and time.monotonic() - self._since >= STOPPED_SECONDS:
            raise StoppedHolderError(self._what, stopped)


class Locks:
    """The locks of one holder; use it as a context, or call `release`. Each beat is a statement, that of `beat`."""

    def __init__(self, settings: Settings, beat: Callable[[Connection], object] | None = None) -> None:
        self._settings = settings
        self._statement = beat or (lambda session: session.exec_driver_sql("SELECT 1"))
        self._files: dict[Path, int] = {}
        #: When all locks of the database were held for certain, by the clock of `time.monotonic`.
        self.held_at = time.monotonic()
        self._keys: list[int] = []
        self._session: Connection | None = None
        # Of the session: it is used by the thread that beats, too.
        self._turn = threading.Lock()
        # Whether the beat is: each thread has its own, for it may notice late.
        self._over = threading.Event()

    def __enter__(self) -> Locks:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

    def take(self, kind: Kind, name: str) -> bool:
        """Takes a lock unless somebody holds it; whether it is ours now. Raises StoreError."""
        if self._is_advisory(kind):
            return self._take_advisory(key_of(kind, name))
        try:
            return self._take_file(file_of(self._settings.state, kind, name))
        except OSError as error:
            raise StoreError(f"Cannot store runs in {self._settings.state}: {error.strerror}.") from None

    def holder(self, kind: Kind, name: str) -> Holder | None:
        """Who holds a lock that somebody else has; None where nobody is known. Raises StoreError."""
        if self._is_advisory(kind):
            return self._advisory_holder(key_of(kind, name))
        return holder_of(file_of(self._settings.state, kind, name))

    def are_held(self) -> bool:
        """Whether all of them are ours now, also where the database has ended the session that they were taken in."""
        with self._turn:
            # The second one takes them again.
            return not self._keys or self._answers() or self._answers()

    def release(self) -> None:
        """Gives all of them back."""
        while self._files:
            os.close(self._files.popitem()[1])
        self._over.set()
        with self._turn:
            self._keys.clear()
            if self._session is not None:
                from sqlalchemy.exc import SQLAlchemyError

                # The server ends a session a moment after it was closed, and its locks with it.
                with contextlib.suppress(SQLAlchemyError):
                    self._session.exec_driver_sql("SELECT pg_advisory_unlock_all()")
                self._drop()

    def _is_advisory(self, kind: Kind) -> bool:
        return self._settings.database is not None and kind in _MET_BY_MACHINES

    def _take_file(self, file: Path) -> bool:
        make_private(file.parent)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._files[file] = descriptor
        return True

    def _take_advisory(self, key: int) -> bool:
        from sqlalchemy import func, select

        from reconnect.runs import database

        with database.one_sentence(), self._turn:
            taken = bool(self._connected().scalar(select(func.pg_try_advisory_lock(key))))
            if taken:
                if not self._keys:
                    self._over = threading.Event()
                    self.held_at = time.monotonic()
                    threading.Thread(target=self._beat, args=(self._over,), daemon=True).start()
                self._keys.append(key)
            return taken

    def _connected(self) -> Connection:
        """The session, with its locks where another one had them. Raises SQLAlchemyError."""
        from sqlalchemy import exc, func, select

        from reconnect.runs import database

        if self._session is None:
            self._session = database.engine_of(self._settings).connect()
            options: Any = {"isolation_level": "AUTOCOMMIT", database.RETRIED: True}
            self._session = self._session.execution_options(**options)
            self._session.exec_driver_sql(_KEEP_ALIVE)
            if not all(self._session.scalar(select(func.pg_try_advisory_lock(key))) for key in self._keys):
                self._drop()
                raise exc.InvalidRequestError("another session has a lock")
        return self._session

    def _drop(self) -> None:
        # It must not go back into the pool: a lock that is left would go with it.
        if self._session is not None:
            self._session.invalidate()
            self._session.close()
            self._session = None

    def _beat(self, over: threading.Event) -> None:
        while not over.wait(BEAT_SECONDS):
            began = time.monotonic()
            with self._turn:
                if over.is_set():
                    return
                if self._answers():
                    self.held_at = began

    def _answers(self) -> bool:
        """Whether the session has all locks."""
        from sqlalchemy.exc import SQLAlchemyError

        try:
            self._statement(self._connected())
        except SQLAlchemyError:
            self._drop()
            return False
        except StoreError:
            return False
        return True

    def _advisory_holder(self, key: int) -> Holder | None:
        from reconnect.runs import database

        with database.reading(database.engine_of(self._settings)) as connection:
            return database.lock_holder(connection, key, QUIET_SECONDS)


def key_of(kind: Kind, name: str) -> int:
    """The number of an advisory lock."""
    return int.from_bytes(hashlib.sha256(f"{kind}:{name}".encode()).digest()[:8], signed=True)


def file_of(state: Path, kind: Kind, name: str) -> Path:
    """The file that a lock is on."""
    return state / "locks" / kind / f"{quote(name, safe='')}.lock"


@contextlib.contextmanager
def held(
    settings: Settings, kind: Kind, names: Sequence[str], given_up: Callable[[], bool] = lambda: False
) -> Iterator[Locks]:
    """Holds the locks of all `names` meanwhile; waits for them until that is `given_up`.

    Raises StoreError, and StoppedHolderError when a stopped process holds one for too long.

    Everybody takes them in the same order: nobody waits for somebody who waits for them.
    """
    with Locks(settings) as locks:
        for name in sorted(set(names)):
            _wait_for(locks, kind, name, given_up)
        yield locks


def _wait_for(locks: Locks, kind: Kind, name: str, given_up: Callable[[], bool]) -> None:
    patience = Patience(f"the lock of {kind} {one_line(name, 80)}")
    while not locks.take(kind, name) and not given_up():
        patience.look(lambda: [locks.holder(kind, name)])
        time.sleep(_POLL)
