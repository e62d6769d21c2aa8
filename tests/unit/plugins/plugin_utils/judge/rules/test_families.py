"""A vantage without IPv6 says nothing about the server's IPv6 address."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge

ADDRESS, ADDRESS6 = "192.0.2.5", "2001:db8::5"
UNREACHABLE = {"ok": False, "error": "unreachable", "message": "Network is unreachable"}


def evidence(sources: list[str]) -> dict[str, Any]:
    answered = {"ok": True, "data": {"rtt_ms": 1}}
    echoed = {"ok": True, "data": {"sent": 5, "received": 5, "loss": 0.0}}
    path = {
        "vantage": "branch",
        "source_addresses": sources,
        "icmp": {ADDRESS: echoed, ADDRESS6: UNREACHABLE},
        "tcp": {f"{ADDRESS}:5061": answered, f"[{ADDRESS6}]:5061": UNREACHABLE},
    }
    return {
        "schema": "reconnect/evidence/v1",
        "name": "pbx",
        "settings": {"addresses": [ADDRESS, ADDRESS6]},
        "server": {"ok": True},
        "paths": {"branch": {"ok": True, "data": path}},
    }


@pytest.mark.parametrize(
    ("sources", "failing"),
    [(["192.0.2.77"], set()), (["192.0.2.77", "2001:db8::77"], {"path.icmp", "path.tcp"})],
)
def test_only_a_vantage_with_ipv6_judges_ipv6(sources: list[str], failing: set[str]) -> None:
    findings = judge.judge(evidence(sources))["findings"]
    about = [one for one in findings if one["code"].startswith("path.")]
    assert {one["code"] for one in about if one["status"] == "fail"} == failing
    assert any(one["code"] == "path.family" for one in about) is not bool(failing)
    assert [one["status"] for one in about if one["about"] == f"{ADDRESS}:5061"] == ["pass"]
