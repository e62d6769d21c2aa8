# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection to the database as Asterisk makes it: the same server, user and password.

The drivers (PyMySQL, psycopg2) are no part of the standard library: where one isn't installed, the database can't be
asked, and the probes say so.
"""

from __future__ import annotations

import contextlib
import os
import re

from ansible_collections.privatewave.reconnect.plugins.module_utils import _config
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, error_of

try:
    import pymysql
except ImportError:
    pymysql = None
try:
    import psycopg2
except ImportError:
    psycopg2 = None

ODBC_FILES = ("/etc/odbc.ini", "/usr/local/etc/odbc.ini")
PORTS = {"mysql": 3306, "postgresql": 5432}
SOCKETS = {
    "mysql": ("/run/mysqld/mysqld.sock", "/var/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock"),
    "postgresql": ("/var/run/postgresql/.s.PGSQL.5432", "/tmp/.s.PGSQL.5432"),
}
_USERS = ("user", "uid", "username", "userid")
_PASSWORDS = ("password", "pwd")
_SERVERS = ("server", "servername", "host")
#: PostgreSQL tells a client that isn't logged in no code, but a sentence.
_SENTENCES = (
    (re.compile(r"password authentication failed|role .* does not exist"), "28P01"),
    (re.compile(r"no pg_hba.conf entry|authentication failed"), "28000"),
    (re.compile(r"database .* does not exist"), "3D000"),
    (re.compile(r"too many clients|remaining connection slots|too many connections"), "53300"),
)
#: What PyMySQL itself (not the server) calls a connection that failed or was lost.
_CLIENT_CODES = range(2000, 3000)


class Login:
    """Where the database is and as whom Asterisk logs in: ``engine, host, port, socket, database, user`` and the
    password, which no text of this object shows."""

    def __init__(self, engine, odbc, res_odbc):
        """Of the values of a DSN in odbc.ini and of a class in res_odbc.conf; as in Asterisk, the class wins."""
        self.engine = engine
        self.host = _first(odbc, _SERVERS) or "localhost"
        self.database = odbc.get("database") or odbc.get("db") or "asterisk"
        self.user = res_odbc.get("username") or _first(odbc, _USERS) or ""
        self.password = res_odbc.get("password") or _first(odbc, _PASSWORDS) or ""
        self.port = int(odbc["port"]) if odbc.get("port", "").isdigit() else PORTS[engine]
        self.socket = odbc.get("socket") or None
        if self.socket is None and self.host == "localhost" and engine == "mysql":
            # The client library of MariaDB and MySQL takes this name for the socket.
            self.socket = default_socket(engine)


def _first(values, names):
    return next((values[name] for name in names if values.get(name)), None)


def parse_ini(text):
    """``{section: {key: value}}`` of an ini file of unixODBC, keys in lower case; ``#`` and ``;`` begin a comment."""
    sections, values = {}, {}
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            values = sections.setdefault(line[1:-1].strip(), {})
        elif "=" in line and line[0] not in "#;":
            key, _equals, value = line.partition("=")
            values[key.strip().lower()] = value.strip()
    return sections


def login_of(settings):
    """The `Login` that Asterisk uses. Raises `ProbeError` ``missing`` when it is configured nowhere."""
    res_odbc = _config.read("res_odbc.conf").get(settings.get("odbc_class") or "asterisk", {})
    dsn = res_odbc.get("dsn") or settings.get("odbc_dsn") or "asterisk"
    for path in ODBC_FILES:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                odbc = parse_ini(file.read(_config.FILE_LIMIT)).get(dsn)
        except FileNotFoundError:
            continue
        if odbc is not None:
            return Login(settings.get("database_engine") or "mysql", odbc, res_odbc)
    raise ProbeError("missing", "odbc.ini has no data source {0}".format(dsn))


def default_socket(engine):
    """The path of the server's socket, where it usually is."""
    return next((path for path in SOCKETS[engine] if os.path.exists(path)), SOCKETS[engine][0])


class Connection:
    """A connection: each call is one statement, a transaction of its own unless it is in `transaction`."""

    def __init__(self, login, limit):
        """Log in. Raises `ProbeError`: ``denied`` with the server's ``code`` when it says no, ``timed_out``,
        ``refused``, ``unreachable``, ``missing`` when there is no driver or no socket."""
        self._engine = login.engine
        driver = {"mysql": pymysql, "postgresql": psycopg2}[login.engine]
        if driver is None:
            raise ProbeError("missing", "python has no driver for {0} here".format(login.engine))
        try:
            self._raw = self._mysql(login, limit) if login.engine == "mysql" else self._postgresql(login, limit)
        except (driver.Error, OSError) as error:
            raise _problem(login.engine, error) from None

    @staticmethod
    def _mysql(login, limit):
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
    def _postgresql(login, limit):
        raw = psycopg2.connect(
            host=os.path.dirname(login.socket) if login.socket else login.host,
            port=login.port,
            user=login.user,
            password=login.password,
            dbname=login.database,
            # libpq counts in whole seconds, from two on.
            connect_timeout=max(2, int(limit)),
            options="-c statement_timeout={0}".format(int(limit * 1000)),
        )
        raw.autocommit = True
        return raw

    def rows(self, statement, values=()):
        """The rows that answer a statement, as tuples. Raises `ProbeError`."""
        return self._answer(statement, values)[1]

    def records(self, statement, values=()):
        """The rows that answer a statement, as dicts by column. Raises `ProbeError`."""
        columns, rows = self._answer(statement, values)
        return [dict(zip(columns, row)) for row in rows]

    def change(self, statement, values=()):
        """Carry out a statement that answers no rows. Raises `ProbeError`."""
        self._answer(statement, values)

    @contextlib.contextmanager
    def transaction(self):
        """All or nothing: what is done within it is kept at its end, and nothing of it after an exception."""
        self.change("BEGIN")
        try:
            yield self
            self.change("COMMIT")
        except BaseException:
            # Where the connection is lost, the server rolls back by itself.
            with contextlib.suppress(ProbeError):
                self.change("ROLLBACK")
            raise

    def quoted(self, name):
        """A name of a column or table as it is written into a statement."""
        mark = "`" if self._engine == "mysql" else '"'
        return ".".join(mark + part.replace(mark, mark * 2) + mark for part in name.split("."))

    def columns(self, tables):
        """``{table: [column]}`` of tables of this database, in their order; one that is missing has none."""
        found = {table: [] for table in tables}
        if found:
            where = "DATABASE()" if self._engine == "mysql" else "current_schema()"
            statement = (
                "SELECT table_name, column_name FROM information_schema.columns"
                " WHERE table_schema = {0} AND table_name IN ({1}) ORDER BY table_name, ordinal_position"
            )
            for table, column in self.rows(statement.format(where, ", ".join(["%s"] * len(found))), list(found)):
                found.setdefault(str(table), []).append(str(column))
        return found

    def _answer(self, statement, values):
        driver = pymysql if self._engine == "mysql" else psycopg2
        try:
            with self._raw.cursor() as cursor:
                cursor.execute(statement, tuple(values) or None)
                if cursor.description is None:
                    return [], []
                return [column[0] for column in cursor.description], list(cursor.fetchall())
        except (driver.Error, OSError) as error:
            raise _problem(self._engine, error) from None

    def close(self):
        """Hang up."""
        driver = pymysql if self._engine == "mysql" else psycopg2
        try:
            self._raw.close()
        except (driver.Error, OSError):
            return


def _problem(engine, error):
    """The `ProbeError` of an exception of a driver."""
    if engine == "mysql":
        code = error.args[0] if error.args and isinstance(error.args[0], int) else None
        text = str(error.args[1]) if len(error.args) > 1 else str(error)
        return problem_of_mysql(code, text, getattr(error, "original_exception", None) or error.__context__)
    return problem_of_postgresql(getattr(error, "pgcode", None), str(error))


def problem_of_mysql(code, text, cause=None):
    """The `ProbeError` of an error of PyMySQL: its code, its text, and the exception it came from."""
    if code is None or code in _CLIENT_CODES or code == 0:
        if "timed out" in text:
            return ProbeError("timed_out", text)
        found = error_of(cause) if isinstance(cause, OSError) else "failed"
        return ProbeError("refused" if code == 2013 and found == "failed" else found, text)
    kind = "denied" if code in (1040, 1044, 1045, 1049, 1130, 1142, 1143, 1203, 1226, 1698, 1820) else "failed"
    return ProbeError(kind, text, code=str(code))


def problem_of_postgresql(code, text):
    """The `ProbeError` of an error of psycopg2: its SQLSTATE (None before a login) and its text."""
    # The details of a refused row quote all of it, its secrets too.
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
