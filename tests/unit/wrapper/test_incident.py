"""The incident alone is enough to begin; what it lacks it is asked, once."""

from __future__ import annotations

import json
import random

import pytest
from reconnect.runs import Request, Runs
from reconnect.slots import Slots

SAYS = """
- hosts: servers
  gather_facts: false
  tasks:
    - name: Judge
      ansible.builtin.set_fact:
        reconnect_judgement:
          findings: []
          verdict: {outcome: healthy, next_step: "{{ reconnect_account }} {{ report.error_message }}", user_message: ""}
      vars: {report: "{{ lookup('ansible.builtin.file', reconnect_client_report_file) | from_json }}"}
"""


def test_the_incident_alone_is_enough(workplace, tmp_path):
    workplace.playbook(SAYS, "fix-account-config.yml")
    incident = tmp_path / "incident.md"
    incident.write_text("Server: beta\nAccount: 601\nError message: 408, password=Kanarienvogel7\n\nHello\n")
    asked = ["fix-account-config", "--incident", f"file:{incident}", "--inventory", str(workplace.inventory), "--json"]
    ended = workplace.reconnect(*asked)
    assert ended.code == 0, ended.stderr
    result = ended.json()
    assert (result["server"], result["account"]) == ("beta", "601")
    assert result["verdict"]["next_step"].startswith("601 408")
    assert "-report]" in incident.read_text()
    # What the user let slip stays in the ticket alone.
    assert "Kanarienvogel7" not in ended.stdout
    for path in (tmp_path / "state").rglob("*"):
        assert not path.is_file() or b"Kanarienvogel7" not in path.read_bytes(), path


def only_asked(workplace) -> bool:
    """Nothing was executed, whatever is kept."""
    records = [json.loads((run / "run.json").read_text()) for run in workplace.runs]
    return all(record["question"] and record["begun"] == 0 for record in records)


def test_what_is_missing_is_asked_once(workplace, tmp_path):
    incident = tmp_path / "incident.md"
    incident.write_text("Server: servers\nInternet connection: perhaps\n\nHello\n")
    asked = ["fix-account-config", "--incident", f"file:{incident}", "--inventory", str(workplace.inventory)]
    together = [workplace.start(*asked) for _ in range(3)]
    said = [process.communicate(timeout=90)[1] for process in together]
    assert [process.returncode for process in together] == [2, 2, 2]
    for words in said:
        [line] = words.splitlines()
        assert "account is missing" in line
        assert "'servers', which is no server we know" in line
        assert "has to be yes or no" in line
    assert incident.read_text().count("[reconnect-question-") == 1
    assert len(workplace.runs) == 1
    assert only_asked(workplace)
    assert "asked its incident, executed nothing" in workplace.reconnect("runs").stdout
    assert "only asked its incident; nothing was executed: " in workplace.reconnect("show", "latest").stderr
    assert workplace.reconnect("outbox").stdout == ""
    # Another problem is another question.
    incident.write_text(incident.read_text().replace("Server: servers", "Server: alpha"))
    assert workplace.reconnect(*asked).code == 2
    assert incident.read_text().count("[reconnect-question-") == 2


def test_a_contradiction_is_asked_and_nothing_executed(workplace, tmp_path):
    incident = tmp_path / "incident.md"
    incident.write_text("Server: beta\n\n")
    ended = workplace.diagnose("alpha", "--incident", f"file:{incident}")
    assert ended.code == 2
    assert "names the server 'beta', the command names alpha" in ended.stderr
    assert "names the server 'beta'" in incident.read_text()
    assert only_asked(workplace)


def test_a_question_keeps_no_secret(workplace, tmp_path):
    incident = tmp_path / "incident.md"
    incident.write_text("Server: alpha\nInternet connection: password=Kanarienvogel7\n\n")
    ended = workplace.diagnose("--incident", f"file:{incident}")
    assert ended.code == 2, ended.stderr
    assert "[reconnect-question-" in incident.read_text()
    assert "Kanarienvogel7" not in ended.stderr
    for path in (tmp_path / "state").rglob("*"):
        assert not path.is_file() or b"Kanarienvogel7" not in path.read_bytes(), path


@pytest.mark.parametrize("seed", range(4))
def test_a_question_that_was_killed_at_any_moment_is_asked_once(workplace, tmp_path, seed):
    incident = tmp_path / "incident.md"
    incident.write_text("Account: 601\n\nHello\n")
    asked = ["fix-account-config", "--incident", f"file:{incident}", "--inventory", str(workplace.inventory)]
    workplace.killed_after(random.Random(seed).uniform(0.5, 4.0), *asked)
    assert workplace.reconnect("resume").code == 0
    if workplace.runs:
        assert incident.read_text().count("[reconnect-question-") == 1
    assert workplace.reconnect(*asked).code == 2
    assert incident.read_text().count("[reconnect-question-") == 1
    assert len(workplace.runs) == 1


def test_a_question_that_was_only_written_down_is_asked(workplace, tmp_path):
    incident = tmp_path / "incident.md"
    state = tmp_path / "state" / "reconnect"
    slot = Slots(state).empty()
    request = Request(
        playbook="diagnose-server.yml",
        mode="diagnose",
        named=[],
        servers=[],
        inventory=str(workplace.inventory),
        incident=f"file:{incident}",
        timeout=60,
        command=["diagnose-server"],
    )
    # Killed here, no database knows of it.
    Runs(state / "runs").create(request, None, lambda run_id: slot.keep([run_id]), ["The server is missing."])
    slot.release()
    assert "the question has not been tried yet" in workplace.reconnect("outbox").stdout
    # Any later command asks it.
    assert workplace.diagnose("alpha").code == 0
    assert incident.read_text().count("[reconnect-question-") == 1
    assert workplace.reconnect("outbox").stdout == ""


def test_a_tracker_that_is_down_stops_only_who_needs_it(workplace):
    workplace.environment |= {"RECONNECT_RT_URL": "http://127.0.0.1:9", "RECONNECT_RT_TOKEN": "right"}
    workplace.environment["RECONNECT_REPORT_SECONDS"] = "0"
    ended = workplace.diagnose("--incident", "rt:7")
    assert ended.code == 2
    assert "can't be read, and the command doesn't say all" in ended.stderr
    ended = workplace.diagnose("alpha", "--incident", "rt:7", "--json")
    assert ended.code == 14, ended.stderr
    assert json.loads(ended.stdout)["server"] == "alpha"
