# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SIP session log: the appliance's record of an account's connections, and of its address.

The view belongs to the appliance. Its name and the names of its columns are settings. A column that it does not have,
such as the details, is None.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ansible_collections.privatewave.reconnect.plugins.module_utils._database.sql import like, plain_name
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import TEST_AGENT
from ansible_collections.privatewave.reconnect.plugins.module_utils._text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ansible_collections.privatewave.reconnect.plugins.module_utils._database.documents import (
        SessionEntry,
        Sessions,
    )
    from ansible_collections.privatewave.reconnect.plugins.module_utils._database.sql import Connection

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
#: Entries of an account, and of an address.
LIMIT = 20
#: Entries that are read of an account: some may be those of our registration tests.
READ = 100
#: A log of years is not read in full: only this many of the newest ids.
NEWEST = 200000
TEXT_LIMIT = 255

_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\s]+):\d+\Z")
#: There is no such table or view: MySQL's code and PostgreSQL's.
_NO_TABLE = ("1146", "42P01")


def sessions(connection: Connection, view: str, columns: Mapping[str, str] | None, account: str) -> Sessions:
    """The log's newest entries of an account and of the address that it came from last.

    ``columns`` are the names of columns that differ from `COLUMNS`. Raises `ProbeError`, ``missing`` when the database
    has no such view.
    """
    columns = dict(COLUMNS, **(columns or {}))
    for name in [view, *columns.values()]:
        plain_name(name)
    try:
        now = connection.rows("SELECT LOCALTIMESTAMP")[0][0]
        newest = connection.rows("SELECT MAX({0}) FROM {1}".format(columns["id"], view))[0][0] or 0

        def entries(condition: str, values: Sequence[str], limit: int = LIMIT) -> list[SessionEntry]:
            statement = "SELECT * FROM {0} WHERE {1} > %s AND ({2}) ORDER BY {1} DESC LIMIT %s".format(
                view, columns["id"], condition
            )
            found = connection.records(statement, (newest - NEWEST, *values, limit))
            return [_entry(row, columns, now) for row in found]

        own = _of_clients(entries("{0} = %s".format(columns["account"]), (account,), READ))[:LIMIT]
        address = next((_host(one["address"]) for one in own if one["address"]), None)
        around: list[SessionEntry] = []
        if address:
            bracketed = "[{0}]".format(address)
            around = entries(
                "{0} IN (%s, %s) OR {0} LIKE %s OR {0} LIKE %s".format(columns["address"]),
                (address, bracketed, like(address) + ":%", like(bracketed) + ":%"),
            )
    except ProbeError as error:
        if error.extra.get("code") in _NO_TABLE:
            raise ProbeError("missing", "the database has no view {0}".format(view)) from None
        raise
    return {
        "account": {"last": _last(own), "entries": own},
        "address": {"address": address, "last": _last(around), "entries": around},
    }


def _of_clients(entries: list[SessionEntry]) -> list[SessionEntry]:
    """The entries without those of registration tests: their places, and whatever happened there."""
    tests = {one["address"] for one in entries if one["agent"] == TEST_AGENT}
    return [one for one in entries if one["address"] is None or one["address"] not in tests]


def _entry(row: Mapping[str, Any], columns: Mapping[str, str], now: Any) -> SessionEntry:
    # PostgreSQL returns the columns of a view in lower case.
    row = {name.lower(): value for name, value in row.items()}
    found = {
        name: None if value is None else printable(str(value), TEXT_LIMIT)
        for name, value in ((name, row.get(column.lower())) for name, column in columns.items())
    }
    when = row.get(columns["date"].lower())
    return {
        "event": (found["event"] or "").upper(),
        "at": found["date"],
        "seconds_ago": _seconds(now, when),
        "account": found["account"],
        "address": found["address"],
        "agent": found["agent"],
        "cipher": found["cipher"],
        "details": found["details"],
    }


def _seconds(now: Any, when: Any) -> int | None:
    try:
        seconds: float = (now - when.replace(tzinfo=None)).total_seconds()
    except (AttributeError, TypeError):
        return None
    return max(0, round(seconds))


def _last(entries: Iterable[SessionEntry]) -> dict[str, SessionEntry]:
    last: dict[str, SessionEntry] = {}
    for entry in entries:
        last.setdefault(entry["event"], entry)
    return last


def _host(text: str) -> str:
    found = _PORT.match(text)
    return (found.group(1) if found else text).strip("[]")
