# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML that remembers where everything stands, and that takes a scalar as it was written.

``username: 0601`` is the text 0601 and no octal number, ``virtual_number: +39…`` keeps its sign, and a mistake can be
named with its file and line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import yaml

Kind = Literal["text", "vault", "flag", "nothing", "map", "list"]

_TAG = "tag:yaml.org,2002:"
_KINDS: dict[str, Kind] = {f"{_TAG}bool": "flag", f"{_TAG}null": "nothing"}
_SCALARS = ("str", "bool", "null", "int", "float", "timestamp", "value")
_DEPTH = 8
#: The one in C is ten times as fast.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Mistake:
    """One mistake in a registry: where (``file:line``, or what a registry has instead) and a sentence."""

    where: str
    sentence: str

    def __str__(self) -> str:
        """The line for a person."""
        return f"{self.where}: {self.sentence}"


class MistakeError(ValueError):
    """What cannot be read at all."""

    def __init__(self, mistake: Mistake) -> None:
        super().__init__(str(mistake))
        self.mistake = mistake


@dataclass(frozen=True)
class Node:
    """A value and where it stands: ``text`` of a scalar, ``items`` of a list, ``fields`` of a map."""

    where: str
    kind: Kind
    text: str = ""
    items: tuple[Node, ...] = ()
    fields: tuple[tuple[str, Node], ...] = ()

    def get(self, name: str) -> Node | None:
        """A field of a map."""
        return next((node for field, node in self.fields if field == name), None)


def read(text: str, name: str) -> tuple[Node, list[Mistake]]:
    """The document in ``text``, whose file is called ``name`` for people, and the keys that come twice in it.

    Raises `MistakeError` when it is no YAML, or no map.
    """
    mistakes: list[Mistake] = []
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise MistakeError(Mistake(f"{name}:{line}", f"It is no YAML: {error.problem or error.context}.")) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise MistakeError(Mistake(f"{name}:1", f"It is no YAML: {' '.join(str(error).split())}.")) from None
    if not isinstance(node, yaml.MappingNode):
        raise MistakeError(Mistake(f"{name}:1", "It must hold the fields group and accounts."))
    return _convert(node, name, mistakes, 0), mistakes


def _convert(node: yaml.Node, name: str, mistakes: list[Mistake], depth: int) -> Node:
    where = f"{name}:{node.start_mark.line + 1}"
    if depth > _DEPTH:
        raise MistakeError(Mistake(where, "It is nested too deeply."))
    if isinstance(node, yaml.CollectionNode) and node.tag not in (f"{_TAG}map", f"{_TAG}seq"):
        mistakes.append(Mistake(where, f"The tag {node.tag} is not known here; only !vault is."))
    if isinstance(node, yaml.MappingNode):
        return Node(where, "map", fields=tuple(_fields(node, name, mistakes, depth)))
    if isinstance(node, yaml.SequenceNode):
        return Node(where, "list", items=tuple(_convert(one, name, mistakes, depth + 1) for one in node.value))
    if node.tag == "!vault":
        return Node(where, "vault", node.value)
    if node.tag.removeprefix(_TAG) not in _SCALARS:
        mistakes.append(Mistake(where, f"The tag {node.tag} is not known here; only !vault is."))
    return Node(where, _KINDS.get(node.tag, "text"), str(node.value))


def _fields(node: yaml.MappingNode, name: str, mistakes: list[Mistake], depth: int) -> Iterator[tuple[str, Node]]:
    seen: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        text = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
        if text in seen:
            mistakes.append(Mistake(f"{name}:{line}", f"{text} is there twice, first in line {seen[text]}."))
            continue
        seen[text] = line
        converted = _convert(value, name, mistakes, depth + 1)
        # A nested value is named with the line of its key: that is what a person looks for.
        yield text, Node(f"{name}:{line}", converted.kind, converted.text, converted.items, converted.fields)
