"""Runs playbooks in an execution environment: ansible-runner has podman make a container of an image with Ansible.

What a playbook reads and writes has the same path in there. The container has the network of this machine, and its root
is the user that runs this.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconnect.errors import InputError
from reconnect.machine import expanded
from reconnect.settings import Settings
from reconnect.text import one_line

ENGINE = "podman"
#: How long podman may take to remove a container, or to say what it has, in seconds.
ENGINE_SECONDS = 10.0
#: Where ansible-runner has the inventory in a container.
_INVENTORY = "/runner/inventory"
_SSH = Path("~/.ssh")
_AGENT = "SSH_AUTH_SOCK"
_PASSED = (_AGENT, "USER")
#: What names files with passwords. One that was typed is a file of a process (see `terminal.secret_file`).
_PASSWORDS = ("ANSIBLE_VAULT_PASSWORD_FILE", "ANSIBLE_BECOME_PASSWORD_FILE")
_OF_A_PROCESS = Path("/proc")
#: What ansible-runner refuses, and a file in it.
_NEVER = ("/", "/home", "/usr")


@dataclass(frozen=True)
class Isolation:
    """The execution environment of a site; `mounts` are what playbooks read besides what every one of them does, and
    `more` options of `podman run`."""

    image: str
    mounts: Sequence[Path] = ()
    more: Sequence[str] = ()

    @classmethod
    def of(cls, settings: Settings) -> Isolation | None:
        """That of the settings, None where they name no image."""
        if settings.execution_environment is None:
            return None
        return cls(
            settings.execution_environment,
            settings.execution_environment_mounts,
            settings.execution_environment_options,
        )

    def options(self, folder: Path, reads: Sequence[Path], writes: Sequence[Path]) -> dict[str, Any]:
        """What ansible-runner is told for a playbook that runs in `folder`. Raises InputError."""
        if shutil.which(ENGINE) is None:
            # ansible-runner would end this process.
            raise InputError(f"There is no {ENGINE} to run the playbook in '{self.image}'. Install it.")
        if any(path.is_relative_to(_OF_A_PROCESS) for path in _passwords().values()):
            raise InputError("A password that was typed does not reach an execution environment. Give it in a file.")
        read = [_mount(path, path, "ro") for path in (*reads, *self.mounts, *_passwords().values())]
        own = [_mount(_SSH.expanduser(), Path("/root/.ssh"), "ro")] if _SSH.expanduser().is_dir() else []
        # Where a terminal outlives a login, or after su, it is gone or another user's. ssh does without, as where it
        # cannot be mounted.
        agent = []
        if (place := os.environ.get(_AGENT, "")) and os.access(place, os.W_OK):
            with contextlib.suppress(InputError):
                agent.append(_mount(Path(place), Path(place), "rw"))
        written = [_mount(path, path, "rw") for path in writes]
        return {
            "process_isolation": True,
            "process_isolation_executable": ENGINE,
            "container_image": self.image,
            "container_workdir": str(folder),
            "container_volume_mounts": list(dict.fromkeys([*read, *own, *agent, *written])),
            "container_options": ["--network=host", "--user=0", *self.more],
        }

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        """The variables of a play as they are in the container: with those of Ansible and ssh and who holds a lease,
        which it does not get from this process, and with its own path of programs."""
        passed = {name: value for name, value in os.environ.items() if name.startswith("ANSIBLE_") or name in _PASSED}
        passed |= {name: str(path) for name, path in _passwords().items()}
        return {name: value for name, value in {**passed, **variables}.items() if name != "PATH"}

    def command(self, words: Sequence[str], inventory: Path) -> list[str]:
        """The command of ansible-runner with this inventory: in a container it names one of its own."""
        return [str(inventory) if word == _INVENTORY else word for word in words]

    def remove(self, container: str) -> None:
        """Removes a container whose end podman did not see."""
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(
                [ENGINE, "rm", "--force", "--ignore", container],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=ENGINE_SECONDS,
                check=False,
            )


def _passwords() -> dict[str, Path]:
    """The files with passwords that Ansible reads itself, by the variables that name them."""
    named = {name: os.environ.get(name, "") for name in _PASSWORDS}
    return {name: expanded(Path(file)).absolute() for name, file in named.items() if file}


def _mount(path: Path, there: Path, mode: str) -> str:
    """A mount as podman takes it. Raises InputError."""
    path = expanded(path).absolute()
    try:
        why = "it is not there" if not path.exists() else "it has a colon" if ":" in f"{path}{there}" else ""
        if str(path if path.is_dir() else path.parent) in _NEVER:
            why = "ansible-runner mounts none of '/', '/home' and '/usr'. Name a folder below"
    except OSError as error:
        why = str(error.strerror)
    if why:
        raise InputError(f"Cannot mount '{one_line(path)}': {why}.")
    return f"{path}:{expanded(there).absolute()}:{mode}"
