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
    tasks = DataLoader().load_from_file(str(COLLECTION / "playbooks/tasks/fix.yml"), trusted_as_template=True)
    plan = [{"remedy": "unban_client", "decision": "run"}]
    given = {
        "reconnect_latest": {"verdict": {"plan": plan}},
        "reconnect_remedies": [{"remedy": f"remedy_{number}"} for number in range(done)],
        "reconnect_counted_from": counted_from,
    }
    found = Templar(DataLoader(), given).template(tasks[0]["vars"]["reconnect_open"])
    assert len(found) == begins


def test_a_remedy_that_waits_is_refused_and_has_changed_nothing() -> None:
    file = COLLECTION / "playbooks/tasks/fix_and_conclude.yml"
    tasks = DataLoader().load_from_file(str(file), trusted_as_template=True)
    waiting = next(task["vars"]["reconnect_waiting"] for task in tasks if task["name"] == "Draw the conclusion")
    step = {"remedy": "fix_account", "cause": "aor_missing", "reason": "It waits.", "decision": "approval"}
    plan = [step | {"changes": ["+  aor"]}, {"remedy": "unban_client", "decision": "run"}]
    given = {"reconnect_latest": {"verdict": {"plan": plan}}, "reconnect_remedies": []}
    (found,) = Templar(DataLoader(), given).template(waiting)
    assert found == step | {"state": "refused", "changes": []}
