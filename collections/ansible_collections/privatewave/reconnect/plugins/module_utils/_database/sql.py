# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection to the database as Asterisk makes it: the same server, user and password.

The drivers (PyMySQL, psycopg2) are not part of the standard library. Where one is not installed, the probes say so.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, Any

from ansible_collections.privatewave.reconnect.plugins.module_utils import _files
from ansible_collections.privatewave.reconnect.plugins.module_utils._database import odbc
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import config
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, error_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from ansible_collections.privatewave.reconnect.plugins.module_utils._database.documents import Engine
    from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import Error
    from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import Settings

try:
    import pymysql
except ImportError:
    pymysql = None
try:
    import psycopg2
except ImportError:
    psycopg2 = None

ODBC_FILES = ("/etc/odbc.ini", "/usr/local/etc/odbc.ini")
PORTS: dict[Engine, int] = {"mysql": 3306, "postgresql": 5432}
SOCKETS: dict[Engine, tuple[str, ...]] = {
    "mysql": ("/run/mysqld/mysqld.sock", "/var/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock"),
    "postgresql": ("/var/run/postgresql/.s.PGSQL.5432", "/tmp/.s.PGSQL.5432"),
}
_USERS = ("user", "uid", "username", "userid")
_PASSWORDS = ("password", "pwd")
_SERVERS = ("server", "servername", "host")
#: PostgreSQL sends a client that is not logged in a sentence and no code.
_SENTENCES = (
    (re.compile(r"password authentication failed|role .{0,200} does not exist"), "28P01"),
    (re.compile(r"no pg_hba.conf entry|authentication failed"), "28000"),
    (re.compile(r"database .{0,200} does not exist"), "3D000"),
    (re.compile(r"too many clients|remaining connection slots|too many connections"), "53300"),
)
#: Codes of PyMySQL itself, not of the server: the connection failed or was lost.
_CLIENT_CODES = range(2000, 3000)
_NAME = re.compile(r"[A-Za-z0-9_]{1,64}(?:\.[A-Za-z0-9_]{1,64})?\Z")


class Login:
    """Where the database is and as whom Asterisk logs in: ``engine, host, port, socket, database, user`` and the
    password, which no text of this object shows."""

    def __init__(self, engine: Engine, source: Mapping[str, str], res_odbc: Mapping[str, str]) -> None:
        """From the values of a DSN in odbc.ini and of a class in res_odbc.conf; as in Asterisk, the class wins."""
        self.engine = engine
        self.odbc_driver = source.get("driver") or ""
        self.host = _first(source, _SERVERS) or "localhost"
        self.database = source.get("database") or source.get("db") or "asterisk"
        self.user = res_odbc.get("username") or _first(source, _USERS) or ""
        self.password = res_odbc.get("password") or _first(source, _PASSWORDS) or ""
        self.port = int(source["port"]) if source.get("port", "").isdigit() else PORTS[engine]
        self.socket: str | None = source.get("socket") or None
        if self.socket is None and self.host == "localhost" and engine == "mysql":
            # The client library of MariaDB and MySQL takes this name for the socket.
            self.socket = default_socket(engine)


def _first(values: Mapping[str, str], names: Iterable[str]) -> str | None:
    return next((values[name] for name in names if values.get(name)), None)


def parse_ini(text: str) -> dict[str, dict[str, str]]:
    """``{section: {key: value}}`` of an ini file of unixODBC, keys in lower case; ``#`` and ``;`` begin a comment."""
    sections: dict[str, dict[str, str]] = {}
    values: dict[str, str] = {}
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            values = sections.setdefault(line[1:-1].strip(), {})
        elif "=" in line and line[0] not in "#;":
            key, _equals, value = line.partition("=")
            values[key.strip().lower()] = value.strip()
    return sections


def engine_of(settings: Settings) -> Engine:
    """The engine of the server's database. Raises `ProbeError` ``skipped`` when it has none."""
    engine = settings["database_engine"]
    if engine == "none":
        raise ProbeError("skipped", "the server has no database")
    return engine


def login_of(settings: Settings) -> Login:
    """The `Login` that Asterisk uses. Raises `ProbeError` ``missing`` when odbc.ini has none."""
    res_odbc = config.read("res_odbc.conf").get(settings["odbc_class"], {})
    dsn = res_odbc.get("dsn") or settings["odbc_dsn"]
    for path in ODBC_FILES:
        try:
            with open(path, encoding="utf-8", errors="replace", opener=_files.opener) as file:
                source = parse_ini(file.read(config.FILE_LIMIT)).get(dsn)
        except FileNotFoundError:
            continue
        if source is not None:
            return Login(engine_of(settings), source, res_odbc)
    raise ProbeError("missing", "odbc.ini has no data source {0}".format(dsn))


def like(text: str) -> str:
    """A text as it matches itself in a LIKE pattern."""
    return re.sub(r"([\\%_])", r"\\\1", text)


def plain_name(name: str) -> str:
    """The name of a table, view or column that may stand in a statement as it is. Raises `ProbeError` ``invalid``."""
    if not _NAME.match(name):
        raise ProbeError("invalid", "{0!r} is not a valid name of a table, view or column".format(name[:80]))
    return name


def default_socket(engine: Engine) -> str:
    """The path of the server's socket, in its usual places."""
    return next((path for path in SOCKETS[engine] if os.path.exists(path)), SOCKETS[engine][0])


class Connection:
    """A connection, for a ``with`` statement or until `close`.

    Each call is one statement, in a transaction of its own unless it is in `transaction`.
    """

    def __init__(self, login: Login, limit: float) -> None:
        """Log in; ``limit`` is in seconds, for each step.

        Raises `ProbeError`: ``denied`` with the server's ``code`` when it refuses, ``timed_out``, ``refused``,
        ``unreachable``, ``missing`` when there is no driver or no socket.
        """
        self._engine = login.engine
        # Without a driver of Python's, that of Asterisk is there.
        self._driver: Any = {"mysql": pymysql, "postgresql": psycopg2}[login.engine] or odbc
        connect = self._odbc
        if self._driver is not odbc:
            connect = self._mysql if login.engine == "mysql" else self._postgresql
        for is_last in (False, True):
            try:
                self._raw = connect(login, limit)
                return
            except (self._driver.Error, OSError) as error:
                problem = _problem(login.engine, error)
            # One connection that is dropped while it logs in says nothing yet.
            if is_last or problem.error != "refused":
                raise problem

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @staticmethod
    def _odbc(login: Login, limit: float) -> Any:
        if not login.odbc_driver:
            raise ProbeError("missing", "neither Python nor ODBC has a driver for {0}".format(login.engine))
        host = {"SERVER": login.host, "PORT": str(login.port)}
        names = ("UID", "PWD", "DATABASE")
        own = dict(zip(names, (login.user, login.password, login.database)))
        if login.engine == "mysql":
            # With a socket, the driver of MariaDB takes this name for it.
            host = {"SERVER": "localhost", "SOCKET": login.socket} if login.socket else host
            own["CHARSET"] = "utf8mb4"
        elif login.socket:
            host["SERVER"] = os.path.dirname(login.socket)
        return odbc.Connection({"DRIVER": login.odbc_driver, **host, **own}, limit)

    @staticmethod
    def _mysql(login: Login, limit: float) -> Any:
        return pymysql.connect(
            host=login.host,
            port=login.port,
            unix_socket=login.socket,
            user=login.user,
            password=login.password,
            database=login.database or None,
            charset="utf8mb4",
            connect_timeout=limit,
            read_timeout=limit,
            write_timeout=limit,
            autocommit=True,
        )

    @staticmethod
    def _postgresql(login: Login, limit: float) -> Any:
        raw = psycopg2.connect(
            host=os.path.dirname(login.socket) if login.socket else login.host,
            port=login.port,
            user=login.user,
            password=login.password,
            dbname=login.database,
            # libpq takes whole seconds, two at the least.
            connect_timeout=max(2, int(limit)),
            options="-c statement_timeout={0}".format(int(limit * 1000)),
        )
        raw.autocommit = True
        return raw

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[Sequence[Any]]:
        """The rows that answer a statement, as tuples. Raises `ProbeError`."""
        return self._answer(statement, values)[1]

    def records(self, statement: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """The rows that answer a statement, as dicts by column. Raises `ProbeError`."""
        columns, rows = self._answer(statement, values)
        return [dict(zip(columns, row)) for row in rows]

    def change(self, statement: str, values: Sequence[Any] = ()) -> None:
        """Carry out a statement that answers no rows. Raises `ProbeError`."""
        self._answer(statement, values)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """All or nothing: its changes are committed at its end, and rolled back after an exception."""
        self.change("BEGIN")
        try:
            yield self
            self.change("COMMIT")
        except BaseException:
            # Where the connection is lost, the server rolls back by itself.
            with contextlib.suppress(ProbeError):
                self.change("ROLLBACK")
            raise

    def quoted(self, name: str) -> str:
        """A name of a column or table, quoted for a statement."""
        mark = "`" if self._engine == "mysql" else '"'
        return ".".join(mark + part.replace(mark, mark * 2) + mark for part in name.split("."))

    def columns(self, tables: Collection[str]) -> dict[str, list[str]]:
        """The columns of tables of this database, in their order; a missing table has none."""
        found: dict[str, list[str]] = {table: [] for table in tables}
        if found:
            where = "DATABASE()" if self._engine == "mysql" else "current_schema()"
            statement = (
                "SELECT table_name, column_name FROM information_schema.columns"
                " WHERE table_schema = {0} AND table_name IN ({1}) ORDER BY table_name, ordinal_position"
            )
            for table, column in self.rows(statement.format(where, ", ".join(["%s"] * len(found))), list(found)):
                found.setdefault(str(table), []).append(str(column))
        return found

    def hiding(self, tables: Collection[str]) -> list[str]:
        """Which of the tables may hide rows from this user, by row-level security or because they are views."""
        if not tables:
            return []
        statement = (
            "SELECT table_name FROM information_schema.tables"
            " WHERE table_schema = DATABASE() AND table_type <> 'BASE TABLE' AND table_name IN ({0})"
            if self._engine == "mysql"
            else "SELECT relname FROM pg_catalog.pg_class WHERE relnamespace = current_schema()::regnamespace"
            " AND relname IN ({0}) AND (relkind NOT IN ('r', 'p') OR row_security_active(oid))"
        )
        rows = self.rows(statement.format(", ".join(["%s"] * len(tables))), list(tables))
        return sorted(str(row[0]) for row in rows)

    def _answer(self, statement: str, values: Sequence[Any]) -> tuple[list[str], list[Sequence[Any]]]:
        try:
            with self._raw.cursor() as cursor:
                cursor.execute(statement, tuple(values) or None)
                if cursor.description is None:
                    return [], []
                return [column[0] for column in cursor.description], list(cursor.fetchall())
        except (self._driver.Error, OSError) as error:
            raise _problem(self._engine, error) from None

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(self._driver.Error, OSError):
            self._raw.close()


def _problem(engine: Engine, error: BaseException) -> ProbeError:
    """The `ProbeError` of an exception of a driver."""
    if isinstance(error, odbc.Error) and error.is_missing:
        return ProbeError("missing", str(error))
    if isinstance(error, FileNotFoundError):
        return ProbeError("missing", "Python has no driver for {0} on this server, and {1}".format(engine, error))
    if engine == "mysql":
        code = error.args[0] if error.args and isinstance(error.args[0], int) else None
        text = str(error.args[1]) if len(error.args) > 1 else str(error)
        return problem_of_mysql(code, text, getattr(error, "original_exception", None) or error.__context__)
    return problem_of_postgresql(getattr(error, "pgcode", None), str(error))


def problem_of_mysql(code: int | None, text: str, cause: BaseException | None = None) -> ProbeError:
    """The `ProbeError` of an error of PyMySQL: its code, its text, and the exception it came from."""
    if code is None or code in _CLIENT_CODES or code == 0:
        if "timed out" in text:
            return ProbeError("timed_out", text)
        found = error_of(cause) if isinstance(cause, OSError) else "failed"
        return ProbeError("refused" if code == 2013 and found == "failed" else found, text)
    kind: Error = "denied" if code in (1040, 1044, 1045, 1049, 1130, 1142, 1143, 1203, 1226, 1698, 1820) else "failed"
    return ProbeError(kind, text, code=str(code))


def problem_of_postgresql(code: str | None, text: str) -> ProbeError:
    """The `ProbeError` of an error of psycopg2: its SQLSTATE (None before a login) and its text."""
    # The details of a refused row quote all of it, secrets too.
    line = " ".join(text.partition("DETAIL:")[0].split())
    code = code or next((code for pattern, code in _SENTENCES if pattern.search(line)), None)
    if code == "57014" or "timeout expired" in line or "timed out" in line:
        return ProbeError("timed_out", line)
    if code:
        denied = code[:2] in ("28", "3D", "53") or code == "42501"
        return ProbeError("denied" if denied else "failed", line, code=code)
    if "Connection refused" in line:
        return ProbeError("refused", line)
    if "No such file" in line:
        return ProbeError("missing", line)
    unreachable = "No route to host" in line or "unreachable" in line
    return ProbeError("unreachable" if unreachable else "failed", line)
