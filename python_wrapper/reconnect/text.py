"""Text from servers, incidents and logs, made safe for a terminal and for a report.

Account names, error texts and log lines are hostile input: an escape sequence in one of them would otherwise move the
reader's cursor, recolour a verdict, or reverse the order of what is read.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

#: Characters that steer a terminal, reorder what is read, or are not seen at all: C0 and C1 controls, line and
#: paragraph separators, bidirectional marks, fillers, tags, variation selectors, half surrogate pairs (Unicode UAX 44,
#: Default_Ignorable_Code_Point; TR 36, "bidirectional text spoofing"). The collection's `_text` has the same.
HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u2800\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)

#: What an editor on Windows puts before a text; without it, every other byte of UTF-16 is a zero.
_ENCODINGS = {
    "utf-8-sig": re.compile(rb"\xef\xbb\xbf"),
    "utf-16": re.compile(rb"\xff\xfe|\xfe\xff"),
    "utf-16-le": re.compile(rb"(?:[\t\r\n -~]\x00){2}"),
    "utf-16-be": re.compile(rb"(?:\x00[\t\r\n -~]){2}"),
}
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def one_line(text: object, limit: int = 400) -> str:
    """`text` as one printable line of at most `limit` characters; what is not printable is shown as an escape."""
    line = HIDDEN.sub(lambda match: " " if match[0] in "\r\n\t" else _escape(match[0]), str(text))
    line = re.sub(" +", " ", line).strip()
    return line if len(line) <= limit else line[: limit - 1] + "…"


def printable(text: str) -> str:
    """`text` with its line breaks and tabs kept and everything else that is not printable shown as an escape."""
    return HIDDEN.sub(lambda match: match[0] if match[0] in "\n\t" else _escape(match[0]), text)


def printable_document(value: Any) -> Any:
    """A JSON document with every text in it made printable: an escape in JSON is a character once it was read."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {printable(str(name)): printable_document(inner) for name, inner in value.items()}
    return [printable_document(inner) for inner in value] if isinstance(value, list) else value


def encoding_of(content: bytes) -> str:
    """In what a text was saved, by how it begins."""
    return next((name for name, begins in _ENCODINGS.items() if begins.match(content)), "utf-8")


def plain_json(content: str | bytes) -> Any:
    """What JSON of a stranger says. Raises ValueError, also for a number that is infinite or none."""
    try:
        return json.loads(content, parse_float=_finite, parse_constant=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{one_line(text, 40)} is not a finite number")
    return number


def is_storable(value: Any) -> bool:
    """Whether every text in a document can be stored: nobody writes half a surrogate pair, and PostgreSQL no NUL."""
    if isinstance(value, str):
        return _UNSTORABLE.search(value) is None
    if isinstance(value, Mapping):
        return all(is_storable(name) and is_storable(inner) for name, inner in value.items())
    return all(map(is_storable, value)) if isinstance(value, list) else True


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
