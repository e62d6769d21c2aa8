# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove single rules from the packet filter, and put those rules back where they were.

A rule is known by its content, for nftables gives the number of a rule to another one when the rule set is loaded
again. Nothing but the named rules changes: a rule set is never flushed.
"""

from __future__ import annotations

import contextlib
import errno
import json
import tempfile
from typing import TYPE_CHECKING, Any, TypedDict

from ansible_collections.privatewave.reconnect.plugins.module_utils._common import plain_json
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import iptables, nftables
from ansible_collections.privatewave.reconnect.plugins.module_utils._host.run import run
from ansible_collections.privatewave.reconnect.plugins.module_utils._net.netlink import Nftables
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_LIMIT = 5.0
_OUTPUT_LIMIT = 8 * 1024 * 1024
_TRIES = 5
_COMMANDS = {"ip": "iptables", "ip6": "ip6tables"}


class Named(TypedDict):
    """A rule by its content: ``filter`` is ``nft`` or ``iptables``, ``table`` has the family before its name."""

    filter: str
    table: str
    chain: str
    digest: str


class Removed(Named):
    """A rule that was removed: its content as its filter writes it, and where it was.

    ``after`` is the digest of the rule before it, null where it was the first. ``number`` counts the rules before it.
    """

    rule: Any
    after: str | None
    number: int


class Changed(Exception):
    """The rules are no longer those that were judged; the message is one sentence. Nothing was changed."""


def remove(wanted: Sequence[Named], check: bool = False) -> list[Removed]:
    """Remove the rules, those of nftables in one transaction; with ``check`` only say what would be removed.

    Raises `Changed` when one of them is not there as it was judged, or cannot be put back; `ProbeError` when the filter
    does not answer.
    """
    of_nft = [one for one in wanted if one["filter"] == "nft"]
    others = [one for one in wanted if one["filter"] != "nft"]
    # All are looked for before the first is removed.
    found = [_found_in_iptables(one) for one in others]
    removed = _remove_from_nft(of_nft, check) if of_nft else []
    try:
        for one in found:
            if not check:
                _iptables(one, ["-D", one["chain"], *one["rule"]])
            removed.append(one)
    except ProbeError:
        restore(removed)
        raise
    return removed


def restore(removed: Iterable[Removed], check: bool = False) -> list[Removed]:
    """Put rules back where they were, and return those that were not there already. Raises `ProbeError`."""
    back: list[Removed] = []
    # Each one may be the one before the next.
    for one in removed:
        if one["filter"] == "nft":
            before = _chain(_entries(), one)
            if one["digest"] in [nftables.digest(rule) for rule in before]:
                continue
            if not check:
                _nft([_put_back(one, before)])
        else:
            lines = _lines(one)
            if one["digest"] in [iptables.digest(line) for line in lines]:
                continue
            if not check:
                number = _position([iptables.digest(line) for line in lines], one) + 1
                _iptables(one, ["-I", one["chain"], str(number), *one["rule"]])
        back.append(one)
    return back


# ------------------------------------------------------------------------------------------------ nftables


def _remove_from_nft(wanted: Sequence[Named], check: bool) -> list[Removed]:
    """The kernel refuses the transaction when anybody has changed the rule set since its generation was asked for."""
    for _try in range(_TRIES):
        with contextlib.closing(Nftables()) as kernel:
            generation = kernel.generation()
            entries = _entries()
            found: list[Removed] = []
            handles: list[tuple[str, str, str, int]] = []
            for one in wanted:
                rules = _chain(entries, one)
                digests = [nftables.digest(rule) for rule in rules]
                if one["digest"] not in digests:
                    raise Changed(
                        "A rule of the chain {0} is no longer what it was when it was judged.".format(one["chain"])
                    )
                for number, rule in enumerate(rules):
                    if digests[number] == one["digest"]:
                        family, table = one["table"].split(" ", 1)
                        handles.append((family, table, one["chain"], int(rule["handle"])))
                        found.append(
                            {
                                **one,
                                "rule": {key: rule[key] for key in ("expr", "comment") if key in rule},
                                "after": digests[number - 1] if number else None,
                                "number": number,
                            }
                        )
            _require_a_way_back(found)
            if check:
                return found
            try:
                kernel.delete_rules(generation, handles)
            except OSError as error:
                if error.errno in (errno.ERESTART, errno.EAGAIN, errno.EINTR, errno.ENOENT):
                    continue
                raise ProbeError("failed", "nftables refuses the removal: {0}".format(error.strerror)) from None
            return found
    raise Changed("Something changes the rules again and again, so nothing was removed.")


def _require_a_way_back(found: Iterable[Removed]) -> None:
    """What nft would not take back is not removed."""
    for one in found:
        try:
            _nft([_put_back(one, [])], check=True)
        except ProbeError as error:
            raise Changed(
                "A rule of the chain {0} could not be put back ({1}), so it was not removed.".format(
                    one["chain"], error
                )
            ) from None


def _entries() -> list[dict[str, Any]]:
    """The rules of nftables in their order."""
    text = run(["nft", "-j", "list", "ruleset"], _LIMIT, _OUTPUT_LIMIT)
    try:
        return [entry["rule"] for entry in plain_json(text or "{}").get("nftables", []) if "rule" in entry]
    except (ValueError, TypeError, AttributeError) as error:
        raise ProbeError("invalid", "nft lists no rule set: {0}".format(error)) from None


def _chain(entries: Iterable[dict[str, Any]], one: Mapping[str, Any]) -> list[dict[str, Any]]:
    wanted = (one["table"], one["chain"])
    return [rule for rule in entries if ("{0} {1}".format(rule["family"], rule["table"]), rule["chain"]) == wanted]


def _put_back(one: Removed, rules: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The command that puts a rule back behind the one that was before it."""
    family, table = one["table"].split(" ", 1)
    rule = {"family": family, "table": table, "chain": one["chain"], **one["rule"]}
    number = _position([nftables.digest(other) for other in rules], one)
    if number == len(rules):
        return {"add": {"rule": rule}}
    # Before the next one: older releases of nft add a rule at the end, whatever rule it should follow.
    return {"insert": {"rule": {**rule, "handle": rules[number]["handle"]}}}


def _position(digests: Sequence[str], one: Removed) -> int:
    """How many of the rules that are there now belong before it."""
    if one["after"] in digests:
        return digests.index(str(one["after"])) + 1
    return min(one["number"], len(digests))


def _nft(commands: Sequence[Mapping[str, Any]], check: bool = False) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump({"nftables": [{"metainfo": {"json_schema_version": 1}}, *commands]}, file)
        file.flush()
        run(["nft", "-j", *(["-c"] if check else []), "-f", file.name], _LIMIT)


# ------------------------------------------------------------------------------------------------ iptables


def _found_in_iptables(one: Named) -> Removed:
    lines = _lines(one)
    digests = [iptables.digest(line) for line in lines]
    if one["digest"] not in digests:
        raise Changed("A rule of the chain {0} is no longer what it was when it was judged.".format(one["chain"]))
    number = digests.index(one["digest"])
    rule = iptables.words(lines[number])[2:]
    return {**one, "rule": rule, "after": digests[number - 1] if number else None, "number": number}


def _lines(one: Mapping[str, Any]) -> list[str]:
    """The rules of a chain as ``iptables-save`` prints them."""
    family, table = one["table"].split(" ", 1)
    lines = run([_command(family) + "-save", "-t", table], _LIMIT, _OUTPUT_LIMIT).splitlines()
    return [line for line in lines if iptables.words(line)[:2] == ["-A", one["chain"]]]


def _iptables(one: Mapping[str, Any], arguments: Sequence[str]) -> None:
    """One change, which names the rule by its content (iptables(8)); another program's change is waited for."""
    family, table = one["table"].split(" ", 1)
    run([_command(family), "-w", "3", "-t", table, *arguments], _LIMIT)


def _command(family: str) -> str:
    if family not in _COMMANDS:
        raise ProbeError("invalid", "iptables has no tables of the family {0}".format(family))
    return _COMMANDS[family]
