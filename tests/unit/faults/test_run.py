"""How the cases are run: who waits for whom, and what becomes of those that somebody ends."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

import pytest
from trials import command, schedule, tools, trial
from trials.cases import Case


def taken(turns: schedule.Turns, queue: list[Case]) -> Case:
    found = turns.take(queue)
    assert found is not None
    return found


def case(name: str, server: str, *places: str) -> Case:
    return Case("fault", name, server, "one", (name,), frozenset({server, *places}), expects={"root_cause": name})


def test_a_queue_goes_on_with_other_cases_while_a_shared_host_is_taken() -> None:
    turns = schedule.Turns(threading.Event())
    first, second = [case("a", "pbx22", "edge")], [case("b", "pbx16", "edge"), case("c", "pbx16")]
    edge = taken(turns, first)
    assert (edge.name, taken(turns, second).name) == ("a", "c")
    turns.give_back(edge)
    turns.give_back(case("c", "pbx16"))
    assert taken(turns, second).name == "b"


def test_a_queue_waits_where_it_has_nothing_else_to_do() -> None:
    turns = schedule.Turns(threading.Event())
    edge = taken(turns, [case("a", "pbx22", "edge")])
    names: list[str] = []
    waiting = threading.Thread(target=lambda: names.append(taken(turns, [case("b", "pbx16", "edge")]).name))
    waiting.start()
    waiting.join(0.1)
    assert names == []
    turns.give_back(edge)
    waiting.join(60)
    assert names == ["b"]


def test_no_two_cases_that_need_the_same_host_meet() -> None:
    every = [case(f"{number}{server}", server, "edge") for number in range(20) for server in ("pbx22", "pbx16")]
    inside: list[str] = []
    met: list[list[str]] = []

    def run(one: Case) -> None:
        inside.append(one.name)
        met.append(list(inside))
        inside.remove(one.name)

    schedule.run_all(every, run, threading.Event())
    assert len(met) == len(every)
    assert all(len(names) == 1 for names in met)


def test_a_case_whose_diagnosis_was_ended_has_no_outcome_and_none_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(one: Case, *_: object) -> trial.Outcome:
        if one.name == "b":
            raise tools.Interrupted("the run was cancelled")
        return trial.Outcome(one.id, one.kind, one.name, one.server, one.causes, False)

    monkeypatch.setattr(command, "run", run)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    outcomes, _seconds = command.carry_out([case(name, "pbx22") for name in "abc"], record=False)
    assert [one.name for one in outcomes] == ["a"]


def test_a_cancelled_run_is_no_verdict(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    document = '{"state": "cancelled", "verdict": {"root_causes": []}}'
    monkeypatch.setattr(trial, "reconnect", lambda *_: tools.Ended(13, document, ""))
    with pytest.raises(tools.Interrupted):
        trial.diagnose(case("a", "pbx22"), tmp_path)


def test_a_signal_for_the_whole_group_does_not_end_what_was_called() -> None:
    ended = tools.call(sys.executable, "-c", "import os; print(os.getpgid(0) == os.getpid())")
    assert ended.stdout == "True\n"


def test_who_waits_too_long_is_told() -> None:
    with pytest.raises(tools.ToolError, match=r"no end in 0 s: sleep 60"):
        tools.call("sleep", "60", limit=0.01)
