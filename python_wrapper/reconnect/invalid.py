"""What is wrong with what somebody wrote, in words for who wrote it: those of pydantic are for programmers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import yaml

from reconnect.text import one_line

_A_TEXT = "write a text"
_A_NUMBER = "write a number"
_WHOLE = "write a whole number"
_YES_OR_NO = "write true or false"
_FIELDS = "write fields, 'name: value'"
_TOO_LONG = "it is too long: at most {max_length}"
_TOO_SHORT = "it is too short: at least {min_length}"
_A_TIME = "write a time, for example 2026-12-24 18:00+01:00"
#: By the kinds of errors; in braces what pydantic says of one.
_SENTENCES = {
    "missing": "it is missing",
    "extra_forbidden": "there is no such field",
    "string_type": _A_TEXT,
    "string_pattern_mismatch": "it has characters that it cannot have",
    "string_too_long": _TOO_LONG,
    "string_too_short": _TOO_SHORT,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _A_NUMBER,
    "float_parsing": _A_NUMBER,
    "finite_number": _A_NUMBER,
    "bool_type": _YES_OR_NO,
    "bool_parsing": _YES_OR_NO,
    "list_type": "write a list",
    "too_long": _TOO_LONG,
    "too_short": _TOO_SHORT,
    "dict_type": _FIELDS,
    "model_type": _FIELDS,
    "model_attributes_type": _FIELDS,
    "path_type": "write a path",
    "greater_than": "it must be more than {gt}",
    "greater_than_equal": "it must be {ge} or more",
    "less_than": "it must be less than {lt}",
    "less_than_equal": "it must be {le} or less",
    "literal_error": "it must be {expected}",
    "timezone_aware": "the time needs a time zone, for example 18:00+01:00",
    "datetime_type": _A_TIME,
    "datetime_parsing": _A_TIME,
    "datetime_from_date_parsing": _A_TIME,
}


def where(error: Mapping[str, Any]) -> str:
    """The place of one of pydantic's errors: `limits.budget`."""
    return one_line(".".join(str(part) for part in error["loc"] if part != "[key]"), 160)


def sentence(error: Mapping[str, Any]) -> str:
    """What is wrong there, without a full stop."""
    limits = {name: str(one).removesuffix(".0") for name, one in error.get("ctx", {}).items()}
    known = _SENTENCES.get(error["type"])
    # Else it is mostly our own.
    said = known.format_map(limits) if known else error["msg"].removeprefix("Value error, ")
    return one_line(said, 300).rstrip(".")


def in_a_sentence(error: Mapping[str, Any]) -> str:
    """The same behind a colon."""
    said = sentence(error)
    return said[:1].lower() + said[1:]


def twice(root: yaml.Node | None) -> str:
    """A name that stands in a map of YAML twice, of which only the last would count; empty where none does."""
    left, seen = [root], set()
    while left:
        # An alias may lead back.
        if id(node := left.pop()) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            names = Counter(str(key.value) for key, _ in node.value)
            if found := next((name for name, number in names.items() if number > 1), ""):
                return found
            left += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            left += node.value
    return ""
