# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a playbook runs once for all servers, and what for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

COLLECTION = Path(__file__).parents[3] / "collections/ansible_collections/privatewave/reconnect"
GO_ON = "Go on with what was found"


def loaded(name: str) -> Any:
    """What a file of the playbooks says."""
    return DataLoader().load_from_file(str(COLLECTION / "playbooks" / name), trusted_as_template=True)


@pytest.fixture(scope="module")
def play() -> dict[str, Any]:
    """The play."""
    play: dict[str, Any]
    [play] = loaded("diagnose_server.yml")
    return play


@pytest.mark.parametrize(
    ("given", "second", "first"),
    [
        ({}, [], []),
        ({"reconnect_call_test": False, "reconnect_idle_test": 0, "reconnect_capture": 0}, [], []),
        ({"reconnect_call_test": "true"}, ["call"], []),
        ({"reconnect_idle_test": "30"}, ["idle"], ["idle"]),
        ({"reconnect_capture": 9}, ["capture"], []),
        (
            {"reconnect_capture": 9, "reconnect_idle_test": 30, "reconnect_call_test": True},
            ["call", "idle", "capture"],
            ["idle"],
        ),
    ],
)
def test_what_a_run_measures_is_measured_for_each_server_and_nothing_is_skipped_once(
    given: dict[str, Any], second: list[str], first: list[str]
) -> None:
    [task] = loaded("tasks/measure.yml")
    for playbook, wanted in (("diagnose_server.yml", second), ("fix_account_config.yml", first)):
        [play] = loaded(playbook)
        templar = Templar(DataLoader(), {**play["vars"], **task["vars"], "reconnect_alike": True, **given})
        assert templar.template(task["loop"]) == wanted
        assert templar.template(task["run_once"]) is (not wanted)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, False),
        ({"reconnect_idle_test": "30"}, False),
        ({"reconnect_capture": 9}, True),
        ({"reconnect_run": {"mode": "apply"}}, True),
        ({"reconnect_run": {"mode": "check"}}, False),
    ],
)
def test_a_run_that_goes_on_does_so_for_each_server_and_is_skipped_once(
    play: dict[str, Any], given: dict[str, Any], wanted: bool
) -> None:
    run = {"reconnect_run": {"mode": "diagnose"}, "reconnect_alike": True}
    templar = Templar(DataLoader(), {**play["vars"], **run, **given})
    task = next(task for task in play["tasks"] if task["name"] == GO_ON)
    assert templar.evaluate_conditional(task["when"]) is wanted
    assert templar.template(task["run_once"]) is (not wanted)


@pytest.mark.parametrize("given", [{"reconnect_capture": 9}, {"reconnect_run": {"mode": "apply"}}])
def test_what_the_run_reads_again_is_not_in_a_file_only(play: dict[str, Any], given: dict[str, Any]) -> None:
    templar = Templar(DataLoader(), {**play["vars"], "reconnect_run": {"mode": "diagnose"}, **given})
    gather = next(task for task in play["tasks"] if task["name"] == "Gather evidence")
    folder = gather["privatewave.reconnect.gather"]["folder"]
    assert templar.template({"folder": folder}) == {}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, True),
        ({"ansible_play_hosts": ["pbx"]}, False),
        ({"reconnect_alike": False}, False),
        ({"reconnect_run": {"mode": "apply"}}, False),
        ({"reconnect_capture": 9}, False),
        ({"reconnect_called": {"call": {}}}, False),
        ({"reconnect_idle_measured": {"idle": {}}}, False),
        ({"reconnect_pairs": ["site"]}, False),
    ],
)
def test_one_task_looks_at_all_servers_where_nothing_differs_between_them(
    play: dict[str, Any], given: dict[str, Any], wanted: bool
) -> None:
    hosts = [f"pbx{number}" for number in range(20)]
    run = {"reconnect_run": {"mode": "diagnose"}, "reconnect_alike": True, "ansible_play_hosts": hosts}
    variables = {**play["vars"], **run, **given}
    task = next(task for task in play["tasks"] if task["name"] == "Gather evidence")
    templar = Templar(DataLoader(), variables)
    assert templar.template(task["run_once"]) is wanted
    servers = templar.template({"servers": task["privatewave.reconnect.gather"]["servers"]})
    assert servers == ({"servers": hosts} if wanted else {})
    # Its own limit is 60 s for eight servers each.
    assert int(templar.template(task["timeout"])) == (210 if wanted else 60)
