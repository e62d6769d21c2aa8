# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions about the database behind Asterisk, asked as Asterisk asks it: the subset ``database``.

The questions after the login share one connection, one after the other: a database that is short of connections must
not lose more of them to its diagnosis.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import glob
import ipaddress
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from ansible_collections.privatewave.reconnect.plugins.module_utils._database.codes import DAMAGED
from ansible_collections.privatewave.reconnect.plugins.module_utils._database.realtime import (
    contacts_table,
    database_tables,
    parse_realtime,
)
from ansible_collections.privatewave.reconnect.plugins.module_utils._database.sql import (
    Connection,
    Login,
    default_socket,
    engine_of,
    login_of,
    plain_name,
)
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import config, sockets
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import process as processes
from ansible_collections.privatewave.reconnect.plugins.module_utils._host.run import run
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._text import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ansible_collections.privatewave.reconnect.plugins.module_utils._database.documents import (
        Accounts,
        Admin,
        Busy,
        DatabaseProcess,
        Engine,
        IncompleteAccount,
        LoggedIn,
        Lookup,
        Missing,
        Place,
        Port,
        Query,
        Refused,
        Session,
        Status,
        TableState,
        Verb,
        Writes,
    )
    from ansible_collections.privatewave.reconnect.plugins.module_utils._host.documents import ProcessFacts
    from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import Settings

LIMIT = 3.0
#: Seconds for the driver: fewer than for the question, so that the driver can still say what it waited for.
DRIVER_LIMIT = 2.5
#: Rows that are read, and incomplete accounts that are reported.
_ROWS = 20000
_INCOMPLETE = 50

#: The questions that share a connection, in their order.
SESSION = ("login", "query", "status", "schema", "lookup", "accounts", "writes", "tables")
PROCESSES = {
    "mysql": (("mariadbd", "mysqld"), ("/run/mysqld/mysqld.pid", "/run/mariadb/mariadb.pid")),
    "postgresql": (("postgres",), ("/run/postgresql/*.pid", "/var/lib/pgsql/data/postmaster.pid")),
}
ADMINS: dict[Engine, str] = {"mysql": "root", "postgresql": "postgres"}
#: The families of the accounts; contacts may be elsewhere, see `contacts_table`.
TABLES = {"pjsip": ("ps_endpoints", "ps_auths", "ps_aors"), "sip": ("sippeers",)}
#: The column by which each driver looks an account up.
KEYS = {"pjsip": "id", "sip": "name"}
#: The statements by which a registration is written.
WRITTEN: dict[str, tuple[Verb, ...]] = {"pjsip": ("INSERT", "UPDATE", "DELETE"), "sip": ("UPDATE",)}
#: EXPLAIN writes nothing: the server checks the table and the user's rights, and stops there.
_WRITES: dict[Verb, str] = {
    "INSERT": "EXPLAIN INSERT INTO {0} ({1}) VALUES ('')",
    "UPDATE": "EXPLAIN UPDATE {0} SET {1} = {1} WHERE {1} = ''",
    "DELETE": "EXPLAIN DELETE FROM {0} WHERE {1} = ''",
}
_TEXT_LIMIT = 300

_MYSQL_STATUS = {
    "threads_connected": "Threads_connected",
    "max_used_connections": "Max_used_connections",
    "uptime": "Uptime",
    "slow": "Slow_queries",
}
_MYSQL_VARIABLES = ("max_connections", "read_only", "super_read_only", "innodb_read_only")
_MYSQL_SESSIONS = (
    "SELECT user, command NOT IN ('Sleep', 'Daemon'), time, state FROM information_schema.processlist"
    " WHERE id <> CONNECTION_ID() AND command <> 'Daemon'"
)
_POSTGRESQL_SESSIONS = """
SELECT usename, state <> 'idle', extract(epoch FROM now() - state_change)::int,
       concat_ws(' ', state, wait_event_type, wait_event)
FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
_BUSY = 5
#: A plain user sees neither kind nor state of the sessions of others. Some connections are reserved for administrators.
_POSTGRESQL_STATUS = """
SELECT (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL AND usename IS NOT NULL),
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
       pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on',
       extract(epoch FROM now() - pg_postmaster_start_time())::int
"""


def questions(settings: Settings, account: str | None = None) -> dict[str, tuple[Callable[[], Any], float]]:
    """``{probe: (function, limit in seconds)}`` of the subset ``database``."""
    del account
    session = _Session(settings)
    return {
        "process": (lambda: process(settings), LIMIT),
        "place": (lambda: place(settings), LIMIT),
        "port": (lambda: port(settings), LIMIT),
        "login": (session.login, LIMIT),
        "query": (lambda: session.ask("query", query), LIMIT),
        "status": (lambda: session.ask("status", status), LIMIT),
        "schema": (lambda: session.ask("schema", schema), LIMIT),
        "lookup": (lambda: session.ask("lookup", lookup), LIMIT),
        "accounts": (lambda: session.ask("accounts", accounts), LIMIT),
        "writes": (lambda: session.ask("writes", writes), LIMIT),
        "tables": (lambda: session.ask("tables", check), LIMIT),
        "admin": (lambda: admin(settings), LIMIT),
    }


class _Session:
    """One connection for the questions of `SESSION`, which take turns in that order and must all be asked."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.engine = engine_of(settings)
        self.tables: list[str] = []
        self._connection: Connection | None = None
        self._error: ProbeError | None = None
        self._done = {name: threading.Event() for name in SESSION}

    def login(self) -> LoggedIn:
        """Log in; every other question waits for this one."""
        try:
            login = login_of(self.settings)
            self.tables = tables(self.settings)
            self._connection = Connection(login, DRIVER_LIMIT)
            version = self.rows("SELECT version()")[0][0]
            where = login.socket or login.host
            return {"user": login.user, "host": where, "engine": login.engine, "server_version": str(version)}
        except ProbeError as error:
            self._error = error
            raise
        except Exception as error:
            self._error = ProbeError("failed", str(error))
            raise
        finally:
            self._done["login"].set()

    def ask(self, name: str, question: Callable[[_Session], Any]) -> Any:
        """Ask ``question(session)`` in its turn. Raises `ProbeError`, the login's own when the login failed."""
        self._done[SESSION[SESSION.index(name) - 1]].wait()
        try:
            if self._error is not None:
                raise ProbeError(self._error.error, "there is no login: {0}".format(self._error))
            return question(self)
        finally:
            self._done[name].set()
            if name == SESSION[-1] and self._connection is not None:
                self._connection.close()

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[Sequence[Any]]:
        """The rows of a statement."""
        return self._connected().rows(statement, values)

    def columns(self) -> dict[str, list[str]]:
        """The columns of its tables."""
        return self._connected().columns(self.tables)

    def hiding(self) -> list[str]:
        """Those of its tables that may hide rows."""
        return self._connected().hiding(self.tables)

    def _connected(self) -> Connection:
        if self._connection is None:
            raise ProbeError("failed", "there is no login")
        return self._connection


def process(settings: Settings) -> DatabaseProcess:
    """The server's process as the kernel sees it, and its unit, which may be an instance of the one in the settings."""
    names, patterns = PROCESSES[settings["database_engine"]]
    unit = settings["database_unit"]
    pid_files = [path for pattern in patterns for path in sorted(glob.glob(pattern))]
    pid = processes.main_pid(unit, pid_files, names)
    facts: ProcessFacts = processes.facts(pid)
    return {**facts, "unit": sockets.unit_of(pid)}


def place(settings: Settings) -> Place:
    """Where the data source leads. An address is this server's own when a socket can be bound to it."""
    login = login_of(settings)
    if login.socket:
        return {"address": login.socket, "here": True}
    family, kind, protocol, _name, address = socket.getaddrinfo(login.host, login.port, type=socket.SOCK_DGRAM)[0]
    found = str(address[0])
    if ipaddress.ip_address(found.partition("%")[0]).is_loopback:
        # It cannot be bound while the loopback interface is down.
        return {"address": found, "here": True}
    with socket.socket(family, kind, protocol) as own:
        try:
            own.bind((found, 0, *address[2:]))
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            return {"address": found, "here": False}
    return {"address": found, "here": True}


def port(settings: Settings) -> Port:
    """Connect where Asterisk connects, and close. A hung server accepts too: the kernel does that."""
    login = login_of(settings)
    if login.socket:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(DRIVER_LIMIT)
            connection.connect(login.socket)
        return {"address": login.socket, "port": None}
    with socket.create_connection((login.host, login.port), DRIVER_LIMIT) as connection:
        return {"address": connection.getpeername()[0], "port": login.port}


def query(session: _Session) -> Query:
    """How long a query takes that reads nothing."""
    start = time.monotonic()
    session.rows("SELECT 1")
    return {"seconds": round(time.monotonic() - start, 4)}


def lookup(session: _Session) -> Lookup:
    """How long it takes to find an account, as Asterisk does for every request."""
    table = _table(session.tables)
    statement = "SELECT {1} FROM {0} WHERE {1} = %s".format(table, KEYS[session.settings["channel_driver"]])
    start = time.monotonic()
    rows = session.rows(statement, (session.settings["sip_probe_user"],))
    return {"table": table, "seconds": round(time.monotonic() - start, 4), "found": bool(rows)}


def writes(session: _Session) -> Writes:
    """What Asterisk's user may not do with the table that registrations are written to. Nothing is written."""
    driver = session.settings["channel_driver"]
    table = _table(list(filter(None, [contacts_table(driver)])), "Asterisk writes no registration into this database")
    refused: Refused = {}
    for verb in WRITTEN[driver]:
        try:
            session.rows(_WRITES[verb].format(table, KEYS[driver]))
        except ProbeError as error:
            if "code" not in error.extra:
                raise
            refused[verb] = {"code": error.extra["code"], "text": str(error)[:_TEXT_LIMIT]}
    return {"table": table, "refused": refused}


def check(session: _Session) -> dict[str, TableState]:
    """Whether the tables are damaged, by their names."""
    found: dict[str, TableState] = {}
    for table in session.tables:
        try:
            if session.engine == "postgresql":
                # This reads every page; a damaged one is an error.
                session.rows("SELECT count(*) FROM {0}".format(plain_name(table)))
                words: tuple[str, ...] = ()
            else:
                words = parse_check(session.rows("CHECK TABLE {0} QUICK".format(plain_name(table))))
            found[table] = {"damaged": bool(words), "text": " ".join(words)[:_TEXT_LIMIT]}
        except ProbeError as error:
            if error.extra.get("code") not in DAMAGED:
                raise
            found[table] = {"damaged": True, "text": str(error)[:_TEXT_LIMIT]}
    return found


def parse_check(rows: Iterable[Sequence[Any]]) -> tuple[str, ...]:
    """The words of CHECK TABLE for a damaged table, none for one that is whole or missing.

    Rows are (table, check, kind, text); the last one is the result.
    """
    said = [(str(kind).lower(), str(text)) for _table, _check, kind, text in rows]
    if not said or said[-1][0] == "note" or said[-1][1] in ("OK", "Table is already up to date"):
        return ()
    if any("doesn't exist" in text and "in engine" not in text for _kind, text in said):
        return ()
    return tuple(text for _kind, text in said)


def status(session: _Session) -> Status:
    """Connections in use and allowed, and the switches that stop writes (None: this server has no such switch)."""
    if session.engine == "postgresql":
        return parse_postgresql_status(session.rows(_POSTGRESQL_STATUS)[0])
    rows: list[Sequence[Any]] = []
    for kind, names in (("STATUS", tuple(_MYSQL_STATUS.values())), ("VARIABLES", _MYSQL_VARIABLES)):
        listed = ", ".join("'{0}'".format(name) for name in names)
        rows.extend(session.rows("SHOW GLOBAL {0} WHERE Variable_name IN ({1})".format(kind, listed)))
    return parse_mysql_status(rows)


def parse_mysql_status(rows: Iterable[Sequence[Any]]) -> Status:
    """The data of the probe ``status`` from the rows of SHOW STATUS and SHOW VARIABLES."""
    values = {str(name).lower(): str(value) for name, value in rows}
    numbers = {key: _number(values.get(name.lower())) for key, name in _MYSQL_STATUS.items()}
    # MariaDB 12 has more values than on and off: any other one stops at least somebody from writing.
    switches = {
        name: values[name].upper() not in ("OFF", "0") if name in values else None for name in _MYSQL_VARIABLES[1:]
    }
    return {
        "threads_connected": numbers["threads_connected"],
        "max_connections": _number(values.get("max_connections")),
        "max_used_connections": numbers["max_used_connections"],
        "read_only": switches["read_only"],
        "super_read_only": switches["super_read_only"],
        "innodb_read_only": switches["innodb_read_only"],
        "uptime": numbers["uptime"],
        "slow": numbers["slow"],
    }


def parse_postgresql_status(row: Sequence[Any]) -> Status:
    """The data of the probe ``status`` from one row: connections, limit, read-only, uptime."""
    used, limit, read_only, uptime = row
    return {
        "threads_connected": used,
        "max_connections": limit,
        "max_used_connections": None,
        "read_only": bool(read_only),
        "super_read_only": None,
        "innodb_read_only": None,
        "uptime": uptime,
        "slow": None,
    }


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


def tables(settings: Settings) -> list[str]:
    """The names of the tables of accounts, those of extconfig.conf or the usual ones, and of that of their contacts."""
    driver = settings["channel_driver"]
    return list(dict.fromkeys(filter(None, [*_tables(TABLES[driver]), contacts_table(driver)])))


def _tables(families: Iterable[str]) -> list[str]:
    return database_tables(parse_realtime(config.read("extconfig.conf")), families)


def _table(names: Sequence[str], why: str = "Asterisk reads no account from this database") -> str:
    """The first table. Raises `ProbeError` ``skipped`` when there is none."""
    if not names:
        raise ProbeError("skipped", why)
    return plain_name(names[0])


def schema(session: _Session) -> dict[str, list[str]]:
    """The columns of the tables; a missing table has none."""
    return session.columns()


def accounts(session: _Session) -> Accounts:
    """How many accounts there are, and which lack something that a registration needs. No secret is read."""
    hidden = session.hiding()
    if session.settings["channel_driver"] == "sip":
        peers = session.rows(
            "SELECT name, host, {1}, {2} FROM {0} LIMIT {3}".format(
                _table(session.tables), _is_set("secret"), _is_set("md5secret"), _ROWS
            )
        )
        return {**incomplete_peers(peers), "hidden": hidden}
    endpoints, auths, aors = (_table(_tables((one,))) for one in TABLES["pjsip"])
    digests = [one for one in ("md5_cred", "password_digest") if one in (session.columns().get(auths) or ("md5_cred",))]
    found = incomplete_endpoints(
        session.rows("SELECT id, auth, aors FROM {0} LIMIT {1}".format(endpoints, _ROWS)),
        session.rows(
            "SELECT id, {1}, {2} FROM {0} LIMIT {3}".format(
                auths, _is_set("password"), " OR ".join(map(_is_set, digests)), _ROWS
            )
        ),
        session.rows("SELECT id, max_contacts FROM {0} LIMIT {1}".format(aors, _ROWS)),
    )
    return {**found, "hidden": hidden}


def incomplete_endpoints(
    endpoints: Sequence[Sequence[Any]], auths: Iterable[Sequence[Any]], aors: Iterable[Sequence[Any]]
) -> Accounts:
    """The accounts of rows of endpoints (id, auth, aors), auths (id, has a password, has a hash) and aors (id,
    max_contacts)."""
    secrets = {str(name): bool(password or digest) for name, password, digest in auths}
    contacts = {str(name): limit for name, limit in aors}
    found: list[IncompleteAccount] = []
    for name, auth, aor_names in endpoints:
        missing: list[Missing] = []
        auths_named: Sequence[str | None] = listed(auth) or [None]
        for one in auths_named:
            if one is None or one not in secrets:
                missing.append("auth")
            elif not secrets[one]:
                missing.append("password")
        aors_named: Sequence[str | None] = listed(aor_names) or [None]
        for one in aors_named:
            if one is None or one not in contacts:
                missing.append("aor")
            elif not int(contacts[one] or 0):
                missing.append("max_contacts")
        if missing:
            found.append({"id": str(name), "missing": missing})
    return {"total": len(endpoints), "incomplete_total": len(found), "incomplete": found[:_INCOMPLETE]}


def incomplete_peers(rows: Sequence[Sequence[Any]]) -> Accounts:
    """The same of rows of chan_sip's peers: (name, host, has a secret, has a hash)."""
    found: list[IncompleteAccount] = []
    for name, host, secret, digest in rows:
        missing: list[Missing] = [] if secret or digest else ["secret"]
        if not host:
            missing.append("host")
        if missing:
            found.append({"id": str(name), "missing": missing})
    return {"total": len(rows), "incomplete_total": len(found), "incomplete": found[:_INCOMPLETE]}


def _is_set(column: str) -> str:
    return "({0} IS NOT NULL AND {0} <> '')".format(column)


def admin(settings: Settings) -> Admin:
    """Whether the administrator can log in over the server's own socket: tells a refused login from a dead server."""
    engine = engine_of(settings)
    if engine == "postgresql":
        command = ["runuser", "-u", ADMINS[engine], "--", "psql", "-XAtw", "-F", "\t", "-d", "postgres"]
        try:
            text = run([*command, "-c", " ".join(_POSTGRESQL_SESSIONS.split())], DRIVER_LIMIT)
        except ProbeError as error:
            return _not_reached(error)
        return {"reached": True, "error": None, **busy([line.split("\t") for line in text.splitlines()])}
    path = default_socket(engine)
    if not os.path.exists(path):
        raise ProbeError("missing", "there is no socket {0}".format(path))
    source = {"server": "localhost", "socket": path, "user": ADMINS[engine]}
    with contextlib.suppress(ProbeError):
        # Its driver serves where Python has none.
        source["driver"] = login_of(settings).odbc_driver
    login = Login(engine, source, {})
    login.database = ""
    try:
        connection = Connection(login, DRIVER_LIMIT)
    except ProbeError as error:
        return _not_reached(error)
    with connection:
        return {"reached": True, "error": None, **busy(connection.rows(_MYSQL_SESSIONS))}


def busy(rows: Sequence[Sequence[Any]]) -> Busy:
    """Who holds the connections, and whose sessions have worked longest, without their statements.

    Rows are (user, whether it works, seconds, state).
    """
    connections = collections.Counter(str(row[0]) for row in rows)
    working: list[Session] = [
        {"user": str(user), "seconds": float(seconds or 0), "state": str(state or "")[:60]}
        for user, works, seconds, state in rows
        if str(works) in ("1", "t", "True")
    ]
    return {
        "connections": dict(connections.most_common(_BUSY)),
        "longest": sorted(working, key=lambda one: -one["seconds"])[:_BUSY],
    }


def _not_reached(error: ProbeError) -> Admin:
    """A refusal is an answer. Raises any other error."""
    if error.error != "denied":
        raise error
    return {"reached": False, "error": str(error)}
