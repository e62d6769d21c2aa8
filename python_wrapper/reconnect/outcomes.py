"""What an ending of a run does to its incident: the table, its defaults, and which row counts for several servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from reconnect.result import Result, ending

Level = Literal["second_level", "third_level"]


class Answer(BaseModel):
    """A row of the table. `close` closes with `reason`, `move` gives it to the queue of `level`, `comment` leaves it
    open; `tell_user` sends the verdict's message to the person who opened the incident."""

    model_config = ConfigDict(extra="forbid")

    do: Literal["close", "move", "comment"] = "comment"
    reason: str = ""
    level: Level | None = None
    tell_user: bool = False


_OPEN = Answer()
#: By outcome, or by state where the run did not succeed.
DEFAULTS: dict[str, Answer] = {
    "healthy": _OPEN,
    "not_an_issue": Answer(do="close", reason="Not an issue", tell_user=True),
    "temporary_network_problem": Answer(do="close", reason="Temporary network problem", tell_user=True),
    "fixed_client_configuration": Answer(do="close", reason="Fixed: client configuration", tell_user=True),
    "fixed_account": Answer(do="close", reason="Fixed: account", tell_user=True),
    "fixed_service": Answer(do="close", reason="Fixed: service", tell_user=True),
    "fixed_network": Answer(do="close", reason="Fixed: network", tell_user=True),
    "fault_found": _OPEN,
    "escalate_second_level": Answer(do="move", level="second_level"),
    "escalate_third_level": Answer(do="move", level="third_level"),
    "refused": _OPEN,
    "unreachable": _OPEN,
    "timed_out": _OPEN,
    "cancelled": _OPEN,
    "failed": _OPEN,
}


def answer(results: Sequence[Result], table: Mapping[str, Answer]) -> Answer:
    """The row that counts for all servers of a run: the highest level it is escalated to; else it stays open if any
    server's row says so; else it is closed."""
    rows = [table.get(ending(result), DEFAULTS[ending(result)]) for result in results]
    return max(rows, key=_weight, default=_OPEN)


def _weight(row: Answer) -> int:
    if row.do == "move":
        return 3 if row.level == "third_level" else 2
    return 1 if row.do == "comment" else 0
