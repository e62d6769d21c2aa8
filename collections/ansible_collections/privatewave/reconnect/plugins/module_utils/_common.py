# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the collection and the command have in common: what an account may be called, which characters are hidden, what
JSON of a stranger says, and which findings are registrations.

The command cannot import the collection at its start: it has a link to this file. Standard library only.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

#: In every back end and wherever a person names one. It is no option of a command and no relative path.
ACCOUNT_NAME = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9._+-]{0,79}\Z")
#: The same in words.
ACCOUNT_CHARACTERS = "letters, digits and . _ + -, at most 80, beginning with a letter, a digit, _ or +"

#: A registration that was really made: of the reserved account, and of an account that was asked about.
RESERVED, REGISTRATION = "registration.reserved", "registration.account"
REGISTRATIONS = (RESERVED, REGISTRATION)

#: Characters that steer a terminal, reorder what is read, or are not seen at all: C0 and C1 controls, line and
#: paragraph separators, bidirectional marks, fillers, tags, variation selectors, half surrogate pairs (Unicode UAX 44,
#: Default_Ignorable_Code_Point; TR 36, "bidirectional text spoofing").
HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u2800\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


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


def escape(character: str) -> str:
    """A character as Python writes it in a string: ``\\x1b``, ``\\u202e``, ``\\U000e0041``."""
    code = ord(character)
    return (
        "\\x{0:02x}".format(code) if code < 0x100 else ("\\u{0:04x}" if code < 0x10000 else "\\U{0:08x}").format(code)
    )
