# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the documents of a registry to accounts, and every mistake in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from .lines import Mistake, Node
from .model import FIELDS, MAPS, Account, Secret, fields, merged, together

_GROUP = {"name", "server", "profile", "defaults"}
_ACCOUNT = {*FIELDS, *MAPS}
#: What belongs to one account alone.
_OWN = {"username", "virtual_number"}


@dataclass(frozen=True)
class Registered:
    """What a registry holds: accounts in its order (those that are right), and the mistakes in it."""

    accounts: list[Account]
    mistakes: list[Mistake]

    def of(self, server: str) -> list[Account]:
        """The accounts of a server."""
        return [one for one in self.accounts if one.values["server"] == server]


def read(
    documents: Iterable[Node],
    servers: Collection[str] | None = None,
    plain_secrets: bool = False,
    mistakes: Iterable[Mistake] = (),
) -> Registered:
    """The accounts of documents ``{group: {name, server, profile, defaults}, accounts: [account]}``.

    ``servers`` are those that are known (None: any), ``plain_secrets`` says that secrets may stand there as they are,
    ``mistakes`` are those found before.
    """
    reader = _Reader(servers, plain_secrets, list(mistakes))
    for document in documents:
        reader.group(document)
    return Registered(reader.accounts, reader.mistakes)


class _Reader:
    def __init__(self, servers: Collection[str] | None, plain_secrets: bool, mistakes: list[Mistake]) -> None:
        self.servers = servers
        self.plain_secrets = plain_secrets
        self.mistakes = mistakes
        self.accounts: list[Account] = []
        self.groups: dict[str, str] = {}
        self.taken: dict[tuple[str, str], str] = {}

    def group(self, document: Node) -> None:
        for name, node in document.fields:
            if name not in ("group", "accounts"):
                self.mistakes.append(Mistake(node.where, f"There is the unknown field {name[:40]!r}."))
        group = document.get("group")
        if group is None or group.kind != "map":
            self.mistakes.append(
                Mistake(document.where, "The field group is missing: {name, server, profile, defaults}.")
            )
            return
        for name, node in group.fields:
            if name not in _GROUP:
                self.mistakes.append(Mistake(node.where, f"The group has the unknown field {name[:40]!r}."))
        title = group.get("name")
        name = title.text if title is not None and title.kind == "text" else ""
        if not name:
            self.mistakes.append(Mistake(group.where, "The group has no name."))
        elif name in self.groups:
            self.mistakes.append(
                Mistake(group.where, f"There are two groups {name[:80]!r}, the other is in {self.groups[name]}.")
            )
        self.groups.setdefault(name, group.where)
        common = self._common(group, name)
        accounts = document.get("accounts")
        if accounts is None or accounts.kind not in ("list", "nothing"):
            self.mistakes.append(Mistake(document.where, "The field accounts is missing: a list of accounts."))
            return
        for node in accounts.items:
            self._account(node, common, name)

    def _common(self, group: Node, name: str) -> dict[str, Any]:
        """What the accounts of a group share."""
        whose = f"the group {name}"
        common: dict[str, Any] = {}
        defaults = group.get("defaults")
        if defaults is not None and defaults.kind not in ("map", "nothing"):
            self.mistakes.append(Mistake(defaults.where, "The defaults of the group must hold fields."))
        elif defaults is not None:
            common = fields(defaults, _ACCOUNT - _OWN - {"profile", "server"}, whose, self.mistakes)
            self._secrets(common, defaults, whose)
        shared = Node(group.where, "map", fields=tuple(one for one in group.fields if one[0] in ("server", "profile")))
        common.update(fields(shared, {"server", "profile"}, whose, self.mistakes))
        self._server(common, group, whose)
        return common

    def _account(self, node: Node, common: dict[str, Any], group: str) -> None:
        if node.kind != "map":
            self.mistakes.append(Mistake(node.where, "An account must hold fields."))
            return
        user = node.get("username")
        known = user is not None and user.kind == "text" and user.text
        whose = f"the account {user.text[:40]}" if user is not None and known else "the account"
        before = len(self.mistakes)
        own = fields(node, _ACCOUNT, whose, self.mistakes)
        self._secrets(own, node, whose)
        self._server(own, node, whose)
        values = {**merged(common, own), "group": group}
        tried = {name for name, _value in node.fields if name not in own}
        self.mistakes.extend(together(values, node, whose, tried))
        self._unique(values, node, whose)
        if len(self.mistakes) == before and all(values.get(name) for name in ("username", "server")):
            self.accounts.append(Account(values, node.where))

    def _server(self, values: dict[str, Any], node: Node, whose: str) -> None:
        server = values.get("server")
        if server and self.servers is not None and server not in self.servers:
            where = (node.get("server") or node).where
            self.mistakes.append(
                Mistake(where, f"The server of {whose} is {server!r}, which the inventory does not know.")
            )

    def _secrets(self, values: dict[str, Any], node: Node, whose: str) -> None:
        if self.plain_secrets:
            return
        for path, secret in secrets(values):
            if secret.kind == "plain":
                where = (node.get(path[0]) or node).where
                self.mistakes.append(
                    Mistake(
                        where, f"The {' '.join(path)} of {whose} stands there in clear text: vault it, or look it up."
                    )
                )

    def _unique(self, values: dict[str, Any], node: Node, whose: str) -> None:
        for name in ("username", "virtual_number"):
            value = values.get(name)
            if not value:
                continue
            where = (node.get(name) or node).where
            # Servers number their users independently of each other; phone numbers are everybody's.
            scope = str(values.get("server")) if name == "username" else ""
            other = self.taken.setdefault((f"{name} {scope}", value), where)
            if other != where:
                self.mistakes.append(Mistake(where, f"The {name} {value!r} of {whose} is taken already in {other}."))


def secrets(values: dict[str, Any]) -> list[tuple[tuple[str, ...], Secret]]:
    """Every secret of an account with its path."""
    found: list[tuple[tuple[str, ...], Secret]] = []
    for name, value in values.items():
        inner = value.items() if isinstance(value, dict) else ()
        if isinstance(value, Secret):
            found.append(((name,), value))
        found.extend(((name, key), one) for key, one in inner if isinstance(one, Secret))
    return found
