# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts in a table or view of a database, a row each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible_collections.privatewave.reconnect.plugins.module_utils import _sql
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

from ..lines import Kind, Mistake, Node
from ..model import FIELDS, MAPS, Account
from . import Encrypt, RegistryError

LIMIT = 10.0
_TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}(\.[A-Za-z_][A-Za-z0-9_]{0,63})?")
_LISTS = ("codecs", "acl")


class Registry:
    """``{plugin: sql, engine, host, port, socket, database, user, password, table}``.

    A column is a field's name, or that of a map and its field (``profile_name``), or ``group_name``. A column that is
    missing, or NULL, leaves the field at its default. Lists are separated by commas.
    """

    plain_secrets = True

    def __init__(self, configuration: Mapping[str, Any], inventory: str) -> None:
        del inventory
        self.table = str(configuration.get("table") or "accounts")
        if not _TABLE.fullmatch(self.table):
            raise RegistryError(f"{self.table[:80]!r} is no name of a table.")
        engine = str(configuration.get("engine") or "mysql")
        if engine not in _sql.PORTS:
            raise RegistryError(f"There is no engine {engine[:80]!r}; there are {' and '.join(_sql.PORTS)}.")
        values = {
            name: str(configuration[name])
            for name in ("host", "port", "socket", "database", "user", "password")
            if configuration.get(name)
        }
        self.login = _sql.Login(engine, values, {})

    def documents(self) -> tuple[list[Node], list[Mistake]]:
        """A document for each group that the rows name."""
        groups: dict[str, list[Node]] = {}
        for row in self._rows():
            name = str(row.get("group_name") or "accounts")
            groups.setdefault(name, []).append(self._account(row))
        return [
            Node(
                self.table,
                "map",
                fields=(
                    ("group", Node(self.table, "map", fields=(("name", Node(self.table, "text", name)),))),
                    ("accounts", Node(self.table, "list", items=tuple(accounts))),
                ),
            )
            for name, accounts in groups.items()
        ], []

    def keeper(self, account: Account, encrypt: Encrypt) -> Callable[[str], None]:
        """Stores the password of an account in its row, in one transaction."""
        del encrypt
        which = (account.username, str(account.values["server"]))

        def keep(password: str) -> None:
            where = f"FROM {self.table} WHERE username = %s AND server = %s"
            try:
                connection = _sql.Connection(self.login, LIMIT)
                try:
                    with connection.transaction():
                        if len(connection.records(f"SELECT username {where} FOR UPDATE", which)) != 1:
                            raise RegistryError(
                                f"The table {self.table} has no single row of the account {account.username}."
                            )
                        connection.change(
                            f"UPDATE {self.table} SET password = %s WHERE username = %s AND server = %s",
                            (password, *which),
                        )
                        stored = connection.records(f"SELECT password {where}", which)
                        if [one["password"] for one in stored] != [password]:
                            raise RegistryError(f"The table {self.table} does not keep the password as it was written.")
                finally:
                    connection.close()
            except ProbeError as error:
                raise RegistryError(f"The password can't be stored in the table {self.table}: {error}.") from None

        return keep

    def _rows(self) -> list[dict[str, Any]]:
        try:
            connection = _sql.Connection(self.login, LIMIT)
            try:
                return list(connection.records(f"SELECT * FROM {self.table} ORDER BY username"))
            finally:
                connection.close()
        except ProbeError as error:
            raise RegistryError(f"The account registry in the table {self.table} can't be read: {error}.") from None

    def _account(self, row: Mapping[str, Any]) -> Node:
        where = f"{self.table}, username {str(row.get('username'))[:40]!r}"
        fields = [(name, _node(where, name, row[name])) for name in FIELDS if row.get(name) is not None]
        fields += [(name, node) for name in MAPS for node in self._map(where, name, row)]
        return Node(where, "map", fields=tuple(fields))

    @staticmethod
    def _map(where: str, name: str, row: Mapping[str, Any]) -> Iterator[Node]:
        found = [
            (key, _node(where, key, row[f"{name}_{key}"])) for key in MAPS[name] if row.get(f"{name}_{key}") is not None
        ]
        if found:
            yield Node(where, "map", fields=tuple(found))


def _node(where: str, name: str, value: Any) -> Node:
    if name in _LISTS:
        texts = [one.strip() for one in str(value).split(",") if one.strip()]
        return Node(where, "list", items=tuple(Node(where, "text", text) for text in texts))
    kind: Kind = "flag" if isinstance(value, bool) else "text"
    return Node(where, kind, str(value))
