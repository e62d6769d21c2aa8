# SPDX-License-Identifier: GPL-3.0-or-later
"""How what was not carried out is reported."""

from __future__ import annotations

from pathlib import Path

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

COLLECTION = Path(__file__).parents[3] / "collections/ansible_collections/privatewave/reconnect"


def test_a_remedy_that_waits_is_refused_and_has_changed_nothing() -> None:
    file = COLLECTION / "playbooks/tasks/fix_and_conclude.yml"
    tasks = DataLoader().load_from_file(str(file), trusted_as_template=True)
    waiting = next(task["vars"]["reconnect_waiting"] for task in tasks if task["name"] == "Draw the conclusion")
    step = {"remedy": "fix_account", "cause": "aor_missing", "reason": "It waits.", "decision": "approval"}
    plan = [step | {"changes": ["+  aor"]}, {"remedy": "unban_client", "decision": "run"}]
    given = {"reconnect_latest": {"verdict": {"plan": plan}}, "reconnect_remedies": []}
    (found,) = Templar(DataLoader(), given).template(waiting)
    assert found == step | {"state": "refused", "changes": []}
