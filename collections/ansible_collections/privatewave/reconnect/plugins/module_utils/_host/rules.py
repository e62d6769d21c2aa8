# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the chains of a packet filter block, whichever filter they were read from."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Literal, TypedDict, TypeVar, Union

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ansible_collections.privatewave.reconnect.plugins.module_utils._host.documents import (
        Block,
        Family,
        Filter,
    )

    #: Ranges of ports, each its first and its last one.
    Ranges = list[list[int]]

Verdict = Literal["accept", "drop", "reject", "return", "jump", "goto"]
Network = TypeVar("Network", ipaddress.IPv4Network, ipaddress.IPv6Network)
AnyNetwork = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


class _Place(TypedDict, total=False):
    #: nftables' number of the rule in its table.
    handle: int | None
    #: What is in the rule, by which it can be removed; None where it cannot be removed alone.
    digest: str | None


class Rule(_Place):
    """A rule of a chain.

    ``target`` is the chain that a jump leads to. ``ports`` are ranges of destination ports, empty: any. ``sources`` are
    networks and ``sets`` names of sets that the source must be in, both empty: anybody. ``exact`` is false when the
    rule has further conditions: it matches some packets then, nobody knows which.
    """

    verdict: Verdict | None
    target: str | None
    protocol: str | None
    ports: list[list[int]]
    sources: list[str]
    sets: list[str]
    exact: bool
    text: str


class Chain(TypedDict):
    """A chain of the filter that it was read from.

    One without ``hook`` is reached by jumps alone; ``family`` None: both. ``replies`` are its rules as the server's
    first answer meets them, see `Conditions`.
    """

    filter: Filter
    name: str
    table: str
    family: Family | None
    hook: str | None
    policy: str | None
    rules: list[Rule]
    replies: list[Rule]


HOOKS = ("input", "output", "prerouting", "ingress")
#: The protocols that are reported: a rule for every protocol is reported for each of these.
PROTOCOLS = ("tcp", "udp")
EVERY_PORT = [[0, 65535]]

_BLOCKING: tuple[Verdict, ...] = ("drop", "reject")
_NUMBERS = {"6": "tcp", "17": "udp"}
_DEPTH = 16
_BLOCKS = 500


def blocks(chains: Sequence[Chain]) -> list[Block]:
    """Each rule and policy that can drop or reject, with the ports that the rules before it accept from anybody.

    A rule that drops only some packets is one of them where it names its ports.
    """
    by_name = {(chain["table"], chain["name"]): chain for chain in chains}
    found: list[Block] = []
    for chain in chains:
        hook = chain.get("hook")
        if hook in HOOKS:
            walk = _Walk(chain, hook, by_name)
            walk.rules(chain, None, 0)
            walk.end()
            found.extend(walk.found)
    return found[:_BLOCKS]


class _Walk:
    """The path of a new connection's first packet through one base chain and the chains it jumps to; where packets
    leave the server, that of its first answer."""

    def __init__(self, base: Chain, hook: str, by_name: dict[tuple[str, str], Chain]) -> None:
        self.base, self.hook, self.by_name = base, hook, by_name
        self.accepted: dict[str, Ranges] = {protocol: [] for protocol in PROTOCOLS}
        self.found: list[Block] = []

    def rules(self, chain: Chain, outer: Rule | None, depth: int) -> None:
        """Apply the rules of a chain under the conditions of the jump that leads to it."""
        for own in chain["replies"] if self.hook == "output" else chain["rules"]:
            rule = _both(outer, own)
            if rule is None or not rule["verdict"]:
                continue
            verdict = rule["verdict"]
            if verdict in ("jump", "goto"):
                target = self.by_name.get((chain["table"], rule["target"] or ""))
                if target is not None and depth < _DEPTH:
                    self.rules(target, rule, depth + 1)
            elif verdict == "accept":
                self._accept(rule)
            elif verdict in _BLOCKING and (rule["exact"] or rule["ports"]):
                self._block(chain["name"], rule, verdict, None)

    def end(self) -> None:
        """Apply the policy to what reaches the end of the base chain."""
        for verdict in _BLOCKING:
            if self.base.get("policy") == verdict:
                rule = Conditions().rule(verdict, None, "policy " + verdict)
                self._block(self.base["name"], rule, verdict, verdict)

    def _accept(self, rule: Rule) -> None:
        anybody = rule["exact"] and not rule["sources"] and not rule["sets"]
        for protocol in PROTOCOLS if anybody else ():
            if rule["protocol"] in (None, protocol):
                self.accepted[protocol].extend(rule["ports"] or EVERY_PORT)

    def _block(self, name: str, rule: Rule, verdict: str, policy: str | None) -> None:
        for protocol in [rule["protocol"]] if rule["protocol"] else PROTOCOLS:
            block: Block = {
                "filter": self.base["filter"],
                "chain": name,
                "table": self.base["table"],
                "family": self.base["family"],
                "hook": self.hook,
                "policy": policy,
                "text": rule["text"],
                "handle": rule.get("handle"),
                "digest": rule.get("digest"),
                "verdict": verdict,
                "protocol": protocol,
                "ports": rule["ports"],
                "sources": rule["sources"],
                "sets": rule["sets"],
                "accepts": _joined(self.accepted.get(protocol, [])),
            }
            if not rule["exact"]:
                block["partial"] = True
            self.found.append(block)


def _both(outer: Rule | None, rule: Rule) -> Rule | None:
    """A rule under the conditions of the jump that led to it; None when no packet matches both."""
    if outer is None:
        return rule
    if outer["protocol"] and rule["protocol"] and outer["protocol"] != rule["protocol"]:
        return None
    ports = _common(outer["ports"], rule["ports"])
    if ports is None:
        return None
    both_sources = bool(outer["sources"] or outer["sets"]) and bool(rule["sources"] or rule["sets"])
    return {
        **rule,
        # What other jumps lead to the rule would be let through, too, unless its own ports keep it to the same packets.
        "digest": rule.get("digest") if rule["ports"] and rule["ports"] == ports else None,
        "protocol": rule["protocol"] or outer["protocol"],
        "ports": ports,
        "sources": rule["sources"] or ([] if rule["sets"] else outer["sources"]),
        "sets": rule["sets"] or ([] if rule["sources"] else outer["sets"]),
        # One list of sources cannot express that two must match.
        "exact": rule["exact"] and outer["exact"] and not both_sources,
    }


def _common(one: Ranges, other: Ranges) -> Ranges | None:
    """The ports in both lists of ranges, where empty means any; None when no port is in both."""
    if not one or not other:
        return one or other
    ranges = [
        [max(first[0], second[0]), min(first[1], second[1])]
        for first in one
        for second in other
        if max(first[0], second[0]) <= min(first[1], second[1])
    ]
    return ranges or None


def others(ranges: Ranges) -> Ranges:
    """The ports that are in none of the ranges."""
    found: Ranges = []
    start = 0
    for first, last in _joined(ranges):
        if first > start:
            found.append([start, first - 1])
        start = last + 1
    return found + ([[start, 65535]] if start <= 65535 else [])


def _joined(ranges: Ranges) -> Ranges:
    """The ranges in order; those that touch are joined."""
    found: Ranges = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1][1] = max(found[-1][1], last)
        else:
            found.append([first, last])
    return found


class Conditions:
    """The conditions of a rule, collected one match after the other.

    ``never`` becomes true when the rule cannot match a new connection from outside. A match on an interface other than
    the loopback is taken to match: a server is mostly reached over one.

    For a ``reply`` it is the server's first answer to such a connection: its source is the server, its destination the
    client. The server's port and the client's address are what ``ports`` and ``sources`` are in both cases.
    """

    def __init__(self, reply: bool = False) -> None:
        #: What the fields of a packet are called that lead to the server's port, address and interface.
        self.port, self.server, self.client, self.interface = (
            ("sport", "saddr", "daddr", "oif") if reply else ("dport", "daddr", "saddr", "iif")
        )
        self.state = "established" if reply else "new"
        self.protocol: str | None = None
        self.ports: Ranges = []
        self.sources: list[str] = []
        self.sets: list[str] = []
        self.never = False
        self.exact = True

    def is_protocol(self, names: Iterable[object], negated: bool = False) -> None:
        """The transport protocol is one of ``names``, which may be numbers."""
        wanted = {_NUMBERS.get(str(name), str(name)) for name in names}
        if "all" in wanted or "0" in wanted:
            return
        matching = [name for name in PROTOCOLS if (name in wanted) != negated]
        if not matching:
            # SIP is not carried over any other protocol.
            self.never = True
        elif len(matching) < len(PROTOCOLS):
            self.protocol = matching[0]

    def to_ports(self, ranges: Ranges, negated: bool = False) -> None:
        """The server's port is in one of the ranges."""
        common = _common(self.ports, others(ranges) if negated else [list(one) for one in ranges])
        self.never = self.never or common is None
        self.ports = common or []

    def from_networks(self, networks: Iterable[object], negated: bool = False) -> None:
        """The client is in one of the networks."""
        if self.sources or self.sets:
            self.exact = False
        try:
            self.sources = outside(networks) if negated else [str(network(one)) for one in networks]
        except ValueError:
            self.exact = False
        self.never = self.never or (not self.sources and self.exact)

    def from_set(self, name: str, negated: bool = False) -> None:
        """The client is in the set of that name."""
        if negated or self.sources or self.sets:
            self.exact = False
        self.sets = [name]

    def to_networks(self, networks: Iterable[object], negated: bool = False) -> None:
        """The server is in one of the networks; multicast and broadcast do not count."""
        try:
            unicast = any(not network(one).is_multicast and str(one) != "255.255.255.255" for one in networks)
        except ValueError:
            self.exact = False
            return
        self.never = self.never or unicast is negated

    def over_interface(self, name: str, negated: bool = False) -> None:
        """The packet arrives, or leaves, on an interface."""
        if (name == "lo") is not negated:
            self.never = True

    def in_states(self, states: Iterable[object], negated: bool = False) -> None:
        """The packet is in one of the states of connection tracking."""
        if (self.state in {str(state).lower() for state in states}) is negated:
            self.never = True

    def rule(self, verdict: Verdict | None, target: str | None, text: str) -> Rule:
        """The rule with these conditions; its ``verdict`` is None when it never matches."""
        return {
            "verdict": None if self.never else verdict,
            "target": target,
            "protocol": self.protocol,
            "ports": self.ports,
            "sources": self.sources,
            "sets": self.sets,
            "exact": self.exact,
            "text": text,
        }


def network(text: object) -> AnyNetwork:
    """The network of an address or a prefix. Raises `ValueError`."""
    return ipaddress.ip_network(str(text), strict=False)


def outside(networks: Iterable[object]) -> list[str]:
    """The networks of the same address family that hold every other address. Raises `ValueError`."""
    wanted = [network(one) for one in networks]
    of_ipv6 = [one for one in wanted if isinstance(one, ipaddress.IPv6Network)]
    if of_ipv6:
        return _rest(ipaddress.IPv6Network("::/0"), of_ipv6)
    return _rest(ipaddress.IPv4Network("0.0.0.0/0"), [one for one in wanted if isinstance(one, ipaddress.IPv4Network)])


def _rest(everything: Network, taken: Iterable[Network]) -> list[str]:
    """The networks of everything without what is taken."""
    rest = [everything]
    for one in taken:
        rest = [
            part
            for whole in rest
            for part in (
                list(whole.address_exclude(one)) if one.subnet_of(whole) else [] if whole.subnet_of(one) else [whole]
            )
        ]
    return [str(one) for one in sorted(rest)]
