"""Tells mypy what `Evidence.probe` answers: the data that the documents declare for the probe of that name.

The shape of a probe's data stands once, in the documents of its room. Without this, each rule would read untyped data.
"""

from __future__ import annotations

from collections.abc import Callable

from mypy.checker import TypeChecker
from mypy.nodes import TypeInfo
from mypy.plugin import MethodContext, Plugin
from mypy.types import Instance, LiteralType, Type, TypedDictType, UnionType, get_proper_type

_COLLECTION = "ansible_collections.privatewave.reconnect.plugins.plugin_utils"
_METHOD = f"{_COLLECTION}.judge.evidence.Evidence.probe"
_DOCUMENTS = f"{_COLLECTION}.documents"


class EvidenceTypes(Plugin):
    """The plugin."""

    def get_method_hook(self, fullname: str) -> Callable[[MethodContext], Type] | None:
        """What looks at the calls of a method."""
        return _probe if fullname == _METHOD else None


def _probe(context: MethodContext) -> Type:
    """The type of a call whose two names are written there; any other call keeps the declared one."""
    assert isinstance(context.api, TypeChecker)
    document = context.api.modules[_DOCUMENTS].names["Evidence"].node
    found: Type | None = document.typeddict_type if isinstance(document, TypeInfo) else None
    for argument in context.arg_types:
        name = _literal(argument[0]) if argument else None
        if name is None:
            return context.default_return_type
        fields = get_proper_type(found) if found else None
        if not isinstance(fields, TypedDictType) or name not in fields.items:
            context.api.fail(f'Evidence has no probe "{name}"', context.context)
            return context.default_return_type
        found = fields.items[name]
    return _answer(found, context.default_return_type)


def _literal(kind: Type) -> str | None:
    """The text that an argument is known to be."""
    proper = get_proper_type(kind)
    value = proper.last_known_value if isinstance(proper, Instance) else proper
    return value.value if isinstance(value, LiteralType) and isinstance(value.value, str) else None


def _answer(kind: Type | None, declared: Type) -> Type:
    """A probe as the judge reads it, with the data of the answered branch of its document."""
    proper, read = get_proper_type(kind) if kind else None, get_proper_type(declared)
    for branch in proper.items if isinstance(proper, UnionType) else ():
        fields = get_proper_type(branch)
        if isinstance(fields, TypedDictType) and "data" in fields.items and isinstance(read, Instance):
            return read.copy_modified(args=[fields.items["data"]])
    return declared


def plugin(version: str) -> type[Plugin]:
    """The entry point that mypy calls."""
    return EvidenceTypes
