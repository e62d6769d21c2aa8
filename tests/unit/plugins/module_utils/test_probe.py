# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of a probe, and questions that are asked at the same time."""

from __future__ import annotations

import errno
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import (
    MESSAGE_LIMIT,
    Answered,
    Failed,
    ProbeError,
    Round,
    error_of,
    failed,
    probe,
    run_all,
)
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.schemas import schema_of
from jsonschema import Draft202012Validator

LIMIT = 20.0


def raising(error: Exception) -> Callable[[], None]:
    def ask() -> None:
        raise error

    return ask


def asked(function: Callable[[], object]) -> Mapping[str, Any]:
    """What `probe` says, answered or failed."""
    return probe(function)


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "refused"),
        (ConnectionResetError(errno.ECONNRESET, "x"), "refused"),
        (TimeoutError("x"), "timed_out"),
        (OSError(errno.ENETUNREACH, "x"), "unreachable"),
        (PermissionError(errno.EACCES, "x"), "denied"),
        (FileNotFoundError(errno.ENOENT, "x"), "missing"),
        (ProbeError("skipped", "x"), "skipped"),
        (ValueError("x"), "failed"),
        # The number of an error of OpenSSL is not one of the operating system.
        (ssl.SSLError(errno.ENOENT, "x"), "failed"),
    ],
)
def test_an_error_of_the_system_has_a_name(error: Exception, name: str) -> None:
    assert error_of(error) == name
    assert asked(raising(error))["error"] == name


def test_an_answer_has_its_data() -> None:
    found = asked(lambda: [1, 2])
    assert (found["ok"], found["data"]) == (True, [1, 2])
    assert not list(Draft202012Validator(schema_of(Answered[list[int]] | Failed)).iter_errors(found))


def test_further_fields_of_an_error_are_kept() -> None:
    found = asked(raising(ProbeError("failed", "SERVFAIL", rcode="SERVFAIL")))
    assert (found["message"], found["rcode"]) == ("SERVFAIL", "SERVFAIL")
    assert not list(Draft202012Validator(schema_of(Failed)).iter_errors(found))


def test_an_unforeseen_error_names_its_kind() -> None:
    assert asked(raising(KeyError("mount")))["message"] == "KeyError: 'mount'"


def test_a_message_is_limited() -> None:
    assert len(failed("failed", "x" * 10000)["message"]) == MESSAGE_LIMIT


def test_questions_are_asked_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=LIMIT)
    answers = run_all({name: (lambda: together.wait() >= 0, LIMIT) for name in "abc"})
    assert list(answers) == ["a", "b", "c"]
    assert all(answer["ok"] for answer in answers.values())


def test_a_question_without_an_answer_delays_no_other() -> None:
    release = threading.Event()
    try:
        answers: Mapping[str, Mapping[str, Any]] = run_all(
            {"slow": (lambda: release.wait(LIMIT), 0.2), "quick": (lambda: 1, LIMIT)}
        )
    finally:
        release.set()
    assert (answers["slow"]["error"], answers["slow"]["message"]) == ("timed_out", "no answer within 0.2 s")
    assert answers["quick"]["data"] == 1


def test_an_answer_may_lead_to_a_further_question_which_is_asked_once() -> None:
    asked = Round()
    calls = []

    def first() -> None:
        for _attempt in range(2):
            asked.ask("second", lambda: calls.append(1), LIMIT)

    asked.ask("first", first, LIMIT)
    assert list(asked.answers()) == ["first", "second"]
    assert calls == [1]
