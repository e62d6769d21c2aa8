# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts in a table or view of a database, a row each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.privatewave.reconnect.plugins.module_utils._database import sql
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

from ..lines import Mistake, Node
from ..model import Account
from . import Encrypt, RegistryError, rows

LIMIT = 10.0


class Registry:
    """``{plugin: sql, engine, host, port, socket, database, user, password, table}``, with the columns of `rows`."""

    plain_secrets = True

    def __init__(self, configuration: Mapping[str, Any], inventory: str) -> None:
        del inventory
        try:
            self.table = sql.plain_name(str(configuration.get("table") or "accounts"))
        except ProbeError as error:
            raise RegistryError(f"{error}.") from None
        engine = str(configuration.get("engine") or "mysql")
        if engine not in sql.PORTS:
            raise RegistryError(f"There is no engine {engine[:80]!r}; there are {' and '.join(sql.PORTS)}.")
        values = {
            name: str(configuration[name])
            for name in ("host", "port", "socket", "database", "user", "password")
            if configuration.get(name)
        }
        self.login = sql.Login(engine, values, {})

    def documents(self) -> tuple[list[Node], list[Mistake]]:
        """A document for each group that the rows name."""
        return rows.documents(self.table, ((self._where(row), row) for row in self._rows())), []

    def keeper(self, account: Account, encrypt: Encrypt) -> Callable[[str], None]:
        """Stores the password of an account in its row, in one transaction."""
        del encrypt
        which = (account.username, str(account.values["server"]))

        def keep(password: str) -> None:
            where = f"FROM {self.table} WHERE username = %s AND server = %s"
            try:
                connection = sql.Connection(self.login, LIMIT)
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
                raise RegistryError(f"Cannot store the password in the table {self.table}: {error}.") from None

        return keep

    def _rows(self) -> list[dict[str, Any]]:
        try:
            connection = sql.Connection(self.login, LIMIT)
            try:
                return list(connection.records(f"SELECT * FROM {self.table} ORDER BY username"))
            finally:
                connection.close()
        except ProbeError as error:
            raise RegistryError(f"Cannot read the account registry in the table {self.table}: {error}.") from None

    def _where(self, row: Mapping[str, Any]) -> str:
        return f"{self.table}, username {str(row.get('username'))[:40]!r}"
