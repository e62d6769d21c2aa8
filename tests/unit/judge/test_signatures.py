"""Signatures of client logs: data, extendable by a site, harmless whatever they and the logs are."""

from __future__ import annotations

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.catalogue import catalogue
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.signatures import (
    SignatureError,
    parse,
    signatures,
)


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a*)*b", "(.*,)*x", r"(a)\1", "a" * 301, "(", "(?:(?:a{1,9}){1,9})+", ".*a.*b", ""]
)
def test_a_pattern_that_could_take_for_ever_is_refused(pattern):
    with pytest.raises(SignatureError, match="'bomb'"):
        list(parse({"bomb": {"pattern": pattern, "meaning": "m"}}))


@pytest.mark.parametrize(
    "entries", [[], {"a": 1}, {"a": {"pattern": "x"}}, {"a": {"pattern": "x", "meaning": "m", "run": "y"}}]
)
def test_what_is_no_signature_is_refused(entries):
    with pytest.raises(SignatureError):
        list(parse(entries))


def test_our_own_hint_at_causes_of_the_catalogue():
    assert {one.cause for one in signatures()} - {None} <= set(catalogue())


def findings(log: list[str], **own: object) -> list[dict]:
    document = {
        "schema": "reconnect/evidence/v1",
        "settings": {"client_signatures": own},
        "client_report": {"log": log},
    }
    return [one for one in judge.judge(document)["findings"] if one["code"].startswith("client.")]


def test_a_site_adds_its_own_without_code():
    said, error = findings(["E4711 gate closed", "quiet"], gate={"pattern": "E4711", "meaning": "The gate was closed."})
    assert error["summary"] == "The client's exact message is 'E4711 gate closed'."
    assert (said["status"], said["about"]) == ("warn", "gate")
    assert said["summary"].endswith("The gate was closed.")


def test_a_mistake_of_a_site_is_said_and_ours_still_work():
    found = findings(["SSL: certificate has expired"], bomb={"pattern": "(a+)+$", "meaning": "m"})
    assert [(one["code"], one["status"]) for one in found if one["status"] != "pass"] == [
        ("client.signatures", "unknown"),
        ("client.log", "warn"),
    ]
    assert next(one for one in found if one["status"] == "warn")["cause"] == "tls_certificate_expired"


def test_a_hint_is_no_root_cause():
    verdict = judge.judge(
        {"schema": "reconnect/evidence/v1", "client_report": {"log": ["certificate has expired", "401 Unauthorized"]}}
    )["verdict"]
    assert verdict["root_causes"] == []


@pytest.mark.parametrize("line", ["a" * 5_000_000, "\x1b[31m\x00\xff" * 1000, "401 " * 100_000, "dns " * 100_000])
def test_a_hostile_line_is_looked_at_up_to_a_limit(line):
    assert all(len(one["summary"]) < 2000 for one in findings([line] * 20))
