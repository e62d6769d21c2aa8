# SPDX-License-Identifier: GPL-3.0-or-later
"""How what was not carried out is reported."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

COLLECTION = Path(__file__).parents[3] / "collections/ansible_collections/privatewave/reconnect"


@pytest.mark.parametrize(("counted_from", "done", "begins"), [(0, 3, 1), (0, 4, 0), (2, 5, 1), (2, 6, 0)])
def test_a_level_carries_out_four_remedies_whatever_the_level_before_did(
    counted_from: int, done: int, begins: int
) -> None:
    [task] = DataLoader().load_from_file(str(COLLECTION / "playbooks/tasks/choose.yml"), trusted_as_template=True)
    plan = [{"remedy": "unban_client", "decision": "run"}]
    given = {
        "reconnect_latest": {"verdict": {"plan": plan}},
        "reconnect_remedies": [{"remedy": f"remedy_{number}"} for number in range(done)],
        "reconnect_counted_from": counted_from,
    }
    chosen = Templar(DataLoader(), given | task["vars"]).template(task["ansible.builtin.set_fact"]["reconnect_step"])
    assert chosen == (plan[0] if begins else {})


def test_the_plan_is_read_once_a_round() -> None:
    read = {file.name: file.read_text().count("reconnect_open |") for file in COLLECTION.glob("playbooks/**/*.yml")}
    assert {name: count for name, count in read.items() if count} == {"choose.yml": 1}
    for name, own in {"fix.yml": "first", "round.yml": "next"}.items():
        text = (COLLECTION / "playbooks/tasks" / name).read_text()
        assert text.index(f"Choose the {own} remedy") < text.index("include_tasks: round.yml")


def test_a_remedy_that_waits_is_refused_and_has_changed_nothing() -> None:
    file = COLLECTION / "playbooks/tasks/fix_and_conclude.yml"
    tasks = DataLoader().load_from_file(str(file), trusted_as_template=True)
    waiting = next(task["vars"]["reconnect_waiting"] for task in tasks if task["name"] == "Draw the conclusion")
    step = {"remedy": "fix_account", "cause": "aor_missing", "reason": "It waits.", "decision": "approval"}
    plan = [step | {"changes": ["+  aor"]}, {"remedy": "unban_client", "decision": "run"}]
    given = {"reconnect_latest": {"verdict": {"plan": plan}}, "reconnect_remedies": []}
    (found,) = Templar(DataLoader(), given).template(waiting)
    assert found == step | {"state": "refused", "changes": []}
