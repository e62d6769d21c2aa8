"""Turns the named servers into hosts of the inventory, before anything is executed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconnect import files, names
from reconnect.ansible import remembered
from reconnect.ansible.project import Project
from reconnect.errors import InputError
from reconnect.settings import Settings, is_secret
from reconnect.text import one_line

#: Twice what forty processes that begin at once take on two cores.
READ_SECONDS = 60.0
#: The group of the hosts that may be diagnosed; the playbooks are for no others.
SERVERS = "servers"


@dataclass(frozen=True)
class Inventory:
    """Hosts and groups, and the source they come from. `digest` is of all three (SHA-256, hexadecimal)."""

    source: Path
    hosts: frozenset[str]
    groups: dict[str, frozenset[str]]
    digest: str = ""

    @property
    def allowed(self) -> frozenset[str]:
        """The hosts that may be diagnosed."""
        return self.groups.get(SERVERS, frozenset())

    def servers(self, named: Sequence[str]) -> list[str]:
        """The servers meant by `named` (hosts or groups), each once, in order of the naming.

        Raises InputError for a name that is invalid, unknown, or has no server.
        """
        allowed = self.allowed
        known = self.hosts | self.groups.keys()
        found: dict[str, None] = {}
        for name in named:
            names.checked("server", name)
            if name not in known:
                raise names.unknown("server", name, allowed | self._groups_with(allowed))
            members = {name} if name in self.hosts else self.groups[name]
            if not members & allowed:
                reason = f"is not in the group '{SERVERS}'" if name in self.hosts else "has no servers in it"
                raise InputError(f"Cannot diagnose '{name}': it {reason} of the inventory {self.source}.")
            for host in sorted(members & allowed):
                found[names.checked("server", host)] = None
        return list(found)

    def _groups_with(self, hosts: frozenset[str]) -> set[str]:
        return {group for group, members in self.groups.items() if members & hosts}


def source_of(given: Path | None, settings: Settings, project: Project) -> Path:
    """Where the inventory is: `given`, else the setting, else the one of ansible.cfg, else the only one in
    inventories/ beside the example. Raises InputError when there is none, or it is missing."""
    source = given or settings.inventory
    configured = project.option("defaults", "inventory")
    if source is None and configured:
        source = project.root / configured.split(",")[0].strip()
    if source is None:
        own = [folder for folder in sorted(project.inventories.glob("*/")) if folder.name != "example"]
        if len(own) != 1:
            choice = ", ".join(folder.name for folder in own) or "there is none"
            raise InputError(f"Give --inventory DIR, one of those in {project.inventories} ({choice}).")
        source = own[0]
    if files.kind(source) is None:
        raise InputError(f"There is no inventory at '{one_line(source)}'.")
    return source.absolute()


def load(source: Path, project: Project, memory: Path | None = None) -> Inventory:
    """Reads host and group names from `source`, as Ansible would; variables are not evaluated, vaults stay closed.

    `memory`: the folder where names are remembered until a file changes.

    Raises InputError when Ansible cannot read it, or not within READ_SECONDS.
    """
    names_read = _names(source, project) if memory is None else _remembered(source, project, memory)
    inventory = Inventory(
        source=source,
        hosts=frozenset(names_read["hosts"]),
        groups={group: frozenset(members) for group, members in names_read["groups"].items()},
        digest=_digest(names_read, source),
    )
    if not inventory.allowed:
        raise InputError(no_servers(source))
    return inventory


def no_servers(source: Path) -> str:
    """What a person is told where there is no server."""
    return f"There is no host in the group '{SERVERS}' of {source}. 'ansible-inventory -i {source} --list' shows why."


def _remembered(source: Path, project: Project, memory: Path) -> dict[str, Any]:
    known_by = remembered.key(source, project)
    if known_by is None:
        return _names(source, project)
    if (known := remembered.recall(memory, source, known_by)) is not None:
        return known
    names_read = _names(source, project)
    # A file may have changed while Ansible read it.
    if remembered.key(source, project) == known_by:
        remembered.keep(memory, source, known_by, names_read)
    return names_read


def _names(source: Path, project: Project) -> dict[str, Any]:
    answer = ask_ansible("read_inventory.py", source, project)
    try:
        return dict(json.loads(answer))
    except ValueError:
        raise InputError(f"Cannot read the inventory {source}: {one_line(answer) or 'no reason given'}") from None


def _digest(names_read: dict[str, Any], source: Path) -> str:
    """The digest of what Ansible reads in `source` and of the files that it reads."""
    groups = {group: sorted(members) for group, members in names_read["groups"].items()}
    digest = hashlib.sha256(json.dumps([sorted(names_read["hosts"]), groups], sort_keys=True).encode())
    for file, name in remembered.files(source):
        digest.update(f"\n{name}\n".encode(errors="surrogateescape"))
        # Ansible itself says what it cannot read.
        with contextlib.suppress(OSError), file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def ask_ansible(program: str, source: Path, project: Project, *more: str) -> str:
    """The output of a program beside this file for an inventory. It is a separate process, because an inventory may be
    a program too. Raises InputError when it takes longer than READ_SECONDS."""
    reader = Path(__file__).with_name(program)
    environment = {name: value for name, value in os.environ.items() if not is_secret(name)}
    process = subprocess.Popen(
        [sys.executable, "-P", str(reader), str(source), *more],
        env={**environment, "ANSIBLE_CONFIG": str(project.ansible_cfg), "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        return process.communicate(timeout=READ_SECONDS)[0]
    except subprocess.TimeoutExpired:
        raise InputError(f"Cannot read the inventory {source} within {READ_SECONDS:g} s.") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
