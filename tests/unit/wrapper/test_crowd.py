"""Many incidents at once: one remedy at a time on a server, servers side by side, every incident told."""

from __future__ import annotations

import json
import os

import pytest

SERVERS = [f"server{number}" for number in range(8)]
# Two runs on one server at the same time would find the folder of the other.
ALONE = """
- hosts: servers
  gather_facts: false
  tasks:
    - name: Mend
      ansible.builtin.shell: mkdir busy-{{ inventory_hostname }} && sleep 0.3 && rmdir busy-{{ inventory_hostname }}
      args: {chdir: "{{ playbook_dir }}/.."}
    - name: Judge
      ansible.builtin.set_fact:
        reconnect_judgement: {verdict: {outcome: fixed_service, user_message: "Mended."}, findings: []}
"""


@pytest.mark.parametrize("number", [int(os.environ.get("RECONNECT_CROWD", "16"))])
def test_never_two_remedies_on_one_server_and_all_reported(workplace, tmp_path, number):
    workplace.playbook(ALONE)
    hosts = workplace.inventory / "hosts"
    hosts.write_text(hosts.read_text().replace("alpha\nbeta", "\n".join(SERVERS)))
    incidents = [tmp_path / f"incident{n}.md" for n in range(number)]
    for n, incident in enumerate(incidents):
        incident.write_text(f"Server: {SERVERS[n % len(SERVERS)]}\n\n")
    crowd = [
        workplace.start(
            *("diagnose-server", "--incident", f"file:{incident}", "--inventory", str(workplace.inventory), "--apply"),
            *("--json", "--timeout", "600"),
        )
        for incident in incidents
    ]
    answers = [process.communicate(timeout=900) for process in crowd]
    assert [stderr for stdout, stderr in answers if not stdout] == []
    results = [json.loads(stdout) for stdout, _ in answers]
    assert [result["error_message"] for result in results if result["state"] != "succeeded"] == []
    assert [process.returncode for process in crowd] == [0] * number
    assert [result["server"] for result in results] == [SERVERS[n % len(SERVERS)] for n in range(number)]
    assert len({result["run_id"] for result in results}) == number
    for incident in incidents:
        text = incident.read_text()
        assert (text.count("-report]"), text.count("-user]"), text.count("Status: closed")) == (1, 1, 1)
    assert workplace.reconnect("outbox").stdout == ""
