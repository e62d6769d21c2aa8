"""The variables of `--extra-vars`, which Ansible gets as they were typed.

A value may be a template, and it may name commands, files and addresses of the control node: whoever sets one can do
here what the command's user can. So they come from a command line on this machine, never from an incident, and the
service takes none.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from reconnect import files
from reconnect.errors import InputError
from reconnect.machine import expanded
from reconnect.reports.secret_forms import is_secret_name
from reconnect.runs.request import Asked, Playbook
from reconnect.text import one_line

FLAG = "--extra-vars"
#: A file of variables is no larger than this, in bytes.
MAX_BYTES = 1024**2
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
#: Variables of a run and of an inventory; an extra variable would go before what Reconnect itself sets.
_OURS = "reconnect_"
_SHAPE = "Give KEY=VALUE, a map in JSON, or @FILE"


def checked(words: Sequence[str], playbook: Playbook) -> list[str]:
    """The words of the option for Ansible, files with their whole path.

    Raises InputError where one has no variables, names one of Reconnect's own, or shows a secret.
    """
    flags = {one.option.variable: one.flag for one in Asked.options(playbook) if one.option.variable}
    return [_file(word, flags) if word.startswith("@") else _typed(word, flags) for word in words]


def _typed(word: str, flags: dict[str, str]) -> str:
    if word.startswith("{"):
        whole = _map(word, "what was typed")
        names, every = _keys(whole), list(_every_key(whole))
    else:
        names = every = _pairs(word)
    _named(names, flags)
    for name in every:
        if is_secret_name(str(name)):
            raise InputError(
                f"'{one_line(name, 80)}' is a secret. Do not type it: everybody on this machine can see it, and the "
                f"run keeps it. Write it into a file, and give {FLAG} @FILE."
            )
    return word


def _file(word: str, flags: dict[str, str]) -> str:
    path = expanded(Path(word[1:])).absolute()
    if files.kind(path) != "file":
        raise InputError(f"Cannot find the file of variables '{one_line(path)}'.")
    try:
        with path.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"Cannot read the file of variables '{one_line(path)}': {one_line(error, 160)}.") from None
    if len(content) > MAX_BYTES:
        raise InputError(f"The file of variables '{one_line(path)}' is larger than {MAX_BYTES // 1024} KiB.")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise InputError(f"The file of variables '{one_line(path)}' is no UTF-8 text. Save it as UTF-8.") from None
    if text.startswith("$ANSIBLE_VAULT"):
        raise InputError(
            f"The file of variables '{one_line(path)}' is encrypted as a whole, so its names cannot be checked. "
            "Encrypt its values: ansible-vault encrypt_string."
        )
    _named(_keys(_map(text, f"'{one_line(path)}'")), flags)
    return f"@{path}"


def _map(text: str, what: str) -> yaml.MappingNode:
    """A map in YAML, whatever its values are."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        problem = getattr(error, "problem", None) or error
        raise InputError(f"{FLAG}: {what} is no map of variables: {one_line(problem, 160)}. {_SHAPE}.") from None
    if not isinstance(node, yaml.MappingNode):
        raise InputError(f"{FLAG}: {what} is no map of variables. {_SHAPE}.")
    return node


def _keys(node: yaml.MappingNode) -> list[Any]:
    return [key.value for key, _ in node.value]


def _every_key(node: yaml.Node) -> Iterator[Any]:
    """The keys of a map, and those of the maps within it. An alias may lead back: each node is read once."""
    seen: set[int] = set()
    left = [node]
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, yaml.MappingNode):
            yield from _keys(one)
            left += [part for pair in one.value for part in pair]
        elif isinstance(one, yaml.SequenceNode):
            left += one.value


def _pairs(word: str) -> list[str]:
    """The names in `a=1 b="two words"`. Ansible reads a backslash otherwise than a shell does: the names that it finds
    would not be those that are checked."""
    if "\\" in word:
        raise InputError(f"{FLAG}: '{one_line(word, 80)}' has a backslash. Give a map in JSON, or @FILE.")
    try:
        parts = shlex.split(word)
    except ValueError as error:
        raise InputError(f"{FLAG}: '{one_line(word, 80)}': {one_line(error, 80).lower()}. {_SHAPE}.") from None
    if not parts or not all("=" in part for part in parts):
        raise InputError(f"{FLAG}: '{one_line(word, 80)}' has no variables. {_SHAPE}.")
    return [part.partition("=")[0] for part in parts]


def _named(names: Iterable[Any], flags: dict[str, str]) -> None:
    """Raises InputError where a person may not set one of these names."""
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InputError(f"{FLAG}: '{one_line(name, 80)}' is not the name of a variable. {_SHAPE}.")
        if name.startswith(_OURS):
            instead = f"Use {flags[name]}" if name in flags else "Set it in the inventory, if it is a server's"
            raise InputError(f"{FLAG} does not set '{name}'. {instead}.")
