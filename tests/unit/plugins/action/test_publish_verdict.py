# SPDX-License-Identifier: GPL-3.0-or-later
"""The action ``publish_verdict``, in real runs of ansible-playbook: the statistics of the job, and its exit code."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

FOUND = {
    "outcome": "fault_found",
    "root_causes": [{"cause": "database_stopped", "title": "t", "summary": "said by a server", "policy": "auto"}],
}
JUDGEMENTS = {
    "healthy": {"verdict": {"outcome": "healthy", "root_causes": []}, "findings": []},
    "faulty": {"verdict": FOUND, "findings": []},
    "refused": {"verdict": FOUND, "findings": [], "state": "refused"},
}
REFUSED = [{"remedy": "restart_database", "cause": "database_stopped", "state": "refused", "reason": "on hold"}]
#: What the action `gather` returned: until something is fixed, its judgement is the run's.
GATHERED = {
    "away": {"evidence": {"server": {"ok": False, "error": "unreachable", "message": "No route to host"}}},
    "judged": {"judgement": JUDGEMENTS["faulty"]},
    # One task looked at several servers.
    "beside": {"servers": {"beside": json.dumps({"judgement": JUDGEMENTS["faulty"]}), "other": "{}"}, "failures": {}},
    "unseen": {"servers": {"other": "{}"}, "failures": {"unseen": "no such port"}},
}


KEEPS_STATISTICS = """
import json, os
from ansible.plugins.callback import CallbackBase
class CallbackModule(CallbackBase):
    CALLBACK_TYPE, CALLBACK_NAME = "aggregate", "statistics"
    def v2_playbook_on_stats(self, stats):
        with open(os.environ["STATISTICS"], "w") as file:
            json.dump(stats.custom, file)
"""


def test_statistics_of_the_job_and_its_exit_code(tmp_path: Path, alone: Any) -> None:
    facts = {
        "reconnect_run": {"run_id": "run-1", "mode": "apply"},
        "reconnect_judgement": "{{ judgements[inventory_hostname] | default({}) }}",
        "reconnect_remedies": "{{ refused if inventory_hostname == 'refused' else [] }}",
        "reconnect_gathered": "{{ gathered[inventory_hostname] | default({}) }}",
    }
    publish = {"name": "Publish", "privatewave.reconnect.publish_verdict": {"fail_on_fault": True}}
    tasks = [{"name": "Judge", "ansible.builtin.set_fact": facts}, publish]
    playbook, known = tmp_path / "diagnose-server.yml", tmp_path / "variables.json"
    playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    known.write_text(json.dumps({"judgements": JUDGEMENTS, "refused": REFUSED, "gathered": GATHERED}))
    (tmp_path / "callback_plugins").mkdir()
    (tmp_path / "callback_plugins" / "statistics.py").write_text(KEEPS_STATISTICS)
    inventory = ["-i", "healthy,faulty,refused,away,broken,judged,beside,unseen", "-c", "local", "-e", f"@{known}"]
    python = ["-e", f"ansible_python_interpreter={sys.executable}"]
    environment = {"ANSIBLE_CALLBACKS_ENABLED": "statistics", "STATISTICS": str(tmp_path / "statistics")}

    printed, documents = alone(playbook, *inventory, *python, environment=environment)

    told = json.loads((tmp_path / "statistics").read_text())["_run"]["reconnect"]
    assert told["run_id"] == "run-1"
    assert {server: one["exit_code"] for server, one in told["servers"].items()} == {
        "healthy": 0,
        "faulty": 10,
        "refused": 11,
        "away": 12,
        "broken": 1,
        "judged": 10,
        "beside": 10,
        "unseen": 1,
    }
    assert told["servers"]["refused"] == {
        "outcome": "refused",
        "headline": "a guardrail refused the remedy",
        "exit_code": 11,
        "causes": ["database_stopped"],
        "remedies": [{"remedy": "restart_database", "state": "refused"}],
        "escalate_to": None,
    }
    assert "said by a server" not in json.dumps(told)
    # The job failed on purpose; the run did not.
    assert "Publish" not in printed
    assert {name: document["state"] for name, document in documents.items()} == {
        "healthy.json": "succeeded",
        "faulty.json": "succeeded",
        "refused.json": "refused",
        "away.json": "failed",
        "broken.json": "failed",
        "judged.json": "failed",
        "beside.json": "failed",
        "unseen.json": "failed",
    }
    assert documents["faulty.json"]["error_message"] is None
