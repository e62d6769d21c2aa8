"""The table of outcomes as the wrapper reads it."""

from __future__ import annotations

from typing import get_args

from reconnect import outcomes
from reconnect.exit_codes import ExitCode
from reconnect.outcomes import Answer
from reconnect.result import Outcome, Result, State

from .test_result import DOCUMENT


def result(state: str, outcome: str | None = None) -> Result:
    return Result.model_validate({**DOCUMENT, "state": state, "verdict": {"outcome": outcome} if outcome else None})


def test_every_outcome_and_every_state_has_a_row() -> None:
    assert set(outcomes.table()) == {*get_args(Outcome), *get_args(State)} - {"succeeded"}


def test_every_exit_code_is_one_of_ours() -> None:
    assert {row.exit_code for row in outcomes.table().values()} <= set(ExitCode)


def test_the_file_is_the_collections_own() -> None:
    assert outcomes.FILE.resolve().parent.name == "judge"


def test_the_highest_level_counts_then_what_stays_open() -> None:
    rows = outcomes.answers({})
    closed, moved = result("succeeded", "fixed_service"), result("succeeded", "escalate_third_level")
    second, open_ = result("succeeded", "escalate_second_level"), result("unreachable")
    assert outcomes.answer([closed, second, moved, open_], rows).level == "third_level"
    assert outcomes.answer([closed, second, open_], rows).level == "second_level"
    assert outcomes.answer([closed, open_], rows).do == "comment"
    assert outcomes.answer([closed], rows) == Answer(do="close", reason="Fixed: service", tell_user=True)
    assert outcomes.answer([], rows).do == "comment"


def test_a_setting_overrides_a_row() -> None:
    rows = outcomes.answers({"healthy": Answer(do="close", reason="Healthy")})
    assert outcomes.answer([result("succeeded", "healthy")], rows).reason == "Healthy"
    assert outcomes.answer([result("succeeded", "not_an_issue")], rows).reason == "Not an issue"


def test_a_run_without_a_verdict_failed() -> None:
    assert outcomes.of(result("succeeded")).headline == "the run failed"
