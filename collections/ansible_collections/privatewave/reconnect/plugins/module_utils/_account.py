# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions about one account: the subset ``account`` of docs/documents.md.

The account's name comes from a ticket. It is taken only when it is plain, and reaches the database as a parameter.
"""

from __future__ import annotations

import hashlib
import re

from ansible_collections.privatewave.reconnect.plugins.module_utils import _asterisk_log as log
from ansible_collections.privatewave.reconnect.plugins.module_utils import _config, _sessions
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import NAME, Asterisk
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk_answers import parse_realtime
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._sql import Connection, login_of

LIMIT = 4.0
SQL_LIMIT = 3.0
CONTACTS = 50
VALUE_LIMIT = 512
DEFAULT_REALM = "asterisk"

_SECRET = re.compile(r"secret|passw|md5|cred|token|digest", re.IGNORECASE)
_TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}(?:\.[A-Za-z_][A-Za-z0-9_]{0,63})?\Z")


def questions(settings, account=None):
    """``{probe name: (function, limit in seconds)}`` for an account, none when none is named."""
    if not account:
        return {}
    asked = Account(settings, account)
    return {name: (getattr(asked, name), LIMIT) for name in ("rows", "live", "sessions", "attempts")}


class Account:
    """One account; every public method answers one probe or raises `ProbeError`, ``invalid`` for a name that is not
    plain."""

    def __init__(self, settings, name):
        self._settings = settings
        self._given = str(name)

    @property
    def name(self):
        if not NAME.match(self._given):
            raise ProbeError("invalid", "an account's name is at most 80 letters, digits and . _ + -")
        return self._given

    def rows(self):
        name, tables = self.name, parse_realtime(_config.read("extconfig.conf"))
        with _Connected(self._settings) as connection:
            if self._settings.get("channel_driver") == "sip":
                return _peer(connection, table_of(tables, "sippeers"), name)
            return _endpoint(connection, tables, name)

    def live(self):
        return Asterisk(self._settings).live(self.name)

    def sessions(self):
        name, view = self.name, self._settings.get("session_view")
        if not view:
            raise ProbeError("skipped", "the settings name no view of sessions")
        with _Connected(self._settings) as connection:
            return _sessions.sessions(connection, view, self._settings.get("session_columns"), name)

    def attempts(self):
        name = self.name
        return parse_attempts(Asterisk(self._settings).security_events(), name)


def parse_attempts(events, name):
    """The account's events as ``{events: {event: count}, last: {event, time, address} or None, addresses}``."""
    own = [one for one in events if one["account"] == name]
    counts, addresses = log.count_events(own)
    last = None
    if own:
        when = own[-1]["time"]
        last = {"event": own[-1]["event"], "time": log.utc(when) if when else None, "address": own[-1]["address"]}
    return {"events": counts, "last": last, "addresses": addresses}


def redacted(record):
    """A row as plain data, every secret replaced by ``{set, matches}``.

    ``matches`` is whether a stored digest is the one of user, realm and password, None when that can't be compared.
    """
    found = {}
    for column, value in record.items():
        if _SECRET.search(column):
            found[column] = {"set": bool(value), "matches": _matches(column, record)}
        elif value is None or isinstance(value, (bool, int, float)):
            found[column] = value
        else:
            found[column] = log.printable(str(value), VALUE_LIMIT)
    return found


def _matches(column, record):
    digest = record.get(column)
    if column == "md5_cred":
        user, password = record.get("username") or record.get("id"), record.get("password")
        realm = record.get("realm") or DEFAULT_REALM
    elif column == "md5secret":
        user, password = record.get("defaultuser") or record.get("name"), record.get("secret")
        realm = _config.read("sip.conf").get("general", {}).get("realm") or DEFAULT_REALM
    else:
        return None
    if not digest or not password:
        return None
    text = "{0}:{1}:{2}".format(user, realm, password)
    return hashlib.md5(text.encode("utf-8")).hexdigest() == str(digest).strip().lower()


def _endpoint(connection, tables, name):
    """The rows of chan_pjsip: the endpoint and what it names, or what has its name when there is no endpoint."""
    endpoint = _one(connection, table_of(tables, "ps_endpoints"), "id", name)
    named = endpoint or {}
    aor_name = _first(named.get("aors"), name)
    contacts = connection.records(
        "SELECT * FROM {0} WHERE endpoint = %s OR id LIKE %s LIMIT %s".format(table_of(tables, "ps_contacts")),
        (name, aor_name.replace("_", "\\_").replace("%", "\\%") + "^3B@%", CONTACTS),
    )
    rows = {
        "endpoint": endpoint,
        "auth": _one(connection, table_of(tables, "ps_auths"), "id", _first(named.get("auth"), name)),
        "aor": _one(connection, table_of(tables, "ps_aors"), "id", aor_name),
    }
    return dict(
        {key: redacted(row) if row else None for key, row in rows.items()},
        contacts=[redacted(row) for row in contacts],
    )


def _peer(connection, table, name):
    """The row of chan_sip: endpoint, auth and AOR in one, and its contact when it has registered."""
    row = _one(connection, table, "name", name)
    if row is None:
        return {"endpoint": None, "auth": None, "aor": None, "contacts": []}
    clean = redacted(row)
    columns = ("fullcontact", "ipaddr", "port", "regseconds", "useragent", "lastms")
    contact = {column: clean[column] for column in columns if column in clean}
    return {
        "endpoint": clean,
        "auth": {column: clean[column] for column in clean if _SECRET.search(column) or column == "defaultuser"},
        "aor": {column: clean[column] for column in ("host", "qualify") if column in clean},
        "contacts": [contact] if contact.get("ipaddr") else [],
    }


def _one(connection, table, column, value):
    rows = connection.records("SELECT * FROM {0} WHERE {1} = %s LIMIT 1".format(table, column), (value,))
    return rows[0] if rows else None


def _first(listed, default):
    return str(listed or "").partition(",")[0].strip() or default


def table_of(tables, family):
    """The table of a family, its own name where extconfig.conf says nothing. Raises `ProbeError` for no plain name."""
    return _plain(tables.get(family, {}).get("table") or family)


def _plain(table):
    if not _TABLE.match(table):
        raise ProbeError("invalid", "{0!r} is no name of a table".format(table[:80]))
    return table


class _Connected:
    """The connection Asterisk would use, for a ``with`` statement."""

    def __init__(self, settings):
        self._connection = Connection(login_of(settings), SQL_LIMIT)

    def __enter__(self):
        return self._connection

    def __exit__(self, *_error):
        self._connection.close()
