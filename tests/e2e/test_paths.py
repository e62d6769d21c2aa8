"""The paths to the lab's servers as evidence: healthy, narrow, and what a diagnosis leaves behind on a server."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trials.tools import Lab

ROOT = Path(__file__).resolve().parents[2]
SERVERS = ("pbx22", "pbx16")
ACCOUNT = "1019"
GATHER = """
- hosts: servers
  gather_facts: false
  tasks:
    - privatewave.reconnect.gather:
      register: gathered
    - ansible.builtin.copy:
        content: "{{ gathered.evidence | to_json }}"
        dest: "{{ folder }}/{{ inventory_hostname }}.json"
        mode: "0600"
      delegate_to: localhost
      vars: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
"""
REGISTER = """
- hosts: phone
  gather_facts: false
  vars_files: ["{{ inventory_dir }}/../../tests/lab/.state/secrets.yml"]
  tasks:
    - privatewave.reconnect.sip_register:
        account: "{{ account }}"
        password: "{{ servers[server].accounts[account] ~ added }}"
        domain: "{{ server }}.reconnect.test"
        server: "{{ hostvars[server].ansible_host }}"
        tls_ca: "{{ lookup('file', inventory_dir ~ '/../../tests/lab/.state/ca.crt') }}"
      register: answer
    - ansible.builtin.copy:
        content: "{{ answer.register | to_json }}"
        dest: "{{ folder }}/answer.json"
        mode: "0600"
      delegate_to: localhost
      vars: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
"""


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """play(text, *options): run a play on the lab; what it wrote into ``folder`` by name."""

    def run(text: str, *options: str) -> dict[str, Any]:
        (tmp_path / "play.yml").write_text(text)
        ended = subprocess.run(
            [
                ROOT / ".venv" / "bin" / "ansible-playbook",
                "-i",
                ROOT / "inventories" / "lab",
                "-e",
                f"folder={tmp_path}",
                *options,
                tmp_path / "play.yml",
            ],
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"},
            timeout=120,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout
        return {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}

    return run


def test_every_path_to_a_healthy_server_answers_from_every_vantage(
    lab: Lab, play: Callable[..., dict[str, Any]]
) -> None:
    lab("reset")
    found = play(GATHER)
    for server in SERVERS:
        evidence = found[server]
        assert set(evidence["paths"]) == {"control", "phone"}
        for vantage, path in evidence["paths"].items():
            data = path["data"]
            assert len(data["addresses"]) == 2
            for kind in ("icmp", "path_mtu", "tcp", "tls", "sip"):
                silent = {name: answer for name, answer in data[kind].items() if not answer["ok"]}
                assert not silent, (server, vantage, kind)
            for answer in data["tls"].values():
                assert answer["data"]["verified"] is True
                assert answer["data"]["name_matches"] is True
            assert all(answer["ok"] for kinds in data["dns"].values() for answer in kinds.values())
            assert data["provisioning"]["data"]["status"] == 200


def test_a_black_hole_is_seen_from_the_phone_and_not_from_the_control_node(
    lab: Lab, play: Callable[..., dict[str, Any]]
) -> None:
    lab.run(
        "edge",
        "nft",
        "add table inet narrow; add chain inet narrow f { type filter hook forward priority -5; };"
        " add rule inet narrow f ip length > 1300 drop",
    )
    try:
        paths = play(GATHER, "-l", "pbx22")["pbx22"]["paths"]
    finally:
        lab.run("edge", "nft", "delete table inet narrow")
    address = "198.18.20.22"
    phone, control = paths["phone"]["data"], paths["control"]["data"]
    assert phone["icmp"][address]["data"]["loss"] == 0
    assert phone["path_mtu"][address]["data"]["black_hole"] is True
    assert phone["path_mtu"][address]["data"]["mtu"] == 1300
    assert phone["tcp"][f"{address}:5061"]["ok"] is True
    assert phone["tls"][f"{address}:5061"]["error"] == "timed_out"
    assert control["path_mtu"][address]["data"]["black_hole"] is False
    assert paths["phone"]["seconds"] < 8


@pytest.mark.parametrize("server", SERVERS)
def test_asking_for_options_does_not_look_like_an_attack(
    lab: Lab, play: Callable[..., dict[str, Any]], server: str
) -> None:
    count = (
        "sh",
        "-c",
        "grep -cE 'InvalidAccountID|ChallengeResponseFailed|InvalidPassword|FailedACL' "
        "/var/log/asterisk/security.log || true",
    )
    before = lab.run(server, *count)
    play(GATHER, "-l", server)
    assert lab.run(server, *count) == before


@pytest.mark.parametrize("server", SERVERS)
def test_the_account_registers_from_the_phone_and_leaves_nothing_behind(
    lab: Lab, play: Callable[..., dict[str, Any]], server: str
) -> None:
    answer = play(REGISTER, "-e", f"server={server} account={ACCOUNT} added=")["answer"]["data"]
    assert (answer["registered"], answer["unregistered"]) == (True, True)
    assert [one["status"] for one in answer["answers"]][:2] == [401, 200]


@pytest.mark.parametrize(("server", "status"), [("pbx22", 401), ("pbx16", 403)])
def test_a_wrong_password_is_answered_as_each_channel_driver_does(
    lab: Lab, play: Callable[..., dict[str, Any]], server: str, status: int
) -> None:
    answer = play(REGISTER, "-e", f"server={server} account={ACCOUNT} added=x")["answer"]["data"]
    assert answer["registered"] is False
    assert answer["answers"][-1]["status"] == status
