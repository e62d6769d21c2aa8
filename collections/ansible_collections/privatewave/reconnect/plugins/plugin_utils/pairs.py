# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairs: groups of the inventory whose servers are nodes that stand in for each other."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.privatewave.reconnect.plugins.module_utils._common import REGISTRATIONS


class PairError(ValueError):
    """A pair is no group of the inventory, or one of less than two servers."""


def partners(server: str, pairs: Iterable[str], groups: Mapping[str, Sequence[str]]) -> list[str]:
    """The other nodes of the server's pairs, by name. Raises `PairError`."""
    found: set[str] = set()
    for pair in pairs:
        nodes = groups.get(pair) or ()
        if len(nodes) < 2:
            raise PairError(f"The pair '{pair}' needs two servers in the inventory. It has {len(nodes)}.")
        if server in nodes:
            found.update(nodes)
    return sorted(found - {server})


def alone(
    server: str,
    pairs: Iterable[str],
    groups: Mapping[str, Sequence[str]],
    hostvars: Mapping[str, Mapping[str, Any]],
    play: Collection[str] = (),
    serving: Collection[str] = (),
) -> str:
    """Why no partner is known to serve, as a sentence; "" where one does, the server has none, or one of those in the
    `play` is not judged yet. `serving` are servers on which this run saw a registration before. Raises `PairError`."""
    others = {partner: _latest(hostvars, partner) for partner in partners(server, pairs, groups)}
    if not others or any(
        partner in serving or (found is None and partner in play) or _registers(found)
        for partner, found in others.items()
    ):
        return ""
    said = [
        f"{name} takes no registration" if found else f"nothing is known of {name}" for name, found in others.items()
    ]
    return f"No partner of this server is known to serve: {', '.join(said)}."


def _latest(hostvars: Mapping[str, Mapping[str, Any]], server: str) -> Mapping[str, Any] | None:
    """What the play judged last of a server."""
    found: Mapping[str, Any] | None = (hostvars[server].get("reconnect_gathered") or {}).get("judgement")
    return found


def _registers(judgement: Mapping[str, Any] | None) -> bool:
    findings = (judgement or {}).get("findings") or ()
    return any(one["code"] in REGISTRATIONS and one["status"] == "pass" for one in findings)
