"""What a log hints at, beside what was measured; and the decisive line in the verdict."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.catalogue import catalogue
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.client_log import measured
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.client_log.signatures import signatures
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.finding import Say

HINT = Say(
    "client.log", "client", "certificate_expired", evidence=(("client_report", "certificate has expired"),)
).warns("The client says: 'certificate has expired'. It refused an expired certificate.", "tls_certificate_expired")
DATES = Say("tls.validity", "network", "192.0.2.7:5061", "phone")


def test_a_hint_that_the_measurement_contradicts_says_so() -> None:
    passed = DATES.passes("The certificate is valid until 2027-03-01.")
    hint, other = measured.compared([HINT, passed])
    assert other is passed
    assert hint.summary == (
        "The client says: 'certificate has expired'. It refused an expired certificate. "
        "The server's own measurement contradicts that: The certificate is valid until 2027-03-01."
    )
    assert (hint.status, hint.cause) == ("warn", None)


@pytest.mark.parametrize(
    "others",
    [
        [],
        [DATES.unknown("Nobody could look.")],
        [DATES.passes("Valid from here."), DATES.fails("Expired from there.", "tls_certificate_expired")],
        [Say("tls.name", "network", "192.0.2.7:5061").passes("The name is right.")],
    ],
)
def test_a_hint_that_nothing_contradicts_stays(others: list[Any]) -> None:
    assert measured.compared([HINT, *others])[0] is HINT


def test_what_is_compared_is_known() -> None:
    assert set(measured.SHOWN_BY) <= set(catalogue()) | {one.name for one in signatures()}


def test_a_line_that_is_quoted_already_is_not_quoted_again() -> None:
    document = {"schema": "reconnect/evidence/v1", "client_report": {"error_message": "408 Request Timeout"}}
    assert judge.judge(document, level="first")["verdict"]["next_step"].count("408 Request Timeout") == 1


@pytest.mark.parametrize("level", ["first", "second"])
def test_the_decisive_line_is_in_the_next_step(level: Literal["first", "second"]) -> None:
    log = ["Found certificate depth=[0], flags=[expired ]:", "Register refresher [503] reason [io error] for proxy [x]"]
    document = {"schema": "reconnect/evidence/v1", "client_report": {"log": log, "error_message": "it does not work"}}
    verdict = judge.judge(document, level=level)["verdict"]
    assert verdict["next_step"].endswith(
        " The client's decisive line: 'Found certificate depth=[0], flags=[expired ]:'."
    )
