# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database behind Asterisk, asked as Asterisk asks it. The shapes are those of ``database`` in docs/documents.md.

One connection serves the questions from the login on, one after the other: a database that is short of connections
must not lose more of them to its diagnosis.
"""

from __future__ import annotations

import collections
import glob
import os
import socket
import threading
import time

from ansible_collections.privatewave.reconnect.plugins.module_utils import _config, _process, _sockets
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._run import run
from ansible_collections.privatewave.reconnect.plugins.module_utils._sql import (
    Connection,
    Login,
    default_socket,
    login_of,
)

LIMIT = 3.0
#: What the driver may take: less than the question, so that the driver can still say what it waited for.
DRIVER_LIMIT = 2.5
_ROWS = 20000
_INCOMPLETE = 50

#: The questions that share a connection, in their order.
SESSION = ("login", "query", "status", "schema", "lookup", "accounts", "writes", "tables")
PROCESSES = {
    "mysql": (("mariadbd", "mysqld"), ("/run/mysqld/mysqld.pid", "/run/mariadb/mariadb.pid")),
    "postgresql": (("postgres",), ("/run/postgresql/*.pid", "/var/lib/pgsql/data/postmaster.pid")),
}
ADMINS = {"mysql": "root", "postgresql": "postgres"}
TABLES = {"pjsip": ("ps_endpoints", "ps_auths", "ps_aors", "ps_contacts"), "sip": ("sippeers",)}
#: The column by which each driver looks an account up.
KEYS = {"pjsip": "id", "sip": "name"}
#: The table that a registration is written to, and how.
WRITTEN = {"pjsip": ("ps_contacts", ("INSERT", "UPDATE", "DELETE")), "sip": ("sippeers", ("UPDATE",))}
#: Only explained, so nothing is written: the server looks up the table and what the user may do, and stops there.
_WRITES = {
    "INSERT": "EXPLAIN INSERT INTO {0} ({1}) VALUES ('')",
    "UPDATE": "EXPLAIN UPDATE {0} SET {1} = {1} WHERE {1} = ''",
    "DELETE": "EXPLAIN DELETE FROM {0} WHERE {1} = ''",
}
#: What a server says of a table whose files are damaged: MariaDB and MySQL, PostgreSQL.
DAMAGED = ("1033", "1034", "1035", "1194", "1195", "1712", "1877", "1932", "XX001", "XX002", "58P01")
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
#: Of the sessions of others a plain user sees neither kind nor state. Some connections are kept for administrators.
_POSTGRESQL_STATUS = """
SELECT (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL AND usename IS NOT NULL),
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
       pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on',
       extract(epoch FROM now() - pg_postmaster_start_time())::int
"""


def questions(settings, account=None):
    """``{probe: (function, limit in seconds)}`` of the subset ``database``."""
    del account
    session = _Session(settings)
    return {
        "process": (lambda: process(settings), LIMIT),
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

    def __init__(self, settings):
        self.settings = settings
        self.engine = settings.get("database_engine") or "mysql"
        self.tables = []
        self._connection, self._error = None, None
        self._done = {name: threading.Event() for name in SESSION}

    def login(self):
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

    def ask(self, name, question):
        """Ask ``question(session)`` in its turn. Raises `ProbeError`, the login's when there is none."""
        self._done[SESSION[SESSION.index(name) - 1]].wait()
        try:
            if self._error is not None:
                raise ProbeError(self._error.error, "there is no login: {0}".format(self._error))
            return question(self)
        finally:
            self._done[name].set()
            if name == SESSION[-1] and self._connection is not None:
                self._connection.close()

    def rows(self, statement, values=()):
        """The rows of a statement."""
        return self._connection.rows(statement, values)

    def columns(self):
        """The columns of its tables."""
        return self._connection.columns(self.tables)


def process(settings):
    """The server's process as the kernel sees it, and its unit, which may be an instance of the one in the settings."""
    names, patterns = PROCESSES[settings.get("database_engine") or "mysql"]
    unit = settings.get("database_unit") or "mariadb.service"
    pid_files = [path for pattern in patterns for path in sorted(glob.glob(pattern))]
    pid = _process.main_pid(unit, pid_files, names)
    return dict(_process.facts(pid), unit=_sockets.unit_of(pid))


def port(settings):
    """Connect where Asterisk connects, and hang up. A hung server is still connected to: the kernel does that."""
    login = login_of(settings)
    if login.socket:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(DRIVER_LIMIT)
            connection.connect(login.socket)
        return {"address": login.socket, "port": None}
    with socket.create_connection((login.host, login.port), DRIVER_LIMIT) as connection:
        return {"address": connection.getpeername()[0], "port": login.port}


def query(session):
    """How long a query takes that reads nothing."""
    start = time.monotonic()
    session.rows("SELECT 1")
    return {"seconds": round(time.monotonic() - start, 4)}


def lookup(session):
    """How long it takes to find an account, as Asterisk does for every request."""
    driver = session.settings.get("channel_driver") or "pjsip"
    found = tables(session.settings)
    if not found:
        raise ProbeError("skipped", "Asterisk reads no account from this database")
    statement = "SELECT {1} FROM {0} WHERE {1} = %s".format(_name(found[0]), KEYS[driver])
    start = time.monotonic()
    rows = session.rows(statement, (session.settings.get("sip_probe_user") or "601",))
    return {"table": found[0], "seconds": round(time.monotonic() - start, 4), "found": bool(rows)}


def writes(session):
    """What Asterisk's user may not do with the table that registrations are written to: ``{table, refused: {verb:
    {code, text}}}``. Nothing is written."""
    driver = session.settings.get("channel_driver") or "pjsip"
    family, verbs = WRITTEN[driver]
    names = parse_tables(_config.read("extconfig.conf").get("settings", {}), (family,))
    if not names:
        raise ProbeError("skipped", "Asterisk writes no registration into this database")
    refused = {}
    for verb in verbs:
        try:
            session.rows(_WRITES[verb].format(_name(names[0]), KEYS[driver]))
        except ProbeError as error:
            if "code" not in error.extra:
                raise
            refused[verb] = {"code": error.extra["code"], "text": str(error)[:_TEXT_LIMIT]}
    return {"table": names[0], "refused": refused}


def check(session):
    """Whether the tables are whole: ``{table: {damaged, text}}``; ``text`` is what the server says of a damaged one."""
    found = {}
    for table in session.tables:
        try:
            if session.engine == "postgresql":
                # Every page is read; a damaged one says so.
                session.rows("SELECT count(*) FROM {0}".format(_name(table)))
                words = ()
            else:
                words = parse_check(session.rows("CHECK TABLE {0} QUICK".format(_name(table))))
            found[table] = {"damaged": bool(words), "text": " ".join(words)[:_TEXT_LIMIT]}
        except ProbeError as error:
            if error.extra.get("code") not in DAMAGED:
                raise
            found[table] = {"damaged": True, "text": str(error)[:_TEXT_LIMIT]}
    return found


def parse_check(rows):
    """What CHECK TABLE says of a table that is damaged, nothing of one that is whole or not there. Rows are (table,
    check, kind, text); the last one says how it ended."""
    said = [(str(kind).lower(), str(text)) for _table, _check, kind, text in rows]
    if not said or said[-1][0] == "note" or said[-1][1] in ("OK", "Table is already up to date"):
        return ()
    if any("doesn't exist" in text and "in engine" not in text for _kind, text in said):
        return ()
    return tuple(text for _kind, text in said)


def status(session):
    """Connections in use and allowed, and whether writes are taken (None: this server knows no such switch)."""
    if session.engine == "postgresql":
        return parse_postgresql_status(session.rows(_POSTGRESQL_STATUS)[0])
    rows = []
    for kind, names in (("STATUS", _MYSQL_STATUS.values()), ("VARIABLES", _MYSQL_VARIABLES)):
        listed = ", ".join("'{0}'".format(name) for name in names)
        rows.extend(session.rows("SHOW GLOBAL {0} WHERE Variable_name IN ({1})".format(kind, listed)))
    return parse_mysql_status(rows)


def parse_mysql_status(rows):
    """The data of the probe ``status`` from the rows of SHOW STATUS and SHOW VARIABLES."""
    values = {str(name).lower(): str(value) for name, value in rows}
    found = {key: _number(values.get(name.lower())) for key, name in _MYSQL_STATUS.items()}
    found["max_connections"] = _number(values.get("max_connections"))
    for name in _MYSQL_VARIABLES[1:]:
        # MariaDB 12 has more than on and off: anything else keeps at least somebody from writing.
        found[name] = values[name].upper() not in ("OFF", "0") if name in values else None
    return found


def parse_postgresql_status(row):
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


def _number(text):
    return int(text) if text and text.isdigit() else None


def tables(settings):
    """The names of the tables that Asterisk reads accounts from: those of extconfig.conf, else the usual ones."""
    families = _config.read("extconfig.conf").get("settings", {})
    wanted = TABLES[settings.get("channel_driver") or "pjsip"]
    return parse_tables(families, wanted)


def parse_tables(families, wanted):
    """The tables of ``wanted`` families: ``{family: "driver,database[,table]"}`` says where each of them is kept."""
    found = []
    for family in wanted:
        parts = [part.strip().strip('"') for part in families.get(family, "odbc").split(",")]
        if parts[0] in ("odbc", "mysql", "pgsql"):
            found.append(parts[2] if len(parts) > 2 and parts[2] else family)
    return found


def schema(session):
    """The columns of the tables; a table that is missing has none."""
    return session.columns()


def accounts(session):
    """How many accounts there are and which lack something without which nobody can register. No secret is read."""
    if (session.settings.get("channel_driver") or "pjsip") == "sip":
        names = parse_tables(_config.read("extconfig.conf").get("settings", {}), TABLES["sip"])
        return incomplete_peers(
            session.rows(
                "SELECT name, host, {1}, {2} FROM {0} LIMIT {3}".format(
                    _name(names[0]), _is_set("secret"), _is_set("md5secret"), _ROWS
                )
            )
        )
    families = _config.read("extconfig.conf").get("settings", {})
    endpoints, auths, aors = (parse_tables(families, [one])[0] for one in TABLES["pjsip"][:3])
    digests = [one for one in ("md5_cred", "password_digest") if one in (session.columns().get(auths) or ("md5_cred",))]
    return incomplete_endpoints(
        session.rows("SELECT id, auth, aors FROM {0} LIMIT {1}".format(_name(endpoints), _ROWS)),
        session.rows(
            "SELECT id, {1}, {2} FROM {0} LIMIT {3}".format(
                _name(auths), _is_set("password"), " OR ".join(map(_is_set, digests)), _ROWS
            )
        ),
        session.rows("SELECT id, max_contacts FROM {0} LIMIT {1}".format(_name(aors), _ROWS)),
    )


def incomplete_endpoints(endpoints, auths, aors):
    """``{total, incomplete: [{id, missing: [text]}]}`` of rows of endpoints (id, auth, aors), auths (id, has a
    password, has a hash) and aors (id, max_contacts)."""
    secrets = {str(name): bool(password or digest) for name, password, digest in auths}
    contacts = {str(name): limit for name, limit in aors}
    found = []
    for name, auth, aor_names in endpoints:
        missing = []
        for one in _list(auth) or [None]:
            if one not in secrets:
                missing.append("auth")
            elif not secrets[one]:
                missing.append("password")
        for one in _list(aor_names) or [None]:
            if one not in contacts:
                missing.append("aor")
            elif not int(contacts[one] or 0):
                missing.append("max_contacts")
        if missing:
            found.append({"id": str(name), "missing": missing})
    return {"total": len(endpoints), "incomplete": found[:_INCOMPLETE]}


def incomplete_peers(rows):
    """The same of rows of chan_sip's peers: (name, host, has a secret, has a hash)."""
    found = []
    for name, host, secret, digest in rows:
        missing = [] if secret or digest else ["secret"]
        if not host:
            missing.append("host")
        if missing:
            found.append({"id": str(name), "missing": missing})
    return {"total": len(rows), "incomplete": found[:_INCOMPLETE]}


def _list(text):
    return [one.strip() for one in str(text or "").split(",") if one.strip()]


def _name(table):
    """A table's name as it may be written into a statement. Raises `ProbeError` for anything else than a plain name."""
    if not table.replace("_", "").isalnum():
        raise ProbeError("invalid", "{0!r} is no name of a table".format(table))
    return table


def _is_set(column):
    return "({0} IS NOT NULL AND {0} <> '')".format(column)


def admin(settings):
    """Whether the administrator gets in over the server's own socket: tells a refused login from a dead server."""
    engine = settings.get("database_engine") or "mysql"
    if engine == "postgresql":
        command = ["runuser", "-u", ADMINS[engine], "--", "psql", "-XAtw", "-F", "\t", "-d", "postgres"]
        try:
            text = run([*command, "-c", " ".join(_POSTGRESQL_SESSIONS.split())], DRIVER_LIMIT)
        except ProbeError as error:
            return _not_reached(error)
        return dict({"reached": True, "error": None}, **busy([line.split("\t") for line in text.splitlines()]))
    path = default_socket(engine)
    if not os.path.exists(path):
        raise ProbeError("missing", "there is no socket {0}".format(path))
    login = Login(engine, {"server": "localhost", "socket": path, "user": ADMINS[engine]}, {})
    login.database = ""
    try:
        connection = Connection(login, DRIVER_LIMIT)
    except ProbeError as error:
        return _not_reached(error)
    try:
        return dict({"reached": True, "error": None}, **busy(connection.rows(_MYSQL_SESSIONS)))
    finally:
        connection.close()


def busy(rows):
    """Who holds the connections and who has been at it longest, never with what: ``{connections: {user: count},
    longest: [{user, seconds, state}]}`` of rows (user, whether it works, seconds, state)."""
    connections = collections.Counter(str(row[0]) for row in rows)
    working = [
        {"user": str(user), "seconds": float(seconds or 0), "state": str(state or "")[:60]}
        for user, works, seconds, state in rows
        if str(works) in ("1", "t", "True")
    ]
    return {
        "connections": dict(connections.most_common(_BUSY)),
        "longest": sorted(working, key=lambda one: -one["seconds"])[:_BUSY],
    }


def _not_reached(error):
    """A refusal is an answer; silence is none. Raises the error when it is no refusal."""
    if error.error != "denied":
        raise error
    return {"reached": False, "error": str(error)}
