"""A run and its report come to their end once, whatever ends the process that carries them out."""

from __future__ import annotations

import json
import random

import pytest
from reconnect.runs import Request, Runs
from reconnect.slots import Slots

SLOW = """
- hosts: servers
  gather_facts: false
  tasks:
    - name: Begin
      ansible.builtin.shell: echo begun >> {{ playbook_dir }}/../begun
    - name: Be busy
      ansible.builtin.wait_for: {path: "{{ playbook_dir }}/../go", timeout: 60, sleep: 1}
    - name: Judge
      ansible.builtin.set_fact:
        reconnect_judgement: {verdict: {outcome: not_an_issue, user_message: "Ask your provider."}, findings: []}
"""


def ended_once(incident) -> None:
    """One report, one message to the user, closed once."""
    text = incident.read_text()
    assert text.count("-report]") == 1
    assert text.count("-user]") == 1
    assert text.count("Status: closed (Not an issue)") == 1


def test_a_run_that_was_killed_is_begun_anew_and_reported_once(workplace, wait, tmp_path):
    workplace.playbook(SLOW)
    incident = tmp_path / "incident.md"
    asked = ["diagnose-server", "alpha", "--inventory", str(workplace.inventory), "--incident", f"file:{incident}"]
    process = workplace.start(*asked)
    wait(lambda: (tmp_path / "begun").exists(), 60)
    process.kill()
    process.communicate()
    assert "interrupted" in workplace.reconnect("outbox").stdout
    (tmp_path / "go").touch()
    resumed = workplace.reconnect("resume")
    assert resumed.code == 0, resumed.stderr
    ended_once(incident)
    [run] = workplace.runs
    record = json.loads((run / "run.json").read_text())
    assert (record["begun"], record["delivery"]) == (2, "delivered")
    assert (tmp_path / "released-alpha").read_text() == run.name
    assert workplace.reconnect("outbox").stdout == ""


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment(workplace, tmp_path, seed):
    workplace.playbook(SLOW)
    (tmp_path / "go").touch()
    incident = tmp_path / "incident.md"
    asked = ["diagnose-server", "alpha", "--inventory", str(workplace.inventory), "--incident", f"file:{incident}"]
    workplace.killed_after(random.Random(seed).uniform(1.0, 10.0), *asked)
    assert workplace.reconnect("resume").code == 0
    if workplace.runs:
        ended_once(incident)


def test_the_same_incident_asked_at_once_is_one_run(workplace, wait, tmp_path):
    workplace.playbook(SLOW)
    incident = tmp_path / "incident.md"
    asked = ["diagnose-server", "alpha", "--inventory", str(workplace.inventory), "--incident", f"file:{incident}"]
    processes = [workplace.start(*asked, "--json") for _ in range(5)]
    wait(lambda: (tmp_path / "begun").exists(), 90)
    (tmp_path / "go").touch()
    answers = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * 5, answers
    assert len({json.loads(stdout)["run_id"] for stdout, _ in answers}) == 1
    assert len(workplace.runs) == 1
    ended_once(incident)


def test_a_run_that_no_database_knows_yet_is_carried_out(workplace, tmp_path):
    workplace.playbook(SLOW)
    (tmp_path / "go").touch()
    incident = tmp_path / "incident.md"
    state = tmp_path / "state" / "reconnect"
    slot = Slots(state).empty()
    request = Request(
        playbook="diagnose-server.yml",
        mode="diagnose",
        named=["alpha"],
        servers=["alpha"],
        inventory=str(workplace.inventory),
        incident=f"file:{incident}",
        timeout=60,
        command=["diagnose-server", "alpha"],
    )
    # Killed here, it is known by its place alone.
    Runs(state / "runs").create(request, None, lambda run_id: slot.keep([run_id]))
    slot.release()
    assert "interrupted" in workplace.reconnect("outbox").stdout
    assert workplace.reconnect("resume").code == 0
    ended_once(incident)


def test_a_place_whose_run_was_never_made_is_free_again(workplace, tmp_path):
    state = tmp_path / "state" / "reconnect"
    slot = Slots(state).empty()
    slot.keep(["20260131-030000-0000000"])
    slot.release()
    assert workplace.reconnect("resume").code == 0
    assert Slots(state).abandoned() == []
