# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of causes, ``causes.yml``."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import yaml

Policy = Literal["auto", "approve", "human"]
POLICIES = ("auto", "approve", "human")
REACHES = ("place", "address")
SUBJECTS = ("network", "host", "asterisk", "database", "account", "client")
FILE = Path(__file__).with_name("causes.yml")
#: libyaml's, where PyYAML has it, is eight times as fast: every task that judges reads the catalogue.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class CatalogueError(ValueError):
    """The catalogue contradicts itself; the message names the entry."""


@dataclass(frozen=True)
class Remedy:
    """An action of a role: ``roles/ROLE/tasks/ENTRY.yml``."""

    name: str
    role: str
    entry: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


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
    fixed: str = ""
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
    """Read a catalogue. Raises `CatalogueError` when it contradicts itself."""
    causes = {str(name): _cause(str(name), entry) for name, entry in yaml.load(text, Loader=_LOADER).items()}  # noqa: S506
    for cause in causes.values():
        for explained in cause.explains:
            if "." not in explained and explained not in causes:
                raise CatalogueError(f"{cause.name} explains {explained}, which is no cause")
        _refuse_cycles(cause.name, causes, ())
    return causes


def _cause(name: str, entry: Mapping[str, Any]) -> Cause:
    if unknown := set(entry) - set(Cause.__dataclass_fields__):
        raise CatalogueError(f"{name} has unknown fields: {', '.join(sorted(unknown))}")
    remedy = entry.get("remedy")
    if entry.get("policy") not in POLICIES:
        raise CatalogueError(f"{name} has the policy {entry.get('policy')}, it must be one of {', '.join(POLICIES)}")
    if entry.get("subject") not in SUBJECTS:
        raise CatalogueError(f"{name} has the subject {entry.get('subject')}, it must be one of {', '.join(SUBJECTS)}")
    if entry.get("reach", "place") not in REACHES:
        raise CatalogueError(f"{name} reaches {entry['reach']}, it must be one of {', '.join(REACHES)}")
    if (remedy is None) != (entry["policy"] == "human"):
        raise CatalogueError(f"{name}: what a policy lets us mend needs a remedy, and what it does not has none")
    values = {**entry, "name": name, "explains": tuple(entry.get("explains", ()))}
    values["remedy"] = Remedy(**remedy) if remedy else None
    try:
        return Cause(**values)
    except TypeError as error:
        raise CatalogueError(f"{name}: {error}") from None


def _refuse_cycles(name: str, causes: Mapping[str, Cause], above: tuple[str, ...]) -> None:
    if name in above:
        raise CatalogueError(f"causes explain each other in a circle: {' → '.join((*above, name))}")
    for explained in causes[name].explains:
        if explained in causes:
            _refuse_cycles(explained, causes, (*above, name))
