# SPDX-License-Identifier: GPL-3.0-or-later
"""The action `gather` as ansible-playbook runs it, against servers that can't be reached."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HOSTILE = "{{ 7*7 }}"
INVENTORY = """
[servers]
silent ansible_host=127.0.0.1 ansible_port={silent}
closed ansible_host=127.0.0.1 ansible_port=1
[vantage_points]
near ansible_connection=local
mute ansible_host=127.0.0.1 ansible_port={silent}
unknown ansible_connection=carrier_pigeon
[all:vars]
ansible_python_interpreter={python}
reconnect_sip_transports=["tls"]
reconnect_resolvers=["127.0.0.1:1"]
reconnect_sip_domain=pbx.example
reconnect_addresses=["127.0.0.1"]
reconnect_tls_ca_file=missing.pem
"""
PLAY = """
- hosts: servers
  gather_facts: false
  tasks:
    - privatewave.reconnect.gather:
        account: !unsafe "{hostile}"
        client_report: {{error_message: !unsafe "{hostile}"}}
        deadline: "{{{{ deadline }}}}"
      register: gathered
    - ansible.builtin.copy:
        content: "{{{{ gathered | to_json }}}}"
        dest: "{{{{ inventory_dir }}}}/{{{{ inventory_hostname }}}}.json"
      delegate_to: near
      check_mode: false
"""


@pytest.fixture
def silent_port():
    """A port that takes connections and never says a word, as an sshd does that hangs."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=50)
    held = []

    def hold():
        while True:
            try:
                held.append(listener.accept())
            except OSError:
                return

    threading.Thread(target=hold, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()
    for connection, _peer in held:
        connection.close()


@pytest.fixture
def run(tmp_path, silent_port):
    """run(deadline, …): what gather said of every server; ssh itself gives up after ``patience`` seconds."""
    inventory = tmp_path / "hosts"
    inventory.write_text(INVENTORY.format(silent=silent_port, python=sys.executable))
    play = tmp_path / "play.yml"
    play.write_text(PLAY.format(hostile=HOSTILE))

    def start(deadline, *options, patience=3):
        environment = dict(
            os.environ,
            ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"),
            ANSIBLE_STDOUT_CALLBACK="default",
            ANSIBLE_COLLECTIONS_PATH=str(ROOT / "collections"),
            ANSIBLE_TIMEOUT=str(patience),
        )
        ended = subprocess.run(
            [
                Path(sys.executable).parent / "ansible-playbook",
                "-i",
                inventory,
                "-e",
                f"deadline={deadline}",
                *options,
                play,
            ],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout
        return {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}

    return start


def ssh_processes(port):
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"ssh") and f"Port={port}".encode() in b" ".join(words):
            found.append(words)
    return found


def test_servers_that_do_not_answer_are_evidence_and_no_error(run):
    results = run(15)
    evidence = {name: result["evidence"] for name, result in results.items()}
    assert evidence["silent"]["server"]["error"] == "timed_out"
    assert evidence["closed"]["server"]["error"] == "unreachable"
    for name, one in evidence.items():
        assert (one["schema"], one["name"]) == ("reconnect/evidence/v1", name)
        assert one["paths"]["control"]["data"]["tcp"]["127.0.0.1:5061"]["error"] == "refused"
        assert one["paths"]["near"]["data"]["vantage"] == "near"
        assert one["paths"]["mute"]["error"] == "timed_out"
        assert one["paths"]["unknown"]["error"] == "failed"
        assert (one["host"], one["asterisk"], one["database"]) == ({}, {}, {})
        assert one["account"]["registry"]["error"] == "failed"
        assert results[name]["changed"] is False


def test_hostile_text_is_never_templated(run):
    results = run(15, "--check")
    for result in results.values():
        assert result["evidence"]["client_report"] == {"error_message": HOSTILE}


def test_the_deadline_holds_and_leaves_no_ssh_behind(run, silent_port):
    results = run(1, patience=30)
    assert results["silent"]["evidence"]["server"]["error"] == "timed_out"
    assert results["silent"]["evidence"]["seconds"] < 15  # ssh gives up after 30 s.
    assert ssh_processes(silent_port) == []
