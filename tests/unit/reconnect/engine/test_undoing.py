"""What `reconnect undo` asks the playbook for, and what it tells of what could not be undone."""

from __future__ import annotations

import json

import pytest

from ..conftest import Workplace

REMEDIES = [
    {"remedy": "restart_database", "cause": "database_stopped", "state": "done"},
    {"remedy": "unban_client", "cause": "client_banned", "state": "refused", "reason": "No."},
    {"remedy": "fix_account", "cause": "aor_missing", "state": "rolled_back", "rolled_back": True},
    {
        "remedy": "bring_up_interface",
        "cause": "interface_down",
        "state": "done",
        "before": {"down": ["{{ 7 * 7 }}"]},
        "after": {"down": []},
    },
]
FIXED = """
- hosts: servers
  gather_facts: false
  tasks:
    - name: Judge
      ansible.builtin.set_fact:
        reconnect_judgement: {verdict: {outcome: fixed_network}, findings: []}
        reconnect_remedies: "{{ lookup('ansible.builtin.file', playbook_dir ~ '/remedies.json') | from_json }}"
"""
#: Undoes what can be undone, and keeps what it was asked for.
UNDO = """
- hosts: servers
  gather_facts: false
  vars:
    reconnect_undo_file: "{{ lookup('ansible.builtin.env', 'RECONNECT_UNDO_FILE') }}"
    reconnect_undo: "{{ (lookup('ansible.builtin.file', reconnect_undo_file) | from_json)[inventory_hostname] }}"
  tasks:
    - ansible.builtin.copy:
        content: "{{ reconnect_undo | to_json }}"
        dest: "{{ playbook_dir }}/../asked.json"
        mode: "0600"
    - ansible.builtin.set_fact:
        reconnect_judgement: {verdict: {outcome: undone}, findings: []}
        reconnect_remedies: [{remedy: undo_bring_up_interface, cause: interface_down, state: done}]
"""


@pytest.fixture
def fixed(workplace: Workplace) -> Workplace:
    """A workplace with a run that changed a server."""
    workplace.playbook(FIXED)
    workplace.playbook(json.dumps(REMEDIES), "remedies.json")
    workplace.playbook(UNDO, "undo.yml")
    ended = workplace.diagnose("alpha", "--apply", "--diff")
    assert ended.code == 0, ended.stderr
    assert '-down: ["{{ 7 * 7 }}"]\n      +down: []\n' in ended.stdout
    return workplace


def test_the_newest_change_comes_first_and_nothing_becomes_a_template(fixed: Workplace) -> None:
    ended = fixed.reconnect("undo", "latest", "--json")
    assert (ended.code, ended.json()["verdict"]["outcome"]) == (0, "undone"), ended.stderr
    asked = json.loads((fixed.folder / "asked.json").read_text())
    assert [(one["remedy"], one["role"], one["entry"], one["reversible"]) for one in asked] == [
        ("bring_up_interface", "network", "bring_up", True),
        ("restart_database", "database", "restart", False),
    ]
    assert asked[0]["before"] == {"down": ["{{ 7 * 7 }}"]}
    first, second = fixed.runs
    assert (second.record.request.playbook, second.record.request.undo) == ("undo.yml", first.run_id)


def test_a_run_that_changed_nothing_is_said_so(workplace: Workplace) -> None:
    assert workplace.diagnose("alpha").code == 0
    ended = workplace.reconnect("undo", "latest")
    assert (ended.code, len(workplace.runs)) == (2, 1)
    assert "changed nothing." in ended.stderr
