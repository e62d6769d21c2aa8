# SPDX-License-Identifier: GPL-3.0-or-later
"""The argument specifications of the roles, from the heads of their task files and the comments of their defaults.

A task file is an entry point if its head has a paragraph ``Step:``. The head is the comment before the first task:
what the entry point does in one line, paragraphs that say more, and the fields of the step that it reads.
An entry point takes the evidence, the step, and the defaults that its task files name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from jinja2.nativetypes import NativeEnvironment

ROOT = Path(__file__).resolve().parents[3]
ROLES = ROOT / "collections" / "ansible_collections" / "privatewave" / "reconnect" / "roles"

_HEAD = re.compile(r"\A---\n((?:#.*\n)+)")
_STEP = "Step: "
_INCLUDED = re.compile(r"(?:include|import)_tasks: \"?([\w{} .]+)\.yml")
_TYPES = {bool: "bool", int: "int", str: "str", list: "list", dict: "dict"}
_NOTE = "# Made by `make docs` from the heads of tasks/*.yml and the comments of defaults/main.yml.\n"


class Dumper(yaml.SafeDumper):
    """Lists are indented, and nothing is an alias of something else."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        del indentless
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def texts() -> dict[Path, str]:
    """``meta/argument_specs.yml`` of every role."""
    return {
        role / "meta" / "argument_specs.yml": f"---\n{_NOTE}"
        + yaml.dump({"argument_specs": specifications(role)}, Dumper=Dumper, sort_keys=False, width=110)
        for role in sorted(ROLES.iterdir())
    }


def specifications(role: Path) -> dict[str, dict[str, Any]]:
    """A role's entry points by name, ``main`` and ``check`` first."""
    defaults = _defaults(role)
    names = [path.stem for path in (role / "tasks").glob("*.yml")]
    found = {name: _entry(role, name, defaults) for name in sorted(names, key=_place)}
    return {name: entry for name, entry in found.items() if entry}


def _place(name: str) -> tuple[int, str]:
    return ["main", "check", name].index(name), name


def _entry(role: Path, name: str, defaults: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The specification of an entry point; empty for a file that others include."""
    head = _HEAD.match((role / "tasks" / f"{name}.yml").read_text(encoding="utf-8"))
    comment = "\n".join(line.removeprefix("#").strip() for line in head[1].splitlines()) if head else ""
    said = [" ".join(paragraph.split()) for paragraph in comment.split("\n\n")]
    steps = [paragraph.removeprefix(_STEP) for paragraph in said if paragraph.startswith(_STEP)]
    if not steps:
        return {}
    short, *more = [paragraph for paragraph in said if not paragraph.startswith(_STEP)]
    text = "".join(_included(role, name, set()))
    step = {f"{role.name}_step": {**defaults[f"{role.name}_step"], "description": ["The step of the plan.", *steps]}}
    used = {key: told for key, told in defaults.items() if re.search(rf"\b{key}\b", text) and key not in step}
    evidence = f"{role.name}_evidence"
    return {
        "short_description": short.removesuffix("."),
        "description": more or [short],
        "options": {evidence: defaults[evidence], **step, **used},
    }


def _included(role: Path, name: str, seen: set[str]) -> Iterator[str]:
    """The text of a task file and of those that it includes."""
    for path in sorted((role / "tasks").glob(f"{name}.yml")):
        if path.stem not in seen:
            seen.add(path.stem)
            text = path.read_text(encoding="utf-8")
            yield text
            for included in _INCLUDED.findall(text):
                yield from _included(role, re.sub(r"{{.*?}}", "*", included), seen)


def _defaults(role: Path) -> dict[str, dict[str, Any]]:
    """The variables of ``defaults/main.yml`` as options: what their comments say, their types and values."""
    text = (role / "defaults" / "main.yml").read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = {}
    for name, value in yaml.safe_load(text).items():
        comment = re.search(rf"(?m)((?:^#.*\n)+)^{name}:", text)
        if not comment:
            raise ValueError(f"{role.name}/defaults/main.yml: write above {name} what it is.")
        described = " ".join(line.removeprefix("#").strip() for line in comment[1].splitlines())
        default = plain(value)
        elements = {"elements": "str"} if isinstance(default, list) else {}
        found[name] = {"description": described, "type": _TYPES[type(default)], **elements, "default": default}
    return found


def plain(default: Any) -> Any:
    """A default as a role sees it where the site sets nothing."""
    if isinstance(default, str) and "{{" in default:
        return NativeEnvironment().from_string(default).render()
    return default
