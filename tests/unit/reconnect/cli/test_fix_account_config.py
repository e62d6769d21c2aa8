"""`fix-account-config`: what is handed to the playbook, and what a person is asked on a terminal."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pexpect.fdpexpect import fdspawn
from reconnect.runs.request import Step

from ..conftest import Workplace, on_a_terminal

# Says how it was called, and has a plan until it may carry it out.
PLANS = """
- hosts: servers
  gather_facts: false
  tasks:
    - name: Judge
      ansible.builtin.set_fact:
        reconnect_judgement: {findings: [], verdict: "{{ verdict | combine({'plan': plan}) }}"}
      vars:
        plan: "{{ [] if reconnect_apply else [step] }}"
        step: {remedy: fix_account, cause: account_missing, decision: planned, role: account, entry: fix,
               policy: approve, reason: Later., arguments: {},
               changes: ["-  password: ****", "+  password: **** (changed)"]}
        verdict:
          outcome: "{{ 'fixed_account' if reconnect_apply else 'fault_found' }}"
          next_step: >-
            watched {{ reconnect_watch }}, continue {{ reconnect_continue }}, rotate {{ reconnect_rotate_password }},
            account {{ reconnect_account }}
"""


@pytest.fixture
def first_level(workplace: Workplace) -> Workplace:
    workplace.playbook(PLANS, "fix-account-config.yml")
    return workplace


def words(place: Workplace, *more: str) -> list[str]:
    return ["fix-account-config", "601", "--server", "alpha", "--inventory", str(place.inventory), *more]


def asked(place: Workplace, answer: str, *more: str) -> tuple[int, str]:
    """The command, on a terminal on which a person gives this answer."""
    program, terminal = on_a_terminal([sys.executable, "-m", "reconnect", *words(place, *more)], place.environment)
    child = fdspawn(terminal, encoding="utf-8", timeout=60)
    child.expect("Change this")
    child.sendline(answer)
    said = child.before + child.read()
    child.close()
    return program.wait(60), said


def modes(place: Workplace) -> list[str]:
    return [run.record.request.mode for run in place.runs]


def test_away_from_a_terminal_nothing_is_changed_and_nobody_is_asked(first_level: Workplace) -> None:
    ended = first_level.reconnect(*words(first_level, "--watch", "7", "--continue", "--rotate-password", "--json"))
    assert ended.code == 10
    assert ended.json()["verdict"]["next_step"] == "watched 7, continue True, rotate True, account 601"
    assert "reconnect now" in ended.stderr
    assert modes(first_level) == ["diagnose"]


def test_nobody_is_asked_to_reconnect_a_device_without_internet(first_level: Workplace, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"internet": false}')
    ended = first_level.reconnect(*words(first_level, "--client-report", str(tmp_path / "report.json"), "--json"))
    assert "reconnect now" not in ended.stderr


@pytest.mark.parametrize("option", ["--yes", "--apply"])
def test_a_yes_beforehand_fixes_at_once(first_level: Workplace, option: str) -> None:
    ended = first_level.reconnect(*words(first_level, option, "--watch", "0", "--json"))
    assert (ended.code, ended.json()["verdict"]["outcome"]) == (0, "fixed_account")
    assert "reconnect now" not in ended.stderr


def test_the_plan_is_shown_and_a_yes_carries_it_out(first_level: Workplace, tmp_path: Path) -> None:
    incident = tmp_path / "incident.md"
    code, said = asked(first_level, "y", "--incident", f"file:{incident}", "--watch", "3")
    assert code == 0
    assert said.index("-  password: ****") < said.index("+  password: **** (changed)")
    assert "watched 0" in said  # the client was watched while the plan was made
    assert modes(first_level) == ["diagnose", "apply"]
    # It was approved by the yes to the plan that names it.
    assert [run.record.request.approvals for run in first_level.runs] == [[], ["fix_account"]]
    # A yes to a plan is for its steps alone.
    step = Step(server="alpha", remedy="fix_account", cause="account_missing")
    assert [run.record.request.plan for run in first_level.runs] == [None, [step]]
    assert incident.read_text().count("fixed_account") >= 1
    assert "fault_found" not in incident.read_text()  # the plan alone is not told


def test_a_no_changes_nothing_and_tells_the_incident(first_level: Workplace, tmp_path: Path) -> None:
    incident = tmp_path / "incident.md"
    code, _said = asked(first_level, "n", "--incident", f"file:{incident}")
    assert code == 10
    assert modes(first_level) == ["diagnose"]
    assert "fault_found" in incident.read_text()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--yes", "--check"], "exclude each other"),
        (["--watch", "601"], "--watch"),
        (["--idle-test", "121"], "takes a --timeout of at least 302 s"),
        (["--watch", "-1"], "--watch"),
        (["--server", "phone"], "not in the group"),
        (["--server", "{{7*7}}"], "server"),
    ],
)
def test_invalid_input_is_one_sentence(first_level: Workplace, more: list[str], said: str) -> None:
    ended = first_level.reconnect(*words(first_level, *more))
    assert ended.code == 2
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert first_level.runs == []


@pytest.mark.attack("hostile names of servers and accounts", harm="execution")
@pytest.mark.parametrize("account", ["../x", "{{7*7}}", "a;id", ""])
def test_a_hostile_account_is_refused(first_level: Workplace, account: str) -> None:
    ended = first_level.reconnect(
        "fix-account-config", account, "--server", "alpha", "--inventory", str(first_level.inventory)
    )
    assert (ended.code, first_level.runs) == (2, [])
