# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairs: groups of the inventory whose servers are nodes that stand in for each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


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
