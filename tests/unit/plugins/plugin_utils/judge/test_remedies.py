# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of remedies: its order, and what an invalid row is refused for."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge import verdict
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.catalogue import FILE, catalogue
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.catalogue import parse as parse_causes
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.remedies import Remedy, parse, remedies
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.tables import TableError

ROW = "x: {role: account, entry: fix, outcome: fixed_account}"


def test_what_drops_calls_comes_last() -> None:
    order = [remedy.drops_calls for remedy in remedies().values()]
    assert order == sorted(order)
    assert [remedy.rank for remedy in remedies().values()] == list(range(len(order)))


def test_only_what_first_level_asks_for_is_the_remedy_of_no_cause() -> None:
    used = {cause.remedy.name for cause in catalogue().values() if cause.remedy}
    assert set(remedies()) - used == {"rotate_password"}


def test_whatever_starts_a_service_says_what_it_may_interrupt() -> None:
    silent = {name for name, remedy in remedies().items() if remedy.starts and remedy.interrupts is None}
    # Clients that are set up do without the provisioning service, and it is started only where it is down.
    assert silent == {"restart_provisioning"}
    assert {name for name, remedy in remedies().items() if remedy.drops_calls} == {"free_sip_port", "restart_asterisk"}


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("fixed_account", "healthy", "x leads to healthy"),
        ("fixed_account", "fixed_weather", "x leads to fixed_weather"),
        (", entry: fix", "", "entry"),
        ("}", ", colour: red}", "colour"),
        ("}", ", starts: {unit: u}}", "subset"),
        ("}", ", interrupts: {what: [weather], seconds: 1}}", "x interrupts weather"),
        ("}", ", interrupts: {what: [calls]}}", "seconds"),
        ("}", ", fixes: {port_taken: human}}", "x fixes port_taken with the policy human"),
        (ROW[3:], "7", "x has no fields"),
    ],
)
def test_an_invalid_row_is_refused(before: str, after: str, words: str) -> None:
    assert parse(ROW)["x"].entry == "fix"
    with pytest.raises(TableError, match=words):
        parse(ROW.replace(before, after))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"x": ROW[3:-1] + ", fixes: {nobody: auto}}"}, "not a cause: nobody"),
        (dict.fromkeys("xy", ROW[3:-1] + ", fixes: {port_taken: auto}}"), "port_taken has two remedies: x and y"),
    ],
)
def test_a_cause_has_one_remedy_at_most_and_is_in_its_catalogue(rows: dict[str, str], words: str) -> None:
    fixing = parse("\n".join(f"{name}: {row}" for name, row in rows.items()))
    with pytest.raises(TableError, match=words):
        parse_causes(FILE.read_text(), fixing)


LEAVING = [one.name for one in remedies().values() if not one.can_be_undone]


def test_no_cause_has_the_policy_auto_where_its_remedy_cannot_be_undone() -> None:
    causes = [one for one in catalogue().values() if one.remedy and one.remedy.name in LEAVING]
    assert causes
    assert {one.name: one.policy for one in causes if one.policy != "approve"} == {}
    # What a remedy leaves on disk is a change, whatever it calls it.
    nothing = {one.name for one in remedies().values() if one.leaves == "nothing" and not one.reversible}
    named = {one for one in nothing if one.startswith(("reload_", "restart_", "load_"))}
    assert nothing - named == set(), "make it reversible, or let it leave changes and wait for an approval"


@pytest.mark.parametrize("remedy", remedies().values(), ids=lambda one: one.name)
@pytest.mark.parametrize("policy", ["auto", "approve"])
def test_what_cannot_be_undone_waits_for_an_approval(remedy: Remedy, policy: Literal["auto", "approve"]) -> None:
    cause = next(iter(catalogue().values()))
    cause = replace(cause, remedy=replace(remedy, fixes={cause.name: policy}))

    def decided(apply: bool, *approvals: str) -> str:
        return verdict._decision(cause, remedy, "", verdict._Allowed(apply, approvals, ()))[0]

    assert decided(True) == ("approval" if policy == "approve" or not remedy.can_be_undone else "run")
    assert decided(True, remedy.name) == "run"
    # A yes to the plan that is shown approves what reaches one account.
    shown = remedy.role in ("account", "client") or decided(True) == "run"
    assert decided(False) == ("planned" if shown else "approval")
    # No yes of first level where the site asks for an approval.
    assert verdict._decision(cause, remedy, "", verdict._Allowed(False, (), ("all",)))[0] == "approval"
