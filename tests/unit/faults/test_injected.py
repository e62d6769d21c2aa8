"""Injected faults: the same draw for the same seed, and what the table calls harm."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from injected import command, table, trial
from injected.draw import faults, injected
from mutations import saved
from mutations.trial import Case
from trials.tools import ToolError


def result(number: int = 1, **more: Any) -> dict[str, object]:
    """A fault of the suite that was fixed."""
    return {
        "id": f"1/{number}/database_stopped-pbx22",
        "case": number,
        "host": "pbx22",
        "source": "suite",
        "must_fix": True,
        "expected": ["database_stopped"],
        "can_register": False,
        "registers_after": True,
        "worse": False,
        "calls": 1,
        "calls_dropped": 0,
        "exit_code": 0,
        "outcome": "fixed_service",
        "root_causes": ["database_stopped"],
        "policies": ["auto"],
        "remedies": [remedy()],
        **more,
    }


def remedy(name: str = "restart_database", cause: str = "database_stopped", **more: object) -> dict[str, object]:
    return {"remedy": name, "cause": cause, "state": "done", "rolled_back": False, "changed": True, **more}


def missed(*results: dict[str, object]) -> list[str]:
    return [one.name for one in table.figures(results) if not one.reached]


def test_a_seed_gives_the_same_cases_with_calls_in_half_of_them() -> None:
    drawn = [injected(5, number) for number in range(200)]
    assert [one.id for one in drawn] == [injected(5, number).id for number in range(200)]
    kinds = [one.id.count("/") for one in drawn]
    assert min(kinds.count(2), kinds.count(3)) > 60
    assert all(not case.idle_test for case in faults())
    assert 60 < sum(one.with_call for one in drawn) <= 100


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"calls_dropped": 1}, "calls dropped without an approval"),
        ({"remedies": [remedy("free_sip_port")]}, "changes that cannot be undone"),
        ({"remedies": [remedy("fix_account", state="failed")]}, "changes that cannot be undone"),
        ({"remedies": [remedy(cause="odbc_disconnected")]}, "wrong remedies"),
        ({"can_register": True, "registers_after": False, "worse": True}, "as well as before, by a phone"),
        ({"registers_after": False}, "auto: fixed and verified"),
        ({"outcome": "escalate_third_level", "exit_code": 10, "remedies": []}, "auto: fixed and verified"),
    ],
)
def test_harm_misses_a_bar(more: dict[str, Any], name: str) -> None:
    assert missed(result()) == []
    assert name in missed(result(**more))


def test_what_is_no_harm_misses_none() -> None:
    # The fault itself ended the call; what failed was rolled back; a person decides.
    ended: dict[str, Any] = {
        "must_fix": False,
        "registers_after": False,
        "outcome": "escalate_third_level",
        "exit_code": 10,
    }
    assert missed(result(calls_dropped=1, remedies=[], **ended)) == []
    assert missed(result(remedies=[remedy("fix_account", state="failed", rolled_back=True)])) == []
    assert missed(result(error="no lab", calls_dropped=1), result(can_register=None, worse=True)) == []


def test_a_mutation_must_be_fixed_where_its_causes_say_so() -> None:
    mutation: dict[str, Any] = {"source": "mutation", "policies": ["human"]}
    assert table.must_fix(result(**mutation))
    assert not table.must_fix(result(**mutation, can_register=True))
    assert not table.must_fix(result(**{**mutation, "expected": ["dns_no_record"]}))
    # Of several, those that were named.
    assert not table.must_fix(result(**{**mutation, "expected": ["dns_no_record", "database_stopped"]}))
    # Which it is, it does not say.
    assert not table.is_wrong(result(expected=[], remedies=[remedy(cause="odbc_disconnected")]))
    assert table.is_wrong(result(expected=[], can_register=True))


def test_the_next_call_goes_on_and_the_table_names_what_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "CACHE", tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    ran: list[int] = []

    def run(case: Case, _workspace: object) -> dict[str, Any]:
        ran.append(case.number)
        if case.number == 1:
            raise ToolError("no lab")
        return {**result(case.number), "id": case.id, "calls_dropped": int(case.number == 2)}

    monkeypatch.setattr(trial, "run", run)
    assert command.main(["--seed", "3", "--cases", "3", "--minutes", "0"]) == 3
    assert command.main(["--seed", "3", "--cases", "2"]) == 0
    assert command.main(["--seed", "3", "--cases", "3"]) == 1
    assert ran == [0, 1, 2]
    said = capsys.readouterr().out
    assert "calls dropped\n  3/2/" in said
    assert "not counted\n  3/1/" in said
    assert all(one["commit"] for one in saved.results(tmp_path / "3.jsonl"))
