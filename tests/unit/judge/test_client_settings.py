"""The client's settings and its attempts, against what they should be."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge

EVIDENCE: dict[str, Any] = {
    "schema": "reconnect/evidence/v1",
    "name": "pbx",
    "taken_at": "2026-01-01T00:00:00Z",
    "settings": {
        "sip_domain": "pbx.example",
        "addresses": ["192.0.2.5"],
        "sip_transports": [{"transport": "tls", "port": 5061}, {"transport": "tcp", "port": 5060}],
    },
    "server": {"ok": True},
    "account": {
        "rows": {"ok": True, "data": {"endpoint": {"id": "601"}, "auth": None, "aor": None}},
        "registry": {"ok": True, "data": {"registered": True, "findings": []}},
    },
    "client_report": None,
}


def said(settings: dict[str, Any] | None = None, **account: Any) -> list[dict[str, Any]]:
    """The findings about the client whose settings these are."""
    evidence = copy.deepcopy(EVIDENCE)
    evidence["account"] |= account
    if settings is not None:
        evidence["client_report"] = {"settings": settings}
    return [
        one for one in judge.judge(evidence)["findings"] if one["subject"] == "client" and one["code"] != "client.log"
    ]


def causes(findings: list[dict[str, Any]], status: str = "fail") -> list[str]:
    return [one["cause"] for one in findings if one["status"] == status]


RIGHT = {
    "address": "PBX.example.",
    "port": "5061",
    "transport": "TLS",
    "domain": "pbx.example",
    "username": 601,
    "keep_alive": True,
    "clock": "2026-01-01T00:04:00Z",
    "tls_version": "TLSv1.3",
}


def test_what_is_right_passes():
    found = said(RIGHT)
    assert {one["status"] for one in found} == {"pass"}
    assert len(found) == len(RIGHT)


@pytest.mark.parametrize(
    ("field", "value", "cause"),
    [
        ("address", "pbx.example.evil", "client_wrong_address"),
        ("address", "192.0.2.6", "client_wrong_address"),
        ("port", 5060, "client_wrong_port"),
        ("port", "{{ 7*7 }}", "client_wrong_port"),
        ("transport", "udp", "client_wrong_transport"),
        ("domain", "example", "client_wrong_domain"),
        ("username", "0601", "client_wrong_username"),
        ("tls_version", "TLS 1.0", "client_tls_profile_old"),
        ("clock", "2025-12-30T00:00:00Z", "client_clock_wrong"),
    ],
)
def test_one_wrong_setting_is_the_only_cause(field, value, cause):
    assert causes(said(RIGHT | {field: value})) == [cause]


def test_the_port_belongs_to_the_transport():
    assert causes(said({"transport": "tcp", "port": 5060})) == []
    assert causes(said({"transport": "tcp", "port": 5061})) == ["client_wrong_port"]


def test_what_the_client_does_not_say_is_not_judged():
    assert said({}) == []
    assert said({"address": None}) == []


def test_keep_alive_off_is_a_cause_only_where_connections_get_lost():
    lost = {"ok": True, "data": {"account": {"entries": [{"event": "DISCONNECT", "details": "NETWORK_ERROR"}]}}}
    assert causes(said({"keep_alive": False}), "warn") == ["client_keepalive_off"]
    assert causes(said({"keep_alive": False}, sessions=lost)) == ["client_keepalive_off"]


@pytest.mark.parametrize(("clock", "status"), [("2026-01-01T01:00:00Z", "warn"), ("yesterday", "unknown")])
def test_a_clock_that_is_no_cause(clock, status):
    (found,) = said({"clock": clock})
    assert found["status"] == status


def watch(*outcomes: str) -> dict[str, Any]:
    return {"ok": True, "data": {"seconds": 1, "attempts": [{"outcome": outcome} for outcome in outcomes]}}


def test_a_wrong_password_is_the_clients_when_the_server_has_the_right_one():
    assert causes(said(watch=watch("challenged", "wrong_password"))) == ["client_wrong_password"]


def test_a_wrong_password_is_not_the_clients_when_the_server_is_wrong():
    wrong = {
        "ok": True,
        "data": {"registered": True, "findings": [{"cause": "password_mismatch", "field": "password"}]},
    }
    assert causes(said(watch=watch("wrong_password"), registry=wrong)) == []
    assert causes(said(watch=watch("wrong_password"), registry={"ok": False, "error": "failed"})) == []


def test_a_watch_without_an_attempt_or_without_an_answer_is_told():
    (nothing,) = said(watch=watch())
    (failed,) = said(watch={"ok": False, "error": "failed", "message": "no AMI"})
    assert (nothing["status"], failed["status"]) == ("warn", "unknown")


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        (("tls_failed",), "The client's only attempt failed in the TLS handshake, before any SIP."),
        (("challenged", "forbidden"), "The client's last of 2 attempts was turned away."),
        (("from_tomorrow",), "The client's only attempt ended with from_tomorrow."),
    ],
)
def test_how_the_attempts_ended_is_told_in_words(outcomes, words):
    (told,) = said(watch=watch(*outcomes))
    assert told["summary"] == words


def test_what_was_done_to_make_the_client_connect_anew_is_told_and_what_was_not():
    done = watch("challenged")
    done["data"] |= {"dropped": ["sip:1@192.0.2.1", "sip:1@192.0.2.2"], "notified": True, "left": ["no NOTIFY: no AMI"]}
    found = [one for one in said(watch=done) if one["code"] == "client.reconnect"]
    assert [one["status"] for one in found] == ["pass", "pass", "warn"]
    assert "took away 2 contacts that no longer answered." in found[0]["summary"]
    assert "NOTIFY check-sync" in found[1]["summary"]
    assert found[2]["summary"].endswith("connect anew: no NOTIFY: no AMI.")
