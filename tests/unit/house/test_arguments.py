# SPDX-License-Identifier: GPL-3.0-or-later
"""The argument specifications of the roles are made from the heads of their task files and from their defaults."""

from __future__ import annotations

from pathlib import Path

import pytest
from reference import arguments

DEFAULTS = """---
# Evidence.
database_evidence: {}
# The step of the plan.
database_step: {}

# Seconds to wait
# for the last query.
database_limit: "{{ reconnect_limit | default(30) }}"
# Not needed here.
database_others: []
"""
RESTART = """---
# Restart the database.
#
# It is killed.
# That takes a second.
#
# Sets C(database_remedy).
#
# Step: C(cause) is the cause.
# C(about) is what it is about.

- name: Wait
  ansible.builtin.include_tasks: "wait_{{ how }}.yml"
"""
WAIT = """---
# Nobody calls this alone.
- name: Wait
  ansible.builtin.wait_for:
    timeout: "{{ database_limit }}"
"""


@pytest.fixture
def role(tmp_path: Path) -> Path:
    role = tmp_path / "database"
    texts = {"defaults/main.yml": DEFAULTS, "tasks/restart.yml": RESTART, "tasks/wait_long.yml": WAIT}
    for name, text in texts.items():
        (role / name).parent.mkdir(parents=True, exist_ok=True)
        (role / name).write_text(text)
    return role


def test_an_entry_point_is_what_its_head_says(role: Path) -> None:
    assert arguments.specifications(role) == {
        "restart": {
            "short_description": "Restart the database",
            "description": ["It is killed. That takes a second.", "Sets C(database_remedy)."],
            "options": {
                "database_evidence": {"description": "Evidence.", "type": "dict", "default": {}},
                "database_step": {
                    "description": [
                        "The step of the plan.",
                        "C(cause) is the cause. C(about) is what it is about.",
                    ],
                    "type": "dict",
                    "default": {},
                },
                "database_limit": {
                    "description": "Seconds to wait for the last query.",
                    "type": "int",
                    "default": 30,
                },
            },
        }
    }


def test_a_default_without_a_comment_is_refused(role: Path) -> None:
    (role / "defaults/main.yml").write_text(f"{DEFAULTS}\ndatabase_more: 1\n")
    with pytest.raises(ValueError, match="write above database_more what it is"):
        arguments.specifications(role)


def test_no_specification_is_stale() -> None:
    texts = arguments.texts()
    stale = {path.parents[1].name for path, text in texts.items() if path.read_text(encoding="utf-8") != text}
    assert stale == set(), "run `make docs`"
