"""Checks the account registry of an inventory: lists every mistake with its place, changes nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from reconnect.ansible import inventory
from reconnect.ansible.project import Project
from reconnect.errors import InputError
from reconnect.text import one_line


@dataclass(frozen=True)
class Mistake:
    """One mistake: `where` is FILE:LINE, or the registry's own kind of place."""

    where: str
    sentence: str


@dataclass(frozen=True)
class Validated:
    """What a registry has: the number of valid accounts, of their servers, and the mistakes."""

    accounts: int
    servers: int
    mistakes: list[Mistake]


def validate(source: Path, project: Project) -> Validated:
    """Reads the whole registry of the inventory at `source`. Raises InputError when it cannot be read at all."""
    answer = inventory.ask_ansible("read_registry.py", source, project, str(project.collections), inventory.SERVERS)
    try:
        found = json.loads(answer)
    except ValueError:
        reason = one_line(answer) or "Ansible gave no answer"
        raise InputError(f"Cannot read the account registry of {source}: {reason}.") from None
    if not found:
        raise InputError(inventory.no_servers(source))
    if "error" in found:
        raise InputError(one_line(found["error"]))
    mistakes = [Mistake(one_line(one["where"]), one_line(one["sentence"], 500)) for one in found["mistakes"]]
    return Validated(found["accounts"], found["servers"], mistakes)
