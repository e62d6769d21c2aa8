# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of idle connections: that the network drops them is a cause only where the account's is idle."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.documents import Judgement

OFF = [{"field": "keep_alive", "wanted": "every 15 s", "found": "every 60 s", "cause": "nat_idle_drop"}]
LOST = {"account": {"entries": [{"event": "DISCONNECT", "details": "NETWORK_ERROR"}]}}


def ok(data: object) -> dict[str, Any]:
    return {"ok": True, "seconds": 0.01, "data": data}


def measured(*ended: str, kept: str = "alive", keep_alive_seconds: int = 0) -> dict[str, Any]:
    """Silences of 3.75, 7.5, 15 and 30 s that ended so."""
    return ok(
        {
            "vantage": "phone",
            "transport": "tls",
            "account": "601",
            "kept": {"seconds": 30, "every": 1.875, "ended": kept, "message": ""},
            "silent": [
                {"seconds": seconds, "ended": one, "message": ""}
                for seconds, one in zip((3.75, 7.5, 15, 30), ended, strict=True)
            ],
            "keep_alive_seconds": keep_alive_seconds,
        }
    )


FORGETS = measured("alive", "alive", "alive", "lost", keep_alive_seconds=15)


def judged(
    idle: dict[str, Any],
    findings: list[dict[str, Any]] | None = None,
    settings: dict[str, Any] | None = None,
    sessions: dict[str, Any] | None = None,
) -> Judgement:
    evidence: dict[str, Any] = {
        "schema": "reconnect/evidence/v1",
        "name": "pbx",
        "settings": {},
        "server": {"ok": True, "seconds": 1},
        "idle": idle,
        "client_report": {"settings": settings or {}},
    }
    if findings is not None:
        evidence["account"] = {"registry": ok({"registered": True, "findings": findings})}
        evidence["account"] |= {"sessions": ok(sessions)} if sessions else {}
    return judge.judge(evidence)


def said(*arguments: Any, **options: Any) -> list[tuple[str, str, str | None]]:
    return [
        (one["code"], one["status"], one["cause"])
        for one in judged(*arguments, **options)["findings"]
        if one["code"] in ("path.idle", "account.keep_alive")
    ]


@pytest.mark.parametrize(
    ("idle", "status"),
    [
        (measured("alive", "alive", "alive", "alive"), "pass"),
        (FORGETS, "warn"),
        (measured("alive", "alive", "closed", "closed"), "warn"),
        (measured("alive", "lost", "alive", "lost"), "unknown"),
        (measured("lost", "lost", "lost", "lost"), "fail"),
        (measured("lost", "lost", "lost", "lost", kept="lost"), "fail"),
        ({"ok": False, "seconds": 1, "error": "denied", "message": "601 was not let in: 401"}, "unknown"),
    ],
)
def test_an_idle_connection_alone_names_no_cause(idle: dict[str, Any], status: str) -> None:
    assert said(idle) == [("path.idle", status, None)]


def test_a_server_that_asks_too_seldom_loses_the_account() -> None:
    assert said(FORGETS, OFF)[1:] == [("account.keep_alive", "fail", "nat_idle_drop")]
    verdict = judged(FORGETS, OFF)["verdict"]
    assert [(one["cause"], one["remedy"], one["policy"]) for one in verdict["root_causes"]] == [
        ("nat_idle_drop", "fix_account", "auto")
    ]


def test_a_server_that_asks_often_enough_loses_nobody() -> None:
    assert said(FORGETS, []) == [("path.idle", "warn", None)]


@pytest.mark.parametrize(
    ("seconds", "settings", "sessions", "status"),
    [
        (60, {}, None, "warn"),
        (60, {"keep_alive": True}, None, "warn"),
        (60, {"keep_alive": True}, LOST, "fail"),
        (60, {"keep_alive": False}, None, "fail"),
        (29, {"keep_alive": True}, None, "fail"),
    ],
)
def test_a_client_that_speaks_often_enough_keeps_its_connection(
    seconds: int, settings: dict[str, bool], sessions: dict[str, Any] | None, status: str
) -> None:
    idle = measured("alive", "alive", "alive", "lost", keep_alive_seconds=seconds)
    ((_code, found, _cause),) = said(idle, OFF, settings, sessions)[1:]
    assert found == status


def test_a_keep_alive_that_is_off_is_a_symptom_of_a_way_that_forgets() -> None:
    verdict = judged(FORGETS, OFF, {"keep_alive": False}, LOST)["verdict"]
    assert [one["cause"] for one in verdict["root_causes"]] == ["nat_idle_drop"]
    assert [one["cause"] for one in verdict["symptoms"]] == ["client_keepalive_off"]


def test_the_keep_alive_says_nothing_of_the_password() -> None:
    wrong = ok({"seconds": 1, "attempts": [{"outcome": "wrong_password", "address": "192.0.2.77"}]})
    live = ok({"contacts": [{"uri": "sip:1001@192.0.2.77:4000"}]})
    evidence = {
        "schema": "reconnect/evidence/v1",
        "name": "pbx",
        "settings": {},
        "server": {"ok": True, "seconds": 1},
        "registrations": {"601": {"control": ok({"accepted": True})}},
        "account": {"registry": ok({"registered": True, "findings": OFF}), "watch": wrong, "live": live},
    }
    causes = [one["cause"] for one in judge.judge(evidence)["findings"] if one["status"] == "fail"]
    assert causes == ["client_wrong_password"]
