# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a remedy is counted for, and whose it is to confirm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.first_level import SUBJECTS
from reconnect.result import PlannedRemedy
from reconnect.service.people import Person
from reconnect.service.plans import Plan

COLLECTION = Path(__file__).parents[3] / "collections/ansible_collections/privatewave/reconnect"
TASKS = COLLECTION / "playbooks/tasks"


@pytest.mark.parametrize("role", sorted(path.name for path in (COLLECTION / "roles").iterdir()))
def test_a_remedy_of_one_account_counts_for_it_and_is_first_levels(role: str) -> None:
    [task] = DataLoader().load_from_file(str(TASKS / "begin_remedy.yml"), trusted_as_template=True)
    given: dict[str, Any] = {"reconnect_run": {"account": "1005"}, "reconnect_step": {"role": role}}
    account = task["privatewave.reconnect.remedy_lease"]["account"]
    assert Templar(DataLoader(), given).template(account) == ("1005" if role in SUBJECTS else "")
    step = PlannedRemedy(remedy="x", cause="x", role=role, policy="auto", decision="planned")
    confirmable = Plan("", (("pbx22", step),)).confirmable_by(Person("ann", "first_level"))
    assert bool(confirmable) is (role in SUBJECTS)


@pytest.mark.parametrize("name", ["round.yml", "undo.yml"])
def test_a_remedy_and_its_undoing_are_written_down_alike(name: str) -> None:
    text = (TASKS / name).read_text(encoding="utf-8")
    assert text.count("import_tasks: begin_remedy.yml") == text.count("import_tasks: end_remedy.yml") == 1
