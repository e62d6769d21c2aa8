# SPDX-License-Identifier: GPL-3.0-or-later
"""Every role has the same rooms, and its defaults and its argument specs say the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
ROLES = ROOT / "collections/ansible_collections/privatewave/reconnect/roles"
CATALOGUE = ROLES.parent / "plugins/plugin_utils/judge/causes.yml"

roles = pytest.mark.parametrize("role", sorted(ROLES.iterdir()), ids=lambda role: role.name)


def read(path):
    return yaml.safe_load(path.read_text())


@roles
def test_rooms(role):
    rooms = {str(path.relative_to(role)) for path in role.rglob("*.yml")}
    assert {
        "meta/main.yml",
        "meta/argument_specs.yml",
        "defaults/main.yml",
        "tasks/main.yml",
        "tasks/check.yml",
    } <= rooms


@roles
def test_every_entry_point_has_its_tasks_and_a_description(role):
    for name, spec in read(role / "meta/argument_specs.yml")["argument_specs"].items():
        assert (role / "tasks" / f"{name}.yml").is_file()
        assert spec["short_description"]


@roles
def test_defaults_and_argument_specs_agree(role):
    specified = {}
    for entry in read(role / "meta/argument_specs.yml")["argument_specs"].values():
        for name, option in entry["options"].items():
            assert option["default"] == specified.setdefault(name, option["default"])
    assert specified == read(role / "defaults/main.yml")


@roles
def test_variables_carry_the_name_of_the_role(role):
    assert all(name.startswith(f"{role.name}_") for name in read(role / "defaults/main.yml"))


def test_every_remedy_of_the_catalogue_has_its_entry_point():
    remedies = [cause["remedy"] for cause in read(CATALOGUE).values() if "remedy" in cause]
    assert remedies
    missing = {
        remedy["name"]
        for remedy in remedies
        if remedy["entry"] not in read(ROLES / remedy["role"] / "meta/argument_specs.yml")["argument_specs"]
    }
    assert missing == set()
