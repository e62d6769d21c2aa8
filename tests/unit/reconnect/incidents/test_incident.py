"""The incident alone is enough to begin; what it lacks it is asked, once."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from reconnect.engine.slots import Slots
from reconnect.names import Incident
from reconnect.runs.request import Request
from reconnect.runs.store import Runs
from trials.kept import holding

from ..conftest import Workplace

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


def test_the_incident_alone_is_enough(workplace: Workplace, tmp_path: Path) -> None:
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
    # A secret of the user stays in the incident alone.
    assert "Kanarienvogel7" not in ended.stdout
    assert holding(workplace.settings, "Kanarienvogel7") == []


def test_an_incident_is_understood_and_asked_only_what_is_unclear(workplace: Workplace, tmp_path: Path) -> None:
    workplace.playbook(SAYS, "fix-account-config.yml")
    incident = tmp_path / "incident.md"
    incident.write_text(
        "Account: sip:6O1@BETA.example.org;transport=tls\nInternet connection: forse\nError message: 408\n\nHello\n"
    )
    asked = ["fix-account-config", "--incident", f"file:{incident}", "--inventory", str(workplace.inventory), "--json"]
    ended = workplace.reconnect(*asked)
    assert ended.code == 0, ended.stderr
    assert (ended.json()["server"], ended.json()["account"]) == ("beta", "601")
    said = incident.read_text()
    assert "-report]" in said
    assert said.count("[reconnect-question-") == 1
    assert "Reconnect did without this" in said
    assert "must be yes or no, not 'forse'" in said
    assert "must be yes or no, not 'forse'" in ended.stderr


def test_without_its_account_the_server_is_diagnosed_and_nothing_is_changed(
    workplace: Workplace, tmp_path: Path
) -> None:
    workplace.playbook(SAYS.replace("reconnect_account", "reconnect_apply"), "diagnose-server.yml")
    incident = tmp_path / "incident.md"
    incident.write_text("Server: BETA\nError message: 408\n\nHello\n")
    asked = ["fix-account-config", "--incident", f"file:{incident}", "--inventory", str(workplace.inventory), "--json"]
    ended = workplace.reconnect(*asked, "--yes")
    assert ended.code == 0, ended.stderr
    assert (ended.json()["server"], ended.json()["account"]) == ("beta", None)
    assert ended.json()["verdict"]["next_step"] == "False 408"
    said = incident.read_text()
    assert said.count("[reconnect-question-") == 1
    assert "The account is missing: the field 'Account' is empty." in said


def only_asked(workplace: Workplace) -> bool:
    """Nothing was executed, whatever is kept."""
    return all(run.record.question and run.record.begun == 0 for run in workplace.runs)


def test_what_is_missing_is_asked_once(workplace: Workplace, tmp_path: Path) -> None:
    incident = tmp_path / "incident.md"
    incident.write_text("Server: servers\nInternet connection: perhaps\n\nHello\n")
    asked = ["fix-account-config", "--incident", f"file:{incident}", "--inventory", str(workplace.inventory)]
    together = [workplace.start(*asked) for _ in range(3)]
    said = [process.communicate(timeout=300)[1] for process in together]
    assert [process.returncode for process in together] == [2, 2, 2]
    for words in said:
        [line] = words.splitlines()
        assert "account is missing" in line
        assert "'servers' (field 'Server') is not a server of the inventory" in line
        assert "must be yes or no" in line
    assert incident.read_text().count("[reconnect-question-") == 1
    assert len(workplace.runs) == 1
    assert only_asked(workplace)
    assert "asked its incident, executed nothing" in workplace.reconnect("runs").stdout
    assert "only asked its incident; nothing was executed: " in workplace.reconnect("show", "latest").stderr
    assert workplace.reconnect("outbox").stdout == ""
    # Another problem is another question.
    incident.write_text(incident.read_text().replace("Server: servers", "Server: alpha"))
    # The server is known now, and diagnosed without the account.
    assert workplace.reconnect(*asked).code == 0
    assert incident.read_text().count("[reconnect-question-") == 2


def test_a_contradiction_is_asked_and_nothing_executed(workplace: Workplace, tmp_path: Path) -> None:
    incident = tmp_path / "incident.md"
    incident.write_text("Server: beta\n\n")
    ended = workplace.diagnose("alpha", "--incident", f"file:{incident}")
    assert ended.code == 2
    assert "'server' conflicts: incident 'beta', command alpha" in ended.stderr
    assert "incident 'beta'" in incident.read_text()
    assert only_asked(workplace)


@pytest.mark.attack("a secret in an incident", harm="leak")
def test_a_question_keeps_no_secret(workplace: Workplace, tmp_path: Path) -> None:
    incident = tmp_path / "incident.md"
    incident.write_text("Server: alpha\nInternet connection: password=Kanarienvogel7\n\n")
    ended = workplace.diagnose("--incident", f"file:{incident}")
    # The diagnosis needs no such answer.
    assert ended.code == 0, ended.stderr
    assert "[reconnect-question-" in incident.read_text()
    assert "Kanarienvogel7" not in ended.stderr
    assert holding(workplace.settings, "Kanarienvogel7") == []


@pytest.mark.attack("the command is killed at a random moment")
@pytest.mark.parametrize("seed", range(4))
def test_a_question_that_was_killed_at_any_moment_is_asked_once(
    workplace: Workplace, tmp_path: Path, seed: int
) -> None:
    incident = tmp_path / "incident.md"
    incident.write_text("Account: 601\n\nHello\n")
    asked = ["fix-account-config", "--incident", f"file:{incident}", "--inventory", str(workplace.inventory)]
    workplace.killed_after(random.Random(seed).uniform(0.1, 1.5), *asked)
    assert workplace.reconnect("resume").code == 0
    if workplace.runs:
        assert incident.read_text().count("[reconnect-question-") == 1
    assert workplace.reconnect(*asked).code == 2
    assert incident.read_text().count("[reconnect-question-") == 1
    assert len(workplace.runs) == 1


def test_a_question_that_was_only_written_down_is_asked(workplace: Workplace, tmp_path: Path) -> None:
    incident = tmp_path / "incident.md"
    slot = Slots(workplace.settings).empty()
    request = Request(
        playbook="diagnose-server.yml",
        mode="diagnose",
        named=[],
        servers=[],
        inventory=str(workplace.inventory),
        incident=Incident("file", str(incident)),
        timeout=60,
        command=["diagnose-server"],
    )
    # Killed here, no database knows of it.
    Runs(workplace.settings).create(request, worker=slot.name, question=["The server is missing."])
    slot.release()
    assert "the question has not been tried yet" in workplace.reconnect("outbox").stdout
    # Any later command asks it.
    assert workplace.diagnose("alpha").code == 0
    assert incident.read_text().count("[reconnect-question-") == 1
    assert workplace.reconnect("outbox").stdout == ""


def test_a_tracker_that_is_down_stops_only_who_needs_it(workplace: Workplace) -> None:
    workplace.environment |= {"RECONNECT_RT_URL": "http://127.0.0.1:9", "RECONNECT_RT_TOKEN": "right"}
    workplace.environment["RECONNECT_REPORT_SECONDS"] = "0"
    ended = workplace.diagnose("--incident", "rt:7")
    assert ended.code == 2
    assert "Cannot read the incident, and the command line is not complete" in ended.stderr
    ended = workplace.diagnose("alpha", "--incident", "rt:7", "--json")
    assert ended.code == 14, ended.stderr
    assert json.loads(ended.stdout)["server"] == "alpha"
