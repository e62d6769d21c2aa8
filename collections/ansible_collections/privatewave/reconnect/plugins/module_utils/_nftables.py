# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the rule set of nftables as ``nft -j list ruleset`` prints it (libnftables-json(5))."""

from __future__ import annotations

import ipaddress
import json

from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._rules import Conditions

_FAMILIES = {"ip": 4, "ip6": 6}
_VERDICTS = ("accept", "drop", "reject", "return", "jump", "goto")
#: Statements that don't change whom a rule holds for.
_NEUTRAL = ("counter", "log", "notrack", "mangle", "comment", "queue", "continue")
#: Kept of each set at most.
_ELEMENTS = 10000


def parse(text):
    """``{chains, sets, foreign}``: chains as in ``_rules``, ``{name: [address]}`` of the sets of addresses, and whether
    there are rules that only iptables can read. Tables with such rules are left to it."""
    try:
        entries = json.loads(text or "{}").get("nftables", [])
        return _parse([next(iter(entry.items())) for entry in entries if entry])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProbeError("invalid", "nft lists no rule set: {0}".format(error)) from None


def _parse(entries):
    foreign = {
        (one["family"], one["table"])
        for kind, one in entries
        if kind == "rule" and any("xt" in statement for statement in one.get("expr", ()))
    }
    addresses, ports = {}, {}
    for kind, one in entries:
        if kind == "set" and one.get("type") in ("ipv4_addr", "ipv6_addr"):
            listed = addresses.setdefault(one["name"], [])
            listed.extend(_networks(one.get("elem", ()))[: _ELEMENTS - len(listed)])
        elif kind == "set" and one.get("type") == "inet_service":
            ports[one["name"]] = _ranges(one.get("elem", ()))
    chains, rules = [], {}
    for kind, one in entries:
        key = (one.get("family"), one.get("table"), one.get("name" if kind == "chain" else "chain"))
        if key[:2] in foreign:
            continue
        if kind == "chain":
            rules[key] = []
            # What translates addresses does not drop.
            hook = one.get("hook") if one.get("type", "filter") == "filter" else None
            chains.append(
                {
                    "name": one["name"],
                    "table": "{0} {1}".format(one["family"], one["table"]),
                    "family": _FAMILIES.get(one["family"]),
                    "hook": hook,
                    "policy": one.get("policy"),
                    "rules": rules[key],
                }
            )
        elif kind == "rule":
            rules[key].extend(dict(found, handle=one.get("handle")) for found in _rules_of(one, ports))
    return {"chains": chains, "sets": addresses, "foreign": bool(foreign)}


def _rules_of(rule, ports):
    """The rules that one of nftables is: a verdict map is one for each of its entries."""
    statements = rule.get("expr", ())
    maps = [statement["vmap"] for statement in statements if isinstance(statement.get("vmap"), dict)]
    if not maps:
        return [one for one in [_rule(statements, rule, ports)] if one]
    found = []
    data = maps[0].get("data")
    for key, verdict in data.get("set", ()) if isinstance(data, dict) else ():
        match = {"match": {"op": "==", "left": maps[0]["key"], "right": key}}
        plain = [statement for statement in statements if "vmap" not in statement]
        found.append(_rule([*plain, match, verdict], rule, ports))
    return [one for one in found if one]


def _rule(statements, rule, ports):
    conditions, verdict, target = Conditions(), None, None
    for statement in statements:
        kind, value = next(iter(statement.items()))
        if kind in _VERDICTS:
            verdict = kind
            target = value.get("target") if kind in ("jump", "goto") else None
            if kind == "reject" and isinstance(value, dict) and value.get("type") == "tcp reset":
                conditions.is_protocol(["tcp"])
        elif kind == "match":
            _match(conditions, value, ports)
        elif kind not in _NEUTRAL:
            conditions.exact = False
    return conditions.rule(verdict, target, _text(statements, rule))


def _match(conditions, match, ports):
    """Add a match to the conditions; one that is not understood makes them inexact."""
    left, right, negated = match["left"], match["right"], match.get("op") == "!="
    if not isinstance(left, dict) or match.get("op") not in ("==", "!=", "in"):
        conditions.exact = False
        return
    kind, what = next(iter(left.items()))
    named = right[1:] if isinstance(right, str) and right.startswith("@") else None
    values = _values(right)
    protocol, field = (what.get("protocol"), what.get("field")) if kind == "payload" else (None, what.get("key"))
    if kind == "payload" and field == "dport":
        if protocol in ("tcp", "udp"):
            conditions.is_protocol([protocol])
        if named is None or named in ports:
            conditions.to_ports(ports[named] if named else _ranges(values), negated)
        else:
            conditions.exact = False
    elif kind == "payload" and field == "saddr" and protocol in ("ip", "ip6"):
        if named:
            conditions.from_set(named, negated)
        else:
            conditions.from_networks(_networks(values), negated)
    elif kind == "payload" and field == "daddr" and not named:
        conditions.to_networks(_networks(values), negated)
    elif field in ("l4proto", "protocol", "nexthdr") and not named:
        conditions.is_protocol(values, negated)
    elif kind == "meta" and field == "nfproto":
        conditions.from_networks(["::/0" if "ipv6" in values else "0.0.0.0/0"], negated)
    elif kind == "meta" and field in ("iif", "iifname") and len(values) == 1:
        conditions.over_interface(values[0], negated)
    elif kind == "ct" and field == "state":
        conditions.in_states(values, negated)
    else:
        conditions.exact = False


def _values(right):
    """The right side of a match as a list."""
    if isinstance(right, dict) and "set" in right:
        right = right["set"]
    return right if isinstance(right, list) else [right]


def _element(value):
    """An element of a set without its timeout, counter and comment."""
    return value["elem"]["val"] if isinstance(value, dict) and "elem" in value else value


def _ranges(values):
    """Ports as ranges. Raises `ValueError` for a service's name (nft -j prints numbers)."""
    found = []
    for value in map(_element, values):
        first, last = value["range"] if isinstance(value, dict) else (value, value)
        found.append([int(first), int(last)])
    return found


def _networks(values):
    """Addresses, prefixes and ranges as the texts of networks."""
    found = []
    for value in map(_element, values):
        if not isinstance(value, dict):
            found.append(str(value))
        elif "prefix" in value:
            found.append("{addr}/{len}".format(**value["prefix"]))
        elif "range" in value:
            first, last = (ipaddress.ip_address(one) for one in value["range"])
            found.extend(str(one) for one in ipaddress.summarize_address_range(first, last))
    return found


def _text(statements, rule):
    """The rule much as nft would write it, for people."""
    words = []
    for statement in statements:
        kind, value = next(iter(statement.items()))
        if kind == "match":
            words.append(_match_text(value))
        elif kind in ("jump", "goto"):
            words.append("{0} {1}".format(kind, value.get("target")))
        elif kind != "counter":
            words.append(kind)
    if rule.get("comment"):
        words.append('comment "{0}"'.format(rule["comment"]))
    return " ".join(words)[:300]


def _match_text(match):
    left = match["left"]
    kind, what = next(iter(left.items())) if isinstance(left, dict) else ("", {})
    parts = [what.get("protocol"), what.get("field")] if kind == "payload" else [kind, what.get("key")]
    if kind == "meta" and parts[1] in ("iif", "iifname", "oif", "oifname"):
        parts = parts[1:]
    if match.get("op") == "!=":
        parts.append("!=")
    values = [_value_text(value) for value in _values(match["right"])]
    parts.append(values[0] if len(values) == 1 else "{ " + ", ".join(values) + " }")
    return " ".join(str(part) for part in parts if part)


def _value_text(value):
    value = _element(value)
    if isinstance(value, dict) and "range" in value:
        return "{0}-{1}".format(*value["range"])
    return "{addr}/{len}".format(**value["prefix"]) if isinstance(value, dict) and "prefix" in value else str(value)
