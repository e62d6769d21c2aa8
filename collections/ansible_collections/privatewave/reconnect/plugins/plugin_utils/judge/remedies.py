# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of remedies, ``remedies.yml``."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from .outcomes import Fixed
from .tables import TableError, load

FILE = Path(__file__).with_name("remedies.yml")


@dataclass(frozen=True)
class Starts:
    """A service that a remedy starts: the subset of the evidence that has its process, the setting with its unit."""

    subset: str
    unit: str


#: What a remedy may interrupt.
INTERRUPTIBLE = ("calls", "registrations")


@dataclass(frozen=True)
class Interrupts:
    """What a remedy may interrupt, for at most so many seconds where all goes well."""

    what: tuple[str, ...]
    seconds: int


@dataclass(frozen=True)
class Remedy:
    """A row of the catalogue; the fields are described at the head of ``remedies.yml``."""

    name: str
    role: str
    entry: str
    outcome: Fixed
    fixes: Mapping[str, Literal["auto", "approve"]] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    shows: tuple[str, ...] = ()
    starts: Starts | None = None
    interrupts: Interrupts | None = None
    repeatable: bool = False
    reversible: bool = False
    leaves: Literal["nothing", "changes"] = "changes"
    #: Its place in the order.
    rank: int = 0

    @property
    def can_be_undone(self) -> bool:
        """Whether a remedy that is not verified leaves nothing behind; any other needs an approval beforehand."""
        return self.reversible or self.leaves == "nothing"

    @property
    def drops_calls(self) -> bool:
        """Whether it may drop calls."""
        return self.interrupts is not None and "calls" in self.interrupts.what


@functools.cache
def remedies() -> dict[str, Remedy]:
    """All remedies by name, in the order in which they are carried out."""
    return parse(FILE.read_text(encoding="utf-8"))


def parse(text: str) -> dict[str, Remedy]:
    """Read a catalogue of remedies. Raises `TableError` when a row is invalid."""
    return {name: _remedy(name, rank, row) for rank, (name, row) in enumerate(load(text).items())}


def _remedy(name: str, rank: int, row: Mapping[str, Any]) -> Remedy:
    try:
        starts = Starts(**row["starts"]) if "starts" in row else None
        interrupts = _interrupts(name, row["interrupts"]) if "interrupts" in row else None
        values = {**row, "starts": starts, "interrupts": interrupts, "shows": tuple(row.get("shows", ()))}
        remedy = Remedy(name=name, rank=rank, **values)
    except TypeError as error:
        raise TableError(f"{name}: {error}") from None
    if remedy.outcome not in get_args(Fixed):
        raise TableError(f"{name} leads to {remedy.outcome}, it must be one of {', '.join(get_args(Fixed))}")
    for cause, policy in remedy.fixes.items():
        if policy not in ("auto", "approve"):
            raise TableError(f"{name} fixes {cause} with the policy {policy}, it must be auto or approve")
    return remedy


def _interrupts(name: str, row: Mapping[str, Any]) -> Interrupts:
    found = Interrupts(**{**row, "what": tuple(row.get("what", ()))})
    if not found.what or not set(found.what) <= set(INTERRUPTIBLE):
        raise TableError(f"{name} interrupts {', '.join(found.what)}, it must be some of {', '.join(INTERRUPTIBLE)}")
    return found
