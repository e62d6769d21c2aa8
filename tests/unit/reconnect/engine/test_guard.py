"""A run on many servers asks before each remedy: one first, then the others, and none behind one that failed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from reconnect.engine import policy
from reconnect.engine.guard import MOST_SEEN, Guard
from reconnect.engine.locks import Locks
from reconnect.errors import InputError
from reconnect.runs.guards import Guards, Permission, Reach, Wish
from reconnect.runs.store import Runs
from reconnect.settings import Settings
from reconnect.text import one_line

from ..conftest import ROOT, Workplace, a_request

PLAYBOOKS = ROOT / "collections/ansible_collections/privatewave/reconnect/playbooks"

#: A remedy that writes down on which server it ran; what `outcome` says becomes of it.
FLEET = """
- hosts: servers
  gather_facts: false
  vars:
    remedy: "{{ (remedies | default({}))[inventory_hostname] | default('restart_database') }}"
    permission:
      remedy: "{{ remedy }}"
      cause: database_stopped
      role: ROLE
      server_id: ""
      pairs: "{{ reconnect_pairs | default([]) }}"
    verdict:
      outcome: fixed_service
      root_causes:
        - {cause: database_stopped, subject: database, title: Stopped, summary: Stopped, policy: auto}
  tasks:
    - name: Choose
      ansible.builtin.set_fact:
        reconnect_step: {remedy: "{{ remedy }}", role: ROLE}
    - block:
        - name: Ask
          privatewave.reconnect.remedy_permission: "{{ permission }}"
        - name: Fix
          ansible.builtin.raw: echo {{ known | join('+') }} >>{{ playbook_dir }}/../touched
          vars: {known: "{{ [inventory_hostname] + reconnect_serving | default([]) }}"}
        - name: Wait
          ansible.builtin.wait_for: {path: "{{ playbook_dir }}/../go-{{ inventory_hostname }}", timeout: 90}
          when: inventory_hostname in waits | default([])
        - name: Write down that it ends
          ansible.builtin.raw: echo -{{ inventory_hostname }} >>{{ playbook_dir }}/../touched
          when: ends | default(false)
        - name: Tell
          privatewave.reconnect.remedy_permission: "{{ permission | combine({'outcome': outcome | default('done')}) }}"
          when: told | default(true)
        - name: Conclude
          ansible.builtin.set_fact:
            reconnect_judgement: {verdict: "{{ verdict }}", findings: "{{ findings | default([]) }}"}
            reconnect_remedies:
              - {remedy: "{{ remedy }}", cause: database_stopped, state: "{{ outcome | default('done') }}"}
      rescue:
        - name: Say why not
          ansible.builtin.set_fact:
            reconnect_judgement:
              verdict: "{{ verdict | combine({'outcome': 'fault_found'}) }}"
              findings: []
              state: refused
            reconnect_remedies:
              - remedy: "{{ remedy }}"
                cause: database_stopped
                state: refused
                reason: "{{ ansible_failed_result.msg }}"
                escalate: "{{ ansible_failed_result.escalate }}"
"""


@pytest.fixture
def fleet(workplace: Workplace) -> Callable[..., Workplace]:
    """A workplace of six servers with the same fault."""

    def make(role: str = "database") -> Workplace:
        names = "".join(f"pbx{number}\n" for number in range(1, 7))
        (workplace.inventory / "hosts").write_text(
            f"[servers]\n{names}[all:vars]\nansible_connection=local\nansible_python_interpreter={sys.executable}\n"
        )
        workplace.playbook(FLEET.replace("ROLE", role))
        return workplace

    return make


def touched(workplace: Workplace) -> list[str]:
    file = workplace.folder / "touched"
    return file.read_text().split() if file.exists() else []


@pytest.mark.attack("six servers with the same fault in one run")
def test_three_of_six_are_fixed_and_one_is_escalated(fleet: Callable[..., Workplace]) -> None:
    workplace = fleet()
    ended = workplace.diagnose("servers", "--apply", "--json")
    results = json.loads(ended.stdout)
    refused = [one for one in results if one["state"] == "refused"]
    assert (ended.code, len(touched(workplace)), len(refused)) == (11, 3, 3), ended.stderr
    assert [one["remedies"][0]["escalate"] for one in refused].count(True) == 1
    assert all("That is the limit" in one["remedies"][0]["reason"] for one in refused)
    # The canary, two more, and those that the limit refuses.
    assert ended.stderr.count("Continuing with") == 2
    assert [one["server"] for one in results] == [f"pbx{number}" for number in range(1, 7)]


@pytest.mark.attack("a remedy that does not help, on six servers")
def test_none_follows_the_canary_that_was_not_fixed(fleet: Callable[..., Workplace]) -> None:
    workplace = fleet()
    workplace.playbook(FLEET.replace("ROLE", "database").replace("default('done')", "default('failed')"))
    ended = workplace.diagnose("servers", "--apply", "--json")
    results = json.loads(ended.stdout)
    canary = touched(workplace)
    assert len(canary) == 1, ended.stderr
    for one in results:
        if one["server"] not in canary:
            assert f"did not help on {canary[0]}" in one["remedies"][0]["reason"]
    # Another run of the same store knows.
    again = workplace.diagnose(*[one["server"] for one in results if one["server"] not in canary], "--apply")
    assert (again.code, touched(workplace)) == (11, canary)


PAIRS = "[pair_a]\npbx1\npbx2\n[pair_b]\npbx3\npbx4\n[pair_c]\npbx5\npbx6\n"
SITE = "pairs: [pair_a, pair_b, pair_c]\nblast_radius: {servers: 100}\n"


@pytest.fixture
def pairs(fleet: Callable[..., Workplace], tmp_path: Path) -> Workplace:
    """The six servers as three pairs, where the blast radius holds nobody back."""
    workplace = fleet()
    with (workplace.inventory / "hosts").open("a") as hosts:
        hosts.write(PAIRS)
    (tmp_path / "policy.yml").write_text(SITE)
    workplace.environment["RECONNECT_POLICY"] = str(tmp_path / "policy.yml")
    return workplace


def both_at_once(lines: list[str]) -> list[set[str]]:
    """The pairs whose nodes were changed at the same time."""
    under_way: set[str] = set()
    found = []
    for line in lines:
        under_way ^= {line.removeprefix("-")}
        found += [pair for pair in ({"pbx1", "pbx2"}, {"pbx3", "pbx4"}, {"pbx5", "pbx6"}) if pair <= under_way]
    return found


@pytest.mark.parametrize(
    "remedies",
    [{}, {"pbx1": "restart_asterisk", "pbx3": "free_sip_port", "pbx5": "load_modules"}],
    ids=["the same remedy", "one of its own on each node"],
)
def test_a_run_over_pairs_changes_one_node_at_a_time(pairs: Workplace, remedies: dict[str, str]) -> None:
    ended = pairs.diagnose("servers", "--apply", "-e", json.dumps({"ends": True, "remedies": remedies}))
    lines = touched(pairs)
    assert (ended.code, len(lines)) == (0, 12), ended.stderr
    assert both_at_once(lines) == []


@pytest.mark.parametrize(
    ("status", "known"),
    [("pass", [["pbx1", "pbx2+pbx1"], ["pbx1+pbx2", "pbx2"]]), ("fail", [["pbx1", "pbx2"]])],
)
def test_the_play_of_the_second_node_knows_whether_the_first_serves(
    pairs: Workplace, status: str, known: list[list[str]]
) -> None:
    seen = {"code": "registration.reserved", "status": status, "subject": "account", "summary": "It was tried."}
    ended = pairs.diagnose("pbx1", "pbx2", "--apply", "-e", json.dumps({"findings": [seen]}))
    assert (ended.code, sorted(touched(pairs)) in known) == (0, True), ended.stderr


def test_a_batch_has_one_node_of_a_pair(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    nodes = ["pbx1", "pbx2", "pbx3"]
    run = Runs(settings).create(a_request(named=nodes, servers=nodes))
    guard = Guard(settings, policy.load(settings), run, Locks(settings))

    def asked(number: int, **more: str) -> Permission:
        node, remedy = nodes[number], f"remedy_{number}"
        others = [one for one in nodes if one != node]
        return guard.answer({"server": node, "remedy": remedy, "cause": "asterisk_hung", "partners": others, **more})

    assert [asked(number).allowed for number in (2, 0, 1)] == [True, False, False]
    assert guard.next_batch() == []
    asked(2, outcome="done")
    assert guard.next_batch() == ["pbx1"]
    assert asked(0).allowed
    assert guard.next_batch() == []
    asked(0, outcome="failed")
    # Another remedy may help.
    assert (guard.next_batch(), guard.next_batch()) == (["pbx2"], None)


@pytest.mark.attack("a node of a pair by its second name, while its partner is changed")
def test_what_the_policy_says_of_a_server_counts_for_all_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "policy.yml").write_text(
        "pairs: [pair]\nmaintenance: [{begin: '2020-01-01 00:00Z', end: '2120-01-01 00:00Z', groups: [branch]}]\n"
    )
    settings = Settings(state_dir=tmp_path, policy=tmp_path / "policy.yml")
    names = ["pbx1", "pbx2", "other", "shop"]
    groups = {"pair": ["pbx1", "pbx2"], "branch": ["shop"]}
    run = Runs(settings).create(a_request(named=names, servers=names))
    guard = Guard(settings, policy.load(settings), run, Locks(settings), groups=groups)
    for server, server_id in (("pbx1", "a" * 32), ("shop", "b" * 32)):
        Guards(settings).begin(Wish(run.run_id, server, server_id, "load_modules", "x", 9), Reach(9, 9, 3600))
        Guards(settings).end(run.run_id, server, "load_modules", "x", "done")

    def asked(server: str, server_id: str) -> Permission:
        asks = {"server": server, "server_id": server_id, "remedy": f"remedy_{server}", "cause": "y"}
        return guard.answer(asks)

    assert "maintenance" in asked("other", "b" * 32).reason
    assert asked("pbx2", "c" * 32).allowed
    assert "remedy_pbx2 is under way on pbx2, a partner of other" in asked("other", "a" * 32).reason


@pytest.mark.attack("a run is killed while a remedy is under way, and its server is held before it is resumed")
def test_what_was_begun_before_a_refusal_still_counts(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    nodes = ["pbx1", "pbx2"]
    run = Runs(settings).create(a_request(named=nodes, servers=nodes))
    asked = {"remedy": "restart_asterisk", "cause": "asterisk_hung"}

    def guard() -> Guard:
        return Guard(settings, policy.load(settings), run, Locks(settings))

    assert guard().answer({"server": "pbx1", "partners": ["pbx2"], **asked}).allowed
    Guards(settings).hold(["pbx1"], "looking", "ann")
    resumed = guard()
    assert not resumed.answer({"server": "pbx1", "partners": ["pbx2"], **asked}).allowed
    resumed.answer({"server": "pbx1", "outcome": "refused", **asked})
    resumed.end([])
    found = resumed.answer({"server": "pbx2", "partners": ["pbx1"], **asked})
    assert (found.allowed, "did not help on pbx1" in found.reason) == (False, True)


@pytest.mark.attack("the guard does not hear how a remedy ended", harm="hang")
def test_a_remedy_whose_end_was_not_reported_is_not_waited_for(pairs: Workplace) -> None:
    ended = pairs.diagnose("pbx1", "pbx2", "--apply", "--timeout", "60", "-e", '{"told": false}')
    assert (ended.code, sorted(touched(pairs))) == (0, ["pbx1", "pbx2"]), ended.stderr


@pytest.mark.attack("a remedy that does not help, on both nodes of a pair")
@pytest.mark.parametrize("outcome", ["failed", "rolled_back"])
def test_what_did_not_help_on_a_node_does_not_begin_on_its_partner(pairs: Workplace, outcome: str) -> None:
    first = pairs.diagnose("pbx1", "--apply", "-e", f"outcome={outcome}")
    assert (touched(pairs), first.code) == (["pbx1"], 0), first.stderr
    second = pairs.diagnose("pbx2", "--apply", "--json")
    remedy = second.json()["remedies"][0]
    assert (second.code, touched(pairs), remedy["escalate"]) == (11, ["pbx1"], True), second.stderr
    run_id = pairs.runs[0].run_id
    assert f"restart_database did not help on pbx1, a partner of pbx2 (run {run_id})." in remedy["reason"]
    again = pairs.diagnose("pbx2", "--apply", "--json").json()["remedies"][0]
    assert (again["escalate"], f"Run {pairs.runs[1].run_id} escalated it for pbx2." in again["reason"]) == (False, True)


@pytest.mark.attack("two commands at once, one for each node of a pair")
def test_the_second_of_two_commands_waits_for_the_partner(pairs: Workplace, wait: Callable[..., Any]) -> None:
    variables = json.dumps({"ends": True, "waits": ["pbx1"], "remedies": {"pbx1": "restart_asterisk"}})
    inventory = ["--inventory", str(pairs.inventory), "-e", variables]
    first = pairs.start("diagnose-server", "pbx1", "--apply", *inventory)
    wait(lambda: touched(pairs) == ["pbx1"])
    second = pairs.start("diagnose-server", "pbx2", "--apply", *inventory)

    def deferred() -> bool:
        return any(one["data"].get("step") == "Say why not" for run in pairs.runs[1:] for one in run.events())

    wait(deferred)
    assert touched(pairs) == ["pbx1"]
    (pairs.folder / "go-pbx1").touch()
    for process in (first, second):
        _stdout, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stderr
    assert touched(pairs) == ["pbx1", "-pbx1", "pbx2", "-pbx2"]


#: Undoes one change for each server; it says when it begins and when it has ended.
UNDONE = """
- ansible.builtin.raw: echo {{ inventory_hostname }} >>{{ playbook_dir }}/../touched
- ansible.builtin.raw: echo -{{ inventory_hostname }} >>{{ playbook_dir }}/../touched
- ansible.builtin.set_fact:
    reconnect_remedies:
      - {remedy: "undo_{{ reconnect_change.remedy }}", cause: "{{ reconnect_change.cause }}", state: done}
"""


def test_an_undo_of_both_nodes_of_a_pair_changes_one_at_a_time(pairs: Workplace) -> None:
    # What the lease, the evidence and the roles need is no part of this.
    [play] = yaml.safe_load((PLAYBOOKS / "undo.yml").read_text())
    tasks = {task["name"]: task for task in play["tasks"]}
    steps = {task["name"]: task for task in tasks["Undo under the lease of the server"]["block"]}
    del steps["Take the lease of the server"]["ansible.builtin.include_tasks"], tasks["Gather evidence"]
    steps["Take the lease of the server"]["ansible.builtin.set_fact"] = {"reconnect_lease": {"server_id": ""}}
    tasks["Undo under the lease of the server"]["always"].pop()
    shutil.copytree(PLAYBOOKS / "tasks", pairs.folder / "playbooks" / "tasks")
    pairs.playbook(yaml.safe_dump([{**play, "tasks": list(tasks.values())}], sort_keys=False), "undo.yml")
    pairs.playbook(UNDONE, "tasks/undo.yml")
    assert pairs.diagnose("pbx1", "pbx2", "pbx3", "--apply").code == 0
    (pairs.folder / "touched").unlink()
    ended = pairs.reconnect("undo", "latest", "--json")
    assert [one["verdict"]["outcome"] for one in json.loads(ended.stdout)] == ["undone"] * 3, ended.stderr
    assert (ended.code, len(touched(pairs)), both_at_once(touched(pairs))) == (0, 6, [])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("pairs: [pair_a, pair_x]", "The pair 'pair_x' of the policy is no group of the inventory."),
        ("pairs: [pair_a, one]", "The pair 'one' of the policy needs two servers in the inventory. It has 1."),
        ("pairs: []\npairs: []", "has 'pairs' twice: only the last would count."),
        ("pairs: [", "is not YAML"),
        ("limits: {budget: 0}", "limits.budget: it must be 1 or more."),
    ],
)
def test_a_policy_that_is_wrong_is_one_sentence_and_changes_nothing(
    pairs: Workplace, tmp_path: Path, text: str, sentence: str
) -> None:
    with (pairs.inventory / "hosts").open("a") as hosts:
        hosts.write("[one]\npbx1\n")
    (tmp_path / "policy.yml").write_text(f"{text}\n")
    ended = pairs.diagnose("pbx3", "--apply", "--json")
    assert (touched(pairs), sentence in json.dumps(ended.json()["remedies"])) == ([], True), ended.stderr


@pytest.mark.parametrize(
    ("remedies", "given", "changed"),
    [
        ({"pbx2": "restart_asterisk"}, {"reconnect_pairs": ["pair_a"]}, ["pbx1", "pbx3"]),
        ({"pbx2": "restart_asterisk"}, {}, ["pbx1", "pbx2", "pbx3"]),
        ({}, {"reconnect_pairs": ["pair_x"]}, []),
    ],
)
def test_ansible_alone_changes_one_node_of_a_play(
    pairs: Workplace, remedies: dict[str, str], given: dict[str, Any], changed: list[str]
) -> None:
    variables = json.dumps({"remedies": {"pbx1": "load_modules", "pbx3": "free_sip_port", **remedies}, **given})
    playbook = pairs.folder / "playbooks" / "diagnose-server.yml"
    words = ["-i", str(pairs.inventory), "-l", "pbx1,pbx2,pbx3", "-e", variables, str(playbook)]
    ended = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), *words],
        cwd=pairs.folder,
        env={**pairs.environment, "ANSIBLE_COLLECTIONS_PATH": str(pairs.folder / "collections")},
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert sorted(touched(pairs)) == changed, ended.stdout + ended.stderr


def test_remedies_of_accounts_have_no_blast_radius(fleet: Callable[..., Workplace]) -> None:
    workplace = fleet(role="account")
    ended = workplace.diagnose("servers", "--apply")
    assert (ended.code, len(touched(workplace))) == (0, 6), ended.stderr


def test_nothing_is_changed_while_it_is_on_hold(fleet: Callable[..., Workplace]) -> None:
    workplace = fleet(role="account")
    inventory = ["--inventory", str(workplace.inventory)]
    held = workplace.reconnect("hold", "pbx1", "pbx2", "--reason", "we move the rack", *inventory)
    assert (held.code, held.stdout.count("is on hold since"), held.stdout.count(": we move the rack.")) == (0, 2, 2)
    ended = workplace.diagnose("servers", "--apply", "--json")
    assert (ended.code, set(touched(workplace))) == (11, {"pbx3", "pbx4", "pbx5", "pbx6"})
    assert "pbx1 is on hold since" in json.loads(ended.stdout)[0]["error_message"]

    everything = workplace.reconnect("hold")
    assert "Everything is on hold since" in everything.stdout
    assert workplace.diagnose("pbx3", "--apply").code == 11
    assert [one["server"] for one in workplace.reconnect("holds", "--json").json()] == [None, "pbx1", "pbx2"]
    released = workplace.reconnect("release")
    assert released.stdout.startswith("Everything is released.\npbx1 is on hold since")
    released = workplace.reconnect("release", "pbx1", "pbx3", *inventory)
    assert released.stdout.startswith("pbx1 is released.\npbx3 was not on hold.\npbx2 is on hold since")
    assert workplace.diagnose("pbx1", "--apply").code == 0


def test_a_name_that_the_inventory_does_not_have_holds_nothing(workplace: Workplace) -> None:
    ended = workplace.reconnect("hold", "gamma", "--inventory", str(workplace.inventory))
    assert (ended.code, workplace.reconnect("holds").stdout) == (2, "")
    assert "There is no server 'gamma'" in ended.stderr


def test_nothing_is_changed_during_a_maintenance(fleet: Callable[..., Workplace], tmp_path: Path) -> None:
    workplace = fleet(role="account")
    policy = tmp_path / "policy.yml"
    policy.write_text("maintenance: [{begin: '2020-01-01 00:00Z', end: '2120-01-01 00:00Z', groups: [servers]}]\n")
    workplace.environment["RECONNECT_POLICY"] = str(policy)
    ended = workplace.diagnose("pbx1", "--apply", "--json")
    assert (ended.code, touched(workplace)) == (11, []), ended.stderr
    assert ended.json()["error_message"].startswith("The server is under maintenance from 2020-01-01T00:00:00Z")


@pytest.mark.attack("a server that says any number of anything as attempts", harm="outage")
def test_what_is_seen_of_a_client_is_bounded(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    happened: list[dict[str, Any]] = []
    request = SimpleNamespace(servers=["alpha"])
    run: Any = SimpleNamespace(run_id="1", worker=None, record=SimpleNamespace(request=request))
    guard = Guard(settings, policy.load(settings), run, Locks(settings), happened.append)
    seen = {"outcome": "wrong_password", "address": "192.0.2.7\n", "account": "x" * 1000, "more": "no"}
    assert guard.answer({"server": "alpha", "seen": [seen, {"outcome": "<b>"}, {}]}).allowed
    assert [(one["kind"], one["server"]) for one in happened] == [("seen", "alpha")]
    assert happened[0]["data"] == {
        "outcome": "wrong_password",
        "address": "192.0.2.7",
        "account": one_line("x" * 1000, 80),
        "transport": "",
    }
    guard.answer({"server": "alpha", "seen": [seen] * 10_000})
    assert len(happened) == MOST_SEEN
    with pytest.raises(InputError):
        guard.answer({"server": "beta", "seen": [seen]})
