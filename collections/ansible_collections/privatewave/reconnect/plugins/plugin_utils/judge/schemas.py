# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON Schemas of the typed documents, and values that are checked against one.

A TypedDict is the only place where a document's shape is written down. What a server says is fitted to it before any
rule reads it: a probe of another shape is a question without an answer, and the message says where.
"""

from __future__ import annotations

import functools
import inspect
import math
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import failed
from ansible_collections.privatewave.reconnect.plugins.module_utils._text import one_line

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    type(None): {"type": "null"},
    Any: {},
    object: {},
}
#: The largest number that evidence may hold, and how deep a value may be nested that no schema describes.
NUMBER_LIMIT, DEPTH_LIMIT = 2**63, 20
#: How the message of a probe begins that was of another shape.
MISFIT = "the answer is not of the documented shape"
#: The definition by which a schema says that a value is a probe.
_FAILED = "#/$defs/probe.Failed"


def schema_of(document: Any) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a TypedDict, or of any other type that its fields may have.

    Nested TypedDicts stand in ``$defs`` under ``ROOM.NAME``; their docstrings are the descriptions. No object may have
    fields that its TypedDict does not name. Raises `TypeError` for a type that has no JSON form.
    """
    definitions: dict[str, Any] = {}
    schema = _schema(document, {}, definitions)
    return {"$schema": DIALECT, **schema, **({"$defs": definitions} if definitions else {})}


def _schema(kind: Any, bound: Mapping[Any, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a type; ``bound`` says what the type variables of a generic TypedDict stand for."""
    if isinstance(kind, TypeVar):
        return _schema(bound.get(kind, Any), {}, definitions)
    if kind in _PLAIN:
        return dict(_PLAIN[kind])
    if is_typeddict(kind):
        if _name(kind) not in definitions:
            # The name is taken before the fields are read: a document may hold documents of its own kind.
            definitions[_name(kind)] = {}
            definitions[_name(kind)] = _object(kind, {}, definitions)
        return _reference(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if is_typeddict(origin):
        given = [bound.get(one, one) for one in arguments]
        return _object(origin, dict(zip(origin.__parameters__, given, strict=True)), definitions)
    if origin is Literal:
        return {"const": arguments[0]} if len(arguments) == 1 else {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(one, bound, definitions) for one in arguments]}
    if origin is tuple and Ellipsis not in arguments:
        items = [_schema(one, bound, definitions) for one in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    if kind in (list, tuple) or origin in (list, tuple, Sequence):
        return {"type": "array", **({"items": _schema(arguments[0], bound, definitions)} if arguments else {})}
    if kind is dict or (origin in (dict, Mapping) and arguments[0] is str):
        return {"type": "object", "additionalProperties": _schema((*arguments, Any)[1], bound, definitions)}
    raise TypeError(f"{kind!r} has no JSON form")


def _object(kind: Any, bound: Mapping[Any, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    fields = get_type_hints(kind)
    found: dict[str, Any] = {
        "type": "object",
        "title": kind.__name__,
        "properties": {name: _schema(field, bound, definitions) for name, field in fields.items()},
        "required": [name for name in fields if name in kind.__required_keys__],
        "additionalProperties": False,
    }
    if kind.__doc__:
        found["description"] = inspect.cleandoc(kind.__doc__)
    return found


def _name(kind: Any) -> str:
    """``host.Unit``: the room that a TypedDict lives in and its name, for names repeat from room to room."""
    folder, module = ["", *kind.__module__.split(".")][-2:]
    room = folder if module == "documents" else module
    return f"{room.lstrip('_')}.{kind.__name__}"


def _reference(kind: Any) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{_name(kind)}"}


# ------------------------------------------------------------------------------------------------ fitting


class MisfitError(ValueError):
    """A value is of another shape than its schema says; the message says where, and what it must be."""


def fit(value: object, kind: Any) -> Any:
    """A value as the schema of a type describes it: a copy without fields that nobody knows.

    Every probe in it that is of another shape is replaced by one without an answer. Raises `MisfitError` when anything
    else is.
    """
    schema = known(kind)
    return _fit(value, schema, schema.get("$defs", {}), "")


def _fit(value: Any, schema: Mapping[str, Any], definitions: Mapping[str, Any], where: str) -> Any:
    if "$ref" in schema:
        return _fit(value, definitions[schema["$ref"].rpartition("/")[2]], definitions, where)
    if "anyOf" in schema:
        if any(one.get("$ref") == _FAILED for one in schema["anyOf"]):
            return _fit_probe(value, schema["anyOf"], definitions, where)
        return _fit_any(value, schema["anyOf"], definitions, where)
    if "const" in schema or "enum" in schema:
        known = schema.get("enum", [schema.get("const")])
        # True is 1 in Python, and no number here.
        if not any(type(value) is type(one) and value == one for one in known):
            raise MisfitError(f"{where or 'it'} must be one of {', '.join(map(repr, known))}")
        return value
    kind = schema.get("type")
    if kind is None:
        return _fit_plain(value, where, 0)
    if kind == "object":
        return _fit_object(value, schema, definitions, where)
    if kind == "array":
        return _fit_array(value, schema, definitions, where)
    return _fit_scalar(value, kind, where)


def _fit_probe(value: Any, branches: list[Any], definitions: Mapping[str, Any], where: str) -> Any:
    """A probe; one that is of another shape has no answer."""
    answered = isinstance(value, dict) and value.get("ok") is not False
    branch = next(one for one in branches if (one.get("$ref") == _FAILED) is not answered)
    try:
        return _fit(value, branch, definitions, "")
    except MisfitError as error:
        return failed("invalid", f"{MISFIT}: {error}")


def _fit_any(value: Any, branches: list[Any], definitions: Mapping[str, Any], where: str) -> Any:
    problems = []
    for branch in branches:
        try:
            return _fit(value, branch, definitions, where)
        except MisfitError as error:
            problems.append(error)
    raise problems[0]


def _fit_object(value: Any, schema: Mapping[str, Any], definitions: Mapping[str, Any], where: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise MisfitError(f"{where or 'it'} must be a mapping")
    known, other = schema.get("properties", {}), schema.get("additionalProperties", {})
    for name in schema.get("required", ()):
        if name not in value:
            raise MisfitError(f"{_below(where, name)} is missing")
    return {
        name: _fit(inner, known.get(name, other), definitions, _below(where, name))
        for name, inner in value.items()
        if name in known or other is not False
    }


def _fit_array(value: Any, schema: Mapping[str, Any], definitions: Mapping[str, Any], where: str) -> list[Any]:
    if not isinstance(value, list):
        raise MisfitError(f"{where or 'it'} must be a list")
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf):
        raise MisfitError(f"{where or 'it'} must have {schema['minItems']} entries")
    first, other = schema.get("prefixItems", []), schema.get("items", {})
    return [
        _fit(inner, first[number] if number < len(first) else other, definitions, _below(where, str(number)))
        for number, inner in enumerate(value)
    ]


def _fit_scalar(value: Any, kind: str, where: str) -> Any:
    wanted: Any = {"string": str, "boolean": bool, "integer": int, "number": (int, float), "null": type(None)}[kind]
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind != "boolean"):
        raise MisfitError(f"{where or 'it'} must be {'null' if kind == 'null' else 'of the type ' + kind}")
    return _fit_number(value, where) if kind in ("integer", "number") else value


def _fit_number(value: float, where: str) -> float:
    if not -NUMBER_LIMIT < value < NUMBER_LIMIT:
        raise MisfitError(f"{where or 'it'} must be a number of at most 64 bits")
    return value


def _fit_plain(value: Any, where: str, depth: int) -> Any:
    """A value that no schema describes: any JSON, nested up to a limit."""
    if depth > DEPTH_LIMIT:
        raise MisfitError(f"{where or 'it'} is nested too deeply")
    if isinstance(value, dict):
        return {str(name): _fit_plain(inner, where, depth + 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [_fit_plain(inner, where, depth + 1) for inner in value]
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, (int, float)):
        return _fit_number(value, where)
    raise MisfitError(f"{where or 'it'} must be plain data")


def _below(where: str, name: str) -> str:
    return f"{where}.{one_line(name, 80)}" if where else one_line(name, 80)


@functools.cache
def known(kind: Any) -> dict[str, Any]:
    """`schema_of`, derived once in a process. Nobody may change it."""
    return schema_of(kind)
