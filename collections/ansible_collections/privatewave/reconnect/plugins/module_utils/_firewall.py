# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host's own packet filter keeps out, and who is banned."""

from __future__ import annotations

import ast
import re
import threading

from ansible_collections.privatewave.reconnect.plugins.module_utils import _iptables, _nftables, _rules
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._run import run

_LIMIT = 2.5
_OUTPUT_LIMIT = 8 * 1024 * 1024
_ADDRESSES = 10000


class Firewall:
    """The packet filter and those who ban with it; its rule set is listed once, for both questions."""

    def __init__(self):
        self._lock = threading.Lock()
        self._ruleset, self._error = None, None

    def firewall(self):
        """``{backend, blocks}``, see docs/documents.md. Rules of iptables are read from iptables, whatever keeps them.

        Raises `ProbeError`.
        """
        backend, chains, foreign = "none", [], True
        try:
            ruleset = self._list()
            backend, chains, foreign = "nft", ruleset["chains"], ruleset["foreign"]
        except ProbeError as error:
            if error.error != "missing":
                raise
        if foreign:
            for command, family in (("iptables-save", 4), ("ip6tables-save", 6)):
                try:
                    found = _iptables.parse(run([command], _LIMIT / 2, _OUTPUT_LIMIT), family)
                except ProbeError as error:
                    if error.error != "missing":
                        raise
                    continue
                backend = "iptables" if backend == "none" else backend
                chains = chains + found
        return {"backend": backend, "blocks": _rules.blocks(chains)}

    def bans(self):
        """``{jails: {jail: [address]}, sets: {name: [address]}}``: fail2ban's jails and the sets of nftables.

        Raises `ProbeError` when neither could be asked.
        """
        found, errors = {"jails": {}, "sets": {}}, []
        for kind, ask in (("jails", _jails), ("sets", lambda: banning_sets(self._list()))):
            try:
                found[kind] = ask()
            except ProbeError as error:
                errors.append(error)
        if len(errors) == 2:
            raise errors[0]
        if errors:
            found["error"] = str(errors[0])
        return found

    def _list(self):
        with self._lock:
            if self._ruleset is None and self._error is None:
                try:
                    self._ruleset = _nftables.parse(run(["nft", "-j", "list", "ruleset"], _LIMIT, _OUTPUT_LIMIT))
                except ProbeError as error:
                    self._error = error
        if self._error is not None:
            raise self._error
        return self._ruleset


def banning_sets(ruleset):
    """The sets of a rule set that some rule turns away; a set may as well hold those who are let in."""
    names = {name for block in _rules.blocks(ruleset["chains"]) for name in block["sets"]}
    return {name: addresses for name, addresses in ruleset["sets"].items() if name in names}


def _jails():
    try:
        return parse_banned(run(["fail2ban-client", "banned"], _LIMIT))
    except ProbeError as error:
        if error.error != "failed":
            raise
    # Releases before 0.11.2 know no "banned".
    names = parse_jails(run(["fail2ban-client", "status"], _LIMIT / 2))
    return {name: parse_jail(run(["fail2ban-client", "status", name], _LIMIT / 2)) for name in names[:20]}


def parse_banned(text):
    """``{jail: [address]}`` of ``fail2ban-client banned``, which answers with a Python list of one-entry dicts."""
    try:
        return {
            str(name): [str(address) for address in addresses][:_ADDRESSES]
            for entry in ast.literal_eval(text.strip())
            for name, addresses in entry.items()
        }
    except (ValueError, SyntaxError, AttributeError, TypeError, MemoryError, RecursionError):
        raise ProbeError("failed", "fail2ban does not list its bans: {0}".format(text.strip()[:200])) from None


def parse_jails(text):
    """The names in ``Jail list:`` of ``fail2ban-client status``."""
    found = re.search(r"Jail list:[ \t]*(.*)", text)
    return [name.strip() for name in found.group(1).split(",") if name.strip()] if found else []


def parse_jail(text):
    """The addresses in ``Banned IP list:`` of ``fail2ban-client status JAIL``."""
    found = re.search(r"Banned IP list:[ \t]*(.*)", text)
    return found.group(1).split()[:_ADDRESSES] if found else []
