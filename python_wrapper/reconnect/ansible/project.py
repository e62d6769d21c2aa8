"""Finds the project: the folder with playbooks/, collections/ and ansible.cfg that the runs are made of."""

from __future__ import annotations

import configparser
from pathlib import Path

from reconnect import files
from reconnect.errors import InputError
from reconnect.settings import Settings


class Project:
    """The folder that Ansible runs in."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    @property
    def ansible_cfg(self) -> Path:
        return self.root / "ansible.cfg"

    @property
    def collections(self) -> Path:
        return self.root / "collections"

    @property
    def collection(self) -> Path:
        """The collection privatewave.reconnect."""
        return self.collections / "ansible_collections" / "privatewave" / "reconnect"

    @property
    def inventories(self) -> Path:
        return self.root / "inventories"

    @property
    def callbacks(self) -> Path:
        return self.root / "plugins" / "callback"

    def playbook(self, name: str) -> Path:
        """The playbook called `name`, for example `diagnose-server.yml`. Raises InputError when it is missing."""
        path = self.root / "playbooks" / name
        if not path.is_file():
            raise InputError(f"The playbook {path} is missing.")
        return path

    def option(self, section: str, key: str) -> str | None:
        """An option of ansible.cfg, None where it is not set."""
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        parser.read(self.ansible_cfg)
        return parser.get(section, key, fallback=None)


def find(settings: Settings) -> Project:
    """The project named by RECONNECT_PROJECT, else the repository that this package is in, else the one that came with
    the package. Raises InputError when there is none."""
    if settings.project is not None:
        if not _is_project(settings.project):
            raise InputError(f"RECONNECT_PROJECT is {settings.project}, which has no playbooks/ and ansible.cfg.")
        return Project(settings.project)
    package = Path(__file__).resolve().parents[1]
    for candidate in (package.parents[1], package / "project"):
        if _is_project(candidate):
            return Project(candidate)
    raise InputError("Cannot find the playbooks. Set RECONNECT_PROJECT to the folder with playbooks/.")


def _is_project(folder: Path) -> bool:
    return files.kind(folder / "playbooks") == "folder" and files.kind(folder / "ansible.cfg") == "file"
