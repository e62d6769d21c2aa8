"""The client's settings and its attempts, against what they should be."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.documents import FindingDocument

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


ACCEPTED = {"601": {"control": {"ok": True, "data": {"accepted": True}}}}


def said(
    settings: dict[str, Any] | None = None, registrations: dict[str, Any] = ACCEPTED, **account: Any
) -> list[FindingDocument]:
    """The findings about the client whose settings these are."""
    evidence = copy.deepcopy(EVIDENCE)
    evidence["account"] |= account
    evidence["registrations"] = registrations
    if settings is not None:
        evidence["client_report"] = {"settings": settings}
    return [
        one for one in judge.judge(evidence)["findings"] if one["subject"] == "client" and one["code"] != "client.log"
    ]


def causes(findings: list[FindingDocument], status: str = "fail") -> list[str | None]:
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


def test_what_is_right_passes() -> None:
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
def test_one_wrong_setting_is_the_only_cause(field: str, value: str | int, cause: str) -> None:
    assert causes(said(RIGHT | {field: value})) == [cause]


def test_the_port_belongs_to_the_transport() -> None:
    assert causes(said({"transport": "tcp", "port": 5060})) == []
    assert causes(said({"transport": "tcp", "port": 5061})) == ["client_wrong_port"]


def test_what_the_client_does_not_say_is_not_judged() -> None:
    assert said({}) == []
    assert said({"address": None}) == []


def test_keep_alive_off_is_a_cause_only_where_connections_get_lost() -> None:
    lost = {"ok": True, "data": {"account": {"entries": [{"event": "DISCONNECT", "details": "NETWORK_ERROR"}]}}}
    assert causes(said({"keep_alive": False}), "warn") == ["client_keepalive_off"]
    assert causes(said({"keep_alive": False}, sessions=lost)) == ["client_keepalive_off"]


@pytest.mark.parametrize(("clock", "status"), [("2026-01-01T01:00:00Z", "warn"), ("yesterday", "unknown")])
def test_a_clock_that_is_no_cause(clock: str, status: str) -> None:
    (found,) = said({"clock": clock})
    assert found["status"] == status


def watch(*outcomes: str) -> dict[str, Any]:
    attempts = [{"outcome": outcome, "address": "192.0.2.77"} for outcome in outcomes]
    return {"ok": True, "data": {"seconds": 1, "attempts": attempts}}


OWN = {"ok": True, "data": {"contacts": [{"uri": "sip:601@192.0.2.77:4000"}]}}


def test_a_wrong_password_is_the_clients_when_the_server_has_the_right_one() -> None:
    assert causes(said(watch=watch("challenged", "wrong_password"), live=OWN)) == ["client_wrong_password"]
    # A server that accepts nobody may be wrong itself.
    assert causes(said(registrations={}, watch=watch("challenged", "wrong_password"), live=OWN)) == []


def test_a_wrong_password_from_an_address_that_is_not_the_account_s_is_a_warning() -> None:
    found = said(watch=watch("challenged", "wrong_password"))
    assert causes(found) == []
    assert [one["status"] for one in found if one["code"] == "client.watch"] == ["warn"]


def test_a_wrong_password_of_another_account_behind_the_same_address_is_a_warning() -> None:
    neighbour, own = watch("wrong_password"), watch("wrong_password")
    neighbour["data"]["attempts"][0]["account"] = "602"
    own["data"]["attempts"][0]["account"] = "601"
    assert causes(said(watch=own, live=OWN)) == ["client_wrong_password"]
    found = [one for one in said(watch=neighbour, live=OWN) if one["code"] == "client.watch"]
    assert [(one["status"], one["cause"]) for one in found] == [("warn", None)]


def test_a_wrong_password_is_not_the_clients_when_the_server_is_wrong() -> None:
    wrong = {
        "ok": True,
        "data": {"registered": True, "findings": [{"cause": "password_mismatch", "field": "password"}]},
    }
    assert causes(said(watch=watch("wrong_password"), registry=wrong)) == []
    assert causes(said(watch=watch("wrong_password"), registry={"ok": False, "error": "failed"})) == []


def test_a_watch_without_an_attempt_or_without_an_answer_is_told() -> None:
    (nothing,) = said(watch=watch())
    (failed,) = said(watch={"ok": False, "error": "failed", "message": "no AMI"})
    assert (nothing["status"], failed["status"]) == ("warn", "unknown")


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        (("tls_failed",), "The client's only attempt failed in the TLS handshake."),
        (("challenged", "forbidden"), "The client's last of 2 attempts was refused."),
        (("from_tomorrow",), "The client's only attempt ended with from_tomorrow."),
    ],
)
def test_how_the_attempts_ended_is_told_in_words(outcomes: tuple[str, ...], words: str) -> None:
    (told,) = said(watch=watch(*outcomes))
    assert told["summary"] == words


def test_what_was_done_to_make_the_client_connect_again_is_told_and_what_was_not() -> None:
    done = watch("challenged")
    done["data"] |= {"dropped": ["sip:1@192.0.2.1", "sip:1@192.0.2.2"], "notified": True, "left": ["no NOTIFY: no AMI"]}
    found = [one for one in said(watch=done) if one["code"] == "client.reconnect"]
    assert [one["status"] for one in found] == ["pass", "pass", "warn"]
    assert "removed 2 contacts that no longer answered." in found[0]["summary"]
    assert "NOTIFY check-sync" in found[1]["summary"]
    assert found[2]["summary"].endswith("connect again: no NOTIFY: no AMI.")


CHECKED = {"addresses": ["192.0.2.77"], "ipv4": True, "ipv6": None, "provisioning": None, "proxy": []}


def checked(browser: dict[str, Any], **account: Any) -> dict[str, tuple[str, str]]:
    """Status and sentence of what a self-check came to, by what it is about."""
    evidence = copy.deepcopy(EVIDENCE)
    evidence["account"] |= account
    evidence["client_report"] = {"browser": CHECKED | {"clock_offset": None} | browser}
    found = judge.judge(evidence)["findings"]
    return {one["about"]: (one["status"], one["summary"]) for one in found if one["code"] == "client.browser"}


def test_a_browser_that_reaches_us_while_the_application_does_not_is_told() -> None:
    told = checked({}, watch=watch())["application"]
    assert told[0] == "warn"
    assert told[1].startswith("The user's browser reached us from 192.0.2.77, and the application made no attempt")
    assert "a VPN gives the two different addresses" in told[1]
    # Somebody else's attempts are none of the user's.
    assert checked({"addresses": ["192.0.2.78"]}, watch=watch("challenged"))["application"][0] == "warn"
    assert checked({}, watch=watch("challenged"))["application"][0] == "pass"
    # Nobody watched: nothing is known of the application.
    assert checked({})["application"] == ("pass", "The user's browser reached us from 192.0.2.77.")


def test_what_a_browser_did_not_test_is_not_judged() -> None:
    assert set(checked({})) == {"application", "ipv4"}
    said = {"ipv6": False, "provisioning": False, "proxy": ["via: 1.1 hotel"], "clock_offset": -90_000.0}
    found = checked(said)
    assert {name: status for name, (status, _) in found.items()} == {
        "application": "pass",
        "ipv4": "pass",
        "ipv6": "warn",
        "provisioning": "warn",
        "proxy": "warn",
        "clock": "fail",
    }
    assert found["ipv6"][1] == "The user's browser did not reach us over IPv6."
    assert found["proxy"][1].endswith("it added via: 1.1 hotel.")
    assert checked({"clock_offset": 301.0})["clock"][0] == "warn"
    assert checked({"clock_offset": 2.0})["clock"][0] == "pass"


def test_a_wrong_password_from_where_the_users_browser_is_is_the_clients() -> None:
    evidence = copy.deepcopy(EVIDENCE)
    evidence["account"]["watch"], evidence["registrations"] = watch("wrong_password"), ACCEPTED
    assert "client_wrong_password" not in causes(judge.judge(evidence)["findings"])
    evidence["client_report"] = {"browser": CHECKED | {"clock_offset": None}}
    assert "client_wrong_password" in causes(judge.judge(evidence)["findings"])
