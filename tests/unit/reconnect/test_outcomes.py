"""The table of outcomes as the wrapper reads it."""

from __future__ import annotations

from typing import get_args

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.catalogue import catalogue
from reconnect import outcomes, texts
from reconnect.exit_codes import ExitCode
from reconnect.outcomes import Answer
from reconnect.result import Message, Outcome, Result, State, Verdict
from reconnect.texts import Language

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


@pytest.mark.parametrize("language", ["en", "it"])
def test_the_user_is_told_that_somebody_is_at_work_only_where_somebody_is(language: Language) -> None:
    promises = ("We ", "Our ", "stiamo", "I nostri", "Il nostro")

    def told(outcome: Outcome, cause: str) -> str:
        return outcomes.told(Verdict(outcome=outcome, user_message=Message(id=cause)), language)

    for cause in {one.user_message for one in catalogue().values()}:
        known = told("fault_found", cause)
        assert known == f"{texts.text(cause, language)} {texts.text('user.not_fixed', language)}"
        assert [word for word in promises if word in known] == []
        assert told("escalate_third_level", cause).endswith(texts.text("user.engineers_server", language))
    assert told("escalate_second_level", "user.engineers") == texts.text("user.engineers", language)
    assert told("fixed_service", "user.fixed_service") == texts.text("user.fixed_service", language)
    assert outcomes.told(Verdict(outcome="fault_found"), language) == ""
