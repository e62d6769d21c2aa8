# SPDX-License-Identifier: GPL-3.0-or-later
"""The script that is sent to a host, run by a Python of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible_collections.privatewave.reconnect.plugins.plugin_utils import payload

TARGET = {
    "name": "a",
    "sip_domain": "",
    "addresses": ["127.0.0.1"],
    "transports": [],
    "resolvers": [],
    "srv": "",
    "provisioning_url": "",
}


def run(script: bytes, folder: Path) -> dict[str, Any]:
    """What the script says when a bare Python reads it from its standard input, as over a connection."""
    ended = subprocess.run(
        [sys.executable, "-S"],
        input=script,
        cwd=folder,
        capture_output=True,
        timeout=30,
        check=True,
    )
    assert ended.stderr == b""
    document: dict[str, Any] = json.loads(ended.stdout)
    return document


def test_the_script_answers_as_the_module_does_and_needs_nothing_but_python(tmp_path: Path) -> None:
    answer = run(payload.script("_net.path", {"vantage": "here", "targets": [TARGET]}), tmp_path)
    assert answer["changed"] is False
    assert answer["paths"]["a"]["data"]["icmp"]["127.0.0.1"]["data"]["received"] == 5


def test_arguments_are_data_whatever_they_look_like(tmp_path: Path) -> None:
    hostile = ["'''\"\"\"", "{{ 7*7 }}", "{package}", "\\", "a\nb\0c", "é\ud800", "%s"]
    targets = [{**TARGET, "name": name, "addresses": []} for name in hostile]
    answer = run(payload.script("_net.path", {"vantage": "".join(hostile), "targets": targets}), tmp_path)
    assert {name: path["data"]["vantage"] for name, path in answer["paths"].items()} == dict.fromkeys(
        hostile, "".join(hostile)
    )


def test_nothing_of_the_current_folder_is_imported(tmp_path: Path) -> None:
    (tmp_path / "ipaddress.py").write_text("raise SystemExit('hijacked')")
    answer = run(payload.script("_net.path", {"vantage": "here", "targets": []}), tmp_path)
    assert answer["paths"] == {}


def test_an_exception_is_an_answer_too(tmp_path: Path) -> None:
    answer = run(payload.script("_net.path", {"vantage": "here", "targets": [{}]}), tmp_path)
    assert (answer["failed"], answer["msg"]) == (True, "KeyError: 'name'")
