# SPDX-License-Identifier: GPL-3.0-or-later
"""Every role has the same rooms, and its defaults and its argument specs say the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from reference.arguments import plain

ROOT = Path(__file__).parents[3]
ROLES = ROOT / "collections/ansible_collections/privatewave/reconnect/roles"
CATALOGUE = ROLES.parent / "plugins/plugin_utils/judge/remedies.yml"

roles = pytest.mark.parametrize("role", sorted(ROLES.iterdir()), ids=lambda role: role.name)


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@roles
def test_rooms(role: Path) -> None:
    rooms = {str(path.relative_to(role)) for path in role.rglob("*.yml")}
    assert {
        "meta/main.yml",
        "meta/argument_specs.yml",
        "defaults/main.yml",
        "tasks/main.yml",
        "tasks/check.yml",
    } <= rooms


@roles
def test_every_entry_point_has_its_tasks_and_a_description(role: Path) -> None:
    for name, spec in read(role / "meta/argument_specs.yml")["argument_specs"].items():
        assert (role / "tasks" / f"{name}.yml").is_file()
        assert spec["short_description"]


@roles
def test_defaults_and_argument_specs_agree(role: Path) -> None:
    specified: dict[str, Any] = {}
    for entry in read(role / "meta/argument_specs.yml")["argument_specs"].values():
        for name, option in entry["options"].items():
            assert option["default"] == specified.setdefault(name, option["default"])
    assert specified == {name: plain(default) for name, default in read(role / "defaults/main.yml").items()}


@roles
def test_every_entry_point_takes_the_evidence_and_the_step(role: Path) -> None:
    for name, entry in read(role / "meta/argument_specs.yml")["argument_specs"].items():
        assert list(entry["options"])[:2] == [f"{role.name}_evidence", f"{role.name}_step"], name


@roles
def test_variables_carry_the_name_of_the_role(role: Path) -> None:
    assert all(name.startswith(f"{role.name}_") for name in read(role / "defaults/main.yml"))


@pytest.mark.parametrize(("name", "remedy"), read(CATALOGUE).items())
def test_every_remedy_of_the_catalogue_has_its_entry_points(name: str, remedy: dict[str, Any]) -> None:
    specs = read(ROLES / remedy["role"] / "meta/argument_specs.yml")["argument_specs"]
    assert remedy["entry"] in specs
    assert not remedy.get("reversible") or "rollback" in specs
