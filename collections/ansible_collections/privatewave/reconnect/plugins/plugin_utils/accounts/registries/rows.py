# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts as rows, of a table or of a file.

A column is a field's name, or that of a map and its field (``profile_name``), or ``group_name``. A column that is
missing, or None, leaves the field at its default. Lists are separated by commas.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..lines import Kind, Node
from ..model import DEFAULTS, FIELDS, MAPS, PROFILE

LISTS = ("codecs", "acl")
#: Columns that say yes or no, and how.
_FLAGS = {
    *(name for name, default in DEFAULTS.items() if isinstance(default, bool)),
    *(f"profile_{name}" for name, default in PROFILE.items() if isinstance(default, bool)),
}
_SAID = {"true": True, "yes": True, "false": False, "no": False}
#: Every column that says something.
COLUMNS = frozenset([*FIELDS, *(f"{name}_{key}" for name, keys in MAPS.items() for key in keys), "group_name"]) - {
    *MAPS
}


def value(column: str, text: str) -> str | bool:
    """What a text says in a column; a password that is called ``yes`` stays one."""
    return _SAID.get(text.strip().lower(), text) if column in _FLAGS else text


def documents(source: str, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> list[Node]:
    """A document for each group that the rows name; a row comes with its place, as mistakes name it."""
    groups: dict[str, list[Node]] = {}
    for where, row in rows:
        groups.setdefault(str(row.get("group_name") or "accounts"), []).append(_account(where, row))
    return [
        Node(
            source,
            "map",
            fields=(
                ("group", Node(source, "map", fields=(("name", Node(source, "text", name)),))),
                ("accounts", Node(source, "list", items=tuple(accounts))),
            ),
        )
        for name, accounts in groups.items()
    ]


def _account(where: str, row: Mapping[str, Any]) -> Node:
    fields = [(name, _node(where, name, row[name])) for name in FIELDS if row.get(name) is not None]
    fields += [(name, node) for name in MAPS for node in _map(where, name, row)]
    return Node(where, "map", fields=tuple(fields))


def _map(where: str, name: str, row: Mapping[str, Any]) -> Iterator[Node]:
    found = [
        (key, _node(where, key, row[f"{name}_{key}"])) for key in MAPS[name] if row.get(f"{name}_{key}") is not None
    ]
    if found:
        yield Node(where, "map", fields=tuple(found))


def _node(where: str, name: str, value: Any) -> Node:
    if name in LISTS:
        texts = [one.strip() for one in str(value).split(",") if one.strip()]
        return Node(where, "list", items=tuple(Node(where, "text", text) for text in texts))
    kind: Kind = "flag" if isinstance(value, bool) else "text"
    return Node(where, kind, str(value))
