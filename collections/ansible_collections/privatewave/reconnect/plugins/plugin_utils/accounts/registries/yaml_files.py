# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts in the inventory: a YAML file for each group."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.privatewave.reconnect.plugins.module_utils import _files

from .. import lines
from ..lines import Mistake, MistakeError, Node
from ..model import Account, Secret
from . import Encrypt, RegistryError

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

    def keeper(self, account: Account, encrypt: Encrypt) -> Callable[[str], None]:
        """Stores the password of an account that has a vaulted one of its own; nothing else of the file changes."""
        secret = account.values["password"]
        name, _colon, line = account.where.rpartition(":")
        file = (self.folder / Path(name).name).resolve()
        _own_password(_plain_text(file), int(line), account)

        def keep(password: str) -> None:
            with _alone(file.parent):
                text = _plain_text(file)
                node, column = _own_password(text, int(line), account)
                _replace(file, _with_password(text, node, column, encrypt(password, secret.text)))

        return keep

    @staticmethod
    def _text(file: Path, name: str) -> str:
        try:
            if file.stat().st_size > FILE_LIMIT:
                raise MistakeError(Mistake(f"{name}:1", f"It is larger than {FILE_LIMIT // 1024**2} MiB."))
            return file.read_text(encoding="utf-8")
        except OSError as error:
            raise MistakeError(Mistake(f"{name}:1", f"It cannot be read: {error.strerror}.")) from None
        except UnicodeDecodeError:
            raise MistakeError(Mistake(f"{name}:1", "It is no UTF-8 text. Save it as UTF-8.")) from None


def _plain_text(file: Path) -> str:
    """The text of a file with its line ends as they are."""
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            return opened.read()
    except OSError as error:
        raise RegistryError(f"Cannot read the account registry's {file.name}: {error.strerror}.") from None


def _own_password(text: str, line: int, account: Account) -> tuple[yaml.ScalarNode, int]:
    """The vaulted password of the account that begins in a line, and the column of its key. Raises `RegistryError`."""
    secret = account.values["password"]
    if not isinstance(secret, Secret) or secret.kind != "vault":
        raise RegistryError(
            f"The password of the account {account.username} is looked up ({account.where}) and cannot be stored "
            "from here. Set the new one where it comes from, then fix the account without a rotation."
        )
    # Not the loader in C: only this one counts in characters.
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    listed: list[Any] = next((value.value for key, value in root.value if key.value == "accounts"), []) if root else []
    found: list[Any] = next((one.value for one in listed if one.start_mark.line + 1 == line), [])
    own = {key.value: (value, key.start_mark.column) for key, value in found}
    if "username" not in own or str(own["username"][0].value) != account.username:
        raise RegistryError(f"The account {account.username} is no longer at {account.where}: run it again.")
    if "password" not in own:
        raise RegistryError(
            f"The account {account.username} has the password of its group ({account.where}): give it one of its own "
            "there, then run it again."
        )
    return own["password"]


def _with_password(text: str, node: yaml.ScalarNode, column: int, ciphertext: str) -> str:
    """The text with another ciphertext in the place of a node, written as the one before it was."""
    start, end = node.start_mark.index, node.end_mark.index
    before = text[start:end]
    if node.style in ("|", ">"):
        newline = "\r\n" if "\r\n" in before else "\n"
        lines_of = ["!vault |", *(" " * (column + 2) + one for one in ciphertext.split())]
        # Empty lines behind it are counted to it, and stay.
        written = newline.join(lines_of) + before[len(before.rstrip()) :]
    else:
        written = '!vault "' + "\\n".join(ciphertext.split()) + '"'
    changed = text[:start] + written + text[end:]
    was, now = lines.read(text, "")[0], lines.read(changed, "")[0]
    others = [(_values(one), _values(other)) for one, other in zip(_all(was), _all(now), strict=True)]
    if [pair[1] for pair in others if pair[0] != pair[1]] != [("vault", ciphertext.split())]:
        raise RegistryError("The account registry could not be written so that only the password changes.")
    return changed


def _all(node: Node) -> Iterator[Node]:
    """Every value in a document, in its order."""
    yield node
    for one in (*node.items, *(value for _name, value in node.fields)):
        yield from _all(one)


def _values(node: Node) -> tuple[Any, ...]:
    return node.kind, node.text.split() if node.kind == "vault" else (node.text, [name for name, _one in node.fields])


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else stores a password in this folder meanwhile."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
        # What was renamed in it is on the disk before anybody relies on it.
        os.fsync(handle)
    finally:
        os.close(handle)


def _replace(file: Path, text: str) -> None:
    """Put a text in the place of a file at once; owner and mode stay."""
    try:
        _files.replace(str(file), text, keep=True)
    except OSError as error:
        raise RegistryError(f"Cannot write the account registry's {file.name}: {error.strerror}.") from None
