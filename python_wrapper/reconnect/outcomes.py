"""How a run can end: the collection's table `outcomes.yml`, and which of its rows counts for several servers."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, model_validator

from reconnect import texts
from reconnect.result import Result, Verdict, ending
from reconnect.texts import Language

#: A link to the collection's file; a built package holds a copy of it.
FILE = Path(__file__).with_name("outcomes.yml")

Level = Literal["second_level", "third_level"]

#: libyaml's loader, where PyYAML has it: nearly every command reads the table.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Answer(BaseModel):
    """What becomes of the incident. `close` closes with `reason`, `move` gives it to the queue of `level`, `comment`
    leaves it open; `tell_user` sends the verdict's message to the person who opened the incident."""

    model_config = ConfigDict(extra="forbid")

    do: Literal["close", "move", "comment"] = "comment"
    reason: str = ""
    level: Level | None = None
    tell_user: bool = False

    @model_validator(mode="after")
    def _has_a_level(self) -> Answer:
        if (self.do == "move") is not (self.level is not None):
            raise ValueError("'move' needs a level, second_level or third_level, and the others none")
        return self


class Ending(BaseModel):
    """A row of the table; the fields are described at the head of `outcomes.yml`."""

    model_config = ConfigDict(extra="forbid")

    headline: str
    tone: Literal["good", "bad"]
    exit_code: int
    incident: Answer
    user_message: str = ""


@functools.cache
def table() -> dict[str, Ending]:
    """All rows, by outcome or by the state of a run that did not succeed."""
    rows = yaml.load(FILE.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506
    return TypeAdapter(dict[str, Ending]).validate_python(rows)


def known(name: str) -> str:
    """The name of a row, as it is. Raises ValueError where there is none."""
    if name not in table():
        raise ValueError(f"'{name}' is no outcome: use {', '.join(table())}")
    return name


def of(result: Result) -> Ending:
    """The row of one server's result."""
    return table()[ending(result)]


def told(verdict: Verdict, language: Language = "en") -> str:
    """What the user of the phone is told: what is wrong, and what becomes of it as the run ended."""
    said, row = texts.message(verdict.user_message, language), table()[verdict.outcome]
    now = texts.text(row.user_message, language) if row.tone == "bad" and row.user_message else ""
    return f"{said} {now}" if said and now not in ("", said) else said


def answers(overrides: Mapping[str, Answer]) -> dict[str, Answer]:
    """What becomes of the incident, row by row: `overrides`, else the table."""
    return {name: row.incident for name, row in table().items()} | dict(overrides)


def answer(results: Sequence[Result], rows: Mapping[str, Answer]) -> Answer:
    """What counts for all servers of a run: the highest level it is escalated to; else it stays open if any server's
    row says so; else it is closed."""
    return max((rows[ending(result)] for result in results), key=_weight, default=Answer())


def _weight(row: Answer) -> int:
    if row.do == "move":
        return 3 if row.level == "third_level" else 2
    return 1 if row.do == "comment" else 0
