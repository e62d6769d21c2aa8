# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of both READMEs name what is in the tree, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
COLLECTION = ROOT / "collections" / "ansible_collections" / "privatewave" / "reconnect"
WRAPPER = ROOT / "python_wrapper" / "reconnect"
README = (ROOT / "README.md").read_text(encoding="utf-8")
COLLECTION_README = (COLLECTION / "README.md").read_text(encoding="utf-8")


def table(text: str, after: str) -> str:
    """The first table after the line ``after``."""
    rows = text[text.index(after) + len(after) :].splitlines()
    start = next(number for number, row in enumerate(rows) if row.startswith("|"))
    end = next((number for number, row in enumerate(rows[start:], start) if not row.startswith("|")), len(rows))
    return "\n".join(rows[start:end])


def folders(text: str) -> set[str]:
    return set(re.findall(r"`([a-z0-9_/]+)/`", text))


def packages(top: Path) -> set[str]:
    """The folders below ``top`` that hold modules of Python."""
    found = {path.parent.relative_to(top) for path in top.rglob("*.py") if path.parent != top}
    return {str(folder) for folder in found if "__pycache__" not in folder.parts}


def test_the_readme_names_every_room_of_the_collection() -> None:
    plugins = {f"plugins/{folder.name}" for folder in (COLLECTION / "plugins").iterdir() if folder.is_dir()}
    rooms = {
        f"plugins/{kind}/{folder.name}"
        for kind in ("module_utils", "plugin_utils")
        for folder in (COLLECTION / "plugins" / kind).iterdir()
        if folder.is_dir() and folder.name != "__pycache__"
    }
    wanted = (plugins - {"plugins/module_utils", "plugins/plugin_utils"}) | rooms
    wanted |= {"roles", "playbooks", "files/rights", "extensions/molecule", "extensions/eda"}
    assert folders(table(README, "In the collection")) == wanted


def test_the_readme_names_every_room_of_the_command() -> None:
    assert folders(table(README, "In the command")) == packages(WRAPPER)


def test_the_readme_names_every_folder_of_tests() -> None:
    tops = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()}
    assert folders(table(README, "In the tests")) == tops - {"output"}


@pytest.mark.parametrize("line", [line for line in README.splitlines() if re.match(r"\s+reconnect ", line)])
def test_every_command_of_the_readme_exists(line: str) -> None:
    from reconnect.cli.commands import app
    from typer.main import get_command

    commands = vars(get_command(app))["commands"]
    for call in line.split("#")[0].replace("reconnect", "").split("·"):
        assert call.split()[0] in commands


def test_the_collections_readme_names_every_plugin_role_and_playbook() -> None:
    def names(folder: str, pattern: str = "*.py") -> set[str]:
        return {path.stem for path in (COLLECTION / folder).glob(pattern) if path.stem != "__init__"}

    found = {head: set(re.findall(r"`([a-z_]+)` \|", part)) for head, part in sections(COLLECTION_README).items()}
    assert found == {
        "playbook": names("playbooks", "*.yml"),
        "module": names("plugins/modules"),
        "filter": names("plugins/filter", "*.yml"),
        "plugin": names("plugins/lookup") | names("plugins/callback"),
        "role": {path.parent.parent.name for path in (COLLECTION / "roles").glob("*/meta/main.yml")},
    }


def sections(text: str) -> dict[str, str]:
    """The tables by the head of their first column, each as its rows up to the second column."""
    found = {}
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        lines = block.splitlines()
        found[lines[0].split("|")[1].strip()] = "\n".join(row.split("|")[1] + "|" for row in lines[2:])
    return found


def test_exit_codes_are_those_of_the_command() -> None:
    from reconnect.exit_codes import ExitCode

    assert {int(code) for code in re.findall(r"^\| (\d+) \|", "\n".join(README.splitlines()), re.MULTILINE)} == set(
        map(int, ExitCode)
    )


def test_the_version_is_one() -> None:
    galaxy = yaml.safe_load((COLLECTION / "galaxy.yml").read_text(encoding="utf-8"))
    assert f'version = "{galaxy["version"]}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_action_group_names_every_module() -> None:
    runtime = yaml.safe_load((COLLECTION / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    names = sorted(path.stem for path in (COLLECTION / "plugins" / "modules").glob("*.py"))
    assert runtime["action_groups"] == {"reconnect": names}
