# SPDX-License-Identifier: GPL-3.0-or-later
"""Which new connections the rules of iptables block."""

from __future__ import annotations

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import iptables
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import rules as packet_rules


@pytest.mark.parametrize(
    ("rules", "blocked"),
    [
        ("-A INPUT -p tcp --dport 5061 -j DROP", ["tcp"]),
        ("-A INPUT -p tcp ! --dport 5061 -j DROP", []),
        ("-A INPUT -m state --state NEW -p tcp --dport 5061 -j REJECT", ["tcp"]),
        ("-A INPUT -m conntrack --ctstate INVALID -j DROP", []),
        ("-A INPUT -i lo -j DROP", []),
        ("-A INPUT ! -i lo -p tcp --dport 5061 -j DROP", ["tcp"]),
        ("-A INPUT -p tcp --dport 5061 -m hashlimit --hashlimit-above 5/sec --hashlimit-name x -j DROP", []),
        ("-A INPUT -p icmp -j DROP", []),
        ("-A INPUT -j DROP", ["tcp", "udp"]),
        ("-A INPUT -d 224.0.0.0/4 -j DROP", []),
        ("-A INPUT -p udp -j TELEPHONES\n-A TELEPHONES -p tcp -j DROP", []),
        ("-A INPUT -p tcp -j TELEPHONES\n-A TELEPHONES -p tcp --dport 5061 -j DROP", ["tcp"]),
        ("-A INPUT -j TELEPHONES\n-A TELEPHONES -j INPUT", []),
        # The server's answers.
        ("-A OUTPUT -p tcp --sport 5061 -j DROP", ["tcp"]),
        ("-A OUTPUT -p tcp -m multiport --sports 5060,5061 -j DROP", ["tcp"]),
        ("-A OUTPUT -p tcp --dport 5061 -j DROP", []),
        ("-A OUTPUT -o lo -j DROP", []),
        ("-A OUTPUT -m conntrack --ctstate NEW -j DROP", []),
        ("-A OUTPUT -m conntrack --ctstate ESTABLISHED -p tcp -j TELEPHONES\n-A TELEPHONES -j DROP", ["tcp"]),
        ("-A INPUT -p tcp --sport 5061 -j DROP", []),
    ],
)
def test_who_is_blocked(rules: str, blocked: list[str]) -> None:
    chains = iptables.parse(
        "*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:TELEPHONES - [0:0]\n" + rules + "\nCOMMIT\n", 4
    )
    found = [
        block["protocol"]
        for block in packet_rules.blocks(chains)
        if not block.get("partial")
        and (not block["ports"] or any(first <= 5061 <= last for first, last in block["ports"]))
    ]
    assert found == blocked


@pytest.mark.parametrize(
    ("rule", "partial"),
    [
        ("-p tcp --dport 5061 -m hashlimit --hashlimit-above 5/sec --hashlimit-name x -j DROP", [True]),
        ("-p tcp --dport 5061 -m length --length 500:65535 -j DROP", [True]),
        ("-p tcp --dport 5061 -j DROP", [None]),
        # About no port, it is no more about SIP than about anything.
        ("-m length --length 500:65535 -j DROP", []),
    ],
)
def test_a_rule_with_further_conditions_drops_some_packets(rule: str, partial: list[bool | None]) -> None:
    chains = iptables.parse(f"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT {rule}\nCOMMIT\n", 4)
    assert [block.get("partial") for block in packet_rules.blocks(chains)] == partial
