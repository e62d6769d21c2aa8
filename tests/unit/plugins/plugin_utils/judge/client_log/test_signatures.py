"""Signatures of client logs: data, extendable by a site, harmless whatever they and the logs are."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.catalogue import catalogue
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.client_log.signatures import (
    CODES,
    SignatureError,
    parse,
    signatures,
)
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.client_log.words import readable
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.documents import FindingDocument
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.rules import client
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.tables import load

BOMBS = [
    *("(a+)+$", "(a*)*b", "(.*,)*x", r"(a)\1", "a" * 301, "(", "(?:(?:a{1,9}){1,9})+", ".*a.*b", ""),
    *(
        "(a|a)*b",
        "(a|aa){1,20}$",
        "a?" * 60 + "a" * 60,
        "(a|b|ab)*c",
        "(?:a?){50}b",
        "(?=(a|a){30})x",
        "(ab|ab){25}x",
    ),
    *(
        ".{0,200}a.{0,200}b",
        "(a{0,30}){20}",
        "(?:x|x?){40}",
        "(a|a)+?b",
        "(?:(a)|(a))*$",
        "(?(1)a|b)",
        "((a?)(a?)){12}",
    ),
]


@pytest.mark.attack("patterns of a site that could take for ever", harm="hang")
@pytest.mark.parametrize("pattern", BOMBS)
def test_a_pattern_that_could_take_for_ever_is_refused(pattern: Any) -> None:
    with pytest.raises(SignatureError, match="'bomb'"):
        list(parse({"bomb": {"pattern": pattern, "meaning": "m"}}))


@pytest.mark.attack("patterns of a site that could take for ever", harm="hang")
@pytest.mark.parametrize(
    "pattern",
    ["a.*b", "x.{0,40}y.{0,40}z", "(abc)*d", "E[0-9]+", "(fail|error): .{0,80}$", "a{1,900}b", "(?i)(a|A){25}x"],
)
@pytest.mark.parametrize("line", ["a" * 5000, "ab" * 2500, "abc" * 2000, "x" * 2000 + "y" * 2000, "fail: " * 1000])
def test_the_freest_pattern_that_is_taken_is_quick_on_any_line(pattern: str, line: str) -> None:
    (signature,) = parse({"free": {"pattern": pattern, "meaning": "m"}})
    begun = time.process_time()
    signature.last([line], line)
    assert time.process_time() - begun < 2


def test_signatures_of_a_site_that_take_too_long_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SITE_SECONDS", -1.0)
    found = findings(["E4711", "certificate has expired"], gate={"pattern": "E4711", "meaning": "The gate was closed."})
    said = {(one["code"], one["status"], one["about"]) for one in found}
    assert ("client.signatures", "unknown", "gate") in said
    assert ("client.log", "warn", "certificate_expired") in said


@pytest.mark.parametrize(
    "entries",
    [
        [],
        {"a": 1},
        {"a": {"pattern": "x"}},
        {"a": {"pattern": "x", "meaning": "m", "run": "y"}},
        {"a": {"pattern": "x", "meaning": "m", "circumstance": "seen"}},
    ],
)
def test_what_is_no_signature_is_refused(entries: list[Any] | dict[str, Any]) -> None:
    with pytest.raises(SignatureError):
        list(parse(entries))


def test_our_own_hint_at_causes_of_the_catalogue() -> None:
    assert {one.cause for one in signatures()} - {None} <= set(catalogue())


def test_every_number_is_of_a_signature() -> None:
    tables = [family["codes"] for family in load(CODES.read_text(encoding="utf-8")).values()]
    assert {name for codes in tables if isinstance(codes, dict) for name in codes} <= {one.name for one in signatures()}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("net::ERR_CONNECTION_REFUSED", "net::err_connection_refused\nnet::err connection refused"),
        ("RemoteCertificateNameMismatch", "remotecertificatenamemismatch\nremote certificate name mismatch"),
        ("Connection refused", "connection refused"),
        ("The host’s answer", "the host's answer"),
        # Another language has its known words in English, too, also where accents were lost.
        ("Connexion refusée", "connexion refusée\n·connection·refused·"),
        ("Der Server antwortet nicht", "der server antwortet nicht\n·server·answer·not·"),
        ("Le reseau est inaccessible", "le reseau est inaccessible\n·network·unreachable·"),
        ("Zertifikat ung\ufffdltig", "zertifikat ung\ufffdltig\n·certificate·wrong·"),
        ("RÃ©seau", "réseau\n·network·"),
        ("no connection to host", "no connection to host"),
    ],
)
def test_a_name_is_read_as_words_too(line: str, words: str) -> None:
    assert readable(line) == words


def findings(log: list[str], **own: object) -> list[FindingDocument]:
    document = {
        "schema": "reconnect/evidence/v1",
        "settings": {"client_signatures": own},
        "client_report": {"log": log},
    }
    return [one for one in judge.judge(document)["findings"] if one["code"].startswith("client.")]


def test_a_site_adds_its_own_without_code() -> None:
    said, error = findings(["E4711 gate closed", "quiet"], gate={"pattern": "E4711", "meaning": "The gate was closed."})
    assert error["summary"] == "The client's exact message is 'E4711 gate closed'."
    assert (said["status"], said["about"]) == ("warn", "gate")
    assert said["summary"].endswith("The gate was closed.")


def test_a_site_knows_what_its_own_are_about() -> None:
    said, _error = findings(["Update check: E4711"], gate={"pattern": "E4711", "meaning": "The gate was closed."})
    assert (said["status"], said["about"]) == ("warn", "gate")


def test_a_mistake_of_a_site_is_said_and_ours_still_work() -> None:
    found = findings(["SSL: certificate has expired"], bomb={"pattern": "(a+)+$", "meaning": "m"})
    assert [(one["code"], one["status"]) for one in found if one["status"] != "pass"] == [
        ("client.signatures", "unknown"),
        ("client.log", "warn"),
    ]
    assert next(one for one in found if one["status"] == "warn")["cause"] == "tls_certificate_expired"


def test_a_hint_is_no_root_cause() -> None:
    verdict = judge.judge(
        {"schema": "reconnect/evidence/v1", "client_report": {"log": ["certificate has expired", "401 Unauthorized"]}}
    )["verdict"]
    assert verdict["root_causes"] == []


@pytest.mark.attack("hostile lines for the patterns of client logs", harm="hang")
@pytest.mark.parametrize("line", ["a" * 5_000_000, "\x1b[31m\x00\xff" * 1000, "401 " * 100_000, "dns " * 100_000])
def test_a_hostile_line_is_looked_at_up_to_a_limit(line: str) -> None:
    assert all(len(one["summary"]) < 2000 for one in findings([line] * 20))
