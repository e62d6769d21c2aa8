# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of causes, ``causes.yml``."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from .documents import Policy
from .remedies import Remedy, remedies
from .tables import TableError, load

REACHES = ("place", "address")
SUBJECTS = ("network", "host", "asterisk", "database", "account", "client")
FILE = Path(__file__).with_name("causes.yml")


@dataclass(frozen=True)
class Cause:
    """An entry of the catalogue; the fields are described at the head of ``causes.yml``."""

    name: str
    title: str
    sentence: str
    subject: str
    runbook_step: str
    next_step: str
    user_message: str
    explains: tuple[str, ...] = ()
    reach: str = "place"
    #: What fixes it: the row of ``remedies.yml`` that names it.
    remedy: Remedy | None = None

    @property
    def policy(self) -> Policy:
        """auto: fixed without asking; approve: after an approval; human: a person decides."""
        return "human" if self.remedy is None else self.remedy.fixes[self.name]

    def explains_cause(self, name: str) -> bool:
        """Whether the cause ``name`` follows from this one."""
        return name in self.explains

    def explains_code(self, code: str) -> bool:
        """Whether a finding of this code follows from this cause."""
        return any(fnmatchcase(code, pattern) for pattern in self.explains if "." in pattern)


@functools.cache
def catalogue() -> dict[str, Cause]:
    """All causes by name, in the order of the file."""
    return parse(FILE.read_text(encoding="utf-8"), remedies())


def parse(text: str, fixing: Mapping[str, Remedy]) -> dict[str, Cause]:
    """Read a catalogue, and which of these remedies fixes what. Raises `TableError` when they contradict each other."""
    remedy_of: dict[str, Remedy] = {}
    for remedy in fixing.values():
        for name in remedy.fixes:
            if name in remedy_of:
                raise TableError(f"{name} has two remedies: {remedy_of[name].name} and {remedy.name}")
            remedy_of[name] = remedy
    causes = {name: _cause(name, entry, remedy_of.get(name)) for name, entry in load(text).items()}
    if unknown := set(remedy_of) - set(causes):
        raise TableError(f"a remedy fixes what is not a cause: {', '.join(sorted(unknown))}")
    for cause in causes.values():
        for explained in cause.explains:
            if "." not in explained and explained not in causes:
                raise TableError(f"{cause.name} explains {explained}, which is not a cause")
        _refuse_cycles(cause.name, causes, ())
    return causes


def _cause(name: str, entry: Mapping[str, Any], remedy: Remedy | None) -> Cause:
    if unknown := set(entry) - (set(Cause.__dataclass_fields__) - {"name", "remedy"}):
        raise TableError(f"{name} has unknown fields: {', '.join(sorted(unknown))}")
    if entry.get("subject") not in SUBJECTS:
        raise TableError(f"{name} has the subject {entry.get('subject')}, it must be one of {', '.join(SUBJECTS)}")
    if entry.get("reach", "place") not in REACHES:
        raise TableError(f"{name} reaches {entry['reach']}, it must be one of {', '.join(REACHES)}")
    explains = tuple(entry.get("explains", ()))
    try:
        return Cause(**{**entry, "name": name, "explains": explains, "remedy": remedy})
    except TypeError as error:
        raise TableError(f"{name}: {error}") from None


def _refuse_cycles(name: str, causes: Mapping[str, Cause], above: tuple[str, ...]) -> None:
    if name in above:
        raise TableError(f"causes explain each other in a circle: {' → '.join((*above, name))}")
    for explained in causes[name].explains:
        if explained in causes:
            _refuse_cycles(explained, causes, (*above, name))
