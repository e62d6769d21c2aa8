"""Text from servers, tickets and logs, made safe for a terminal and for a report.

Account names, error texts and log lines are hostile input: an escape sequence in one of them would otherwise move the
reader's cursor, recolour a verdict, or reverse the order of what is read.
"""

from __future__ import annotations

import re

# C0 and C1 controls, line and paragraph separators, and the marks that reorder or hide what follows them (Unicode
# TR 36, "bidirectional text spoofing").
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def one_line(text: object, limit: int = 400) -> str:
    """`text` as one printable line of at most `limit` characters; what is not printable is shown as an escape."""
    line = _UNSAFE.sub(lambda match: " " if match[0] in "\r\n\t" else _escape(match[0]), str(text))
    line = re.sub(" +", " ", line).strip()
    return line if len(line) <= limit else line[: limit - 1] + "…"


def printable(text: str) -> str:
    """`text` with its line breaks and tabs kept and everything else that is not printable shown as an escape."""
    return _UNSAFE.sub(lambda match: match[0] if match[0] in "\n\t" else _escape(match[0]), text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
