# SPDX-License-Identifier: GPL-3.0-or-later
"""Ranges of ports, and the rest of the addresses."""

from __future__ import annotations

from ansible_collections.privatewave.reconnect.plugins.module_utils._host import rules as packet_rules


def test_the_ports_outside_of_ranges() -> None:
    assert packet_rules.others([[10, 20], [0, 4], [15, 30]]) == [[5, 9], [31, 65535]]
    assert packet_rules.others([[0, 65535]]) == []


def test_the_rest_of_the_addresses() -> None:
    assert packet_rules.outside(["128.0.0.0/1"]) == ["0.0.0.0/1"]
    assert packet_rules.outside(["8000::/1", "::/1"]) == []
