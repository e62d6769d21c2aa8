# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbook hands to the entry point that carries a remedy out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

COLLECTION = Path(__file__).parents[3] / "collections/ansible_collections/privatewave/reconnect"
ROLES = sorted(path.name for path in (COLLECTION / "roles").iterdir())
EVIDENCE = {"server": {"ok": True}}
STEP = {
    "remedy": "reload_tls",
    "cause": "tls_certificate_not_reloaded",
    "entry": "reload",
    "drop_calls": False,
    "arguments": {"what": "tls", "about": ["a.pem", "b.pem"], "run_id": "another", "account": "another"},
}


@pytest.fixture
def handed() -> Callable[[str], dict[str, Any]]:
    """handed(ROLE): the task that includes the role, and its variables as the role sees them."""
    loader = DataLoader()
    [task] = loader.load_from_file(str(COLLECTION / "playbooks/tasks/remedy.yml"), trusted_as_template=True)

    def of(role: str) -> dict[str, Any]:
        known = {
            "reconnect_step": {**STEP, "role": role},
            "reconnect_run": {"account": "211", "run_id": "run-1"},
            "reconnect_lease": {"fence": 7},
            "reconnect_did": {"state": "done"},
            "reconnect_entry": "reload",
            "reconnect_gathered": {"evidence": EVIDENCE},
        }
        found: dict[str, Any] = Templar(loader=loader, variables={**known, **task["vars"]}).template(
            {"include": task["ansible.builtin.include_role"], "variables": task["vars"]}
        )
        return found

    return of


@pytest.mark.parametrize("role", ROLES)
def test_every_role_gets_the_evidence_and_the_step_with_its_arguments(
    handed: Callable[[str], dict[str, Any]], role: str
) -> None:
    variables = handed(role)["variables"]
    step = variables[f"{role}_step"]
    assert variables[f"{role}_evidence"] == EVIDENCE
    assert (step["what"], step["about"]) == ("tls", ["a.pem", "b.pem"])
    assert (step["cause"], step["drop_calls"]) == ("tls_certificate_not_reloaded", False)


def test_the_run_is_the_runs_own_whatever_the_arguments_say(handed: Callable[[str], dict[str, Any]]) -> None:
    step = handed("asterisk")["variables"]["asterisk_step"]
    assert (step["run_id"], step["fence"], step["account"]) == ("run-1", 7, "211")
    assert step["done"] == {"state": "done"}


def test_the_role_and_its_entry_point_are_those_of_the_step(handed: Callable[[str], dict[str, Any]]) -> None:
    assert handed("database")["include"] == {"name": "privatewave.reconnect.database", "tasks_from": "reload"}
