# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the rules of iptables as ``iptables-save`` prints them (iptables(8), iptables-extensions(8))."""

from __future__ import annotations

import shlex

from ansible_collections.privatewave.reconnect.plugins.module_utils._rules import Conditions

_HOOKS = {"INPUT": "input", "OUTPUT": "output", "PREROUTING": "prerouting"}
_TABLES = ("filter", "raw", "mangle", "security")
_VERDICTS = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "reject", "RETURN": "return"}
#: Targets after which the packet goes on to the next rule.
_NEUTRAL = ("LOG", "NFLOG", "CT", "NOTRACK", "MARK", "CONNMARK", "TOS", "DSCP", "TCPMSS", "TRACE", "AUDIT")
#: Options without meaning for whom a rule holds, and how many words follow them.
_IGNORED = {"-m": 1, "--comment": 1, "--reject-with": 1, "--log-prefix": 1, "--log-level": 1, "-c": 2}


def parse(text, family):
    """The chains, in the shape of ``_rules``, of one family's ``iptables-save``."""
    chains, table, by_name = [], None, {}
    for line in text.splitlines():
        if line.startswith("*"):
            table, by_name = line[1:].strip(), {}
        elif table not in _TABLES:
            continue
        elif line.startswith(":"):
            name, policy = line[1:].split()[:2]
            by_name[name] = {
                "name": name,
                "table": "{0} {1}".format("ip" if family == 4 else "ip6", table),
                "family": family,
                "hook": _HOOKS.get(name),
                "policy": policy.lower() if policy != "-" else None,
                "rules": [],
            }
            chains.append(by_name[name])
        elif line.startswith("-A "):
            words = _words(line)
            rule = _rule(words[2:], line)
            if rule and len(words) > 2 and words[1] in by_name:
                by_name[words[1]]["rules"].append(rule)
    return chains


def _words(line):
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _rule(words, line):
    conditions, verdict, target = Conditions(), None, None
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
        elif option in ("-p", "-s", "-d", "-i", "--dport", "--dports", "--ctstate", "--state"):
            _match(conditions, option, value, negated)
            at += 2
        elif option == "--match-set":
            at += 3
            if words[at - 1] == "src":
                conditions.from_set(value, negated)
            else:
                conditions.exact = False
        else:
            # Some other match: its words up to the next option mean nothing here.
            conditions.exact = False
            at += 1
        negated = False
    return conditions.rule(verdict, target, line[:300])


def _match(conditions, option, value, negated):
    values = value.split(",")
    if option == "-p":
        conditions.is_protocol(values, negated)
    elif option == "-s":
        conditions.from_networks(values, negated)
    elif option == "-d":
        conditions.to_networks(values, negated)
    elif option == "-i":
        conditions.over_interface(value, negated)
    elif option in ("--dport", "--dports"):
        try:
            conditions.to_ports([_range(one) for one in values], negated)
        except ValueError:
            conditions.exact = False
    else:
        conditions.in_states(values, negated)


def _range(text):
    first, colon, last = text.partition(":")
    return [int(first or 0), int(last or 65535) if colon else int(first)]
