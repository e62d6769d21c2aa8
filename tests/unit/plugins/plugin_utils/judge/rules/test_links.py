"""Interfaces that are down, and links that lose packets."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge

ADDRESS, ADDRESS6 = "192.0.2.5", "2001:db8::5"
WHERE, WHERE6 = f"{ADDRESS}:5061", f"[{ADDRESS6}]:5061"


def ok(data: Any) -> dict[str, Any]:
    return {"ok": True, "data": data}


def no(error: str) -> dict[str, Any]:
    return {"ok": False, "error": error, "message": "nothing came back"}


def link(name: str, state: str, *addresses: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "state": state, "mtu": 1500, "addresses": list(addresses), **more}


def evidence(links: list[dict[str, Any]] | None = None, **path: Any) -> dict[str, Any]:
    echo = ok({"sent": 5, "received": 5, "loss": 0.0, "rtt_ms": {"avg": 1}})
    seen = {
        "source_addresses": ["192.0.2.77", "2001:db8::77"],
        "icmp": {ADDRESS: echo, ADDRESS6: echo},
        "tcp": {WHERE: ok({"rtt_ms": 1}), WHERE6: ok({"rtt_ms": 1})},
        **path,
    }
    sockets = [{"proto": "tcp", "address": "::", "port": 5061, "pid": 7, "process": "asterisk"}]
    return {
        "schema": "reconnect/evidence/v1",
        "name": "pbx",
        "settings": {
            "addresses": [ADDRESS, ADDRESS6],
            "sip_transports": [{"transport": "tls", "port": 5061}],
            "asterisk_unit": "asterisk.service",
        },
        "server": {"ok": True},
        "host": {
            "interfaces": ok(links or [link("eth0", "up", f"{ADDRESS}/24", f"{ADDRESS6}/64")]),
            "units": ok({"asterisk.service": {"active_state": "active", "load_state": "loaded"}}),
            "sockets": ok(sockets),
            "firewall": ok({"backend": "none", "blocks": []}),
            "bans": ok({"jails": {}, "sets": {}}),
        },
        "asterisk": {"process": ok({"pid": 7, "state": "S"}), "control": ok({"answered": True})},
        "paths": {"phone": ok(seen)},
    }


def roots(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["cause"], one["about"]) for one in judge.judge(document)["verdict"]["root_causes"]]


def status(document: dict[str, Any], code: str) -> list[str]:
    return [one["status"] for one in judge.judge(document)["findings"] if one["code"] == code]


SILENT6 = {
    "icmp": {ADDRESS: ok({"sent": 5, "received": 5, "loss": 0.0}), ADDRESS6: no("unreachable")},
    "tcp": {WHERE: ok({"rtt_ms": 1}), WHERE6: no("unreachable")},
}


@pytest.mark.parametrize(("enabled", "why"), [(False, "switched off"), (True, "no carrier"), (None, "is down.")])
def test_an_interface_that_is_down_explains_the_silence_of_its_address(enabled: bool | None, why: str) -> None:
    down = link("sip6", "down", f"{ADDRESS6}/64", **({} if enabled is None else {"enabled": enabled}))
    document = evidence([link("eth0", "up", f"{ADDRESS}/24"), down], **SILENT6)
    assert roots(document) == [("interface_down", ADDRESS6)]
    assert why in judge.judge(document)["verdict"]["root_causes"][0]["summary"]


def test_an_interface_that_is_down_does_not_explain_the_silence_of_another_address() -> None:
    down = link("sip6", "down", f"{ADDRESS6}/64", enabled=False)
    silent = {**SILENT6, "tcp": {WHERE: no("timed_out"), WHERE6: no("unreachable")}}
    found = roots(evidence([link("eth0", "up", f"{ADDRESS}/24"), down], **silent))
    assert found == [("interface_down", ADDRESS6), ("firewall_edge_blocks", WHERE)]


@pytest.mark.parametrize(
    "other",
    [
        link("bridge0", "down", "198.51.100.1/24", enabled=True),
        # The standby of an address that another interface has.
        link("eth1", "down", f"{ADDRESS}/24", enabled=False),
    ],
)
def test_an_interface_that_no_client_needs_may_be_down(other: dict[str, Any]) -> None:
    document = evidence([link("eth0", "up", f"{ADDRESS}/24", f"{ADDRESS6}/64"), other])
    assert roots(document) == []
    assert status(document, "host.interface") == ["pass", "warn"]


LOSSY = ok({"sent": 20, "received": 8, "loss": 0.6, "rtt_ms": {"avg": 1}})
HOLE = ok({"mtu": 576, "black_hole": True, "largest_ok": 576, "local_mtu": 1500, "reported_mtu": None})


def test_a_lossy_link_explains_what_did_not_get_through_and_is_no_black_hole() -> None:
    document = evidence(
        icmp={ADDRESS: LOSSY, ADDRESS6: LOSSY},
        tcp={WHERE: no("timed_out"), WHERE6: ok({"rtt_ms": 1})},
        tls={WHERE6: no("timed_out")},
        path_mtu={ADDRESS: HOLE},
    )
    assert roots(document) == [("packet_loss_high", ADDRESS)]
    assert status(document, "path.mtu") == ["unknown"]


def test_a_link_on_which_every_ping_got_lost_is_no_black_hole() -> None:
    document = evidence(icmp={ADDRESS: no("timed_out"), ADDRESS6: LOSSY}, path_mtu={ADDRESS: HOLE})
    assert roots(document) == [("packet_loss_high", ADDRESS6)]
    assert status(document, "path.mtu") == ["unknown"]


def test_a_refusal_is_no_loss() -> None:
    document = evidence(icmp={ADDRESS: LOSSY}, tcp={WHERE: no("refused")})
    assert sorted(roots(document)) == [("firewall_edge_blocks", WHERE), ("packet_loss_high", ADDRESS)]


def test_a_black_hole_on_a_link_that_loses_nothing_is_one() -> None:
    assert roots(evidence(path_mtu={ADDRESS: HOLE})) == [("mtu_black_hole", ADDRESS)]
