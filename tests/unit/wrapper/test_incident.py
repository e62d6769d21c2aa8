"""The incident alone is enough to begin; what it lacks it is asked, once."""

from __future__ import annotations

import json

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
    assert workplace.runs == []
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
    assert workplace.runs == []


def test_a_tracker_that_is_down_stops_only_who_needs_it(workplace):
    workplace.environment |= {"RECONNECT_RT_URL": "http://127.0.0.1:9", "RECONNECT_RT_TOKEN": "right"}
    workplace.environment["RECONNECT_REPORT_SECONDS"] = "0"
    ended = workplace.diagnose("--incident", "rt:7")
    assert ended.code == 2
    assert "can't be read, and the command doesn't say all" in ended.stderr
    ended = workplace.diagnose("alpha", "--incident", "rt:7", "--json")
    assert ended.code == 14, ended.stderr
    assert json.loads(ended.stdout)["server"] == "alpha"
