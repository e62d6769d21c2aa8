"""Many incidents at once: one remedy at a time on a server, servers side by side, every incident told."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ..conftest import Workplace

# Two runs on one server at the same time would find the folder of the other.
ALONE = """
- hosts: servers
  gather_facts: false
  tasks:
    - name: Fix
      ansible.builtin.raw: cd {{ playbook_dir }}/.. && mkdir {{ busy }} && sleep 0.3 && rmdir {{ busy }}
      vars: {busy: "busy-{{ inventory_hostname }}"}
    - name: Judge
      ansible.builtin.set_fact:
        reconnect_judgement: {verdict: {outcome: fixed_service, user_message: "Fixed."}, findings: []}
"""


@pytest.mark.parametrize("number", [int(os.environ.get("RECONNECT_CROWD", "8"))])
@pytest.mark.attack("a crowd of runs at once")
def test_never_two_remedies_on_one_server_and_all_reported(workplace: Workplace, tmp_path: Path, number: int) -> None:
    workplace.playbook(ALONE)
    servers = [f"server{n}" for n in range(max(4, number // 5))]
    hosts = workplace.inventory / "hosts"
    hosts.write_text(hosts.read_text().replace("alpha\nbeta", "\n".join(servers)))
    incidents = [tmp_path / f"incident{n}.md" for n in range(number)]
    for n, incident in enumerate(incidents):
        incident.write_text(f"Server: {servers[n % len(servers)]}\n\n")
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
    assert [result["server"] for result in results] == [servers[n % len(servers)] for n in range(number)]
    assert len({result["run_id"] for result in results}) == number
    for incident in incidents:
        text = incident.read_text()
        assert (text.count("-report]"), text.count("-user]"), text.count("Status: closed")) == (1, 1, 1)
    assert workplace.reconnect("outbox").stdout == ""


@pytest.mark.attack("a crowd of runs at once")
def test_several_servers_and_one_of_them(workplace: Workplace) -> None:
    # The queue has them in partitions of their own.
    workplace.playbook(ALONE.replace("sleep 0.3", "sleep 3"))
    crowd = [
        workplace.start("diagnose-server", *servers, "--inventory", str(workplace.inventory), "--apply", "--json")
        for servers in (("alpha", "beta"), ("beta",), ("alpha",))
    ]
    answers = [process.communicate(timeout=300) for process in crowd]
    assert [process.returncode for process in crowd] == [0, 0, 0], answers


@pytest.mark.attack("a crowd of runs at once")
def test_without_a_lock_nothing_is_done(workplace: Workplace) -> None:
    workplace.playbook(ALONE)
    (workplace.settings.state / "locks").mkdir(parents=True)
    (workplace.settings.state / "locks" / "server").write_text("in the way")
    ended = workplace.diagnose("alpha", "--json")
    assert ended.code == 1
    assert "File exists" in ended.json()["error_message"]
    assert ended.json()["state"] == "failed"
