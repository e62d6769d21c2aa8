"""`diagnose-server` from the command line to the result, with real playbooks."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import jsonschema
import pytest
from reconnect import machine
from reconnect.result import json_schema
from trials.kept import holding

from ..conftest import HEALTHY, Workplace, there

HOSTILE_TEXT = "\u001b[31m[bold]{{ 7*7 }}[/bold]\u202e"

FOUND = """
- hosts: servers
  gather_facts: false
  tasks:
    - name: Judge
      ansible.builtin.set_fact:
        reconnect_judgement: "{{ lookup('ansible.builtin.file', playbook_dir ~ '/judgement.json') | from_json }}"
"""
JUDGEMENT = {
    "verdict": {
        "outcome": "fault_found",
        "root_causes": [
            {
                "cause": "asterisk_stopped",
                "subject": "asterisk",
                "about": "asterisk.service",
                "title": "Asterisk stopped",
                "summary": f"The unit is inactive {HOSTILE_TEXT}.",
                "runbook_step": "L2.2",
                "remedy": "restart_asterisk",
                "policy": "approve",
                "vantages": ["control", "phone"],
            }
        ],
        "symptoms": [
            {"cause": "transport_not_bound", "explained_by": "asterisk_stopped", "summary": "Nothing on 5061."}
        ],
        "plan": [
            {
                "remedy": "restart_asterisk",
                "role": "asterisk",
                "entry": "restart",
                "cause": "asterisk_stopped",
                "about": "asterisk.service",
                "policy": "approve",
                "decision": "approval",
                "reason": "Two calls are up.",
                "arguments": {},
            }
        ],
        "next_step": "Approve the restart.",
        "user_message": "We are on it.",
        "escalate_to": None,
    },
    "findings": [
        {
            "code": "asterisk.unit",
            "status": "fail",
            "subject": "asterisk",
            "summary": "Stopped.",
            "cause": "asterisk_stopped",
        },
        *(
            {
                "code": "tls.expiry",
                "status": "warn",
                "subject": "network",
                "about": "198.18.20.22:5061",
                "summary": "The certificate expires in 6 days.",
                "vantage": vantage,
            }
            for vantage in ("control", "phone")
        ),
    ],
}


@pytest.fixture
def found(workplace: Workplace) -> Workplace:
    """A workplace where a fault is found."""
    workplace.playbook(FOUND)
    workplace.playbook(json.dumps(JUDGEMENT), "judgement.json")
    return workplace


def test_json_is_one_valid_document_and_nothing_else(found: Workplace) -> None:
    ended = found.diagnose("alpha", "--json", "--account", "1001")
    assert ended.code == 10, ended.stderr
    document = ended.json()
    jsonschema.Draft202012Validator(json_schema()).validate(document)
    assert (document["server"], document["account"], document["mode"]) == ("alpha", "1001", "diagnose")
    assert document["run_id"] == found.runs[0].run_id
    assert [step["step"] for step in document["timeline"]] == ["Judge"]


def test_the_screen_tells_verdict_findings_and_the_next_command(found: Workplace) -> None:
    ended = found.diagnose("alpha")
    lines = ended.stdout.splitlines()
    assert lines[0] == "alpha  fault_found: the fault is known and not fixed"
    assert "Asterisk stopped: asterisk_stopped asterisk.service (L2.2, seen from control, phone)" in ended.stdout
    assert "explains: Nothing on 5061." in ended.stdout
    assert ended.stdout.count("expires in 6 days") == 1
    assert "(seen from control, phone)" in ended.stdout
    assert "restart_asterisk: Two calls are up." in ended.stdout
    again = f"reconnect diagnose-server alpha --inventory {found.inventory}"
    assert f"Again  {again}" in lines
    assert f"Fix    {again} --apply --approve restart_asterisk" in lines
    assert lines[-1] == f"Report reconnect report {found.runs[0].run_id}"


@pytest.mark.attack("control characters in an incident")
@pytest.mark.parametrize("columns", ["20", "200"])
def test_hostile_text_is_shown_and_not_obeyed(found: Workplace, columns: str) -> None:
    found.environment["COLUMNS"] = columns
    ended = found.diagnose("alpha")
    flat = "".join(ended.stdout.split())
    assert "\x1b" not in ended.stdout + ended.stderr
    assert "\u202e" not in ended.stdout
    assert "\\x1b[31m[bold]{{7*7}}[/bold]\\u202e" in flat
    assert "[bold]" not in there(found.runs[0].report())  # Markdown has its brackets escaped


def test_a_terminal_with_few_characters_is_enough(found: Workplace) -> None:
    found.environment |= {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    ended = found.diagnose("alpha")
    assert ended.code == 10, ended.stderr
    assert "alpha ? Judge: ok" in ended.stderr


def test_progress_goes_to_standard_error_step_by_step(found: Workplace) -> None:
    ended = found.diagnose("all", "--json")
    steps = [line.rsplit("  ", 1)[0] for line in ended.stderr.splitlines()]
    assert sorted(steps) == ["alpha ➜ Judge: ok", "beta ➜ Judge: ok"]  # side by side: either may be the first


def test_one_unreachable_server_does_not_spoil_the_other(workplace: Workplace) -> None:
    (workplace.inventory / "hosts").write_text(
        "[servers]\n"
        f"alpha ansible_connection=local ansible_python_interpreter={sys.executable}\n"
        "beta ansible_host=127.0.0.1 ansible_port=9 ansible_connection=ssh\n"
    )
    workplace.playbook("""
- hosts: servers
  gather_facts: false
  tasks:
    - name: Look
      ansible.builtin.command: "true"
    - name: Judge
      ansible.builtin.set_fact:
        reconnect_judgement: {verdict: {outcome: healthy}, findings: []}
""")
    ended = workplace.diagnose("servers", "--json")
    assert ended.code == 12, ended.stderr
    alpha, beta = ended.json()
    assert (alpha["state"], beta["state"]) == ("succeeded", "unreachable")
    assert "Connection refused" in beta["error_message"]


@pytest.mark.parametrize(
    ("playbook", "sentence"),
    [
        ("- hosts: servers\n  tasks: [\n", "ansible-playbook ended with"),
        ("- hosts: servers\n  nonsense: 1\n", "'nonsense' is not a valid attribute for a Play"),
        ("- hosts: phones\n  gather_facts: false\n  tasks: []\n", "left no result"),
        ("- hosts: servers\n  gather_facts: false\n  tasks:\n    - name: Break\n      fail: {msg: broken}\n", "broken"),
        (
            "- hosts: servers\n  gather_facts: false\n  tasks:\n    - set_fact:\n"
            "        reconnect_judgement: {verdict: {outcome: splendid}, findings: []}\n",
            "is not valid: verdict.outcome",
        ),
    ],
)
def test_a_run_that_fails_says_why(workplace: Workplace, playbook: str, sentence: str) -> None:
    workplace.playbook(playbook)
    ended = workplace.diagnose("alpha", "--json")
    assert ended.code == 1, ended.stderr
    assert ended.json()["state"] == "failed"
    assert sentence in ended.json()["error_message"]
    assert not (workplace.folder / "released-alpha").exists()  # Ansible came to its own end


def test_check_and_apply_reach_the_playbook(workplace: Workplace) -> None:
    workplace.playbook("""
- hosts: servers
  gather_facts: false
  tasks:
    - name: Judge
      vars:
        told: {run: "{{ reconnect_run_id }}", apply: "{{ reconnect_apply }}", check: "{{ ansible_check_mode }}",
               approvals: "{{ reconnect_approvals }}", account: "{{ reconnect_account }}",
               more: "{{ [site | default(''), rack.row | default(0), room | default('')] }}"}
      ansible.builtin.set_fact:
        reconnect_judgement: {verdict: {outcome: healthy, user_message: "{{ told | to_json }}"}, findings: []}
""")
    applied = workplace.diagnose(
        "alpha", "--apply", "--approve", "load_modules", "--approve", "reload_odbc", "--json"
    ).json()
    assert applied["mode"] == "apply"
    assert json.loads(applied["verdict"]["user_message"]) == {
        "run": applied["run_id"],
        "apply": True,
        "check": False,
        "approvals": ["load_modules", "reload_odbc"],
        "account": "",
        "more": ["", 0, ""],
    }
    (workplace.folder / "more.yml").write_text("room: two words\n")
    more = ["-e", "site='a b'", "-e", '{"rack": {"row": 7}}', "--extra-vars", "@more.yml"]
    checked = workplace.diagnose("alpha", "--check", *more, "--json").json()
    told = json.loads(checked["verdict"]["user_message"])
    assert (checked["mode"], told["apply"], told["check"]) == ("check", False, True)
    assert told["more"] == ["a b", 7, "two words"]


def test_a_run_leaves_private_documents_only(found: Workplace) -> None:
    found.diagnose("alpha", "--account", "1001")
    [run] = found.runs
    state = found.settings.state
    assert [result.server for result in run.results()] == ["alpha"]
    assert there(run.report()).startswith("# Reconnect: diagnosis of alpha")
    # The database, what it is locked with, the names of the inventory, and nothing of the run.
    files = {path.name for path in state.rglob("*") if path.is_file() and path.parent.name != "inventories"}
    locks = {"1.lock", f"{machine.worker(state, 1)}.lock", "alpha.lock", "dbos.lock"}
    assert files - {"workflows.sqlite-wal", "workflows.sqlite-shm"} == {"workflows.sqlite", "machine", *locks}
    for path in [state, *state.rglob("*")]:
        forbidden = stat.S_IRWXG | stat.S_IRWXO
        assert not path.stat().st_mode & forbidden, path


@pytest.mark.attack("a planted secret", harm="leak")
def test_a_secret_is_found_nowhere(workplace: Workplace) -> None:
    canary = "canary-4f1c9b"
    (workplace.inventory / "group_vars").mkdir()
    (workplace.inventory / "group_vars" / "all.yml").write_text(f"database_password: {canary}\n")
    workplace.environment["RECONNECT_RT_TOKEN"] = canary
    workplace.playbook("""
- hosts: servers
  gather_facts: false
  tasks:
    - name: Use it
      ansible.builtin.shell: 'test -n "$SECRET"; tr "\\\\0" "\\\\n" < /proc/$PPID/environ; ps axeww'
      environment: {SECRET: "{{ database_password }}"}
      no_log: true
    - name: Look for it in what Ansible was given
      ansible.builtin.shell: |
        grep -rl canary-4f1c9b {{ lookup('env', 'RECONNECT_RESULT_DIR') }}/.. > {{ playbook_dir }}/../seen
        tr "\\\\0" "\\\\n" < /proc/$PPID/environ | grep canary-4f1c9b >> {{ playbook_dir }}/../seen; true
    - name: Judge
      ansible.builtin.set_fact:
        reconnect_judgement: {verdict: {outcome: healthy}, findings: []}
""")
    ended = workplace.diagnose("alpha", "--json", "--verbose")
    assert ended.code == 0, ended.stderr
    assert canary not in ended.stdout + ended.stderr
    assert (workplace.folder / "seen").read_text() == ""
    assert holding(workplace.settings, canary) == []


def test_the_incident_gets_verdict_and_document(found: Workplace, tmp_path: Path) -> None:
    incident, log = tmp_path / "incident.md", tmp_path / "log"
    found.environment |= {"RECONNECT_LOG_FILE": str(log), "RECONNECT_LOG_LEVEL": "debug"}
    ended = found.diagnose("alpha", "--incident", f"file:{incident}")
    assert ended.code == 10
    text = incident.read_text()
    assert "alpha — fault_found" in text
    document = json.loads(text.split("```json\n")[1].split("\n```")[0])
    assert document["incident"] == f"file:{incident}"
    jsonschema.Draft202012Validator(json_schema()).validate(document)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["message"] for line in lines] == ["run begins", "step", "run ended", "report delivered"]
    [run] = found.runs
    assert {(line["run"], line["trace_id"]) for line in lines} == {(run.run_id, there(run.kept()).asker.trace_id)}
    assert (lines[1]["step"], lines[2]["exit_code"], stat.S_IMODE(log.stat().st_mode)) == ("Judge", 10, 0o600)


def test_a_report_that_cannot_be_delivered_is_kept(workplace: Workplace) -> None:
    workplace.environment |= {
        "RECONNECT_RT_URL": "http://127.0.0.1:9",
        "RECONNECT_RT_TOKEN": "x",
        "RECONNECT_REPORT_SECONDS": "0",
    }
    ended = workplace.diagnose("alpha", "--incident", "rt:1", "--json")
    assert ended.code == 14
    assert ended.json()["state"] == "succeeded"
    assert "pending" in ended.stderr
    assert workplace.runs[0].record.delivery == "pending"
    assert "rt:1  " in workplace.reconnect("outbox").stdout
    assert workplace.reconnect("resume").code == 14
    assert "Cannot reach" in workplace.reconnect("outbox").stdout


def test_a_run_that_cannot_be_kept_is_told_all_the_same(workplace: Workplace, tmp_path: Path) -> None:
    workplace.playbook(
        HEALTHY.rstrip()
        + """
    - name: Fill the disk
      ansible.builtin.script: {cmd: full.py, executable: "{{ ansible_python_interpreter }}"}
"""
    )
    full = "CREATE TRIGGER full BEFORE INSERT ON documents BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
    database = str(workplace.settings.state / "workflows.sqlite")
    workplace.playbook(f"import sqlite3\nsqlite3.connect({database!r}).execute({full!r})\n", "full.py")
    incident = tmp_path / "incident.md"
    ended = workplace.diagnose("alpha", "--incident", f"file:{incident}", "--json")
    assert ended.code == 1
    assert ended.json()["verdict"]["outcome"] == "healthy"
    assert "Cannot store runs" in ended.stderr
    assert "alpha — healthy" in incident.read_text()


def test_runs_show_and_report_find_a_run_by_its_beginning(found: Workplace) -> None:
    found.diagnose("beta")
    found.playbook(FOUND.replace("judgement.json", "other.json"))
    found.playbook(json.dumps({"verdict": {"outcome": "healthy"}, "findings": []}), "other.json")
    found.diagnose("alpha", "--check")
    first, second = (run.run_id for run in found.runs)
    listed = found.reconnect("runs").stdout.splitlines()
    assert [line.split()[0] for line in listed] == [second, first]
    assert found.reconnect("runs", "--server", "beta").stdout.split()[0] == first
    assert found.reconnect("runs", "--outcome", "healthy").stdout.split()[0] == second
    assert found.reconnect("runs", "--server", "beta", "--outcome", "healthy").stdout == ""
    assert [run["run_id"] for run in found.reconnect("runs", "--json").json()] == [second, first]
    assert found.reconnect("show", second, "--json").json()["server"] == "alpha"
    assert found.reconnect("show", "latest", "--json").json()["run_id"] == second
    assert "alpha — healthy" in found.reconnect("report", second).stdout
    assert found.reconnect("report", second, "--markdown").stdout.startswith("# Reconnect: ")
    assert "begin with '2'" in found.reconnect("show", "2").stderr
    assert found.reconnect("runs", "--outcome", "healty").stderr.endswith("Near it: healthy.\n")
    unknown = found.reconnect("show", "nothing")
    assert (unknown.code, len(unknown.stderr.splitlines())) == (2, 1)
