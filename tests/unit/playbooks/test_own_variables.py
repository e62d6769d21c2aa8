# SPDX-License-Identifier: GPL-3.0-or-later
"""Each server's own variables decide for it, in real runs of ansible-playbook."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import ROOT, Played

PLAYBOOKS = ROOT / "collections/ansible_collections/privatewave/reconnect/playbooks"
MEASURE, GO_ON = "Take the optional measurements", "Go on with what was found"
SHOWN = (
    "{{ inventory_hostname }} measured={{ measured | default('') }} went_on={{ went_on | default(false) }}"
    " mode={{ reconnect_run.mode }} account={{ reconnect_run.account }} run={{ reconnect_run.run_id }}"
)


def ran(
    played: Played, folder: Path, servers: Mapping[str, Mapping[str, Any]]
) -> tuple[list[dict[str, str]], dict[str, int]]:
    """What each server was told, and on how many servers a task began: the playbook's own tasks, without the work."""
    [play] = yaml.safe_load((PLAYBOOKS / "diagnose_server.yml").read_text())
    tasks = {task["name"]: task for task in play["tasks"]}
    del tasks[GO_ON]["ansible.builtin.include_tasks"]
    tasks[GO_ON]["ansible.builtin.set_fact"] = {"went_on": True}
    (folder / "tasks").mkdir()
    shutil.copy(PLAYBOOKS / "tasks/measure.yml", folder / "tasks")
    for name in ("call", "idle", "capture"):
        did = {"measured": f"{{{{ measured | default('') ~ '{name},' }}}}"}
        (folder / "tasks" / f"{name}.yml").write_text(json.dumps([{"name": name, "ansible.builtin.set_fact": did}]))
    play["tasks"] = [
        {"name": "Begin", "ansible.builtin.import_tasks": str(PLAYBOOKS / "tasks/begin.yml")},
        tasks["Measure"],
        tasks[GO_ON],
        {"name": "Publish", "ansible.builtin.import_tasks": str(PLAYBOOKS / "tasks/publish.yml")},
        {"name": "Show", "ansible.builtin.debug": {"msg": f"SHOWN {SHOWN}"}},
    ]
    hosts = {name: {"ansible_connection": "local", **own} for name, own in servers.items()}
    printed = played(play, {"servers": {"hosts": hosts}}, "-v")
    said = [line.split("SHOWN ")[1].strip('"').split() for line in printed.splitlines() if "SHOWN " in line]
    shown = [{"server": name, **dict(part.split("=") for part in parts)} for name, *parts in said]
    began: dict[str, int] = {}
    for block in printed.split("TASK [")[1:]:
        name = block.partition("]")[0]
        began[name] = sum(
            line.startswith(("ok: ", "changed: ", "skipping: ", "fatal: ")) for line in block.splitlines()
        )
    return sorted(shown, key=lambda one: one["server"]), began


@pytest.mark.parametrize("order", [("alpha", "beta", "gamma"), ("beta", "gamma", "alpha"), ("gamma", "alpha", "beta")])
def test_each_servers_own_variables_decide_for_it(played: Played, tmp_path: Path, order: tuple[str, ...]) -> None:
    own: dict[str, dict[str, Any]] = {
        "alpha": {},
        "beta": {"reconnect_capture": 9, "reconnect_account": "1002"},
        "gamma": {"reconnect_idle_test": "{{ 15 * 2 }}", "reconnect_apply": True},
    }
    shown, _began = ran(played, tmp_path, {name: own[name] for name in order})
    assert len({one.pop("run") for one in shown}) == 1
    assert shown == [
        {"server": "alpha", "measured": "", "went_on": "False", "mode": "diagnose", "account": ""},
        {"server": "beta", "measured": "capture,", "went_on": "True", "mode": "diagnose", "account": "1002"},
        {"server": "gamma", "measured": "idle,", "went_on": "True", "mode": "apply", "account": ""},
    ]


def test_each_server_goes_through_all_that_it_has_measured(played: Played, tmp_path: Path) -> None:
    everything = {"reconnect_call_test": True, "reconnect_idle_test": 30, "reconnect_capture": 9}
    shown, _began = ran(played, tmp_path, {"alpha": everything, "beta": everything})
    assert [one["measured"] for one in shown] == ["call,idle,capture,"] * 2


def test_a_server_that_has_to_fail_where_a_fault_is_left_fails(played: Played, tmp_path: Path) -> None:
    shown, _began = ran(played, tmp_path, {"alpha": {}, "beta": {"reconnect_fail_on_fault": True}})
    assert [one["server"] for one in shown] == ["alpha"]


def test_what_no_server_wants_is_skipped_once(played: Played, tmp_path: Path) -> None:
    _shown, began = ran(played, tmp_path, {"alpha": {}, "beta": {}, "gamma": {"reconnect_sip_port": 5062}})
    assert {name: number for name, number in began.items() if number != 1} == {"Show": 3}
    assert MEASURE in began
