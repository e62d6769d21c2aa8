"""A database in memory that answers as the servers' do, and a configuration folder of our own."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils import _account_tables, _config
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

PJSIP = """
CREATE TABLE ps_endpoints (id PRIMARY KEY, transport, aors, auth, context, disallow, allow,
    media_encryption, deny, permit, extra);
CREATE TABLE ps_auths (id PRIMARY KEY, auth_type, username, password, md5_cred, realm);
CREATE TABLE ps_aors (id PRIMARY KEY, max_contacts, remove_existing, maximum_expiration,
    qualify_frequency);
CREATE TABLE ps_contacts (id PRIMARY KEY, uri, endpoint);
"""
SIP = """
CREATE TABLE sippeers (id INTEGER PRIMARY KEY, name, host, type, secret, md5secret, defaultuser, transport, encryption,
    context, disallow, allow, permit, deny, qualify, qualifyfreq, nat, ipaddr);
"""


class Connection:
    """The part of `_sql.Connection` that is used, over sqlite."""

    raw: sqlite3.Connection
    #: Statements that are let through before the connection is lost; None: all of them.
    left: int | None = None

    def __init__(self, login, limit):
        self.statements = []

    def columns(self, tables):
        return {table: [row[1] for row in self.raw.execute(f"PRAGMA table_info({table})")] for table in tables}

    def quoted(self, name):
        return f'"{name}"'

    def records(self, statement, values=()):
        cursor = self.raw.execute(statement.replace("%s", "?").replace(" FOR UPDATE", ""), tuple(values))
        names = [one[0] for one in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def change(self, statement, values=()):
        cls = type(self)
        if cls.left is not None:
            if cls.left == 0:
                raise ProbeError("failed", "the connection was lost")
            cls.left -= 1
        self.raw.execute(statement.replace("%s", "?"), tuple(values))

    @contextlib.contextmanager
    def transaction(self):
        self.raw.execute("BEGIN")
        try:
            yield self
            self.raw.execute("COMMIT")
        except BaseException:
            self.raw.execute("ROLLBACK")
            raise

    def close(self):
        pass


@pytest.fixture
def database(monkeypatch, tmp_path):
    """Makes the tables of a driver; the module then works on them. Returns a function that runs SQL."""
    (tmp_path / "asterisk").mkdir()
    monkeypatch.setattr(_config, "DIRECTORY", str(tmp_path / "asterisk"))
    monkeypatch.setattr(_config.read, "__defaults__", (str(tmp_path / "asterisk"),))
    raw = sqlite3.connect(":memory:", isolation_level=None)
    monkeypatch.setattr(Connection, "raw", raw, raising=False)
    monkeypatch.setattr(Connection, "left", None)
    monkeypatch.setattr(_account_tables, "Connection", Connection)
    monkeypatch.setattr(_account_tables, "login_of", lambda settings: None)

    def make(driver):
        raw.executescript(PJSIP if driver == "pjsip" else SIP)
        family = "ps_endpoints" if driver == "pjsip" else "sippeers"
        (tmp_path / "asterisk" / "extconfig.conf").write_text(f"[settings]\n{family} => odbc,asterisk\n")

        def run(statement, *values):
            return [tuple(row) for row in raw.execute(statement, values)]

        run.connection = Connection
        return run

    yield make
    raw.close()
