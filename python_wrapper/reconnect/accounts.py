"""Checks the account registry of an inventory: every mistake with its place, nothing touched."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from reconnect import inventory
from reconnect.errors import InputError
from reconnect.project import Project
from reconnect.text import one_line


@dataclass(frozen=True)
class Mistake:
    """One mistake: `where` is FILE:LINE, or what the registry has instead."""

    where: str
    sentence: str


@dataclass(frozen=True)
class Validated:
    """What a registry holds: how many accounts that are right, of how many servers, and the mistakes."""

    accounts: int
    servers: int
    mistakes: list[Mistake]


def validate(source: Path, project: Project, servers_group: str) -> Validated:
    """Reads the whole registry of the inventory at `source`. Raises InputError when it can't be read at all."""
    answer = inventory.ask_ansible("read_registry.py", source, project, str(project.collections), servers_group)
    try:
        found = json.loads(answer)
    except ValueError:
        reason = one_line(answer) or "Ansible gave no answer"
        raise InputError(f"The account registry of {source} can't be read: {reason}.") from None
    if "error" in found:
        raise InputError(one_line(found["error"]))
    mistakes = [Mistake(one_line(one["where"]), one_line(one["sentence"], 500)) for one in found["mistakes"]]
    return Validated(found["accounts"], found["servers"], mistakes)
