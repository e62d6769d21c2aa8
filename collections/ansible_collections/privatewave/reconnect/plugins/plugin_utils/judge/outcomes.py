# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of outcomes, ``outcomes.yml``."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from .tables import TableError, load

Do = Literal["close", "move", "comment"]
Level = Literal["second_level", "third_level"]
Tone = Literal["good", "bad"]
#: The outcomes of a remedy that is verified.
Fixed = Literal["fixed_client_configuration", "fixed_account", "fixed_service", "fixed_network"]
Escalated = Literal["escalate_second_level", "escalate_third_level"]
Outcome = Literal[
    "healthy",
    "unverified",
    "not_an_issue",
    "temporary_network_problem",
    Fixed,
    "undone",
    "fault_found",
    Escalated,
]
#: States of a run that did not succeed; the other rows are outcomes of a verdict.
STATES = ("refused", "unreachable", "timed_out", "cancelled", "failed")
FILE = Path(__file__).with_name("outcomes.yml")


@dataclass(frozen=True)
class Incident:
    """What becomes of the incident."""

    do: Do
    reason: str = ""
    level: Level | None = None
    tell_user: bool = False


@dataclass(frozen=True)
class Ending:
    """A row of the table; the fields are described at the head of ``outcomes.yml``."""

    name: str
    headline: str
    tone: Tone
    exit_code: int
    incident: Incident
    user_message: str = ""

    @property
    def escalate_to(self) -> str | None:
        """The support level that takes over, in words, or None."""
        return self.incident.level.replace("_", " ") if self.incident.level else None


@functools.cache
def endings() -> dict[str, Ending]:
    """All rows by name, in the order of the file."""
    return parse(FILE.read_text(encoding="utf-8"))


def parse(text: str) -> dict[str, Ending]:
    """Read a table of outcomes. Raises `TableError` when a row is invalid."""
    return {name: _ending(name, row) for name, row in load(text).items()}


def _ending(name: str, row: Mapping[str, Any]) -> Ending:
    try:
        ending = Ending(name=name, **{**row, "incident": Incident(**row["incident"])})
    except (KeyError, TypeError) as error:
        raise TableError(f"{name}: {error}") from None
    if ending.tone not in get_args(Tone):
        raise TableError(f"{name} has the tone {ending.tone}, it must be one of {', '.join(get_args(Tone))}")
    incident = ending.incident
    if incident.do not in get_args(Do):
        raise TableError(f"{name} does {incident.do}, it must be one of {', '.join(get_args(Do))}")
    if (incident.do == "close") != bool(incident.reason):
        raise TableError(f"{name}: an incident is closed with a reason, and only then has one")
    if incident.level not in ((*get_args(Level),) if incident.do == "move" else (None,)):
        raise TableError(f"{name}: an incident is moved to one of {', '.join(get_args(Level))}, and only then has one")
    return ending
