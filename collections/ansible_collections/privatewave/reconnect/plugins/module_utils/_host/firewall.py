# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host's own packet filter blocks, and who is banned."""

from __future__ import annotations

import ast
import io
import pickle
import re
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Literal

from ansible_collections.privatewave.reconnect.plugins.module_utils._host import iptables, nftables, rules
from ansible_collections.privatewave.reconnect.plugins.module_utils._host.run import run
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

if TYPE_CHECKING:
    from ansible_collections.privatewave.reconnect.plugins.module_utils._host.documents import (
        Bans,
        Family,
        FirewallFacts,
    )
    from ansible_collections.privatewave.reconnect.plugins.module_utils._host.rules import Chain

_LIMIT = 2.5
_OUTPUT_LIMIT = 8 * 1024 * 1024
_ADDRESSES = 10000
#: Where fail2ban listens, and how it ends a message.
SOCKET = "/run/fail2ban/fail2ban.sock"
END = b"<F2B_END_COMMAND>"


class Firewall:
    """The packet filter and the bans in it. The rule set is listed once for both questions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ruleset: nftables.RuleSet | None = None
        self._error: ProbeError | None = None

    def firewall(self) -> FirewallFacts:
        """What the packet filter blocks. Raises `ProbeError`.

        Rules of iptables are read from iptables, also where nftables holds them.
        """
        backend: Literal["nft", "iptables", "none"] = "none"
        chains: list[Chain] = []
        foreign = True
        try:
            ruleset = self._list()
            backend, chains, foreign = "nft", ruleset["chains"], ruleset["foreign"]
        except ProbeError as error:
            if error.error != "missing":
                raise
        if foreign:
            families: tuple[tuple[str, Family], ...] = (("iptables-save", 4), ("ip6tables-save", 6))
            for command, family in families:
                try:
                    found = iptables.parse(run([command], _LIMIT / 2, _OUTPUT_LIMIT), family)
                except ProbeError as error:
                    if error.error != "missing":
                        raise
                    continue
                backend = "iptables" if backend == "none" else backend
                chains = chains + found
        return {"backend": backend, "blocks": rules.blocks(chains)}

    def bans(self) -> Bans:
        """Who is banned. Raises `ProbeError` when neither fail2ban nor nftables could be asked."""
        found: Bans = {"jails": {}, "sets": {}}
        errors: list[ProbeError] = []
        try:
            found["jails"] = _jails()
        except ProbeError as error:
            errors.append(error)
        try:
            found["sets"] = banning_sets(self._list())
        except ProbeError as error:
            errors.append(error)
        if len(errors) == 2:
            raise errors[0]
        if errors:
            found["error"] = str(errors[0])
        return found

    def _list(self) -> nftables.RuleSet:
        with self._lock:
            if self._ruleset is None and self._error is None:
                try:
                    self._ruleset = nftables.parse(run(["nft", "-j", "list", "ruleset"], _LIMIT, _OUTPUT_LIMIT))
                except ProbeError as error:
                    self._error = error
        if self._ruleset is None:
            raise self._error or ProbeError("failed", "nft lists no rule set")
        return self._ruleset


def banning_sets(ruleset: nftables.RuleSet) -> dict[str, list[str]]:
    """The sets whose addresses some rule blocks; other sets may hold addresses to accept."""
    blocks = [block for block in rules.blocks(ruleset["chains"]) if not block.get("partial")]
    names = {name for block in blocks for name in block["sets"]}
    return {name: addresses for name, addresses in ruleset["sets"].items() if name in names}


def _jails() -> dict[str, list[str]]:
    # Its client is a Python program: to start it takes longer than all our other questions together.
    jails = ask_fail2ban(SOCKET, _LIMIT)
    if jails is not None:
        return jails
    try:
        return parse_banned(run(["fail2ban-client", "banned"], _LIMIT))
    except ProbeError as error:
        if error.error != "failed":
            raise
    # Releases before 0.11.2 have no "banned".
    names = parse_jails(run(["fail2ban-client", "status"], _LIMIT / 2))
    return {name: parse_jail(run(["fail2ban-client", "status", name], _LIMIT / 2)) for name in names[:20]}


class _PlainUnpickler(pickle.Unpickler):
    """Of what a pickle may hold only plain data; fail2ban writes an address as a call of `str`."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("builtins", "str"), ("__builtin__", "str")):
            return str
        raise pickle.UnpicklingError("{0}.{1} is no plain data".format(module, name))


def ask_fail2ban(path: str, limit: float) -> dict[str, list[str]] | None:
    """``{jail: [address]}`` of the fail2ban that listens at ``path``, None where its client has to be asked.

    Messages are pickles, each with `END`. Raises `ProbeError` when it takes the question and is silent.
    """
    deadline = time.monotonic() + limit
    answer = b""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(limit)
            connection.connect(path)
            connection.sendall(pickle.dumps(["banned"], 2) + END)
            while END not in answer[-len(END) :] and len(answer) < _OUTPUT_LIMIT:
                connection.settimeout(max(0.01, deadline - time.monotonic()))
                part = connection.recv(65536)
                if not part:
                    return None
                answer += part
        status, jails = _PlainUnpickler(io.BytesIO(answer)).load()
        return _by_jail(jails) if status == 0 else None
    except socket.timeout:
        raise ProbeError("timed_out", "fail2ban does not answer within {0:g} s".format(limit)) from None
    except Exception:
        # Whatever a pickle of another shape raises.
        return None


def _by_jail(jails: Any) -> dict[str, list[str]]:
    return {
        name: [address for address in addresses if isinstance(address, str)][:_ADDRESSES]
        for entry in jails
        for name, addresses in entry.items()
        if isinstance(name, str)
    }


def parse_banned(text: str) -> dict[str, list[str]]:
    """``{jail: [address]}`` of ``fail2ban-client banned``, which prints a Python list of dicts of one entry."""
    try:
        return _by_jail(ast.literal_eval(text.strip()))
    except (ValueError, SyntaxError, AttributeError, TypeError, MemoryError, RecursionError):
        raise ProbeError("failed", "fail2ban does not list its bans: {0}".format(text.strip()[:200])) from None


def parse_jails(text: str) -> list[str]:
    """The names in ``Jail list:`` of ``fail2ban-client status``."""
    found = re.search(r"Jail list:[ \t]*(.*)", text)
    return [name.strip() for name in found.group(1).split(",") if name.strip()] if found else []


def parse_jail(text: str) -> list[str]:
    """The addresses in ``Banned IP list:`` of ``fail2ban-client status JAIL``."""
    found = re.search(r"Banned IP list:[ \t]*(.*)", text)
    return found.group(1).split()[:_ADDRESSES] if found else []
