"""Text from servers, incidents and logs, made safe for a terminal and for a report.

Account names, error texts and log lines are hostile input: an escape sequence in one of them would otherwise move the
reader's cursor, recolour a verdict, or reverse the order of what is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from reconnect.common import HIDDEN, escape

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
    line = HIDDEN.sub(lambda match: " " if match[0] in "\r\n\t" else escape(match[0]), str(text))
    line = re.sub(" +", " ", line).strip()
    return line if len(line) <= limit else line[: limit - 1] + "…"


def counted(number: int, noun: str) -> str:
    """``1 server``, ``2 servers``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """`text` with its line breaks and tabs kept and everything else that is not printable shown as an escape."""
    return HIDDEN.sub(lambda match: match[0] if match[0] in "\n\t" else escape(match[0]), text)


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


def is_storable(value: Any) -> bool:
    """Whether every text in a document can be stored: nobody writes half a surrogate pair, and PostgreSQL no NUL."""
    if isinstance(value, str):
        return _UNSTORABLE.search(value) is None
    if isinstance(value, Mapping):
        return all(is_storable(name) and is_storable(inner) for name, inner in value.items())
    return all(map(is_storable, value)) if isinstance(value, list) else True
