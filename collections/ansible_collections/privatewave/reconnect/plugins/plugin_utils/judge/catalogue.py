# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of causes, ``causes.yml``."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, get_args

from .documents import Policy
from .remedies import Remedy, remedies
from .tables import TableError, load

POLICIES = get_args(Policy)
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
    policy: Policy
    next_step: str
    user_message: str
    explains: tuple[str, ...] = ()
    remedy: Remedy | None = None
    reach: str = "place"

    def explains_cause(self, name: str) -> bool:
        """Whether the cause ``name`` follows from this one."""
        return name in self.explains

    def explains_code(self, code: str) -> bool:
        """Whether a finding of this code follows from this cause."""
        return any(fnmatchcase(code, pattern) for pattern in self.explains if "." in pattern)


@functools.cache
def catalogue() -> dict[str, Cause]:
    """All causes by name, in the order of the file."""
    return parse(FILE.read_text(encoding="utf-8"))


def parse(text: str) -> dict[str, Cause]:
    """Read a catalogue. Raises `TableError` when it contradicts itself."""
    causes = {name: _cause(name, entry) for name, entry in load(text).items()}
    for cause in causes.values():
        for explained in cause.explains:
            if "." not in explained and explained not in causes:
                raise TableError(f"{cause.name} explains {explained}, which is not a cause")
        _refuse_cycles(cause.name, causes, ())
    return causes


def _cause(name: str, entry: Mapping[str, Any]) -> Cause:
    if unknown := set(entry) - set(Cause.__dataclass_fields__):
        raise TableError(f"{name} has unknown fields: {', '.join(sorted(unknown))}")
    remedy = entry.get("remedy")
    if entry.get("policy") not in POLICIES:
        raise TableError(f"{name} has the policy {entry.get('policy')}, it must be one of {', '.join(POLICIES)}")
    if entry.get("subject") not in SUBJECTS:
        raise TableError(f"{name} has the subject {entry.get('subject')}, it must be one of {', '.join(SUBJECTS)}")
    if entry.get("reach", "place") not in REACHES:
        raise TableError(f"{name} reaches {entry['reach']}, it must be one of {', '.join(REACHES)}")
    if (remedy is None) != (entry["policy"] == "human"):
        raise TableError(f"{name} needs a remedy, unless its policy is human: then it has none")
    if remedy is not None and remedy not in remedies():
        raise TableError(f"{name} has the remedy {remedy}, which is not in the catalogue of remedies")
    values = {**entry, "name": name, "explains": tuple(entry.get("explains", ()))}
    values["remedy"] = remedies()[remedy] if remedy else None
    try:
        return Cause(**values)
    except TypeError as error:
        raise TableError(f"{name}: {error}") from None


def _refuse_cycles(name: str, causes: Mapping[str, Cause], above: tuple[str, ...]) -> None:
    if name in above:
        raise TableError(f"causes explain each other in a circle: {' → '.join((*above, name))}")
    for explained in causes[name].explains:
        if explained in causes:
            _refuse_cycles(explained, causes, (*above, name))
