# SPDX-License-Identifier: GPL-3.0-or-later
"""Which new connections, and which answers to them, the rules of nftables block."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import nftables
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import rules as packet_rules


def match(left: dict[str, Any], right: Any) -> dict[str, Any]:
    return {"match": {"op": "==", "left": left, "right": right}}


def payload(field: str, value: Any, protocol: str = "tcp") -> dict[str, Any]:
    return match({"payload": {"protocol": protocol, "field": field}}, value)


def blocks(hook: str, *rules: list[dict[str, Any]], policy: str = "accept") -> list[tuple[str, list[list[int]]]]:
    """Protocol and ports of what is blocked."""
    where = {"family": "inet", "table": "filter"}
    chain = {**where, "name": "it", "type": "filter", "hook": hook, "policy": policy}
    listed = [{"rule": {**where, "chain": "it", "handle": 4, "expr": expr}} for expr in rules]
    found = packet_rules.blocks(nftables.parse(json.dumps({"nftables": [{"chain": chain}, *listed]}))["chains"])
    return [(block["protocol"], block["ports"]) for block in found if [0, 65535] not in block["accepts"]]


DROP: dict[str, Any] = {"drop": None}
ACCEPT: dict[str, Any] = {"accept": None}
ESTABLISHED = match({"ct": {"key": "state"}}, ["established", "related"])
#: As nft 1.0 prints `tcp flags & (syn | ack) == syn | ack`.
FLAGS = match({"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, ["syn", "ack"]]}, ["syn", "ack"])


@pytest.mark.parametrize(
    ("rules", "policy", "blocked"),
    [
        ([[payload("sport", 5061), DROP]], "accept", [("tcp", [[5061, 5061]])]),
        ([[payload("sport", 5061), payload("daddr", "192.0.2.7", "ip"), DROP]], "accept", [("tcp", [[5061, 5061]])]),
        # The client's port, the loopback, and what only a new connection of the server meets.
        ([[payload("dport", 5061), DROP]], "accept", []),
        ([[match({"meta": {"key": "oifname"}}, "lo"), DROP]], "accept", []),
        ([[match({"ct": {"key": "state"}}, "new"), payload("sport", 5061), DROP]], "accept", []),
        # As most sites have it: what answers is let out.
        ([[ESTABLISHED, ACCEPT]], "drop", []),
        ([], "drop", [("tcp", []), ("udp", [])]),
        ([[ESTABLISHED, payload("sport", 5061), DROP]], "accept", [("tcp", [[5061, 5061]])]),
    ],
)
def test_answers_that_do_not_leave_the_server(
    rules: list[list[dict[str, Any]]], policy: str, blocked: list[tuple[str, list[list[int]]]]
) -> None:
    assert blocks("output", *rules, policy=policy) == blocked


def test_the_source_port_of_a_client_is_not_the_server_s() -> None:
    assert blocks("input", [payload("sport", 5061), DROP]) == []
    assert blocks("input", [payload("dport", 5061), DROP]) == [("tcp", [[5061, 5061]])]


@pytest.mark.parametrize("hook", ["input", "output"])
def test_a_rule_that_calculates_hides_no_other(hook: str) -> None:
    port = "dport" if hook == "input" else "sport"
    assert blocks(hook, [FLAGS, DROP], [payload(port, 5061), DROP]) == [("tcp", [[5061, 5061]])]
