"""Turns the servers named on the command line into hosts of the inventory, before anything is executed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reconnect import names
from reconnect.errors import InputError
from reconnect.project import Project
from reconnect.settings import Settings, is_secret
from reconnect.text import one_line

#: As long as forty processes that begin at once take on two cores, and twice that.
READ_SECONDS = 60.0


@dataclass(frozen=True)
class Inventory:
    """Hosts and groups, and the source they come from."""

    source: Path
    hosts: frozenset[str]
    groups: dict[str, frozenset[str]]

    def servers(self, named: Sequence[str], servers_group: str) -> list[str]:
        """The hosts meant by `named` (hosts or groups), each once, in order of the naming.

        Where the group `servers_group` exists, only its members are servers. Raises InputError for a name that is
        none, isn't there, or means no server.
        """
        allowed = self.groups.get(servers_group, self.hosts)
        known = self.hosts | self.groups.keys()
        found: dict[str, None] = {}
        for name in named:
            names.checked("server", name)
            if name not in known:
                raise names.unknown("server", name, allowed | self._groups_with(allowed))
            members = {name} if name in self.hosts else self.groups[name]
            if not members & allowed:
                reason = f"is not in the group '{servers_group}'" if name in self.hosts else "has no servers in it"
                raise InputError(f"'{name}' can't be diagnosed: it {reason} of the inventory {self.source}.")
            for host in sorted(members & allowed):
                found[names.checked("server", host)] = None
        return list(found)

    def _groups_with(self, hosts: frozenset[str]) -> set[str]:
        return {group for group, members in self.groups.items() if members & hosts}


def source_of(given: Path | None, settings: Settings, project: Project) -> Path:
    """Where the inventory is: `given`, else the setting, else the one of ansible.cfg, else the only one in
    inventories/ beside the example. Raises InputError when that names none, or it isn't there."""
    source = given or settings.inventory
    configured = project.option("defaults", "inventory")
    if source is None and configured:
        source = project.root / configured.split(",")[0].strip()
    if source is None:
        own = [folder for folder in sorted(project.inventories.glob("*/")) if folder.name != "example"]
        if len(own) != 1:
            choice = ", ".join(folder.name for folder in own) or "none is there"
            raise InputError(f"Give --inventory DIR, one of those in {project.inventories} ({choice}).")
        source = own[0]
    if not source.exists():
        raise InputError(f"There is no inventory at '{one_line(source)}'.")
    return source.absolute()


def load(source: Path, project: Project) -> Inventory:
    """Reads host and group names from `source`, as Ansible would; variables are not looked at, vaults stay shut.

    Raises InputError when Ansible can't read it, or not within READ_SECONDS.
    """
    answer = ask_ansible("read_inventory.py", source, project)
    try:
        names_read = json.loads(answer)
    except ValueError:
        raise InputError(f"The inventory {source} can't be read: {one_line(answer) or 'no reason given'}") from None
    inventory = Inventory(
        source=source,
        hosts=frozenset(names_read["hosts"]),
        groups={group: frozenset(members) for group, members in names_read["groups"].items()},
    )
    if not inventory.hosts:
        raise InputError(f"There are no hosts in {source}; 'ansible-inventory -i {source} --list' tells why.")
    return inventory


def ask_ansible(program: str, source: Path, project: Project, *more: str) -> str:
    """What a program beside this file prints of an inventory. It is a process of its own, because an inventory may be
    a program, too. Raises InputError when it takes longer than READ_SECONDS."""
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
        raise InputError(f"The inventory {source} could not be read within {READ_SECONDS:g} s.") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
