"""The policy: a site's own file is laid over the default, and every mistake in it is one sentence."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from reconnect.ansible.project import Project
from reconnect.engine import policy
from reconnect.errors import InputError
from reconnect.runs.record import Asker
from reconnect.runs.store import Runs
from reconnect.settings import Settings

from ..conftest import ROOT, Workplace, there

NOON, NIGHT = datetime(2026, 1, 31, 12), datetime(2026, 1, 31, 23, 30)


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[[str], policy.Policy]:
    def load(text: str) -> policy.Policy:
        (tmp_path / "policy.yml").write_text(text)
        return policy.load(Settings(policy=tmp_path / "policy.yml"))

    return load


def test_the_default_limits_are_those_of_the_playbooks() -> None:
    assert policy.load(Settings()).variables(NOON) == {
        "reconnect_ask": [],
        "reconnect_fix_groups": [],
        "reconnect_pairs": [],
        "reconnect_budget": 3,
        "reconnect_budget_window": 3600,
        "reconnect_lease_wait": 120,
    }


def test_a_site_writes_only_what_differs(loaded: Callable[[str], policy.Policy]) -> None:
    own = loaded("limits: {budget: 1}\nfix: {ask: [restart_asterisk], groups: [night_shift]}\n")
    variables = own.variables(NOON)
    assert (variables["reconnect_budget"], variables["reconnect_budget_window"]) == (1, 3600)
    assert (variables["reconnect_ask"], variables["reconnect_fix_groups"]) == (["restart_asterisk"], ["night_shift"])


@pytest.mark.parametrize(
    ("hours", "noon", "night"),
    [
        ("[]", [], []),
        ('["22:00-06:00"]', ["all"], []),
        ('["08:00-12:00"]', ["all"], ["all"]),
        ('["08:00-12:01"]', [], ["all"]),
        ('["08:00-13:00", "23:30-23:31"]', [], []),
    ],
)
def test_outside_its_hours_every_remedy_needs_an_approval(
    loaded: Callable[[str], policy.Policy], hours: str, noon: list[str], night: list[str]
) -> None:
    own = loaded(f"fix: {{hours: {hours}}}\n")
    assert [own.variables(at)["reconnect_ask"] for at in (NOON, NIGHT)] == [noon, night]


@pytest.mark.parametrize(
    ("fix", "incidents", "ask", "groups"),
    [
        ("{}", "{}", [], []),
        ("{ask: [a]}", "{ask: [b]}", ["a", "b"], []),
        ("{}", "{groups: [x, y]}", [], ["x", "y"]),
        ("{groups: [x]}", "{}", [], ["x"]),
        ("{groups: [y, z]}", "{groups: [x, y]}", [], ["y"]),
        # No server is in a group that both name: a person is asked everywhere.
        ("{groups: [z]}", "{groups: [x]}", ["all"], []),
        ('{hours: ["22:00-06:00"]}', "{groups: [x]}", ["all"], ["x"]),
    ],
)
def test_an_incident_has_less_fixed_by_itself(
    loaded: Callable[[str], policy.Policy], fix: str, incidents: str, ask: list[str], groups: list[str]
) -> None:
    own = loaded(f"fix: {fix}\nincidents: {incidents}\n")
    found = own.variables(NOON, by_incident=True)
    assert (found["reconnect_ask"], found["reconnect_fix_groups"]) == (ask, groups)
    # What a person asked for is not held up by it.
    assert own.variables(NOON)["reconnect_fix_groups"] == own.fix.groups


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("limits: {budget: 0}", r"limits\.budget: it must be 1 or more\."),
        ("limits: {budget: three}", r"limits\.budget: write a whole number\."),
        ("limits: {budgets: 3}", r"limits\.budgets: there is no such field\."),
        ("fix: {hours: ['25:00-26:00']}", r"fix\.hours\.0: write hours as 22:00-06:00\."),
        ("fix: {hours: [8]}", r"fix\.hours\.0: write a text\."),
        ("fix: {ask: ['{{ 7*7 }}']}", r"fix\.ask\.0: '\{\{ 7\*7 \}\}' is not the name of a remedy"),
        ("incidents: {ask: ['{{ 7*7 }}']}", r"incidents\.ask\.0: '\{\{ 7\*7 \}\}' is not the name of a remedy"),
        ("incidents: {groups: ['all:!x']}", r"incidents\.groups\.0: 'all:!x' is not the name of a server"),
        ("fix: {groups: ['all:!x']}", r"fix\.groups\.0: 'all:!x' is not the name of a server"),
        ("pairs: ['all:!x']", r"pairs\.0: 'all:!x' is not the name of a server"),
        ("pairs: {a: b}", r"pairs: write a list\."),
        (
            "maintenance: [{begin: '2026-12-24 18:00', end: '2026-12-27 06:00+01:00'}]",
            "begin: the time needs a time zone, for example 18:00",
        ),
        (
            "maintenance: [{begin: '2026-12-24 18:00Z', end: '2026-12-24 18:00Z'}]",
            "the end of a maintenance comes after",
        ),
        ("fixes: {}", r"fixes: there is no such field\."),
        ("[1]", "has no fields"),
        ("maintenance: []\npairs: []\nmaintenance: []", "has 'maintenance' twice: only the last would count"),
        ("maintenance: [{groups: [a], groups: [b]}]", "has 'groups' twice"),
        ("fix: [", "is not YAML"),
        ("x: &x [*x, *x]\n", "is invalid"),
        ("#" * 70_000, "larger than 64 KiB"),
    ],
)
def test_a_mistake_is_one_sentence(loaded: Callable[[str], policy.Policy], text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        loaded(text)
    assert len(str(caught.value).splitlines()) == 1


def test_a_policy_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yml: No such file"):
        policy.load(Settings(policy=tmp_path / "none.yml"))


def test_the_playbook_gets_the_policy_and_a_mistake_changes_nothing(workplace: Workplace, tmp_path: Path) -> None:
    workplace.playbook("""
- hosts: servers
  gather_facts: false
  tasks:
    - name: Judge
      vars: {told: "{{ reconnect_ask }} {{ reconnect_budget }} {{ reconnect_lease_wait }} {{ reconnect_fix_groups }}"}
      ansible.builtin.set_fact:
        reconnect_judgement: {verdict: {outcome: healthy, user_message: "{{ told }}"}, findings: []}
""")
    own = tmp_path / "policy.yml"
    workplace.environment["RECONNECT_POLICY"] = str(own)
    own.write_text("fix: {ask: [restart_asterisk]}\nlimits: {budget: 1, lease_wait: 7}\n")
    ended = workplace.diagnose("alpha", "--json")
    assert ended.code == 0, ended.stderr
    assert ended.json()["verdict"]["user_message"] == "['restart_asterisk'] 1 7 []"
    [run] = workplace.runs
    # An incident asked for the next one.
    own.write_text(
        "fix: {ask: [restart_asterisk]}\nincidents: {ask: [a], groups: [servers]}\nlimits: {lease_wait: 7}\n"
    )
    by_hook = Runs(workplace.settings).create(run.record.request, asker=Asker(None, "hook", "0" * 32))
    work = [sys.executable, "-m", "reconnect", "carry-out", by_hook.run_id]
    subprocess.run(work, cwd=workplace.folder, env=workplace.environment, check=True, timeout=90)
    [result] = workplace.runs[1].results()
    assert there(result.verdict).user_message == "['restart_asterisk', 'a'] 3 7 ['servers']"
    own.write_text("limits: {budget: 0}\n")
    ended = workplace.diagnose("alpha")
    assert (ended.code, len(workplace.runs)) == (0, 3), ended.stderr
    said = " ".join(ended.stdout.split())
    assert "limits.budget: it must be 1 or more. Nothing is changed until then." in said


@pytest.mark.parametrize(
    ("at", "groups", "held"),
    [
        ("2026-12-24T16:59:59Z", ["branch"], False),
        ("2026-12-24T17:00:00Z", ["servers", "branch"], True),
        ("2026-12-24T17:00:00Z", ["servers"], False),
        ("2026-12-27T05:00:00Z", ["branch"], False),
        ("2027-01-01T00:00:00Z", [], True),
        # Ansible does not say that a server is in the group of all.
        ("2028-01-01T00:00:00Z", ["servers"], True),
    ],
)
def test_nothing_is_changed_during_a_maintenance(
    loaded: Callable[[str], policy.Policy], at: str, groups: list[str], held: bool
) -> None:
    own = loaded(
        "maintenance:\n"
        "  - {begin: '2026-12-24 18:00+01:00', end: '2026-12-27 06:00+01:00', groups: [branch], reason: Holidays.}\n"
        "  - {begin: '2027-01-01 00:00Z', end: '2027-01-02 00:00Z'}\n"
        "  - {begin: '2028-01-01 00:00Z', end: '2028-01-02 00:00Z', groups: [all]}\n"
    )
    said = own.under_maintenance(datetime.fromisoformat(at), groups)
    assert bool(said) is held
    if "branch" in groups and held:
        assert said == (
            "The server is under maintenance from 2026-12-24T17:00:00Z to 2026-12-27T05:00:00Z: Holidays. "
            "Nothing is changed until then."
        )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{}", ""),
        ("maintenance: [{begin: '2026-01-01 00:00Z', end: '2126-01-01 00:00Z'}]", ""),
        ("maintenance: [{begin: '2026-01-01 00:00Z', end: '2126-01-01 00:00Z', groups: [shop, all]}]", ""),
        ("maintenance: [{begin: '2020-01-01 00:00Z', end: '2020-01-02 00:00Z', groups: [no_shop]}]", ""),
        (
            "maintenance: [{begin: '2126-01-01 00:00Z', end: '2126-01-02 00:00Z', groups: [shop, no_shop]}]",
            "The group 'no_shop' of the policy is no group of the inventory. Correct one of them.",
        ),
        (
            "maintenance: [{begin: '2126-01-01 00:00Z', end: '2126-01-02 00:00Z', groups: [pbx1]}]",
            "The group 'pbx1' of the policy is no group of the inventory. Correct one of them.",
        ),
        (
            "maintenance: [{begin: '2126-01-01 00:00Z', end: '2126-01-02 00:00Z', groups: [closed_shop]}]",
            "The group 'closed_shop' of the policy needs a server in the inventory. It has 0.",
        ),
        ("fix: {groups: [no_shop]}", "The group 'no_shop' of the policy is no group of the inventory."),
        ("incidents: {groups: [no_shop]}", "The group 'no_shop' of the policy is no group of the inventory."),
        # Nothing is fixed there without an approval.
        ("fix: {groups: [closed_shop]}", ""),
        ("pairs: [no_shop]", "The pair 'no_shop' of the policy is no group of the inventory."),
        ("pairs: [shop]", "The pair 'shop' of the policy needs two servers in the inventory. It has 1."),
    ],
)
def test_a_group_of_nobody_holds_nothing_and_is_refused(
    loaded: Callable[[str], policy.Policy], text: str, sentence: str
) -> None:
    groups = {"all": ["pbx1", "pbx2"], "shop": ["pbx1"], "closed_shop": []}
    own = loaded(text)
    try:
        own.check(groups)
        said = ""
    except InputError as error:
        said = str(error)
    assert said.startswith(sentence)
    assert bool(said) is bool(sentence)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("fix: {ask: [restart_asterisk, client_banned, all]}", ""),
        # A person fixes it anyway.
        ("fix: {ask: [tls_chain_incomplete]}", ""),
        (
            "fix: {ask: [restart_asterik]}",
            "The policy asks about 'restart_asterik', which is no cause and no remedy.",
        ),
        ("incidents: {ask: [clock_skew_x]}", "The policy asks about 'clock_skew_x', which is no cause and no remedy."),
    ],
)
def test_what_the_policy_asks_about_is_a_remedy_or_has_one(
    loaded: Callable[[str], policy.Policy], text: str, sentence: str
) -> None:
    own = loaded(text)
    if not sentence:
        own.check_asked(Project(ROOT))
        return
    with pytest.raises(InputError, match=re.escape(sentence)):
        own.check_asked(Project(ROOT))


def test_a_run_looks_and_says_so_while_the_policy_names_no_group_of_the_inventory(
    workplace: Workplace, tmp_path: Path
) -> None:
    (tmp_path / "policy.yml").write_text(
        "maintenance: [{begin: '2020-01-01 00:00Z', end: '2120-01-01 00:00Z', groups: [branch_ofices]}]\n"
    )
    workplace.environment["RECONNECT_POLICY"] = str(tmp_path / "policy.yml")
    workplace.playbook(
        "- hosts: servers\n  gather_facts: false\n  tasks:\n    - ansible.builtin.set_fact:\n"
        "        reconnect_judgement: {verdict: {outcome: not_an_issue}, findings: []}\n"
    )
    ended = workplace.diagnose("alpha")
    assert ended.code == 0, ended.stderr
    assert (
        "The group 'branch_ofices' of the policy is no group of the inventory. Correct one of them. Nothing is changed "
        "until then."
    ) in " ".join(ended.stdout.split())
