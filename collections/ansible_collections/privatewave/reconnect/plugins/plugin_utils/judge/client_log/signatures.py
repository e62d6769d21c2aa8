# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lines of client logs mean: ``signatures.yml``, and what a site adds in ``reconnect_client_signatures``.

The numbers of errors are in ``codes.yml``, by the family they belong to.
"""

from __future__ import annotations

import functools
import importlib
import math
import re
import time
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..tables import load

# What a pattern is made of can be told by the interpreter's own parser only.
parser = importlib.import_module("re._parser")
FILE = Path(__file__).with_name("signatures.yml")
CODES = Path(__file__).with_name("codes.yml")
#: Characters of a pattern, and of a line that patterns are tried on.
PATTERN_LIMIT, LINE_LIMIT = 300, 1000
#: Signatures that a site may add, and patterns of one.
SITE_LIMIT, PATTERNS_LIMIT = 200, 20
#: In how many ways a pattern may match at one place of a line: what it costs is bounded by that.
WAYS_LIMIT = 12_000
#: Seconds that the signatures of a site may take for one log.
SITE_SECONDS = 5.0
#: What a site may say of a signature. How ours explain each other is no matter of a site.
_SITE_FIELDS = frozenset({"pattern", "meaning", "cause"})
_FIELDS = {*_SITE_FIELDS, "explains", "circumstance"}
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")


class SignatureError(ValueError):
    """An invalid entry; the message names it."""


@dataclass(frozen=True)
class Pattern:
    """A regular expression, and texts of which every line that it matches has at least one; none: not known.

    A text is looked for in a fraction of the time that the expression takes.
    """

    expression: re.Pattern[str]
    texts: frozenset[str]

    def may_match(self, text: str) -> bool:
        """Whether a text can have a match at all."""
        return not self.texts or any(one in text for one in self.texts)


@dataclass(frozen=True)
class Signature:
    """A line that is known: the patterns it may match, what that means, and the cause it hints at, if any.

    ``explains``: the names of those that it is the reason of; beside it they hint at no cause.
    ``circumstance``: it is told only where it explains something, and looked for in lines about anything: of the whole
    log where it is ``set``, after the last accepted registration where it was ``seen``.
    """

    name: str
    patterns: tuple[Pattern, ...]
    meaning: str
    cause: str | None = None
    explains: frozenset[str] = frozenset()
    circumstance: str | None = None

    def last(self, lines: Sequence[str], whole: str, deadline: float = math.inf) -> int | None:
        """The number of the last line that matches; None where there is none, or none was found in time.

        ``whole`` is all lines in one, ``deadline`` is by `time.monotonic`. Of a line `LINE_LIMIT` characters are tried.
        """
        expressions = [pattern.expression for pattern in self.patterns if pattern.may_match(whole)]
        for number in range(len(lines) - 1, -1, -1) if expressions else ():
            if any(expression.search(lines[number], 0, LINE_LIMIT) for expression in expressions):
                return number
            if time.monotonic() > deadline:
                return None
        return None


@functools.cache
def signatures() -> tuple[Signature, ...]:
    """All signatures of ours, in the order of the file; they match lines that are `readable`."""
    numbers: dict[str, list[Pattern]] = {}
    for name, pattern in _numbers(load(CODES.read_text(encoding="utf-8"))):
        numbers.setdefault(name, []).append(_pattern(name, pattern))
    known = parse(load(FILE.read_text(encoding="utf-8")), _FIELDS)
    return tuple(replace(one, patterns=(*one.patterns, *numbers.get(one.name, ()))) for one in known)


def _numbers(families: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """The name of a signature and a pattern of it, for each that the families of numbers add."""
    for family in families.values():
        codes = family["codes"]
        if isinstance(codes, str):
            codes = families[codes]["codes"]
        for name, numbers in codes.items():
            written = (format(number + family.get("plus", 0), family.get("hex", "d")) for number in numbers)
            code = f"(?:{'|'.join(written)})"
            yield from ((name, pattern.replace("CODE", code)) for pattern in family["patterns"])


def parse(entries: object, fields: Collection[str] = _SITE_FIELDS) -> Iterator[Signature]:
    """Signatures from ``{name: {pattern, meaning, cause}}``, where a pattern may be a list of them.

    Raises `SignatureError` on the first unusable one.
    """
    if not isinstance(entries, Mapping) or len(entries) > SITE_LIMIT:
        raise SignatureError(f"signatures must be a mapping of at most {SITE_LIMIT} names")
    for name, entry in entries.items():
        yield _signature(str(name), entry, fields)


def _signature(name: str, entry: object, fields: Collection[str]) -> Signature:
    if not isinstance(entry, Mapping) or not {"pattern", "meaning"} <= set(entry) <= set(fields):
        raise SignatureError(f"the signature {name!r} must have a pattern and a meaning, and may have a cause")
    given, meaning, cause = entry["pattern"], entry["meaning"], entry.get("cause")
    explains, circumstance = entry.get("explains", []), entry.get("circumstance")
    if not isinstance(explains, list) or circumstance not in (None, "set", "seen"):
        raise SignatureError(f"the signature {name!r} explains a list of others; a circumstance is set or seen")
    if not isinstance(meaning, str) or not isinstance(cause, str | None):
        raise SignatureError(f"the meaning and cause of the signature {name!r} must be text")
    patterns = given if isinstance(given, list) else [given]
    if not 1 <= len(patterns) <= PATTERNS_LIMIT:
        raise SignatureError(f"the signature {name!r} must have 1 to {PATTERNS_LIMIT} patterns")
    compiled = tuple(_pattern(name, pattern) for pattern in patterns)
    return Signature(name, compiled, meaning, cause, frozenset(map(str, explains)), circumstance)


def _pattern(name: str, pattern: object) -> Pattern:
    if not isinstance(pattern, str) or not 1 <= len(pattern) <= PATTERN_LIMIT:
        raise SignatureError(f"the pattern of the signature {name!r} must be text of 1 to {PATTERN_LIMIT} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            parsed = parser.parse(pattern)
            compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError, Warning) as error:
        raise SignatureError(f"the pattern of the signature {name!r} is no regular expression: {error}") from None
    if _ways(parsed) > WAYS_LIMIT:
        raise SignatureError(f"the pattern of the signature {name!r} repeats too freely: it could take for ever")
    return Pattern(compiled, frozenset() if compiled.flags & re.IGNORECASE else _texts(parsed))


def _ways(part: Any) -> float:
    """In how many ways at most a part of a pattern matches at one place of a line. Python's engine tries them all."""
    if isinstance(part, parser.SubPattern | list):
        return math.prod(map(_ways, part))
    kind, value = str(part[0]), part[1]
    if kind.startswith("GROUPREF"):
        return math.inf
    if kind in _REPEATS:
        lowest, highest, body = value
        ways, highest = _ways(body), min(int(highest), max(LINE_LIMIT, lowest))
        # Of a body that matches in one way only the number of times differs.
        return float(highest - lowest + 1) * (1.0 if ways == 1 else min(ways, 1000.0) ** min(highest, 64))
    if kind == "BRANCH":
        return sum(map(_ways, value[1]))
    if isinstance(value, tuple | list | parser.SubPattern) and kind not in ("IN", "RANGE"):
        # Groups and assertions: what they hold stands last.
        return math.prod(_ways(one) for one in value if isinstance(one, parser.SubPattern))
    return 1


def _texts(part: Any) -> frozenset[str]:
    """Texts of which every match of a part of a pattern has one; none where that is not known."""
    known: list[frozenset[str]] = []
    run = ""
    for kind, value in [*part, (None, None)]:
        if str(kind) == "LITERAL":
            run += chr(value)
            continue
        if run:
            known.append(frozenset([run]))
            run = ""
        if str(kind) == "BRANCH":
            branches = [_texts(one) for one in value[1]]
            known.append(frozenset().union(*branches) if all(branches) else frozenset())
        elif str(kind) == "SUBPATTERN" and not value[1] & re.IGNORECASE:
            known.append(_texts(value[3]))
        elif str(kind) in _REPEATS and value[0] > 0:
            known.append(_texts(value[2]))
    return max(filter(None, known), key=_rareness, default=frozenset())


def _rareness(texts: frozenset[str]) -> tuple[bool, bool, int]:
    """A long text is rarer than a short one, and one is found sooner than several."""
    shortest = min(map(len, texts))
    return shortest >= 3, len(texts) == 1, shortest
