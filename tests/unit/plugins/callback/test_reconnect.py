# SPDX-License-Identifier: GPL-3.0-or-later
"""The callback, in real runs of ansible-playbook: what people see and the result documents that stay."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Alone

ROOT = Path(__file__).parents[4]

VERDICT: dict[str, Any] = {
    "outcome": "fault_found",
    "root_causes": [
        {
            "cause": "database_stopped",
            "subject": "database",
            "about": "mariadb.service",
            "title": "The database is stopped",
            "summary": "mariadb.service is inactive.\x1b[2J",
            "runbook_step": "L2.3",
            "remedy": "restart_database",
            "policy": "auto",
            "vantages": [],
        }
    ],
    "symptoms": [{"cause": "odbc_disconnected", "explained_by": "database_stopped", "summary": "No connection."}],
    "plan": [],
    "next_step": "Run again with apply.",
    "user_message": None,
    "escalate_to": None,
}
FACTS: dict[str, Any] = {
    "reconnect_run": {"run_id": "run-1", "mode": "apply", "account": "1001", "incident": "file:x"},
    "reconnect_judgement": {"verdict": VERDICT, "findings": [{"code": "database.unit", "status": "fail"}]},
}
EVIDENCE: dict[str, Any] = {"schema": "reconnect/evidence/v1", "server": {"ok": True}, "host": {}}


SAVED = """
from ansible.plugins.action import ActionBase
class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        return {"changed": False, **self._task.args}
"""


def gather(evidence: dict[str, Any], judgement: dict[str, Any] | None = None) -> dict[str, Any]:
    """A task that returns evidence, and perhaps its judgement, as the action ``gather`` does."""
    return {"name": "Gather", "gather": {"evidence": evidence, **({"judgement": judgement} if judgement else {})}}


def task(name: str, **facts: object) -> dict[str, Any]:
    return {"name": name, "ansible.builtin.set_fact": facts}


Play = Callable[..., tuple[str, dict[str, Any]]]


@pytest.fixture
def play(tmp_path: Path, alone: Alone) -> Play:
    """Run a play of ``tasks`` on the servers ``a`` and ``b`` and return (what was printed, result documents)."""
    (tmp_path / "action_plugins").mkdir()
    (tmp_path / "action_plugins" / "gather.py").write_text(SAVED)

    def run(
        *tasks: dict[str, Any],
        options: Sequence[str] = (),
        command: Sequence[str | Path] | None = None,
        environment: Any = (),
    ) -> tuple[str, dict[str, Any]]:
        playbook = tmp_path / "diagnose-server.yml"
        playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": list(tasks)}]))
        inventory = ["-i", "a,b", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]
        return alone(playbook, *inventory, *options, command=command, environment=environment)

    return run


def test_document_of_every_server(play: Play) -> None:
    _unused, documents = play(gather(EVIDENCE), task("Judge", **FACTS))
    assert sorted(documents) == ["a.json", "b.json", "evidence-a.json", "evidence-b.json"]
    document = documents["a.json"]
    assert document["schema"] == "reconnect/result/v1"
    assert (document["run_id"], document["mode"], document["server"]) == ("run-1", "apply", "a")
    assert (document["playbook"], document["account"], document["incident"]) == (
        "diagnose-server.yml",
        "1001",
        "file:x",
    )
    assert (document["state"], document["error_message"]) == ("succeeded", None)
    assert document["verdict"] == VERDICT
    assert [step["step"] for step in document["timeline"]] == ["Gather", "Judge"]
    assert documents["evidence-a.json"] == EVIDENCE


def test_each_document_has_the_servers_own_account_and_mode(play: Play) -> None:
    shared = {"run_id": "run-1", "mode": "diagnose", "account": "1001", "incident": ""}
    once = {**task("Name the run", reconnect_run=shared), "run_once": True}
    _unused, documents = play(once, gather(EVIDENCE), task("Judge", reconnect_judgement=FACTS["reconnect_judgement"]))
    assert [documents[f"{name}.json"]["account"] for name in "ab"] == ["1001", "1001"]
    own = {**shared, "mode": "{{ 'apply' if inventory_hostname == 'a' else 'diagnose' }}"}
    _unused, documents = play(once, task("Name it", reconnect_run=own), gather(EVIDENCE, FACTS["reconnect_judgement"]))
    said = [(one["run_id"], one["mode"]) for one in (documents["a.json"], documents["b.json"])]
    assert said == [("run-1", "apply"), ("run-1", "diagnose")]


def test_the_first_judgement_comes_with_the_evidence_and_a_later_one_as_a_fact(play: Play) -> None:
    first, later = ({**FACTS["reconnect_judgement"], "verdict": {**VERDICT, "next_step": text}} for text in "ab")
    _unused, documents = play(gather(EVIDENCE, first), gather(EVIDENCE, later))
    assert documents["a.json"]["verdict"] == first["verdict"]
    assert [step["step"] for step in documents["a.json"]["timeline"]] == ["Gather", "Gather"]

    _unused, documents = play(gather(EVIDENCE, first), task("Judge", reconnect_judgement=later))
    assert documents["a.json"]["verdict"] == later["verdict"]


def test_evidence_that_the_action_wrote_is_left_as_it_is(play: Play) -> None:
    judgement = FACTS["reconnect_judgement"]
    task = gather(EVIDENCE, {"verdict": VERDICT})
    task["gather"].update(evidence_file="evidence-a.json", findings=json.dumps(judgement["findings"]))
    _unused, documents = play(task)
    assert sorted(documents) == ["a.json", "b.json"]
    assert documents["a.json"]["verdict"] == VERDICT
    assert documents["a.json"]["findings"] == judgement["findings"]


def test_what_one_task_says_of_many_servers_is_said_of_each(play: Play) -> None:
    findings = FACTS["reconnect_judgement"]["findings"]
    said = {
        "evidence": {**EVIDENCE, "seconds": 0.5},
        "judgement": {"verdict": VERDICT},
        "findings": json.dumps(findings),
    }
    once = {
        "name": "Gather",
        "gather": {"servers": {"a": json.dumps(said)}, "failures": {"b": "no such port"}},
        "register": "reconnect_gathered",
        "run_once": True,
    }
    for on_purpose in (False, True):
        publish = {"privatewave.reconnect.publish_verdict": {"fail_on_fault": on_purpose}}
        printed, documents = play(once, publish)
        assert (documents["a.json"]["state"], documents["a.json"]["verdict"]) == ("succeeded", VERDICT)
        assert documents["a.json"]["findings"] == findings
        (step,) = documents["a.json"]["timeline"]
        assert (step["step"], step["state"], step["seconds"]) == ("Gather", "ok", 0.5)
        assert (documents["b.json"]["state"], documents["b.json"]["error_message"]) == (
            "failed",
            "Gather: no such port",
        )
        assert documents["b.json"]["timeline"][0]["state"] == "failed"
        assert "a ➜ Gather: ok  0.5 s" in printed
        assert "b ➜ Gather: failed" in printed


def test_evidence_after_a_remedy_is_kept_beside_the_first(play: Play) -> None:
    later = {**EVIDENCE, "host": {"fixed": True}}
    _unused, documents = play(gather(EVIDENCE), gather(later))
    assert documents["evidence-a.json"] == EVIDENCE
    assert documents["evidence-a.after.json"] == later


CAPTURED = """
import base64
from ansible.plugins.action import ActionBase
class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        broken = self._task.args["broken"]
        pcap = broken if task_vars["inventory_hostname"] == "a" else {"pcap": base64.b64encode(b"packets").decode()}
        return {"changed": False, "capture": {"ok": True, "data": pcap}, "evidence": {"schema": "spoofed"},
                "judgement": "spoofed",
                "ansible_facts": {"reconnect_run": "spoofed", "reconnect_judgement": "spoofed"}}
"""


@pytest.mark.attack("one server's broken packets and run among others", harm="neighbour")
@pytest.mark.parametrize("broken", [{"pcap": "!"}, {"pcap": 5}, {"pcap": "AAA"}, {}, None, ["pcap"]])
def test_what_one_server_answers_is_no_failure_of_another(
    play: Play, tmp_path: Path, broken: list[str] | dict[str, Any] | None
) -> None:
    (tmp_path / "action_plugins" / "packet_capture.py").write_text(CAPTURED)
    capture = {"name": "Capture", "packet_capture": {"broken": broken}}
    printed, documents = play(gather(EVIDENCE), capture, task("Judge", **FACTS))
    assert {name: documents[f"{name}.json"]["state"] for name in "ab"} == {"a": "succeeded", "b": "succeeded"}
    assert documents["b.json"]["run_id"] == "run-1"
    assert (tmp_path / "results" / "packets-b.pcap").read_bytes() == b"packets"
    assert "WARNING" not in printed


def test_failure_of_one_server_is_told_in_its_document_only(play: Play) -> None:
    boom = {"name": "Restart", "ansible.builtin.fail": {"msg": "no space"}, "when": "inventory_hostname == 'a'"}
    printed, documents = play(task("Judge", **FACTS), boom)
    assert (documents["a.json"]["state"], documents["a.json"]["error_message"]) == ("failed", "Restart: no space")
    assert documents["b.json"]["state"] == "succeeded"
    assert "Traceback" not in printed


def test_rescued_failure_is_no_failure(play: Play) -> None:
    block = {"block": [{"ansible.builtin.fail": {"msg": "no"}}], "rescue": [task("Go on", ok=True)]}
    _unused, documents = play(task("Judge", **FACTS), block)
    assert documents["a.json"]["state"] == "succeeded"


def test_refused_remedy_is_a_refused_run(play: Play) -> None:
    refusal = {"remedy": "restart_asterisk", "cause": "asterisk_hung", "state": "refused", "reason": "2 calls are up."}
    printed, documents = play(
        task("Judge", **FACTS),
        task("Conclude", reconnect_remedies=[refusal], reconnect_judgement={"verdict": VERDICT, "state": "refused"}),
    )
    assert (documents["a.json"]["state"], documents["a.json"]["error_message"]) == ("refused", "2 calls are up.")
    assert "a: refused" in printed


WAITING = """
from ansible.plugins.action import ActionBase
class ActionModule(ActionBase):
    tries = 0
    def run(self, tmp=None, task_vars=None):
        ActionModule.tries += 1
        if ActionModule.tries < 4 and self._task.args:
            return {"failed": True, "refused": True, "msg": "Held by the run another\x1b."}
        return {"changed": False}
"""


def test_a_remedy_that_does_not_say_how_it_ended_failed(play: Play) -> None:
    remedies = [{"remedy": "restart_database", "cause": "database_stopped"}, {"remedy": "reload", "state": "done"}]
    printed, documents = play(gather(EVIDENCE), task("Judge", **FACTS, reconnect_remedies=remedies))
    assert [(one["remedy"], one["state"], one.get("reason")) for one in documents["a.json"]["remedies"]] == [
        ("restart_database", "failed", "It did not say how it ended."),
        ("reload", "done", None),
    ]
    assert "done      b: restart_database failed: It did not say how it ended." in printed
    assert "KeyError" not in printed


def test_who_is_waited_for_is_told_once(play: Play, tmp_path: Path) -> None:
    (tmp_path / "action_plugins" / "lease.py").write_text(WAITING)
    until = {"register": "got", "until": "got is not failed", "retries": 5, "delay": 0}
    lease = {"name": "Take the lease", "lease": {"run": 1}, **until}
    printed, _unused = play(gather(EVIDENCE), lease, options=["-l", "a"])
    assert printed.count("a ➜ Take the lease: waiting\n    Held by the run another\\x1b.") == 1
    assert printed.count("waiting") == 1
    assert "a ➜ Take the lease: ok" in printed


def test_server_without_evidence_is_unreachable(play: Play) -> None:
    dead = {**EVIDENCE, "server": {"ok": False, "error": "timed_out", "message": "No answer within 3 s."}}
    _unused, documents = play(gather(dead))
    assert (documents["a.json"]["state"], documents["a.json"]["error_message"]) == (
        "unreachable",
        "No answer within 3 s.",
    )


def test_each_cause_is_told_once_for_all_its_servers(play: Play) -> None:
    printed, _unused = play(task("Judge", **FACTS), environment={"NO_COLOR": "1"})
    lines = printed.splitlines()
    assert [line for line in lines if "The database is stopped" in line] == [
        "  found     a, b: The database is stopped (database_stopped, L2.3)"
    ]
    assert "            explains: odbc_disconnected" in lines
    assert "\x1b" not in printed


def test_colour_is_only_what_we_put_there(play: Play) -> None:
    printed, _unused = play(task("Judge", **FACTS), environment={"ANSIBLE_FORCE_COLOR": "1"})
    assert "\x1b[0;" in printed
    assert "\x1b[2J" not in printed


def test_documents_are_private(play: Play, tmp_path: Path) -> None:
    play(task("Judge", **FACTS))
    assert (tmp_path / "results").stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "results").iterdir()} == {0o600}


@pytest.mark.attack("ansible-playbook is killed")
def test_run_that_is_killed_leaves_what_it_knew(play: Play, tmp_path: Path) -> None:
    # The play ends its own ansible-playbook: the parent of the shell that the task runs.
    kill = {
        "name": "Die",
        "ansible.builtin.command": f"kill -{signal.SIGKILL:d} {{{{ lookup('pipe', 'echo $PPID') }}}}",
    }
    _unused, documents = play(
        task("Judge", **FACTS),
        kill,
        command=["setsid", "--wait", Path(sys.executable).with_name("ansible-playbook")],
    )
    assert documents["a.json"]["state"] == "failed"
    assert documents["a.json"]["verdict"] == VERDICT


@pytest.mark.attack("a secret in a diff", harm="leak")
def test_secrets_of_a_diff_are_not_printed(play: Play, tmp_path: Path) -> None:
    target = tmp_path / "secret.conf"
    copy = {"name": "Render", "ansible.builtin.copy": {"content": "password=canary-7f3a\n", "dest": str(target)}}
    printed, documents = play(task("Judge", **FACTS), copy, options=["--diff", "--check", "-l", "a"])
    assert "Render: changed" in printed
    assert "canary-7f3a" not in printed + json.dumps(documents)


RUNNER = """
import sys, ansible_runner
playbook, inventory, folder = sys.argv[1], sys.argv[-2], sys.argv[-1]
names = []
ansible_runner.run(private_data_dir=folder, project_dir={root!r}, playbook=playbook, inventory=inventory, quiet=True,
    cmdline="-c local", event_handler=lambda event: names.append(event["event"]))
print(names.count("runner_on_ok"), names.count("playbook_on_stats"))
"""


def test_same_documents_and_events_under_ansible_runner(play: Play, tmp_path: Path) -> None:
    private = tmp_path / "private"
    (private / "inventory").mkdir(parents=True)
    (private / "inventory" / "hosts").write_text("a\nb\n")
    printed, documents = play(
        task("Judge", **FACTS),
        command=[sys.executable, "-c", RUNNER.format(root=str(ROOT))],
        options=[str(private / "inventory"), str(private)],
        environment={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_STDOUT_CALLBACK": "reconnect",
            "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "plugins" / "callback"),
        },
    )
    assert printed == "2 1\n"
    assert documents["b.json"]["verdict"] == VERDICT
