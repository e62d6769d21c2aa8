# SPDX-License-Identifier: GPL-3.0-or-later
"""What of the playbook ``diagnose_server`` runs once for all servers, and what for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

COLLECTION = Path(__file__).parents[3] / "collections/ansible_collections/privatewave/reconnect"
MEASURE, GO_ON = "Take the optional measurements", "Go on with what was found"


@pytest.fixture(scope="module")
def play() -> dict[str, Any]:
    """The play."""
    [found] = DataLoader().load_from_file(str(COLLECTION / "playbooks/diagnose_server.yml"), trusted_as_template=True)
    play: dict[str, Any] = found
    return play


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, set()),
        ({"reconnect_call_test": False, "reconnect_idle_test": 0, "reconnect_capture": 0}, set()),
        ({"reconnect_call_test": "true"}, {MEASURE}),
        ({"reconnect_idle_test": "30"}, {MEASURE}),
        ({"reconnect_capture": 9}, {MEASURE, GO_ON}),
        ({"reconnect_run": {"mode": "apply"}}, {GO_ON}),
        ({"reconnect_run": {"mode": "check"}}, set()),
    ],
)
def test_what_a_run_wants_runs_for_each_server_and_the_rest_is_skipped_once(
    play: dict[str, Any], given: dict[str, Any], wanted: set[str]
) -> None:
    run = {"reconnect_run": {"mode": "diagnose"}, "reconnect_alike": True}
    templar = Templar(DataLoader(), {**play["vars"], **run, **given})
    optional = {task["name"]: task for task in play["tasks"] if "run_once" in task}
    assert set(optional) == {MEASURE, GO_ON}
    for name, task in optional.items():
        assert templar.evaluate_conditional(task["when"]) is (name in wanted)
        assert templar.template(task["run_once"]) is (name not in wanted)


@pytest.mark.parametrize("given", [{"reconnect_capture": 9}, {"reconnect_run": {"mode": "apply"}}])
def test_what_the_run_reads_again_is_not_in_a_file_only(play: dict[str, Any], given: dict[str, Any]) -> None:
    templar = Templar(DataLoader(), {**play["vars"], "reconnect_run": {"mode": "diagnose"}, **given})
    gather = next(task for task in play["tasks"] if task["name"] == "Gather evidence")
    folder = gather["privatewave.reconnect.gather"]["folder"]
    assert templar.template({"folder": folder}) == {}
