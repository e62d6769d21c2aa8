# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts in the inventory: a YAML file for each group."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import lines
from ..lines import Mistake, MistakeError, Node
from . import RegistryError

FILE_LIMIT = 16 * 1024 * 1024


class Registry:
    """``{plugin: yaml, path: accounts}``: every ``*.yml`` and ``*.yaml`` of a folder beside the inventory."""

    plain_secrets = False

    def __init__(self, configuration: Mapping[str, Any], inventory: str) -> None:
        self.folder = Path(inventory) / str(configuration.get("path") or "accounts")

    def files(self) -> list[Path]:
        """The files, in the order of their names. Raises `RegistryError` when there is no such folder."""
        if not self.folder.is_dir():
            raise RegistryError(f"There is no account registry: the folder {self.folder} is missing.")
        return sorted(file for file in self.folder.iterdir() if file.suffix in (".yml", ".yaml") and file.is_file())

    def documents(self) -> tuple[list[Node], list[Mistake]]:
        """The documents of all files that are YAML."""
        found: list[Node] = []
        mistakes: list[Mistake] = []
        for file in self.files():
            name = f"{self.folder.name}/{file.name}"
            try:
                node, doubled = lines.read(self._text(file, name), name)
            except MistakeError as error:
                mistakes.append(error.mistake)
                continue
            found.append(node)
            mistakes.extend(doubled)
        return found, mistakes

    @staticmethod
    def _text(file: Path, name: str) -> str:
        try:
            if file.stat().st_size > FILE_LIMIT:
                raise MistakeError(Mistake(f"{name}:1", f"It is larger than {FILE_LIMIT // 1024**2} MiB."))
            return file.read_text(encoding="utf-8")
        except OSError as error:
            raise MistakeError(Mistake(f"{name}:1", f"It can't be read: {error.strerror}.")) from None
        except UnicodeDecodeError:
            raise MistakeError(Mistake(f"{name}:1", "It is no UTF-8 text.")) from None
