# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lines of client logs mean: ``signatures.yml``, and what a site adds in ``reconnect_client_signatures``."""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# What a pattern is made of can be told by the interpreter's own parser only.
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import yaml

FILE = Path(__file__).with_name("signatures.yml")
#: Characters of a pattern, and of a line that patterns are tried on.
PATTERN_LIMIT, LINE_LIMIT = 300, 1000
#: Signatures that a site may add.
SITE_LIMIT = 200
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")


class SignatureError(ValueError):
    """An entry that can't be used; the message names it."""


@dataclass(frozen=True)
class Signature:
    """A line that is known: the pattern it matches, what that means, and the cause it hints at, if any."""

    name: str
    pattern: re.Pattern[str]
    meaning: str
    cause: str | None = None

    def search(self, line: str) -> bool:
        """Whether the beginning of a line matches."""
        return self.pattern.search(line[:LINE_LIMIT]) is not None


@functools.cache
def signatures() -> tuple[Signature, ...]:
    """All signatures of ours, in the order of the file."""
    return tuple(parse(yaml.safe_load(FILE.read_text(encoding="utf-8"))))


def parse(entries: object) -> Iterator[Signature]:
    """Signatures from ``{name: {pattern, meaning, cause}}``. Raises `SignatureError` on the first unusable one."""
    if not isinstance(entries, Mapping) or len(entries) > SITE_LIMIT:
        raise SignatureError(f"signatures must be a mapping of at most {SITE_LIMIT} names")
    for name, entry in entries.items():
        yield _signature(str(name), entry)


def _signature(name: str, entry: object) -> Signature:
    if not isinstance(entry, Mapping) or not {"pattern", "meaning"} <= set(entry) <= {"pattern", "meaning", "cause"}:
        raise SignatureError(f"the signature {name!r} must have a pattern and a meaning, and may have a cause")
    pattern, meaning, cause = entry["pattern"], entry["meaning"], entry.get("cause")
    if not isinstance(pattern, str) or not isinstance(meaning, str) or not isinstance(cause, str | None):
        raise SignatureError(f"the pattern, meaning and cause of the signature {name!r} must be text")
    if not pattern or len(pattern) > PATTERN_LIMIT:
        raise SignatureError(f"the pattern of the signature {name!r} must have 1 to {PATTERN_LIMIT} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            parsed = parser.parse(pattern)
            compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError, Warning) as error:
        raise SignatureError(f"the pattern of the signature {name!r} is no regular expression: {error}") from None
    if _bombs(parsed):
        raise SignatureError(f"the pattern of the signature {name!r} repeats too freely: it could take for ever")
    return Signature(name, compiled, meaning, cause)


def _bombs(parsed: Any) -> bool:
    """Whether a pattern repeats a repetition, refers back to a group, or repeats without limit more than once."""
    unlimited = 0

    def visit(part: Any, repeated: bool) -> bool:
        nonlocal unlimited
        if not isinstance(part, tuple) or len(part) != 2:
            return isinstance(part, Sequence | parser.SubPattern) and any(visit(one, repeated) for one in part)
        kind, value = str(part[0]), part[1]
        if kind.startswith("GROUPREF"):
            return True
        if kind in _REPEATS:
            _lowest, highest, body = value
            if highest == parser.MAXREPEAT:
                unlimited += 1
            return repeated or unlimited > 1 or visit(body, highest > 1)
        return isinstance(value, tuple | list | parser.SubPattern) and any(visit(one, repeated) for one in value)

    return visit(parsed, False)
