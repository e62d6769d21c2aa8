# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the rule set that ``nft -j list ruleset`` prints (libnftables-json(5))."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from typing import TYPE_CHECKING, Any, TypedDict

from ansible_collections.privatewave.reconnect.plugins.module_utils._common import plain_json
from ansible_collections.privatewave.reconnect.plugins.module_utils._host.rules import Conditions
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ansible_collections.privatewave.reconnect.plugins.module_utils._host.documents import Family
    from ansible_collections.privatewave.reconnect.plugins.module_utils._host.rules import Chain, Ranges, Rule, Verdict

    #: An object of libnftables-json(5); what is not as described there raises and is caught in `parse`.
    Json = Mapping[str, Any]


class RuleSet(TypedDict):
    """A rule set: its chains, the addresses of its sets by name, and whether only iptables can read some rules."""

    chains: list[Chain]
    sets: dict[str, list[str]]
    foreign: bool


_FAMILIES: dict[str, Family] = {"ip": 4, "ip6": 6}
_VERDICTS: tuple[Verdict, ...] = ("accept", "drop", "reject", "return", "jump", "goto")
#: Statements that do not change which packets a rule matches.
_NEUTRAL = ("counter", "log", "notrack", "mangle", "comment", "queue", "continue")
#: The most addresses of a set that are kept.
_ELEMENTS = 10000


def parse(text: str) -> RuleSet:
    """The rule set, without the tables that hold rules of iptables. Raises `ProbeError`."""
    try:
        entries = plain_json(text or "{}").get("nftables", [])
        return _parse([next(iter(entry.items())) for entry in entries if entry])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProbeError("invalid", "nft lists no rule set: {0}".format(error)) from None


def _parse(entries: Sequence[tuple[str, Json]]) -> RuleSet:
    foreign = {
        (one["family"], one["table"])
        for kind, one in entries
        if kind == "rule" and any("xt" in statement for statement in one.get("expr", ()))
    }
    addresses: dict[str, list[str]] = {}
    ports: dict[str, Ranges] = {}
    for kind, one in entries:
        if kind == "set" and one.get("type") in ("ipv4_addr", "ipv6_addr"):
            listed = addresses.setdefault(one["name"], [])
            listed.extend(_networks(one.get("elem", ()))[: _ELEMENTS - len(listed)])
        elif kind == "set" and one.get("type") == "inet_service":
            ports[one["name"]] = _ranges(one.get("elem", ()))
    chains: list[Chain] = []
    rules: dict[tuple[str, str, str], list[Rule]] = {}
    replies: dict[tuple[str, str, str], list[Rule]] = {}
    for kind, one in entries:
        key = (one.get("family", ""), one.get("table", ""), one.get("name" if kind == "chain" else "chain", ""))
        if key[:2] in foreign:
            continue
        if kind == "chain":
            rules[key], replies[key] = [], []
            # A chain that translates addresses does not drop.
            hook = one.get("hook") if one.get("type", "filter") == "filter" else None
            chains.append(
                {
                    "filter": "nft",
                    "name": one["name"],
                    "table": "{0} {1}".format(one["family"], one["table"]),
                    "family": _FAMILIES.get(one["family"]),
                    "hook": hook,
                    "policy": one.get("policy"),
                    "rules": rules[key],
                    "replies": replies[key],
                }
            )
        elif kind == "rule":
            for into, reply in (rules[key], False), (replies[key], True):
                found = _rules_of(one, ports, reply)
                # An entry of a verdict map cannot be removed without the others.
                known_by = digest(one) if len(found) == 1 else None
                into.extend({**part, "handle": one.get("handle"), "digest": known_by} for part in found)
    return {"chains": chains, "sets": addresses, "foreign": bool(foreign)}


def digest(rule: Json) -> str:
    """What is in a rule, without what it has counted, as a number in hexadecimal."""
    expressions = [{"counter": None} if isinstance(one.get("counter"), dict) else one for one in rule.get("expr", ())]
    content = json.dumps([expressions, rule.get("comment")], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _rules_of(rule: Json, ports: Mapping[str, Ranges], reply: bool) -> list[Rule]:
    """A rule of nftables as one rule, or as one for each entry of its verdict map."""
    statements = rule.get("expr", ())
    maps = [statement["vmap"] for statement in statements if isinstance(statement.get("vmap"), dict)]
    if not maps:
        return [_rule(statements, rule, ports, reply)]
    found = []
    data = maps[0].get("data")
    for key, verdict in data.get("set", ()) if isinstance(data, dict) else ():
        match = {"match": {"op": "==", "left": maps[0]["key"], "right": key}}
        plain = [statement for statement in statements if "vmap" not in statement]
        found.append(_rule([*plain, match, verdict], rule, ports, reply))
    return found


def _rule(statements: Iterable[Json], rule: Json, ports: Mapping[str, Ranges], reply: bool) -> Rule:
    conditions = Conditions(reply)
    verdict: Verdict | None = None
    target: str | None = None
    for statement in statements:
        kind, value = next(iter(statement.items()))
        if kind in _VERDICTS:
            verdict = _VERDICTS[_VERDICTS.index(kind)]
            target = value.get("target") if kind in ("jump", "goto") else None
            if kind == "reject" and isinstance(value, dict) and value.get("type") == "tcp reset":
                conditions.is_protocol(["tcp"])
        elif kind == "match":
            _match(conditions, value, ports)
        elif kind not in _NEUTRAL:
            conditions.exact = False
    return conditions.rule(verdict, target, _text(statements, rule))


def _match(conditions: Conditions, match: Json, ports: Mapping[str, Ranges]) -> None:
    """Add a match to the conditions; an unknown one makes them inexact."""
    left, right, negated = match["left"], match["right"], match.get("op") == "!="
    kind, what = next(iter(left.items())) if isinstance(left, dict) else ("", None)
    # A calculation, as `tcp flags & syn`, has a list.
    if not isinstance(what, dict) or match.get("op") not in ("==", "!=", "in"):
        conditions.exact = False
        return
    named = right[1:] if isinstance(right, str) and right.startswith("@") else None
    values = _values(right)
    protocol, field = (what.get("protocol"), what.get("field")) if kind == "payload" else (None, what.get("key"))
    if kind == "payload" and field == conditions.port:
        if protocol in ("tcp", "udp"):
            conditions.is_protocol([protocol])
        if named is None or named in ports:
            conditions.to_ports(ports[named] if named else _ranges(values), negated)
        else:
            conditions.exact = False
    elif kind == "payload" and field == conditions.client and protocol in ("ip", "ip6"):
        if named:
            conditions.from_set(named, negated)
        else:
            conditions.from_networks(_networks(values), negated)
    elif kind == "payload" and field == conditions.server and not named:
        conditions.to_networks(_networks(values), negated)
    elif field in ("l4proto", "protocol", "nexthdr") and not named:
        conditions.is_protocol(values, negated)
    elif kind == "meta" and field == "nfproto":
        conditions.from_networks(["::/0" if "ipv6" in values else "0.0.0.0/0"], negated)
    elif kind == "meta" and field in (conditions.interface, conditions.interface + "name") and len(values) == 1:
        conditions.over_interface(values[0], negated)
    elif kind == "ct" and field == "state":
        conditions.in_states(values, negated)
    else:
        conditions.exact = False


def _values(right: Any) -> list[Any]:
    """The right side of a match as a list."""
    if isinstance(right, dict) and "set" in right:
        right = right["set"]
    return right if isinstance(right, list) else [right]


def _element(value: Any) -> Any:
    """An element of a set without its timeout, counter and comment."""
    return value["elem"]["val"] if isinstance(value, dict) and "elem" in value else value


def _ranges(values: Iterable[Any]) -> Ranges:
    """Ports as ranges. Raises `ValueError` for the name of a service (nft -j prints numbers)."""
    found: Ranges = []
    for value in map(_element, values):
        first, last = value["range"] if isinstance(value, dict) else (value, value)
        found.append([int(first), int(last)])
    return found


def _networks(values: Iterable[Any]) -> list[str]:
    """Addresses, prefixes and ranges as the texts of networks."""
    found: list[str] = []
    for value in map(_element, values):
        if not isinstance(value, dict):
            found.append(str(value))
        elif "prefix" in value:
            found.append("{addr}/{len}".format(**value["prefix"]))
        elif "range" in value:
            first, last = (ipaddress.ip_address(one) for one in value["range"])
            found.extend(str(one) for one in ipaddress.summarize_address_range(first, last))
    return found


def _text(statements: Iterable[Json], rule: Json) -> str:
    """The rule for people, much as nft writes it."""
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


def _match_text(match: Json) -> str:
    left = match["left"]
    kind, what = next(iter(left.items())) if isinstance(left, dict) else ("", {})
    if not isinstance(what, dict):
        return "…"
    parts = [what.get("protocol"), what.get("field")] if kind == "payload" else [kind, what.get("key")]
    if kind == "meta" and parts[1] in ("iif", "iifname", "oif", "oifname"):
        parts = parts[1:]
    if match.get("op") == "!=":
        parts.append("!=")
    values = [_value_text(value) for value in _values(match["right"])]
    parts.append(values[0] if len(values) == 1 else "{ " + ", ".join(values) + " }")
    return " ".join(str(part) for part in parts if part)


def _value_text(value: Any) -> str:
    value = _element(value)
    if isinstance(value, dict) and "range" in value:
        return "{0}-{1}".format(*value["range"])
    return "{addr}/{len}".format(**value["prefix"]) if isinstance(value, dict) and "prefix" in value else str(value)
