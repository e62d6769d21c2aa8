# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SIP session log: what the appliance wrote down of an account's connections and of its address.

The view belongs to the appliance. Its name and the names of its columns are settings; a column that it does not have,
such as the details, is told as None.
"""

from __future__ import annotations

import re

from ansible_collections.privatewave.reconnect.plugins.module_utils import _asterisk_log as log
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

COLUMNS = {
    "id": "id",
    "date": "date_created",
    "event": "event_type",
    "account": "username",
    "agent": "useragent",
    "address": "remoteaddr",
    "cipher": "tlscipher",
    "details": "details",
}
LIMIT = 20
#: A log of years is not read in full: the newest entries tell how things are.
NEWEST = 200000
TEXT_LIMIT = 255

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}(?:\.[A-Za-z_][A-Za-z0-9_]{0,63})?\Z")
_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\s]+):\d+\Z")
#: A table or view that isn't there, as MySQL and PostgreSQL say it.
_NO_TABLE = ("1146", "42P01")


def sessions(connection, view, columns, account):
    """The log's newest entries of an account and of the address it came from last.

    Returns ``{account: {last, entries}, address: {address, last, entries}}``, the newest entry first; ``last`` is the
    newest entry per event. An entry is ``{event, at, seconds_ago, account, address, agent, cipher, details}``.
    Raises `ProbeError`, ``missing`` when the database has no such view.
    """
    columns = dict(COLUMNS, **(columns or {}))
    for name in [view, *columns.values()]:
        if not _NAME.match(name):
            raise ProbeError("invalid", "{0!r} is no name of a view or column".format(name[:80]))
    try:
        now = connection.rows("SELECT LOCALTIMESTAMP")[0][0]
        newest = connection.rows("SELECT MAX({0}) FROM {1}".format(columns["id"], view))[0][0] or 0

        def entries(condition, values):
            statement = "SELECT * FROM {0} WHERE {1} > %s AND ({2}) ORDER BY {1} DESC LIMIT %s".format(
                view, columns["id"], condition
            )
            found = connection.records(statement, (newest - NEWEST, *values, LIMIT))
            return [_entry(row, columns, now) for row in found]

        own = entries("{0} = %s".format(columns["account"]), (account,))
        address = next((_host(one["address"]) for one in own if one["address"]), None)
        around = []
        if address:
            bracketed = "[{0}]".format(address)
            around = entries(
                "{0} IN (%s, %s) OR {0} LIKE %s OR {0} LIKE %s".format(columns["address"]),
                (address, bracketed, _like(address) + ":%", _like(bracketed) + ":%"),
            )
    except ProbeError as error:
        if error.extra.get("code") in _NO_TABLE:
            raise ProbeError("missing", "the database has no view {0}".format(view)) from None
        raise
    return {
        "account": {"last": _last(own), "entries": own},
        "address": {"address": address, "last": _last(around), "entries": around},
    }


def _entry(row, columns, now):
    # PostgreSQL tells the columns of a view in lower case.
    row = {name.lower(): value for name, value in row.items()}
    found = {
        name: None if value is None else log.printable(str(value), TEXT_LIMIT)
        for name, value in ((name, row.get(column.lower())) for name, column in columns.items())
    }
    when = row.get(columns["date"].lower())
    return {
        "event": (found["event"] or "").upper(),
        "at": found["date"],
        "seconds_ago": _seconds(now, when),
        **{name: found[name] for name in ("account", "address", "agent", "cipher", "details")},
    }


def _seconds(now, when):
    try:
        return max(0, round((now - when.replace(tzinfo=None)).total_seconds()))
    except (AttributeError, TypeError):
        return None


def _last(entries):
    last = {}
    for entry in entries:
        last.setdefault(entry["event"], entry)
    return last


def _host(text):
    found = _PORT.match(text)
    return (found.group(1) if found else text).strip("[]")


def _like(text):
    return re.sub(r"([\\%_])", r"\\\1", text)
