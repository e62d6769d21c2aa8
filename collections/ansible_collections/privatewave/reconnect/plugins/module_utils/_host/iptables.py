# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the rules that ``iptables-save`` prints (iptables(8), iptables-extensions(8))."""

from __future__ import annotations

import hashlib
import shlex
from typing import TYPE_CHECKING

from ansible_collections.privatewave.reconnect.plugins.module_utils._host.rules import Conditions

if TYPE_CHECKING:
    from ansible_collections.privatewave.reconnect.plugins.module_utils._host.documents import Family
    from ansible_collections.privatewave.reconnect.plugins.module_utils._host.rules import Chain, Rule, Verdict

_HOOKS = {"INPUT": "input", "OUTPUT": "output", "PREROUTING": "prerouting"}
_TABLES = ("filter", "raw", "mangle", "security")
_VERDICTS: dict[str, Verdict] = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "reject", "RETURN": "return"}
#: Targets after which the packet meets the next rule.
_NEUTRAL = ("LOG", "NFLOG", "CT", "NOTRACK", "MARK", "CONNMARK", "TOS", "DSCP", "TCPMSS", "TRACE", "AUDIT")
#: Options whose value is one word, the fields of a packet that some of them are about, and what ipset calls those.
_MATCHES = ("-p", "-s", "-d", "-i", "-o", "--ctstate", "--state")
_FIELDS = {"-s": "saddr", "-d": "daddr", "-i": "iif", "-o": "oif"}
_DIRECTIONS = {"saddr": "src", "daddr": "dst"}
#: Options that do not change which packets a rule matches, and how many words follow each.
_IGNORED = {"-m": 1, "--comment": 1, "--reject-with": 1, "--log-prefix": 1, "--log-level": 1, "-c": 2}


def parse(text: str, family: Family) -> list[Chain]:
    """The chains of one family's ``iptables-save``."""
    chains: list[Chain] = []
    table: str | None = None
    by_name: dict[str, Chain] = {}
    for line in text.splitlines():
        if line.startswith("*"):
            table, by_name = line[1:].strip(), {}
        elif table not in _TABLES:
            continue
        elif line.startswith(":"):
            name, policy = line[1:].split()[:2]
            chain: Chain = {
                "filter": "iptables",
                "name": name,
                "table": "{0} {1}".format("ip" if family == 4 else "ip6", table),
                "family": family,
                "hook": _HOOKS.get(name),
                "policy": policy.lower() if policy != "-" else None,
                "rules": [],
                "replies": [],
            }
            by_name[name] = chain
            chains.append(chain)
        elif line.startswith("-A "):
            found = words(line)
            if len(found) > 2 and found[1] in by_name:
                chain, known_by = by_name[found[1]], digest(line)
                chain["rules"].append({**_rule(found[2:], line), "digest": known_by})
                chain["replies"].append({**_rule(found[2:], line, reply=True), "digest": known_by})
    return chains


def digest(line: str) -> str:
    """What is in a rule of ``iptables-save``, as a number in hexadecimal."""
    return hashlib.sha256(line.strip().encode("utf-8", "surrogateescape")).hexdigest()


def words(line: str) -> list[str]:
    """The words of a line of ``iptables-save``."""
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _rule(words: list[str], line: str, reply: bool = False) -> Rule:
    conditions = Conditions(reply)
    verdict: Verdict | None = None
    target: str | None = None
    at, negated = 0, False
    while at < len(words):
        option, value = words[at], words[at + 1] if at + 1 < len(words) else ""
        if option == "!":
            at, negated = at + 1, True
            continue
        if option in ("-j", "-g"):
            verdict = _VERDICTS.get(value)
            if verdict is None and value not in _NEUTRAL:
                verdict, target = "jump" if option == "-j" else "goto", value
            at += 2
        elif option in _IGNORED:
            at += 1 + _IGNORED[option]
        elif option in _MATCHES or option in ("--" + conditions.port, "--" + conditions.port + "s"):
            _match(conditions, option, value, negated)
            at += 2
        elif option == "--match-set":
            at += 3
            if words[at - 1] == _DIRECTIONS[conditions.client]:
                conditions.from_set(value, negated)
            else:
                conditions.exact = False
        else:
            # An unknown match: its words up to the next option mean nothing here.
            conditions.exact = False
            at += 1
        negated = False
    return conditions.rule(verdict, target, line[:300])


def _match(conditions: Conditions, option: str, value: str, negated: bool) -> None:
    values = value.split(",")
    field = _FIELDS.get(option)
    if option == "-p":
        conditions.is_protocol(values, negated)
    elif field == conditions.client:
        conditions.from_networks(values, negated)
    elif field == conditions.server:
        conditions.to_networks(values, negated)
    elif field == conditions.interface:
        conditions.over_interface(value, negated)
    elif option in ("--ctstate", "--state"):
        conditions.in_states(values, negated)
    elif field is None:
        try:
            conditions.to_ports([_range(one) for one in values], negated)
        except ValueError:
            conditions.exact = False
    else:
        # The interface on the other side.
        conditions.exact = False


def _range(text: str) -> list[int]:
    first, colon, last = text.partition(":")
    return [int(first or 0), int(last or 65535) if colon else int(first)]
