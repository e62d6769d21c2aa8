# SPDX-License-Identifier: GPL-3.0-or-later
"""The action `gather` as ansible-playbook runs it, against servers that cannot be reached."""

from __future__ import annotations

import copy
import gzip
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.action import gather
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.documents import Evidence
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge import fitted, judge
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.documents import Judgement
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.prober import Prober

ROOT = Path(__file__).parents[4]
HOSTILE = "{{ 7*7 }}"
#: Keys that mean something to Ansible's own JSON, and a template.
REPORT = {
    "error_message": HOSTILE,
    "settings": {"__ansible_vault": "x", "__ansible_unsafe": HOSTILE, "__ansible_type": "_AnsibleTaggedStr"},
}
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
        client_report: >-
          {{{{ lookup('ansible.builtin.file', inventory_dir ~ '/report') | privatewave.reconnect.plain_json }}}}
        deadline: "{{{{ deadline }}}}"
        folder: "{{{{ folder | default(omit) }}}}"
        judge:
          level: first
      register: gathered
    - ansible.builtin.copy:
        content: "{{{{ gathered | to_json }}}}"
        dest: "{{{{ inventory_dir }}}}/{{{{ inventory_hostname }}}}.json"
      delegate_to: near
      check_mode: false
"""


@pytest.fixture
def silent_port() -> Iterator[Any]:
    """A port that takes connections and never says a word, as an sshd does that hangs."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=50)
    held = []

    def hold() -> None:
        while True:
            try:
                held.append(listener.accept())
            except OSError:
                return

    threading.Thread(target=hold, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for connection, _peer in held:
        connection.close()


def played(play: Path, inventory: Path, *options: str, **variables: str) -> None:
    """Runs a play, which must succeed, with variables of the environment."""
    environment = dict(
        os.environ,
        ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"),
        ANSIBLE_STDOUT_CALLBACK="default",
        ANSIBLE_COLLECTIONS_PATH=str(ROOT / "collections"),
        **variables,
    )
    ended = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", inventory, *options, play],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout


@pytest.fixture
def run(tmp_path: Path, silent_port: int) -> Callable[..., dict[str, Any]]:
    """run(deadline, …): what gather said of every server; ssh itself gives up after ``patience`` seconds."""
    inventory = tmp_path / "hosts"
    inventory.write_text(INVENTORY.format(silent=silent_port, python=sys.executable))
    play = tmp_path / "play.yml"
    play.write_text(PLAY.format(hostile=HOSTILE))
    (tmp_path / "report").write_text(json.dumps(REPORT))

    def start(deadline: int, *options: str, patience: int = 3) -> dict[str, Any]:
        played(play, inventory, "-e", f"deadline={deadline}", *options, ANSIBLE_TIMEOUT=str(patience))
        return {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}

    return start


def ssh_processes(port: int) -> list[list[bytes]]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"ssh") and f"Port={port}".encode() in b" ".join(words):
            found.append(words)
    return found


def test_servers_that_do_not_answer_are_evidence_and_no_error(
    run: Callable[..., dict[str, Any]],
) -> None:
    results = run(60)
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
        judgement = results[name]["judgement"]
        assert judgement == judge(fitted(one), False, [], "first", False, [])
        assert judgement["verdict"]["outcome"] not in ("healthy", "not_an_issue")


def test_the_evidence_goes_to_a_file_and_the_findings_are_one_text(
    run: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    folder = tmp_path / "kept"
    results = run(1, "-e", f"folder={folder}", "-l", "closed", "--check")
    (name,) = results
    evidence = json.loads((folder / "evidence-closed.json").read_text())
    assert results[name]["evidence_file"] == str(folder / "evidence-closed.json")
    assert fitted(evidence) == evidence
    assert results[name]["evidence"] == {
        part: evidence[part] for part in ("schema", "name", "taken_at", "seconds", "server")
    }
    judgement = judge(evidence, False, [], "first", False, [])
    assert results[name]["judgement"] == {"verdict": judgement["verdict"]}
    assert json.loads(results[name]["findings"]) == judgement["findings"]
    assert (folder.stat().st_mode & 0o777, (folder / "evidence-closed.json").stat().st_mode & 0o777) == (0o700, 0o600)


@pytest.mark.attack("templates and Ansible's own keys in a client report", harm="execution")
def test_a_client_report_is_plain_data(run: Callable[..., dict[str, Any]]) -> None:
    results = run(60, "--check")
    for result in results.values():
        assert result["evidence"]["client_report"] == REPORT


def test_the_deadline_holds_and_leaves_no_ssh_behind(run: Callable[..., dict[str, Any]], silent_port: int) -> None:
    results = run(1, patience=300)
    assert results["silent"]["evidence"]["server"]["error"] == "timed_out"
    assert results["silent"]["evidence"]["seconds"] < 200  # ssh gives up after 300 s.
    assert ssh_processes(silent_port) == []


# ------------------------------------------------------------------------------------------------ many servers

TOGETHER = """
[servers]
one
two ansible_become=true ansible_become_exe={folder}/sudo ansible_become_user=root
guarded
wrong reconnect_sip_port=99999
[fixed]
one
two
[vantage_points]
near ansible_python_interpreter={folder}/near
[all:vars]
ansible_connection=local
[servers:vars]
ansible_python_interpreter={folder}/server
reconnect_addresses=["127.0.0.1"]
reconnect_test_account=
reconnect_fail2ban_jail=inventory
"""
TOGETHER_PLAY = """
- hosts: servers
  gather_facts: false
  vars:
    # A play's variable counts more than the inventory's.
    reconnect_fail2ban_jail: "{{ inventory_hostname }}"
  tasks:
    - privatewave.reconnect.gather:
        servers: "{{ ansible_play_hosts }}"
        judge:
          fix_groups: [fixed]
          ask: [restart_database]
      register: gathered
      run_once: true
    - ansible.builtin.copy:
        content: "{{ gathered | to_json }}"
        dest: "{{ inventory_dir }}/gathered.json"
      run_once: true
      delegate_to: localhost
"""


def script(file: Path, text: str) -> None:
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o700)


def test_one_task_looks_at_many_servers_as_if_it_ran_for_each(tmp_path: Path) -> None:
    recorded = json.loads(gzip.decompress((ROOT / "tests/evidence/healthy.pbx22.json.gz").read_bytes()))
    said = {name: recorded[name] for name in ("host", "asterisk", "database")}
    (tmp_path / "answer").write_text(json.dumps(said))
    script(tmp_path / "server", f"cat > /dev/null\ncat {tmp_path}/answer")
    script(tmp_path / "near", f'echo asked >> {tmp_path}/log\nexec {sys.executable} "$@"')
    script(tmp_path / "sudo", f'echo "$*" >> {tmp_path}/sudone\nwhile [ "$1" != /bin/sh ]; do shift; done\nexec "$@"')
    (tmp_path / "hosts").write_text(TOGETHER.format(folder=tmp_path))
    (tmp_path / "play.yml").write_text(TOGETHER_PLAY)
    played(tmp_path / "play.yml", tmp_path / "hosts", ANSIBLE_BECOME_ALLOW_SAME_USER="true")
    gathered = json.loads((tmp_path / "gathered.json").read_text())
    assert list(gathered["failures"]) == ["wrong"]
    assert "reconnect_sip_port is 99999" in gathered["failures"]["wrong"]
    servers = {name: json.loads(text) for name, text in gathered["servers"].items()}
    assert sorted(servers) == ["guarded", "one", "two"]
    for name, one in servers.items():
        evidence = one["evidence"]
        assert evidence["name"] == evidence["settings"]["fail2ban_jail"] == name
        assert evidence["server"]["ok"], evidence["server"]
        assert fitted({**evidence, **said})["host"] == evidence["host"] != {}
        assert one["ask"] == (["all"] if name == "guarded" else ["restart_database"])
        assert one["judgement"] == judge(evidence, False, [], "second", False, one["ask"])
    # The first look asks once for all of them, and nothing was in doubt.
    assert (tmp_path / "log").read_text().split() == ["asked"]
    assert {one["evidence"]["paths"]["near"]["data"]["vantage"] for one in servers.values()} == {"near"}
    # Only the server whose inventory wants it is asked as another user.
    (line,) = (tmp_path / "sudone").read_text().splitlines()
    assert "-u root" in line


# ------------------------------------------------------------------------------------------------ looked at again

SILENT = {"ok": False, "seconds": 3.0, "error": "timed_out", "message": "no answer to OPTIONS within 3.0 s"}
JUDGE = {"apply": False, "approvals": [], "ask": [], "alone": "", "level": "second", "rotate": False}


Change = Callable[[dict[str, Any]], None]
Looks = Callable[..., tuple[Evidence, Judgement, list[dict[str, Any]]]]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    """looks(change, …): what `judged` makes of one look at a healthy server after the other, each as it is changed."""
    saved = sorted((ROOT / "tests" / "evidence" / "controls").glob("*.pbx22.json.gz"))[0]
    healthy = json.loads(gzip.decompress(saved.read_bytes()))
    asked = []

    def judged(*changes: Change) -> tuple[Evidence, Judgement, list[dict[str, Any]]]:
        documents = iter(changes)

        def evidence(_prober: object, arguments: dict[str, Any], _check_mode: bool, **more: object) -> dict[str, Any]:
            asked.append({**more, "registrations": arguments["registrations"]})
            document: dict[str, Any] = copy.deepcopy(healthy)
            next(documents)(document)
            return document

        monkeypatch.setattr(gather, "evidence", evidence)
        found, judgement = gather.judged(object.__new__(Prober), {"judge": JUDGE, "registrations": None}, False)
        assert next(documents, None) is None, "it looked too seldom"
        return found, judgement, asked

    return judged


def silent(document: dict[str, Any]) -> None:
    sip = document["paths"]["control"]["data"]["sip"]
    sip.update(dict.fromkeys(sip, SILENT))


def stopped(document: dict[str, Any]) -> None:
    document["asterisk"]["process"] = {"ok": False, "seconds": 0.0, "error": "missing", "message": "no process"}


def unchanged(_document: dict[str, Any]) -> None:
    pass


def test_a_failure_without_a_cause_that_does_not_come_again_is_a_warning(looks: Looks) -> None:
    found, judgement, asked = looks(silent, unchanged)
    assert (judgement["verdict"]["outcome"], judgement["verdict"]["root_causes"]) == ("healthy", [])
    told = [one for one in judgement["findings"] if "The first look found" in one["summary"]]
    assert {(one["code"], one["status"], one["vantage"]) for one in told} == {("sip.options", "warn", "control")}
    # A password that was refused at the first look is not sent at the second.
    assert [one.get("most_refused") for one in asked] == [None, 1]
    assert asked[1]["registrations"] == found["registrations"]
    assert judge(fitted(found)) == judgement


def test_a_failure_without_a_cause_that_comes_again_stays_one(looks: Looks) -> None:
    found, judgement, _asked = looks(silent, silent)
    assert {one["cause"] for one in judgement["verdict"]["root_causes"]} == {"unknown_cause"}
    assert "earlier" not in found


@pytest.mark.parametrize("change", [unchanged, stopped])
def test_what_one_look_establishes_is_not_looked_at_again(looks: Looks, change: Change) -> None:
    _found, _judgement, asked = looks(change)
    assert len(asked) == 1


def test_a_contact_that_only_one_registration_did_not_find_is_looked_for_again(looks: Looks) -> None:
    def lost(document: dict[str, Any]) -> None:
        for tests in document["registrations"].values():
            tests["control"]["data"]["listed"] = False

    _found, judgement, asked = looks(lost, unchanged)
    assert (judgement["verdict"]["outcome"], len(asked)) == ("healthy", 2)
    assert looks(lost, lost)[1]["verdict"]["root_causes"][0]["cause"] == "contact_write_failed"
