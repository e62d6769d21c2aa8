# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of the test call: never more than was seen."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.documents import Judgement

OPEN = {
    "table": "filter",
    "hook": "input",
    "protocol": "udp",
    "policy": "drop",
    "accepts": [[5060, 5060], [15000, 18000]],
}
SHUT = {**OPEN, "accepts": [[5060, 5060]], "text": "policy drop"}


def ok(data: object) -> dict[str, Any]:
    return {"ok": True, "seconds": 0.01, "data": data}


def call(server: Any = None, **changes: Any) -> dict[str, Any]:
    counts = {"received": 490, "received_lost": 0, "sent": 490, "sent_lost": 0}
    data: dict[str, Any] = {
        "vantage": "phone",
        "caller": "601",
        "callee": "602",
        "seconds": 10.0,
        "clients": {name: {"registered": True, "status": 200, "reason": "OK"} for name in ("601", "602")},
        "setup": {
            "answered": True,
            "seconds": 0.1,
            "status": 200,
            "reason": "OK",
            "encrypted": True,
            "dropped": False,
        },
        "media": {name: {"sent": 500, "received": 500, "lost": 0} for name in ("601", "602")},
        "server": ok({"601": counts, "602": counts} if server is None else server),
    }
    for name, change in changes.items():
        data[name] = {**data[name], **change} if isinstance(change, dict) else change
    return ok(data)


def judged(probe: Any, **host: Any) -> Judgement:
    firewall = host or {"firewall": ok({"backend": "nft", "blocks": [OPEN]})}
    evidence: dict[str, Any] = {
        "schema": "reconnect/evidence/v1",
        "name": "pbx",
        "server": {"ok": True, "seconds": 1},
        "settings": {"rtp_ports": [15000, 18000], "sip_transports": []},
        "host": firewall,
        "call": probe,
    }
    found = judge.judge(evidence)
    found["findings"] = [one for one in found["findings"] if one["code"].startswith("call.")]
    return found


def failing(found: Judgement) -> list[tuple[str, str | None, str]]:
    return [(one["code"], one["cause"], one["about"]) for one in found["findings"] if one["status"] == "fail"]


def silent(received_by_601: int = 500, **server: Any) -> dict[str, Any]:
    """The call in which 601 hears so many packets, and the server counts this of 601."""
    counts = {"received": 490, "received_lost": 0, "sent": 490, "sent_lost": 0}
    return call(
        server={"601": {**counts, **server}, "602": counts},
        media={"601": {"sent": 500, "received": received_by_601, "lost": 0}},
    )


def test_a_good_call_passes_in_all_its_parts() -> None:
    found = judged(call())
    assert [one["status"] for one in found["findings"]] == ["pass"] * 7


def test_without_a_call_nothing_is_said() -> None:
    evidence = {"schema": "reconnect/evidence/v1", "name": "pbx", "server": {"ok": True}, "settings": {}}
    assert not [one for one in judge.judge(evidence)["findings"] if one["code"].startswith("call.")]


def test_a_call_that_could_not_be_placed_is_unknown() -> None:
    found = judged({"ok": False, "seconds": 0, "error": "missing", "message": "linphone-daemon is not installed here"})
    assert [(one["code"], one["status"]) for one in found["findings"]] == [("call.test", "unknown")]
    assert "linphone-daemon" in found["findings"][0]["summary"]


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        (silent(received_by_601=0), [("call.media", "firewall_edge_blocks", "the server to 601")]),
        (silent(received=0), [("call.media", "firewall_edge_blocks", "601 to the server")]),
        (silent(received=300, received_lost=190), [("call.media", "packet_loss_high", "601 to the server")]),
        (silent(received=488, received_lost=2), []),
    ],
)
def test_media_that_do_not_arrive(probe: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    assert failing(judged(probe)) == expected


def test_the_server_s_own_rule_is_told_from_one_on_the_way() -> None:
    shut = judged(silent(received=0), firewall=ok({"backend": "nft", "blocks": [SHUT]}))
    assert failing(shut) == [("call.media", "firewall_host_blocks", "601 to the server")]
    unknown = judged(silent(received=0), firewall={"ok": False, "error": "failed", "message": "no nft"})
    assert failing(unknown) == [("call.media", None, "601 to the server")]
    banned = judged(silent(received=0), firewall=ok({"backend": "nft", "blocks": [OPEN, {**SHUT, "sets": ["banned"]}]}))
    assert failing(banned) == [("call.media", "firewall_edge_blocks", "601 to the server")]


def test_what_was_not_sent_is_not_missed() -> None:
    found = judged(silent(received_by_601=0, sent=0))
    assert not failing(found)
    assert [one["about"] for one in found["findings"] if one["status"] == "unknown"] == ["the server to 601"]


def test_without_the_server_s_counts_nobody_is_blamed() -> None:
    probe = call(server={}, media={"601": {"sent": 500, "received": 0, "lost": 0}})
    assert failing(judged(probe)) == [("call.media", None, "to 601")]


@pytest.mark.parametrize(
    ("setup", "words"),
    [
        ({"answered": False, "status": 488, "reason": "Not Acceptable Here"}, "no encryption"),
        ({"answered": False, "status": None, "reason": ""}, "no final answer"),
        ({"encrypted": False}, "not encrypted"),
        ({"dropped": True}, "ended by itself"),
    ],
)
def test_a_call_that_is_not_set_up_is_an_unknown_cause(setup: dict[str, Any], words: str) -> None:
    found = judged(call(setup=setup))
    (one,) = [one for one in found["findings"] if one["status"] == "fail"]
    assert words in one["summary"]
    assert (one["code"], one["cause"]) == ("call.setup", None)
    assert [root["cause"] for root in found["verdict"]["root_causes"]] == ["unknown_cause"]


def test_an_account_that_does_not_register_is_named() -> None:
    probe = call(
        clients={"602": {"registered": False, "status": 401, "reason": "Unauthorized"}}, setup=None, media=None
    )
    assert failing(judged(probe)) == [("call.registration", None, "602")]


def test_what_fails_elsewhere_explains_the_call() -> None:
    probe = call(setup={"answered": False, "status": 503, "reason": "Service Unavailable"})
    evidence = {
        "schema": "reconnect/evidence/v1",
        "name": "pbx",
        "server": {"ok": True, "seconds": 1},
        "settings": {"channel_driver": "pjsip", "sip_transports": []},
        "account": {"rows": ok({"endpoint": {"id": "602"}, "auth": {"username": "602"}, "aor": {"max_contacts": 0}})},
        "call": probe,
    }
    verdict = judge.judge(evidence)["verdict"]
    assert [root["cause"] for root in verdict["root_causes"]] == ["max_contacts_zero"]
    assert "call.setup" in [one["code"] for one in verdict["symptoms"]]
