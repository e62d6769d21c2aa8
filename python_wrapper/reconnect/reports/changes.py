"""What a remedy changed, as lines that were removed, added or kept; secrets are masked."""

from __future__ import annotations

import json
from typing import Any, Literal

from reconnect.reports.redaction import Redaction
from reconnect.result import UNTOUCHED, AppliedRemedy
from reconnect.text import one_line

Sign = Literal["-", "+", " "]

_LINES = 60


def changes(remedy: AppliedRemedy, redaction: Redaction | None = None) -> list[tuple[Sign, str]]:
    """The difference between before and after, a line for each field; at most 60 lines.

    A changed secret is shown by its name and a mask. What changed nothing has none, whatever it found.
    """
    if remedy.state in UNTOUCHED:
        return []
    before, after = _flat(remedy.before), _flat(remedy.after)
    masked = redaction or Redaction()
    shown_before = _flat(masked.document(remedy.before))
    shown_after = _flat(masked.document(remedy.after))
    lines: list[tuple[Sign, str]] = []
    for name in dict.fromkeys([*before, *after]):
        was, came = _line(name, shown_before.get(name)), _line(name, shown_after.get(name))
        if name in before and before[name] == after.get(name):
            lines.append((" ", was))
            continue
        if name in before:
            lines.append(("-", was))
        if name in after:
            lines.append(("+", came))
    left = len(lines) - _LINES
    return lines if left <= 0 else [*lines[:_LINES], (" ", f"… {left} more lines")]


def _line(name: str, value: str | None) -> str:
    label = f"{name}: " if name else ""
    return one_line(f"{label}{'' if value is None else value}", 300)


def _flat(value: Any, name: str = "") -> dict[str, str]:
    """Every leaf by its dotted name; nothing at all for None."""
    if value is None and not name:
        return {}
    if isinstance(value, dict) and value:
        return {key: leaf for part, inner in value.items() for key, leaf in _flat(inner, _joined(name, part)).items()}
    if isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        numbered = {str(number): inner for number, inner in enumerate(value, 1)}
        return {
            key: leaf for part, inner in numbered.items() for key, leaf in _flat(inner, _joined(name, part)).items()
        }
    return {name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)}


def _joined(name: str, part: object) -> str:
    return f"{name}.{part}" if name else str(part)
