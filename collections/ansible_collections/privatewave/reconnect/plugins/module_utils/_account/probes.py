# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions about one account: the subset ``account``.

The account's name comes from an incident. Only a valid one is used, and it reaches the database as a parameter.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from typing import TYPE_CHECKING, Any

from ansible_collections.privatewave.reconnect.plugins.module_utils._account import files
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import log
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.probes import Asterisk
from ansible_collections.privatewave.reconnect.plugins.module_utils._database import sessions as session_log
from ansible_collections.privatewave.reconnect.plugins.module_utils._database.realtime import (
    FAMILIES,
    contacts_table,
    parse_realtime,
    table_name,
)
from ansible_collections.privatewave.reconnect.plugins.module_utils._database.sql import (
    Connection,
    like,
    login_of,
    plain_name,
)
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import config
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import TEST_MARK
from ansible_collections.privatewave.reconnect.plugins.module_utils._text import account_name, listed, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from ansible_collections.privatewave.reconnect.plugins.module_utils._account.documents import (
        Attempts,
        LastEvent,
        Row,
        Rows,
    )
    from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.documents import Live, SecurityEvent
    from ansible_collections.privatewave.reconnect.plugins.module_utils._database.documents import (
        RealtimeTable,
        Sessions,
    )
    from ansible_collections.privatewave.reconnect.plugins.module_utils._net.documents import KnownContacts
    from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import Settings

#: Seconds of a question, and of the database in it.
LIMIT = 4.0
SQL_LIMIT = 3.0
#: Contacts that are read, and characters of a value.
CONTACTS = 50
VALUE_LIMIT = 512
DEFAULT_REALM = "asterisk"
#: Where Asterisk stores contacts that are in no table.
ASTDB = "astdb"
_SIP_URI = re.compile(r"sips?:[^\s\"\\]+")

_SECRET = re.compile(r"secret|passw|md5|cred|token|digest", re.IGNORECASE)


def questions(settings: Settings, account: str | None = None) -> dict[str, tuple[Callable[[], Any], float]]:
    """``{probe name: (function, limit in seconds)}`` for an account; none without one."""
    if not account:
        return {}
    asked = Account(settings, account)
    return {name: (getattr(asked, name), LIMIT) for name in ("rows", "live", "sessions", "attempts")}


class Account:
    """One account, tested from the addresses ``testers``.

    A method named like a probe answers it; all of them raise `ProbeError`, ``invalid`` for an invalid name.
    """

    def __init__(self, settings: Settings, name: object, testers: Collection[str] = ()) -> None:
        self._settings = settings
        self._given = name
        self._testers = testers

    @property
    def name(self) -> str:
        return account_name(self._given)

    def rows(self) -> Rows:
        name, driver = self.name, self._settings["channel_driver"]
        table = contacts_table(driver)
        if self._settings["account_backend"] == "file":
            found = _sections(self._settings, name)
        else:
            tables = parse_realtime(config.read("extconfig.conf"))
            with Connection(login_of(self._settings), SQL_LIMIT) as connection:
                if driver == "sip":
                    found = _peer(connection, _table(tables, "sippeers"), name)
                else:
                    found = _endpoint(connection, tables, name, table)
                found["hidden"] = _hidden(connection, tables, driver)
        if driver == "pjsip" and not table:
            # Asterisk alone can be asked for them; the rows are known without its answer.
            with contextlib.suppress(ProbeError):
                found["contacts"] = [{"uri": uri} for uri in self._in_astdb() if not _is_test(uri)]
        return found

    def live(self) -> Live:
        return Asterisk(self._settings).live(self.name)

    def contacts(self) -> KnownContacts:
        """The contacts of the account in Asterisk, and where Asterisk stores them."""
        live = [one["uri"] for one in Asterisk(self._settings).everything_live(self.name)["contacts"]]
        where, why = "", ""
        stored: list[str] | None = None
        try:
            table = contacts_table(self._settings["channel_driver"])
            where = table or ASTDB
            stored = self._in_table(table) if table else self._in_astdb()
        except (ProbeError, OSError) as error:
            why = str(error)
        return {"live": live, "where": where, "stored": stored, "why": why}

    def _in_table(self, table: str) -> list[str]:
        column, key, values = ("uri", "id", like(self.name) + "^3B@%")
        if self._settings["channel_driver"] == "sip":
            column, key, values = ("fullcontact", "name", like(self.name))
        asked = "SELECT {0} FROM {1} WHERE {2} LIKE %s LIMIT %s".format(column, plain_name(table), key)
        with Connection(login_of(self._settings), SQL_LIMIT) as connection:
            found = connection.records(asked, (values, CONTACTS))
        return [printable(str(row[column] or ""), VALUE_LIMIT) for row in found]

    def _in_astdb(self) -> list[str]:
        sip = self._settings["channel_driver"] == "sip"
        asked = "database show SIP/Registry {0}" if sip else "database show registrar/contact"
        text = Asterisk(self._settings).command(asked.format(self.name))
        begin = "/SIP/Registry/{0} ".format(self.name) if sip else "/registrar/contact/{0};".format(self.name)
        lines = [line for line in text.splitlines() if line.startswith(begin)]
        return [printable(uri, VALUE_LIMIT) for line in lines[:CONTACTS] for uri in _SIP_URI.findall(line)[:1]]

    def sessions(self) -> Sessions:
        name, view = self.name, self._settings.get("session_view")
        if not view:
            raise ProbeError("skipped", "the setting session_view is empty")
        with Connection(login_of(self._settings), SQL_LIMIT) as connection:
            return session_log.sessions(connection, view, self._settings.get("session_columns"), name)

    def attempts(self) -> Attempts:
        name = self.name
        events = Asterisk(self._settings).security_events()
        if self._settings["channel_driver"] == "sip":
            # Nothing else in them tells our own registrations from the client's.
            events = [one for one in events if one["address"] not in self._testers]
        return parse_attempts(events, name)


def parse_attempts(events: Iterable[SecurityEvent], name: str) -> Attempts:
    """The account's events, counted."""
    own = [one for one in events if one["account"] == name]
    counts, addresses = log.count_events(own)
    latest = {one["address"]: _last(one) for one in own if one["address"] in addresses}
    return {"events": counts, "last": _last(own[-1]) if own else None, "addresses": addresses, "latest": latest}


def _last(event: SecurityEvent) -> LastEvent:
    when = event["time"]
    return {
        "event": event["event"],
        "time": log.utc(when) if when else None,
        "address": event["address"],
        "detail": event["detail"],
    }


def redacted(record: Mapping[str, Any]) -> Row:
    """A row as plain data, every secret replaced by `documents.Secret`."""
    found: Row = {}
    for column, value in record.items():
        if _SECRET.search(column):
            found[column] = {"set": bool(value), "matches": _matches(column, record)}
        elif value is None or isinstance(value, (bool, int, float)):
            found[column] = value
        else:
            found[column] = printable(str(value), VALUE_LIMIT)
    return found


def _matches(column: str, record: Mapping[str, Any]) -> bool | None:
    digest = record.get(column)
    if column == "md5_cred":
        user, password = record.get("username") or record.get("id"), record.get("password")
        realm = record.get("realm") or DEFAULT_REALM
    elif column == "md5secret":
        user, password = record.get("defaultuser") or record.get("name"), record.get("secret")
        realm = config.read("sip.conf").get("general", {}).get("realm") or DEFAULT_REALM
    else:
        return None
    if not digest or not password:
        return None
    text = "{0}:{1}:{2}".format(user, realm, password)
    return hashlib.md5(text.encode("utf-8")).hexdigest() == str(digest).strip().lower()


def _sections(settings: Settings, name: str) -> Rows:
    """The sections of a configuration file, as rows; contacts are not in it."""
    found = files.Sections(settings).read([name])[name]
    if settings["channel_driver"] == "sip":
        peer = found["peer"].get(name)
        return {**_of_peer(redacted(peer) if peer else None), "hidden": []}
    endpoint = found["endpoint"].get(name)
    named = endpoint or {}
    auth = found["auth"].get(_first(named.get("auth"), name))
    aor = found["aor"].get(_first(named.get("aors"), name))
    return {
        "endpoint": redacted(endpoint) if endpoint else None,
        "auth": redacted(auth) if auth else None,
        "aor": redacted(aor) if aor else None,
        "contacts": [],
        "hidden": [],
    }


def _endpoint(connection: Connection, tables: Mapping[str, RealtimeTable], name: str, contacts_in: str) -> Rows:
    """The rows of chan_pjsip: the endpoint and what it names; without an endpoint, what has its name.

    ``contacts_in`` is the table of the contacts, empty when they are in none.
    """
    endpoint = _one(connection, _table(tables, "ps_endpoints"), "id", name)
    named = endpoint or {}
    aor_name = _first(named.get("aors"), name)
    contacts: list[dict[str, Any]] = []
    if contacts_in:
        contacts = connection.records(
            "SELECT * FROM {0} WHERE endpoint = %s OR id LIKE %s LIMIT %s".format(plain_name(contacts_in)),
            (name, like(aor_name) + "^3B@%", CONTACTS),
        )
    auth = _one(connection, _table(tables, "ps_auths"), "id", _first(named.get("auth"), name))
    aor = _one(connection, _table(tables, "ps_aors"), "id", aor_name)
    return {
        "endpoint": redacted(endpoint) if endpoint else None,
        "auth": redacted(auth) if auth else None,
        "aor": redacted(aor) if aor else None,
        "contacts": [redacted(row) for row in contacts if not _is_test(row.get("uri"))],
    }


def _peer(connection: Connection, table: str, name: str) -> Rows:
    """The row of chan_sip: endpoint, auth and AOR in one, and its contact when it has registered."""
    row = _one(connection, table, "name", name)
    return _of_peer(redacted(row) if row else None)


def _of_peer(clean: Row | None) -> Rows:
    if clean is None:
        return {"endpoint": None, "auth": None, "aor": None, "contacts": []}
    columns = ("fullcontact", "ipaddr", "port", "regseconds", "useragent", "lastms")
    contact = {column: clean[column] for column in columns if column in clean}
    return {
        "endpoint": clean,
        "auth": {column: clean[column] for column in clean if _SECRET.search(column) or column == "defaultuser"},
        "aor": {column: clean[column] for column in ("host", "qualify") if column in clean},
        "contacts": [contact] if contact.get("ipaddr") and not _is_test(contact.get("fullcontact")) else [],
    }


def _hidden(connection: Connection, tables: Mapping[str, RealtimeTable], driver: str) -> list[str]:
    """The objects of an account whose tables may hide rows."""
    kinds = {kind: _table(tables, family) for kind, family in FAMILIES[driver].items()}
    hiding = connection.hiding(list(kinds.values()))
    found = [kind for kind, table in kinds.items() if table in hiding]
    return ["endpoint", "auth", "aor"] if found == ["peer"] else found


def _is_test(uri: object) -> bool:
    """Whether a contact is that of a registration test."""
    return TEST_MARK in str(uri).partition("@")[0]


def _one(connection: Connection, table: str, column: str, value: str) -> dict[str, Any] | None:
    rows = connection.records("SELECT * FROM {0} WHERE {1} = %s LIMIT 1".format(table, column), (value,))
    return rows[0] if rows else None


def _first(value: object, default: str) -> str:
    return (listed(value) or [default])[0]


def _table(tables: Mapping[str, RealtimeTable], family: str) -> str:
    return plain_name(table_name(tables, family))
