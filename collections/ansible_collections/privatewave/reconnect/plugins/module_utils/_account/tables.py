# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts in the realtime tables of a database."""

from __future__ import annotations

from typing import TYPE_CHECKING, ContextManager, Dict, List, cast

from ansible_collections.privatewave.reconnect.plugins.module_utils._database.realtime import parse_realtime, table_name
from ansible_collections.privatewave.reconnect.plugins.module_utils._database.sql import (
    Connection,
    login_of,
    plain_name,
)
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import config
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._text import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ansible_collections.privatewave.reconnect.plugins.module_utils._account.documents import (
        Change,
        Found,
        Kind,
        Values,
    )
    from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import Settings

#: The rows by the value of a column.
Rows = Dict[str, List["Values"]]

LIMIT = 10.0
#: Kinds of objects with their family in extconfig.conf and the column that is their id.
KINDS: dict[str, dict[Kind, tuple[str, str]]] = {
    "pjsip": {
        "endpoint": ("ps_endpoints", "id"),
        "auth": ("ps_auths", "id"),
        "aor": ("ps_aors", "id"),
        "contact": ("ps_contacts", "id"),
    },
    "sip": {"peer": ("sippeers", "name")},
}
#: Without these columns an account cannot be compared.
_NEEDED: dict[Kind, tuple[str, ...]] = {
    "endpoint": ("id", "auth", "aors"),
    "auth": ("id", "username", "password"),
    "aor": ("id", "max_contacts"),
    "peer": ("name", "secret", "host"),
}
#: Names in one statement.
_CHUNK = 500


class Tables:
    """The tables as a `store.Store`."""

    def __init__(self, settings: Settings) -> None:
        """Log in as Asterisk does. Raises `ProbeError`."""
        families = parse_realtime(config.read("extconfig.conf"))
        self.kinds = KINDS[settings["channel_driver"]]
        self._tables = {kind: plain_name(table_name(families, family)) for kind, (family, _key) in self.kinds.items()}
        self._connection = Connection(login_of(settings), LIMIT)
        try:
            known = self._connection.columns(self._tables.values())
            self._hiding = self._connection.hiding(list(self._tables.values()))
            self.columns: dict[Kind, set[str]] = {kind: set(known[table]) for kind, table in self._tables.items()}
            for kind, needed in _NEEDED.items():
                missing = [one for one in needed if kind in self.columns and one not in self.columns[kind]]
                if missing:
                    raise ProbeError(
                        "invalid", "the table {0} has no {1}".format(self._tables[kind], " and no ".join(missing))
                    )
        except ProbeError:
            self.close()
            raise

    def hides(self, kind: Kind) -> bool:
        """Whether the table of a kind may hold rows that Asterisk's user does not see."""
        return self._tables[kind] in self._hiding

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def read(self, users: Iterable[str], lock: bool = False) -> dict[str, Found]:
        """The objects of users; ``lock`` keeps them as they are until the transaction's end."""
        users = list(users)
        if "peer" in self.kinds:
            peers = self._rows("peer", "name", users, lock)
            return {
                user: {
                    "peer": {user: peers[user][0]} if user in peers else {},
                    "doubled": ["peer"] if len(peers.get(user, [])) > 1 else [],
                }
                for user in users
            }
        endpoints = self._rows("endpoint", "id", users, lock)
        named = {"auth": set(users), "aor": set(users)}
        for rows in endpoints.values():
            for row in rows:
                for kind, column in (("auth", "auth"), ("aor", "aors")):
                    named[kind].update(listed(row.get(column)))
        auths, aors = (self._rows(kind, "id", sorted(named[kind]), lock) for kind in ("auth", "aor"))
        contacts = self._rows("contact", "endpoint", users, False) if "endpoint" in self.columns["contact"] else {}
        return {user: self._objects(user, endpoints, auths, aors, contacts) for user in users}

    @staticmethod
    def _objects(user: str, endpoints: Rows, auths: Rows, aors: Rows, contacts: Rows) -> Found:
        own = endpoints.get(user, [])
        doubled: list[Kind] = ["endpoint"] if len(own) > 1 else []
        by_kind: dict[str, dict[str, Values]] = {"endpoint": {user: own[0]} if own else {}}
        kinds: tuple[tuple[Kind, str, Rows], ...] = (("auth", "auth", auths), ("aor", "aors", aors))
        for kind, column, rows in kinds:
            names = {user}.union(*(listed(row.get(column)) for row in own))
            by_kind[kind] = {name: rows[name][0] for name in sorted(names) if name in rows}
            doubled += [kind for name in names if len(rows.get(name, [])) > 1]
        return cast("Found", dict(by_kind, doubled=doubled, contact=contacts.get(user, [])))

    def _rows(self, kind: Kind, column: str, wanted: Iterable[str], lock: bool) -> Rows:
        found: Rows = {}
        values = list(wanted)
        quoted = self._connection.quoted
        for start in range(0, len(values), _CHUNK):
            chunk = values[start : start + _CHUNK]
            statement = "SELECT * FROM {0} WHERE {1} IN ({2}){3}".format(
                quoted(self._tables[kind]),
                quoted(column),
                ", ".join(["%s"] * len(chunk)),
                " FOR UPDATE" if lock else "",
            )
            for row in self._connection.records(statement, chunk):
                found.setdefault(str(row[column]), []).append(row)
        return found

    def transaction(self) -> ContextManager[object]:
        """All or nothing: changes are committed at its end, and rolled back after an exception."""
        return self._connection.transaction()

    def row(self, kind: Kind, key: str) -> Values | None:
        """An object, or None."""
        rows = self._rows(kind, self.kinds[kind][1], [key], False).get(key)
        return rows[0] if rows else None

    def write(self, changes: Iterable[Change]) -> None:
        """Carry out changes. Raises `ProbeError`."""
        for change in changes:
            self._write(change["kind"], change["id"], change["action"], change["values"])

    def _write(self, kind: Kind, key: str, action: str, values: Mapping[str, object]) -> None:
        quoted = self._connection.quoted
        table, column = quoted(self._tables[kind]), self.kinds[kind][1]
        values = {name: values[name] for name in sorted(values)}
        if action == "insert":
            statement = "INSERT INTO {0} ({1}) VALUES ({2})".format(
                table, ", ".join(map(quoted, values)), ", ".join(["%s"] * len(values))
            )
            self._connection.change(statement, list(values.values()))
        elif action == "update":
            statement = "UPDATE {0} SET {1} WHERE {2} = %s".format(
                table, ", ".join("{0} = %s".format(quoted(name)) for name in values), quoted(column)
            )
            self._connection.change(statement, [*values.values(), key])
        else:
            self._connection.change("DELETE FROM {0} WHERE {1} = %s".format(table, quoted(column)), [key])
