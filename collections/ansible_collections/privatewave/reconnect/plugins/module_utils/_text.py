# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostile text: which account names are valid, how any text is shown, and what JSON says."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from ansible_collections.privatewave.reconnect.plugins.module_utils._names import ACCOUNT_CHARACTERS, ACCOUNT_NAME
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

#: No text of evidence is longer, in characters.
TEXT_LIMIT = 400

#: Characters that steer a terminal, reorder what is read, or are not seen at all: C0 and C1 controls, line and
#: paragraph separators, bidirectional marks, fillers, tags, variation selectors, half surrogate pairs (Unicode UAX 44,
#: Default_Ignorable_Code_Point; TR 36, "bidirectional text spoofing").
HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u2800\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def account_name(text: object) -> str:
    """A valid name of an account. Raises `ProbeError` ``invalid``."""
    name = str(text)
    if not ACCOUNT_NAME.match(name):
        raise ProbeError("invalid", "{0!r} is not a valid account name: use {1}".format(name[:80], ACCOUNT_CHARACTERS))
    return name


def listed(value: object) -> list[str]:
    """The entries of a list with commas, without blanks and without empty ones."""
    return [one.strip() for one in str(value or "").split(",") if one.strip()]


def is_yes(value: object) -> bool:
    """Whether Asterisk takes a value for yes, as its ``ast_true`` does."""
    return str(value or "").strip().lower() in ("yes", "true", "y", "t", "1", "on")


def plain_json(content: str | bytes) -> Any:
    """What JSON of a stranger says. Raises `ValueError`, also for a number that is infinite or none."""
    try:
        return json.loads(content, parse_float=_finite, parse_constant=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("{0} is not a finite number".format(text[:40]))
    return number


def printable(text: str, limit: int = TEXT_LIMIT) -> str:
    """A text with its hidden characters but tabs escaped, cut at ``limit`` characters."""
    escaped = HIDDEN.sub(lambda found: found.group() if found.group() == "\t" else escape(found.group()), text)
    return escaped if len(escaped) <= limit else escaped[:limit] + "…"


def one_line(text: object, limit: int = TEXT_LIMIT) -> str:
    """A text as one line of at most ``limit`` characters, its hidden characters escaped."""
    line = HIDDEN.sub(lambda found: " " if found.group() in "\r\n\t" else escape(found.group()), str(text)).strip()
    return line if len(line) <= limit else line[: limit - 1] + "…"


def escape(character: str) -> str:
    """A character as Python writes it in a string: ``\\x1b``, ``\\u202e``, ``\\U000e0041``."""
    code = ord(character)
    return (
        "\\x{0:02x}".format(code) if code < 0x100 else ("\\u{0:04x}" if code < 0x10000 else "\\U{0:08x}").format(code)
    )
