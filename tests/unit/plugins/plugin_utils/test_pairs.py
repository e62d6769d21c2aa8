# SPDX-License-Identifier: GPL-3.0-or-later
"""Who the partners of a node are, and whether one is known to serve."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import pairs

GROUPS = {"a": ["pbx1", "pbx2", "pbx3"], "b": ["pbx3", "pbx4"], "one": ["pbx5"]}


def seen(status: str, code: str = "registration.reserved") -> dict[str, Any]:
    return {"reconnect_gathered": {"judgement": {"findings": [{"code": code, "status": status}]}}}


@pytest.mark.parametrize(
    ("server", "names", "found"),
    [
        ("pbx1", ["a"], ["pbx2", "pbx3"]),
        ("pbx3", ["a", "b"], ["pbx1", "pbx2", "pbx4"]),
        ("pbx4", ["a"], []),
        ("pbx1", [], []),
    ],
)
def test_partners_are_the_others_of_each_pair(server: str, names: list[str], found: list[str]) -> None:
    assert pairs.partners(server, names, GROUPS) == found


@pytest.mark.parametrize(("name", "number"), [("one", 1), ("none", 0)])
def test_a_pair_has_two_servers(name: str, number: int) -> None:
    with pytest.raises(
        pairs.PairError, match=rf"^The pair '{name}' needs two servers in the inventory\. It has {number}"
    ):
        pairs.partners("pbx1", ["a", name], GROUPS)


@pytest.mark.parametrize(
    ("second", "third", "more", "why"),
    [
        (seen("pass"), {}, {}, ""),
        (seen("fail"), seen("pass", "registration.account"), {}, ""),
        (seen("fail"), seen("pass", "asterisk.control"), {}, "pbx2 takes no registration, pbx3 takes no registration"),
        (seen("unknown"), {}, {}, "pbx2 takes no registration, nothing is known of pbx3"),
        ({"reconnect_gathered": {"failed": True}}, {}, {}, "nothing is known of pbx2, nothing is known of pbx3"),
        # It will be known.
        (seen("fail"), {}, {"play": ["pbx1", "pbx3"]}, ""),
        ({}, {}, {"serving": ["pbx2"]}, ""),
    ],
)
def test_a_partner_serves_where_a_registration_succeeded(
    second: dict[str, Any], third: dict[str, Any], more: dict[str, Any], why: str
) -> None:
    found = pairs.alone("pbx1", ["a"], GROUPS, {"pbx1": {}, "pbx2": second, "pbx3": third}, **more)
    assert found == (f"No partner of this server is known to serve: {why}." if why else "")
    assert pairs.alone("pbx4", ["a"], GROUPS, {}) == ""
