# SPDX-License-Identifier: GPL-3.0-or-later
"""The session log as a database tells it."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._database import sessions
from ansible_collections.privatewave.reconnect.plugins.module_utils._database.sql import Connection
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

NOW = datetime.datetime(2026, 1, 31, 3, 0, 0)


class View(Connection):
    """A database with one view, which answers as asked for an account or an address."""

    def __init__(self, rows: list[dict[str, Any]], error: ProbeError | None = None) -> None:
        self.rows_, self.error = rows, error
        self.asked: list[tuple[str, Sequence[Any]]] = []

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[Sequence[Any]]:
        if self.error:
            raise self.error
        return [(NOW,)] if "LOCALTIMESTAMP" in statement else [(max((row["id"] for row in self.rows_), default=None),)]

    def records(self, statement: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        self.asked.append((statement, values))
        after, wanted = values[0], values[1]
        found = [row for row in self.rows_ if row["id"] > after]
        if len(values) == 3:
            found = [row for row in found if row["username"] == wanted]
        else:
            found = [row for row in found if str(row["remoteaddr"]).startswith((wanted, f"[{wanted}]"))]
        return sorted(found, key=lambda row: -row["id"])[: values[-1]]


def row(
    number: int, event: str, account: str | None = "601", address: str = "198.18.20.1:4000", **more: str
) -> dict[str, Any]:
    when = NOW - datetime.timedelta(seconds=100 - number)
    return {"id": number, "date_created": when, "event_type": event, "username": account, "remoteaddr": address, **more}


def test_the_places_of_registration_tests_are_left_out() -> None:
    ours = {"address": "198.18.20.254:5000"}
    view = View(
        [
            row(1, "REGISTER", useragent="a phone"),
            row(2, "DISCONNECT", details="NETWORK_ERROR"),
            row(3, "CONNECT", **ours),
            row(4, "REGISTER", useragent="Reconnect registration test", **ours),
            row(5, "UNREGISTER", **ours),
        ]
    )
    found = sessions.sessions(view, "V_SIP_SESSION", {}, "601")
    assert [one["event"] for one in found["account"]["entries"]] == ["DISCONNECT", "REGISTER"]
    assert found["address"]["address"] == "198.18.20.1"


def test_the_last_events_of_an_account_and_of_its_address() -> None:
    view = View(
        [
            row(1, "CONNECT"),
            row(2, "REGISTER", useragent="a phone\x1b[2J"),
            row(3, "DISCONNECT", details="NETWORK_ERROR"),
            row(4, "CONNECT", account=None, address="198.18.20.1:4001"),
            row(5, "CONNECT", account=None, address="198.18.20.9:4001"),
        ]
    )
    found = sessions.sessions(view, "V_SIP_SESSION", {}, "601")
    assert [one["event"] for one in found["account"]["entries"]] == ["DISCONNECT", "REGISTER", "CONNECT"]
    assert found["account"]["last"]["DISCONNECT"]["details"] == "NETWORK_ERROR"
    assert found["account"]["last"]["DISCONNECT"]["seconds_ago"] == 97
    agent = found["account"]["last"]["REGISTER"]["agent"]
    assert agent is not None
    assert "\x1b" not in agent
    assert found["address"]["address"] == "198.18.20.1"
    assert found["address"]["last"]["CONNECT"]["address"] == "198.18.20.1:4001"


def test_a_view_without_details_and_with_other_names() -> None:
    view = View([row(1, "DISCONNECT")])
    found = sessions.sessions(view, "V_SIP_SESSION", {"details": "no_such_column"}, "601")
    assert found["account"]["last"]["DISCONNECT"]["details"] is None
    assert found["account"]["last"]["DISCONNECT"]["cipher"] is None


def test_the_account_is_a_parameter_and_the_names_are_names() -> None:
    view = View([row(1, "CONNECT")])
    sessions.sessions(view, "V_SIP_SESSION", None, "6'01")
    assert all("6'01" not in statement for statement, _values in view.asked)
    for name, columns in (("V; DROP TABLE x", {}), ("V", {"account": "1=1 OR username"})):
        with pytest.raises(ProbeError) as caught:
            sessions.sessions(view, name, columns, "601")
        assert caught.value.error == "invalid"


def test_no_view_is_missing_and_an_empty_one_is_empty() -> None:
    gone = ProbeError("failed", "Table doesn't exist", code="1146")
    with pytest.raises(ProbeError) as caught:
        sessions.sessions(View([], gone), "V_SIP_SESSION", {}, "601")
    assert caught.value.error == "missing"
    empty = sessions.sessions(View([]), "V_SIP_SESSION", {}, "601")
    assert empty == {"account": {"last": {}, "entries": []}, "address": {"address": None, "last": {}, "entries": []}}


def test_an_address_of_ipv6_is_the_same_with_any_port() -> None:
    view = View([row(1, "CONNECT", address="[2001:2:0:10::10]:4000")])
    assert sessions.sessions(view, "V", {}, "601")["address"]["address"] == "2001:2:0:10::10"
