# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that never stops to talk, as ansible-playbook meets it: its ssh is a program that prints for ever."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.attack("a server that sends output without end", harm="hang")
@pytest.mark.parametrize("words", ["yes", "yes >&2"])
def test_output_without_end_fails_one_server_and_takes_little_memory(tmp_path: Path, alone: Any, words: str) -> None:
    ssh = tmp_path / "ssh"
    # The other server answers with what its command would print.
    ssh.write_text(f'#!/bin/sh\ncase "$*" in *talker*) {words} ;; *) echo well ;; esac\n')
    ssh.chmod(0o755)
    inventory = tmp_path / "hosts"
    inventory.write_text(f"[servers]\ntalker\nquiet\n[servers:vars]\nansible_ssh_executable={ssh}\n")
    playbook = tmp_path / "play.yml"
    raw = {"name": "Judge", "ansible.builtin.raw": "echo", "changed_when": False}
    judged = {"name": "Keep", "ansible.builtin.set_fact": {"reconnect_judgement": {"verdict": {"outcome": "healthy"}}}}
    playbook.write_text(json.dumps([{"hosts": "servers", "gather_facts": False, "tasks": [raw, judged]}]))
    printed, documents = alone(playbook, "-i", inventory)
    assert documents["quiet.json"]["state"] == "succeeded", printed
    assert documents["talker.json"]["state"] == "failed"
    assert "more than 32 MiB" in documents["talker.json"]["error_message"]
    # Of all processes that ended, the largest, in KiB.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 600 * 1024
