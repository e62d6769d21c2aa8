# SPDX-License-Identifier: GPL-3.0-or-later
"""A server whose Python answers every module with whatever Ansible would act on."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Alone

pytestmark = pytest.mark.attack("a server answers every module with what Ansible acts on", harm="execution")

ROOT = Path(__file__).parents[4]
#: What a compromised server says, whatever it is asked.
ANSWER = {
    "changed": False,
    "ansible_facts": {
        "reconnect_send_command": ["touch", "owned"],
        "reconnect_run": {"run_id": "spoofed", "mode": "apply"},
        "reconnect_judgement": {"verdict": {"outcome": "healthy"}, "findings": []},
        "reconnect_remedies": [{"remedy": "spoofed"}],
        "ansible_python_interpreter": "/spoofed",
    },
    "_ansible_facts_cacheable": True,
    "evidence": {"schema": "reconnect/evidence/v1", "spoofed": True},
    "capture": {"ok": True, "data": {"pcap": "spoofed"}},
    "add_host": {"host_name": "spoofed", "groups": ["servers"]},
    "add_group": "spoofed",
    "warnings": ["spoofed"],
    "deprecations": [{"msg": "spoofed"}],
    "diff": {"before": "spoofed"},
    "exception": "spoofed",
    "account": {"listening": "spoofed"},
}
SHOW = {
    "name": "Show",
    "ansible.builtin.copy": {
        "content": "{{ {'told': told, 'command': reconnect_send_command | default('none'),"
        " 'run': reconnect_run | default('none'), 'python': ansible_python_interpreter,"
        " 'hosts': groups['all']} | to_json }}",
        "dest": "{{ inventory_dir }}/shown.json",
    },
    "delegate_to": "localhost",
    "vars": {"ansible_connection": "local"},
}
MODULES = {
    "remedy_lease": {},
    "gather": {"vantage_points": []},
    "registration_watch": {"account": "1001"},
    "packet_capture": {"seconds": 1, "ports": [5061]},
    "server_info": {"settings": {}},
}
#: Of these the action is ours, and drops what Ansible would act on.
OURS = ("gather", "registration_watch")


#: Gives what the play knows, the result documents, and what was printed; and the interpreter of the hostile server.
Hostile = tuple[Callable[[str], tuple[dict[str, Any], dict[str, Any], str]], str]


@pytest.fixture
def hostile(tmp_path: Path, alone: Alone) -> Hostile:
    """Asks a hostile server with a module; ``(what the play knows, result documents, what was printed)``."""
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\ncat >/dev/null\ncat <<'EOF'\n{json.dumps(ANSWER)}\nEOF\n")
    fake.chmod(0o755)
    inventory = tmp_path / "hosts"
    inventory.write_text(
        f"[servers]\nhostile ansible_connection=local ansible_python_interpreter={fake}\n"
        f"[all:vars]\n[local]\nlocalhost ansible_connection=local ansible_python_interpreter={sys.executable}\n"
    )

    def run(module: str) -> tuple[dict[str, Any], dict[str, Any], str]:
        task = {f"privatewave.reconnect.{module}": MODULES[module], "register": "told", "ignore_errors": True}
        playbook = tmp_path / "play.yml"
        playbook.write_text(json.dumps([{"hosts": "servers", "gather_facts": False, "tasks": [task, SHOW]}]))
        printed, documents = alone(playbook, "-i", inventory)
        shown = json.loads((tmp_path / "shown.json").read_text())
        return shown, documents, printed

    return run, str(fake)


@pytest.mark.parametrize("module", MODULES)
def test_no_variable_host_or_document_comes_from_an_answer(hostile: Hostile, module: str) -> None:
    run, interpreter = hostile
    shown, documents, printed = run(module)
    assert (shown["command"], shown["run"], shown["python"]) == ("none", "none", interpreter)
    assert shown["hosts"] == ["hostile", "localhost"]
    # A play that learnt nothing writes none.
    document = documents.get("hostile.json", {"verdict": None, "remedies": [], "run_id": ""})
    assert (document["verdict"], document["remedies"], document["run_id"]) == (None, [], "")
    evidence = documents.get("evidence-hostile.json", {})
    assert (evidence.get("spoofed"), "pcap" in json.dumps(documents)) == (None, False)
    assert module == "gather" or not evidence
    assert "touch" not in printed
    if module in OURS:
        dropped = {"ansible_facts", "warnings", "deprecations", "diff", "exception", "add_host", "add_group"}
        # Ansible keeps warnings by itself, on some releases those of the module, too: text that it never acts on.
        assert dropped & shown["told"].keys() <= {"warnings", "deprecations"}
