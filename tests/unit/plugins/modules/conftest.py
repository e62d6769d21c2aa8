"""A database in memory that answers as the servers' do, and a configuration folder of our own."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import _internal
from ansible_collections.privatewave.reconnect.plugins.module_utils._account import tables as account_tables
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import config
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


SORCERY = """
[res_pjsip]
endpoint=realtime,ps_endpoints
auth=realtime,ps_auths
aor=realtime,ps_aors
"""
EXTCONFIG = {
    "pjsip": "[settings]\nps_endpoints => odbc,asterisk\nps_auths => odbc,asterisk\nps_aors => odbc,asterisk\n",
    "sip": "[settings]\nsippeers => odbc,asterisk\n",
}


class Connection:
    """The part of `sql.Connection` that is used, over sqlite."""

    raw: sqlite3.Connection
    #: Statements that are let through before the connection is lost; None: all of them.
    left: int | None = None
    #: Tables that may hide rows.
    hidden: tuple[str, ...] = ()

    def __init__(self, login: None, limit: float) -> None:
        pass

    def columns(self, tables: Iterable[str]) -> dict[str, list[str]]:
        return {table: [row[1] for row in self.raw.execute(f"PRAGMA table_info({table})")] for table in tables}

    def hiding(self, tables: list[str]) -> list[str]:
        return [table for table in tables if table in self.hidden]

    def quoted(self, name: str) -> str:
        return f'"{name}"'

    def records(self, statement: str, values: Sequence[str] = ()) -> list[dict[str, Any]]:
        cursor = self.raw.execute(statement.replace("%s", "?").replace(" FOR UPDATE", ""), tuple(values))
        names = [one[0] for one in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def change(self, statement: str, values: Sequence[str] = ()) -> None:
        cls = type(self)
        if cls.left is not None:
            if cls.left == 0:
                raise ProbeError("failed", "the connection was lost")
            cls.left -= 1
        self.raw.execute(statement.replace("%s", "?"), tuple(values))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        self.raw.execute("BEGIN")
        try:
            yield self
            self.raw.execute("COMMIT")
        except BaseException:
            self.raw.execute("ROLLBACK")
            raise

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module runs on a server and answers its warnings there; a test in this process may have loaded the controller,
    which shows them instead."""
    monkeypatch.setattr(_internal, "is_controller", False)


@dataclass
class Tables:
    """The tables of a server: called with a statement it gives the rows; ``connection`` is what the module uses."""

    raw: sqlite3.Connection
    connection: type[Connection] = Connection

    def __call__(self, statement: str, *values: str | int | None) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.raw.execute(statement, values)]


Database = Callable[[str], Tables]


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Database]:
    """Makes the tables of a driver; the module then works on them. Returns a function that runs SQL."""
    (tmp_path / "asterisk").mkdir()
    monkeypatch.setattr(config, "DIRECTORY", str(tmp_path / "asterisk"))
    monkeypatch.setattr(config.read, "__defaults__", (str(tmp_path / "asterisk"),))
    monkeypatch.setattr(config.text, "__defaults__", (str(tmp_path / "asterisk"), config.DEPTH))
    raw = sqlite3.connect(":memory:", isolation_level=None)
    monkeypatch.setattr(Connection, "raw", raw, raising=False)
    monkeypatch.setattr(Connection, "left", None)
    monkeypatch.setattr(Connection, "hidden", ())
    monkeypatch.setattr(account_tables, "Connection", Connection)
    monkeypatch.setattr(account_tables, "login_of", lambda settings: None)

    def make(driver: str) -> Tables:
        raw.executescript(PJSIP if driver == "pjsip" else SIP)
        (tmp_path / "asterisk" / "sorcery.conf").write_text(SORCERY)
        (tmp_path / "asterisk" / "extconfig.conf").write_text(EXTCONFIG[driver])
        return Tables(raw)

    yield make
    raw.close()
