# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a verdict ends: its outcome, what comes next, what the user is told, who takes over."""

from __future__ import annotations

from .documents import Message, Verdict
from .outcomes import Outcome, endings


def message(identifier: str) -> Message | None:
    """A text for the user by its id, or None where there is none."""
    return {"id": identifier, "arguments": {}} if identifier else None


def end(verdict: Verdict, outcome: Outcome, next_step: str, user_message: Message | None = None) -> None:
    """Give the verdict its ending. Who takes over follows from the outcome, and the message where none is given."""
    verdict["outcome"] = outcome
    verdict["next_step"] = next_step
    verdict["user_message"] = user_message or message(endings()[outcome].user_message)
    verdict["escalate_to"] = endings()[outcome].escalate_to
