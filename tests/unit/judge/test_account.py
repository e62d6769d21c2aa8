"""The rules of one account, on both channel drivers."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge


def ok(data: object) -> dict[str, Any]:
    return {"ok": True, "seconds": 0.01, "data": data}


def endpoint(**changes: dict[str, Any] | None) -> dict[str, Any]:
    rows: dict[str, Any] = {
        "endpoint": {"id": "1001", "auth": "1001", "aors": "1001"},
        "auth": {"id": "1001", "username": "1001", "md5_cred": {"set": False, "matches": None}},
        "aor": {"id": "1001", "max_contacts": 1, "remove_existing": "yes"},
        "contacts": [],
    }
    for name, change in changes.items():
        rows[name] = change if change is None or isinstance(change, list) else {**rows[name], **change}
    return rows


def peer(**changes: Any) -> dict[str, Any]:
    return {
        "endpoint": {"name": "1001", "host": "dynamic", "transport": "tls,udp", **changes},
        "auth": {"md5secret": changes.get("md5secret", {"set": False, "matches": None})},
        "aor": {},
        "contacts": [],
    }


def causes(driver: str, found: dict[str, Any], **account: Any) -> list[str]:
    evidence = {
        "schema": "reconnect/evidence/v1",
        "name": "pbx",
        "server": {"ok": True, "seconds": 1},
        "settings": {"channel_driver": driver, "sip_transports": [{"transport": "tls", "port": 5061}]},
        "account": {"rows": ok(found), "live": ok({"contacts": []}), **account},
    }
    return [one["cause"] for one in judge.judge(evidence)["findings"] if one["status"] == "fail" and one["cause"]]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (endpoint(), []),
        ({"endpoint": None, "auth": None, "aor": None, "contacts": []}, ["account_missing"]),
        (endpoint(auth=None), ["auth_missing"]),
        (endpoint(aor=None), ["aor_missing"]),
        (endpoint(auth={"username": "1002"}), ["auth_name_mismatch"]),
        (endpoint(aor={"max_contacts": 0}), ["max_contacts_zero"]),
        (endpoint(aor={"max_contacts": 2}, contacts=[{}, {}]), []),
        (endpoint(aor={"max_contacts": 2, "remove_existing": "no"}, contacts=[{}, {}]), ["max_contacts_reached"]),
        (endpoint(auth={"md5_cred": {"set": True, "matches": False}}), ["realm_mismatch"]),
        (endpoint(auth={"md5_cred": {"set": True, "matches": True}}), []),
    ],
)
def test_rows_of_chan_pjsip(rows, expected):
    assert causes("pjsip", rows) == expected


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (peer(), []),
        (peer(host="192.0.2.7"), ["peer_not_dynamic"]),
        (peer(transport="udp"), ["transport_mismatch"]),
        (peer(transport=None), ["transport_mismatch"]),
        (peer(md5secret={"set": True, "matches": False}), ["realm_mismatch"]),
    ],
)
def test_rows_of_chan_sip(rows, expected):
    assert causes("sip", rows) == expected


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("SuccessfulAuth", []),
        ("ChallengeResponseFailed", ["password_mismatch"]),
        ("InvalidPassword", ["password_mismatch"]),
        ("FailedACL", ["acl_denies"]),
    ],
)
def test_the_last_attempt_counts(event, expected):
    attempts = {"events": {"SuccessfulAuth": 1, event: 1}, "last": {"event": event}, "addresses": {}}
    assert causes("pjsip", endpoint(), attempts=ok(attempts)) == expected


def test_without_an_account_nothing_is_said_of_one():
    evidence = {"schema": "reconnect/evidence/v1", "name": "pbx", "server": {"ok": True, "seconds": 1}}
    assert not [one for one in judge.judge(evidence)["findings"] if one["subject"] == "account"]


def test_rows_that_could_not_be_read_are_no_missing_account():
    dead = {"ok": False, "seconds": 3, "error": "timed_out", "message": "the database does not answer"}
    assert causes("pjsip", {}, rows=dead) == []


@pytest.mark.parametrize(
    ("entries", "status", "words"),
    [
        ([{"event": "REGISTER", "address": "192.0.2.1:5", "seconds_ago": 30}], "pass", "30 seconds ago"),
        ([{"event": "UNREGISTER", "seconds_ago": 7200}], "warn", "by itself, 2 hours ago"),
        ([{"event": "DISCONNECT", "details": "NETWORK_ERROR", "seconds_ago": 200}] * 3, "warn", "NETWORK_ERROR"),
        ([{"event": "DISCONNECT", "seconds_ago": None}], "warn", "not known"),
        ([], "warn", "nothing of this account"),
    ],
)
def test_the_session_log_tells_and_blames_nobody(entries, status, words):
    evidence = {
        "schema": "reconnect/evidence/v1",
        "name": "pbx",
        "server": {"ok": True, "seconds": 1},
        "settings": {"channel_driver": "pjsip", "sip_transports": []},
        "account": {"sessions": ok({"account": {"entries": entries, "last": {}}, "address": {}})},
    }
    (found,) = [one for one in judge.judge(evidence)["findings"] if one["code"] == "account.sessions"]
    assert (found["status"], found["cause"]) == (status, None)
    assert words in found["summary"]


@pytest.mark.parametrize(
    ("field", "wanted", "there", "cause", "words"),
    [
        ("username", "1001", None, "account_missing", "The account registry has the account, the server has not."),
        ("password", "***", "***", "password_mismatch", "The server has another password than the account registry."),
        ("password", "***", "***", "realm_mismatch", "made for another realm."),
        ("contacts", "room", "1 of 1 taken", "max_contacts_reached", "no room for a new contact (1 of 1 taken)."),
        ("endpoint", "one", "several", "account_doubled", "The server has the account more than once."),
        ("aor", "1001", None, "aor_missing", "Its address of record (AOR) is missing on the server; by the account"),
        ("security_model", "sdes", "no", "security_model_mismatch", "is no on the server; by the account registry it"),
    ],
)
def test_what_differs_from_the_registry_is_told_in_words(field, wanted, there, cause, words):
    found = {"field": field, "wanted": wanted, "found": there, "cause": cause}
    evidence = {
        "schema": "reconnect/evidence/v1",
        "name": "pbx",
        "server": {"ok": True, "seconds": 1},
        "settings": {"channel_driver": "pjsip"},
        "account": {"registry": ok({"registered": True, "findings": [found]})},
    }
    (told,) = [one for one in judge.judge(evidence)["findings"] if one["cause"] == cause]
    assert words in told["summary"]


def test_one_contact_is_told_as_one():
    taken = endpoint(aor={"max_contacts": 1, "remove_existing": "no"}, contacts=[{}])
    evidence = {
        "schema": "reconnect/evidence/v1",
        "name": "pbx",
        "server": {"ok": True, "seconds": 1},
        "settings": {"channel_driver": "pjsip"},
        "account": {"rows": ok(taken), "live": ok({"contacts": [{"uri": "sip:1001@192.0.2.1"}]})},
    }
    said = [one["summary"] for one in judge.judge(evidence)["findings"] if one["code"].startswith("account.")]
    assert "Its only contact is taken and none gives way to a new one." in said
    assert "Asterisk has 1 live contact of the account." in said
