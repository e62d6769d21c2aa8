# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server's own bans and rules keep out, and what a remedy would remove of it."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .evidence import Evidence
from .facts import own_addresses, wanted_transports, within


class Blocked(NamedTuple):
    """Why a port does not answer: the cause, the end of the sentence about it, and what a remedy would remove."""

    cause: str | None
    reason: str
    targets: Sequence[Mapping[str, Any]] = ()
    by_hand: str = ""


def sip_ports(evidence: Evidence) -> set[int]:
    """The ports at which clients look for SIP."""
    return {int(one["port"]) for one in evidence.settings.get("sip_transports") or []}


def kept_from_sip(evidence: Evidence, address: str, ban: Blocked) -> bool:
    """Whether a ban is about SIP: by the jail of the settings, or by a rule for a port that Asterisk must serve."""
    jail = str(evidence.settings.get("fail2ban_jail") or "")
    return any(target.get("jail") == jail for target in ban.targets) or bool(blocks_of_sip(evidence, address))


def blocks_of_sip(evidence: Evidence, source: str) -> list[Mapping[str, Any]]:
    """The server's own rules and policies that keep an address from a port that Asterisk must serve."""
    return [
        block
        for own in own_addresses(evidence) or [source]
        for transport, port in wanted_transports(evidence)
        for block in blocks_of(evidence, own, port, [source], "udp" if transport == "udp" else "tcp")
    ]


def ban_of(evidence: Evidence, addresses: list[str]) -> Blocked | None:
    """In which list of the server one of the addresses is banned; None: in none."""
    found = evidence.probe("host", "bans")
    lists: Mapping[str, Any] = found.data if found.ok else {}
    jails, sets = (
        [
            (name, member, address)
            for name, members in (lists.get(kind) or {}).items()
            for member in members
            for address in addresses
            if within(address, member)
        ]
        for kind in ("jails", "sets")
    )
    # What a jail bans is in its sets, too, and leaves them with the ban.
    for kind, bans in (("jail", jails), ("set", sets)):
        if not bans:
            continue
        name, member, address = bans[0]
        network = "" if member == address else f" by {member}"
        reason = f": its address {address} is banned in the {kind} {name}{network}."
        if kind == "jail":
            return Blocked("client_banned", reason, [{"jail": name, "member": member} for name, member, _own in bans])
        by_hand = f"Correct the credentials first. Then take {member} out of the set {name} by hand: no jail keeps it."
        return Blocked("client_banned", reason, (), by_hand)
    return None


def blocks_of(
    evidence: Evidence, address: str, port: int, sources: list[str], protocol: str = "tcp", partial: bool = False
) -> list[Mapping[str, Any]]:
    """The server's own rules and policies that turn this port away; with `partial`, those that drop some packets."""
    found = evidence.probe("host", "firewall")
    sets = (evidence.probe("host", "bans").data or {}).get("sets") or {}
    blocks: list[Mapping[str, Any]] = []
    for block in found.data.get("blocks") or [] if found.ok else []:
        if bool(block.get("partial")) is not partial:
            continue
        if str(block.get("hook") or "input").lower() not in ("input", "output", "prerouting", "ingress"):
            continue
        if block.get("protocol") not in (None, "", protocol, "all"):
            continue
        if block.get("family") not in (None, 6 if ":" in address else 4):
            continue
        ranges = block.get("ports") or []
        if ranges and not _in_ranges(port, ranges):
            continue
        if _in_ranges(port, block.get("accepts") or []):
            continue
        from_sets = [member for name in block.get("sets") or [] for member in sets.get(name) or []]
        wanted = [*(block.get("sources") or []), *from_sets]
        if (wanted or block.get("sets")) and not any(within(source, one) for source in sources for one in wanted):
            continue
        blocks.append(block)
    return blocks


def blocked_by_host(evidence: Evidence, blocks: Sequence[Mapping[str, Any]]) -> Blocked:
    """The server's own rules as the cause: the remedy removes all of them, or a person does."""
    texts = list(dict.fromkeys(str(block.get("text") or block.get("chain")) for block in blocks))
    reason = f": the server's own rule{'s say' if texts[1:] else ' says'}: {'; '.join(texts[:3])}."
    by_hand = [
        f'Open the port by hand: "{block.get("text") or block.get("chain")}" in the chain {block.get("chain")} {why}.'
        for block in blocks
        if (why := _not_removable(evidence, block))
    ]
    if by_hand:
        return Blocked("firewall_host_blocks", reason, (), " ".join(dict.fromkeys(by_hand)))
    targets = [{name: block[name] for name in ("filter", "table", "chain", "digest", "text")} for block in blocks]
    return Blocked("firewall_host_blocks", reason, targets)


def _not_removable(evidence: Evidence, block: Mapping[str, Any]) -> str:
    """Why a remedy does not remove a rule, as the end of a sentence; "" where it does."""
    if block.get("policy"):
        return "is a policy, not a rule"
    if block.get("sources") or block.get("sets"):
        return "keeps out single networks, so somebody made it for them"
    ports = _client_ports(evidence)
    if not block.get("ports") or any(
        last - first > len(ports) or not ports.issuperset(range(first, last + 1)) for first, last in block["ports"]
    ):
        return "blocks other ports, too"
    if not block.get("digest"):
        return "cannot be removed alone"
    return ""


def _client_ports(evidence: Evidence) -> set[int]:
    """The ports that clients use: those of SIP, and that of the provisioning service."""
    port = provisioning_port(evidence)
    return sip_ports(evidence) | ({port} if port else set())


def provisioning_port(evidence: Evidence) -> int | None:
    try:
        url = urllib.parse.urlsplit(str(evidence.settings.get("provisioning_url") or ""))
        return (url.port or 443) if url.hostname else None
    except ValueError:
        return None


def _in_ranges(port: int, ranges: Iterable[Sequence[Any]]) -> bool:
    return any(int(first) <= port <= int(last) for first, last in ranges)
