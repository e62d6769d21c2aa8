# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the chains of a packet filter keep out, whichever filter they were read from.

A chain is ``{name, table, family (4, 6 or None for both), hook, policy, rules}``; a chain without ``hook`` is reached
by jumps alone. A rule is ``{verdict, target, protocol, ports, sources, sets, exact, text}``: ``verdict`` is ``accept
drop reject return jump goto`` or None, ``target`` the chain that a jump leads to, ``ports`` ranges of destination ports
(empty: any), ``sources`` networks and ``sets`` names of sets the source must be in (both empty: anybody). ``exact`` is
false when the rule also asks for something else: then it holds for some packets only, nobody knows which.
"""

from __future__ import annotations

import ipaddress

HOOKS = ("input", "output", "prerouting", "ingress")
#: Protocols whose ports are told; what holds for every protocol is told for each of these.
PROTOCOLS = ("tcp", "udp")
EVERY_PORT = [[0, 65535]]

_BLOCKING = ("drop", "reject")
_NUMBERS = {"6": "tcp", "17": "udp"}
_DEPTH = 16
_BLOCKS = 500


def blocks(chains):
    """The blocks of docs/documents.md: each rule and policy that can drop or reject, with the ports that the rules
    before it accept from anybody."""
    by_name = {(chain["table"], chain["name"]): chain for chain in chains}
    found = []
    for chain in chains:
        if chain.get("hook") in HOOKS:
            walk = _Walk(chain, by_name)
            walk.rules(chain, {}, 0)
            walk.end()
            found.extend(walk.found)
    return found[:_BLOCKS]


class _Walk:
    """The way of a new connection's first packet through one base chain and the chains it jumps to."""

    def __init__(self, base, by_name):
        self.base, self.by_name = base, by_name
        self.accepted = {protocol: [] for protocol in PROTOCOLS}
        self.found = []

    def rules(self, chain, outer, depth):
        """Go through the rules of a chain, on the conditions of the jumps that lead to it."""
        for rule in chain["rules"]:
            rule = _both(outer, rule)
            if rule is None or not rule["verdict"]:
                continue
            verdict = rule["verdict"]
            if verdict in ("jump", "goto"):
                target = self.by_name.get((chain["table"], rule["target"]))
                if target is not None and depth < _DEPTH:
                    self.rules(target, rule, depth + 1)
            elif verdict == "accept":
                self._accept(rule)
            elif verdict in _BLOCKING and rule["exact"]:
                self._block(chain["name"], rule, verdict, None)

    def end(self):
        """What reaches the end of the base chain meets its policy."""
        policy = self.base.get("policy")
        if policy in _BLOCKING:
            rule = {"protocol": None, "ports": [], "sources": [], "sets": [], "text": "policy " + policy}
            self._block(self.base["name"], rule, policy, policy)

    def _accept(self, rule):
        anybody = rule["exact"] and not rule["sources"] and not rule["sets"]
        for protocol in PROTOCOLS if anybody else ():
            if rule["protocol"] in (None, protocol):
                self.accepted[protocol].extend(rule["ports"] or EVERY_PORT)

    def _block(self, name, rule, verdict, policy):
        protocols = [rule["protocol"]] if rule["protocol"] else PROTOCOLS
        for protocol in protocols:
            self.found.append(
                {
                    "chain": name,
                    "table": self.base["table"],
                    "family": self.base["family"],
                    "hook": self.base["hook"],
                    "policy": policy,
                    "text": rule["text"],
                    "handle": rule.get("handle"),
                    "verdict": verdict,
                    "protocol": protocol,
                    "ports": rule["ports"],
                    "sources": rule["sources"],
                    "sets": rule["sets"],
                    "accepts": _joined(self.accepted.get(protocol, [])),
                }
            )


def _both(outer, rule):
    """A rule under the conditions of the jump that led to it; None when both can't hold."""
    if not outer:
        return rule
    if outer["protocol"] and rule["protocol"] and outer["protocol"] != rule["protocol"]:
        return None
    ports = _common(outer["ports"], rule["ports"])
    if ports is None:
        return None
    both_sources = bool(outer["sources"] or outer["sets"]) and bool(rule["sources"] or rule["sets"])
    return dict(
        rule,
        protocol=rule["protocol"] or outer["protocol"],
        ports=ports,
        sources=rule["sources"] or ([] if rule["sets"] else outer["sources"]),
        sets=rule["sets"] or ([] if rule["sources"] else outer["sets"]),
        # Two lists of sources that must both hold can't be told with one list.
        exact=rule["exact"] and outer["exact"] and not both_sources,
    )


def _common(one, other):
    """The ports in both lists of ranges, where empty means any; None when there is none."""
    if not one or not other:
        return one or other
    ranges = [
        [max(first[0], second[0]), min(first[1], second[1])]
        for first in one
        for second in other
        if max(first[0], second[0]) <= min(first[1], second[1])
    ]
    return ranges or None


def others(ranges):
    """The ports that are in none of the ranges."""
    found, start = [], 0
    for first, last in _joined(ranges):
        if first > start:
            found.append([start, first - 1])
        start = last + 1
    return found + ([[start, 65535]] if start <= 65535 else [])


def _joined(ranges):
    """Ranges in order, those that touch joined."""
    found = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1][1] = max(found[-1][1], last)
        else:
            found.append([first, last])
    return found


class Conditions:
    """What a rule asks for, collected one match after the other, into a rule as described above.

    ``never`` becomes true when the rule can't hold for a new connection that comes from outside. A match on an
    interface other than the loopback is taken to hold: a server is mostly reached over one.
    """

    def __init__(self):
        self.protocol, self.ports, self.sources, self.sets = None, [], [], []
        self.never = False
        self.exact = True

    def is_protocol(self, names, negated=False):
        """The transport protocol is one of ``names`` (numbers, too)."""
        wanted = {_NUMBERS.get(str(name), str(name)) for name in names}
        if "all" in wanted or "0" in wanted:
            return
        told = [name for name in PROTOCOLS if (name in wanted) != negated]
        if not told:
            # Some other protocol: nothing that SIP is carried over.
            self.never = True
        elif len(told) < len(PROTOCOLS):
            self.protocol = told[0]

    def to_ports(self, ranges, negated=False):
        """The destination port is in one of the ranges."""
        common = _common(self.ports, others(ranges) if negated else [list(one) for one in ranges])
        self.never = self.never or common is None
        self.ports = common or []

    def from_networks(self, networks, negated=False):
        """The source is in one of the networks."""
        if self.sources or self.sets:
            self.exact = False
        try:
            self.sources = outside(networks) if negated else [str(network(one)) for one in networks]
        except ValueError:
            self.exact = False
        self.never = self.never or (not self.sources and self.exact)

    def from_set(self, name, negated=False):
        """The source is in the set of that name."""
        if negated or self.sources or self.sets:
            self.exact = False
        self.sets = [name]

    def to_networks(self, networks, negated=False):
        """The destination is in one of the networks; those of nobody alone (multicast, broadcast) don't matter."""
        try:
            alone = any(not network(one).is_multicast and str(one) != "255.255.255.255" for one in networks)
        except ValueError:
            self.exact = False
            return
        self.never = self.never or alone is negated

    def over_interface(self, name, negated=False):
        """The packet comes in over an interface."""
        if (name == "lo") is not negated:
            self.never = True

    def in_states(self, states, negated=False):
        """Connection tracking has the packet in one of the states."""
        if ("new" in {str(state).lower() for state in states}) is negated:
            self.never = True

    def rule(self, verdict, target, text):
        """The rule, or None when it never holds."""
        if self.never:
            return None
        return {
            "verdict": verdict,
            "target": target,
            "protocol": self.protocol,
            "ports": self.ports,
            "sources": self.sources,
            "sets": self.sets,
            "exact": self.exact,
            "text": text,
        }


def network(text):
    """An address or network as such. Raises `ValueError`."""
    return ipaddress.ip_network(str(text), strict=False)


def outside(networks):
    """The networks that make up the rest of the address family of the networks given. Raises `ValueError`."""
    wanted = [network(one) for one in networks]
    rest = [network("::/0" if any(one.version == 6 for one in wanted) else "0.0.0.0/0")]
    for one in wanted:
        rest = [
            part
            for whole in rest
            for part in (
                list(whole.address_exclude(one))
                if one.version == whole.version and one.subnet_of(whole)
                else []
                if one.version == whole.version and whole.subnet_of(one)
                else [whole]
            )
        ]
    return [str(one) for one in sorted(rest)]
