# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may be ended for a port of Asterisk, and what a person stopped."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge import facts
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.evidence import SCHEMA, Evidence
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.facts import holder, own_client

EVIDENCE = Evidence({"schema": SCHEMA, "settings": {"provisioning_unit": "portal.service"}})


def held(**more: Any) -> dict[str, Any]:
    socket = {"proto": "tcp", "port": 5061, "pid": 12, "process": "python3", "unit": "session-3.scope", "started": 77}
    return {**socket, "transient": False, "ours": False, **more}


@pytest.mark.parametrize(
    ("socket", "ended"),
    [
        (held(), {"pid": 12, "started": 77}),
        (held(unit=None), {"pid": 12, "started": 77}),
        (held(unit="test.service", transient=True), {"unit": "test.service", "triggers": ""}),
        (held(unit="kamailio.service", process="kamailio"), {"unit": "kamailio.service", "triggers": ""}),
        (
            held(pid=1, process="systemd", unit="relay.socket", triggers="relay.service"),
            {"unit": "relay.socket", "triggers": "relay.service"},
        ),
    ],
)
def test_a_stray_process_is_ended_and_a_unit_is_stopped_as_a_unit(
    socket: dict[str, Any], ended: dict[str, Any]
) -> None:
    found = holder(EVIDENCE, socket)
    assert found.by_hand == ""
    assert found.target == {"name": found.name, **ended}


@pytest.mark.parametrize(
    ("socket", "words"),
    [
        (held(pid=1, process="systemd", unit="init.scope"), "part of the system"),
        (held(pid=1, process="systemd", unit="ssh.socket", triggers="ssh.service"), "never ended"),
        (held(pid=1, process="systemd", unit="web.socket", triggers="portal.service"), "never ended"),
        (held(process="systemd-resolve", unit="systemd-resolved.service"), "part of the system"),
        (held(process="sshd"), "never ended"),
        (held(process="mariadbd", unit="mariadb.service"), "never ended"),
        (held(process="postgres", unit="postgresql@15-main.service"), "never ended"),
        (held(process="python3", unit="portal.service"), "never ended"),
        (held(process="java", unit="billing.service"), "stop billing.service or move it"),
        (held(process="nginx", unit="docker-3f.scope"), "container"),
        (held(ours=True), "a run of Reconnect"),
        ({"pid": 12, "process": "python3", "unit": None}, "cannot be told from a later process"),
    ],
)
def test_whatever_is_not_known_to_be_in_the_way_is_left_to_a_person(socket: dict[str, Any], words: str) -> None:
    found = holder(EVIDENCE, socket)
    assert found.target is None
    assert found.by_hand.startswith(f"{socket['process']} (process {socket['pid']}")
    assert words in found.by_hand


ROOT = Path(__file__).resolve().parents[5]
STOPPED = {"how": "stopped", "at": "2026-01-01T00:00:00Z", "by": "alice (systemctl stop it)"}


@pytest.mark.parametrize(
    ("case", "unit", "remedy"),
    [
        ("asterisk_stopped", "asterisk.service", "restart_asterisk"),
        ("database_stopped", "mariadb.service", "restart_database"),
        ("provisioning_down", "reconnect-provisioning.service", "restart_provisioning"),
    ],
)
@pytest.mark.parametrize(
    ("stop", "words"),
    [
        (STOPPED, "was stopped at 2026-01-01T00:00:00Z by alice (systemctl stop it)."),
        ({"how": "masked", "at": "2026-01-01T00:00:00Z", "by": None}, "was masked at 2026-01-01T00:00:00Z."),
        ({"how": "disabled", "at": None, "by": None}, "is disabled, and was stopped."),
        (None, ""),
    ],
)
def test_what_a_person_stopped_is_started_only_after_an_approval(
    case: str, unit: str, remedy: str, stop: dict[str, Any] | None, words: str
) -> None:
    evidence = json.loads(gzip.decompress((ROOT / "tests" / "evidence" / f"{case}.pbx22.json.gz").read_bytes()))
    evidence["host"]["stops"] = {"ok": True, "seconds": 0.1, "data": {unit: stop} if stop else {}}
    (root,) = judge.judge(evidence, apply=True)["verdict"]["root_causes"]
    (step,) = judge.judge(evidence, apply=True)["verdict"]["plan"]
    assert (root["cause"], root["remedy"], step["remedy"]) == (case, remedy, remedy)
    if stop is None:
        assert (root["policy"], step["policy"], step["decision"]) == ("auto", "auto", "run")
        return
    assert (root["policy"], step["policy"], step["decision"]) == ("approve", "approve", "approval")
    assert step["reason"].startswith(f"{unit} {words} It waits for --approve {remedy}.")
    verdict = judge.judge(evidence, apply=True, approvals=[remedy])["verdict"]
    assert (verdict["plan"][0]["decision"], verdict["plan"][0]["reason"]) == ("run", "It was approved.")
    assert words in judge.judge(evidence)["verdict"]["next_step"]


def test_no_pattern_is_compiled_where_there_is_no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "signatures", lambda: pytest.fail("the patterns were loaded"))
    assert own_client(EVIDENCE, "192.0.2.1:5061") == ""


@pytest.mark.parametrize(
    ("lines", "refused"),
    [
        (["SIP/2.0 401 Unauthorized"], True),
        (["SIP/2.0 401 Unauthorized", "No suitable credential (PJSIP_ENOCREDENTIAL)"], False),
        (["SIP/2.0 401 Unauthorized", "Unsupported digest algorithm SHA-256"], False),
    ],
)
def test_a_login_that_the_client_never_sent_was_not_refused(lines: list[str], refused: bool) -> None:
    evidence = Evidence({"schema": "reconnect/evidence/v1", "client_report": {"log": lines}})
    assert bool(own_client(evidence, "192.0.2.1:5061")) is refused
