# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with an account, and what has to change, for both drivers: rows in, findings and changes out.

An object is a row of a table or a section of a file: its kind, its id and its ``{column: value}``.
"""

from __future__ import annotations

import hashlib
import ipaddress
from typing import TYPE_CHECKING, Any

from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._text import listed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from ansible_collections.privatewave.reconnect.plugins.module_utils._account.documents import (
        Change,
        Difference,
        Kind,
        Values,
        WantedAccount,
    )

#: Columns whose values nobody may see.
SECRET_COLUMNS = ("password", "md5_cred", "password_digest", "secret", "md5secret")
MASKED = "********"
#: Causes that people decide: they are reported, and left as they are.
LEFT_TO_PEOPLE = ("acl_denies", "account_disabled", "account_doubled")
#: The algorithms of chan_pjsip's password_digest, by hashlib's names.
ALGORITHMS = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
DENY_ALL = "0.0.0.0/0.0.0.0,::/0"


class Plan:
    """Findings and changes of one account."""

    def __init__(self, columns: Mapping[Kind, Collection[str] | None], leave: Collection[str] = LEFT_TO_PEOPLE) -> None:
        """``columns``: those that exist, by kind, None where any may be written. ``leave``: causes left as they are."""
        self._columns = columns
        self._leave = leave
        self.findings: list[Difference] = []
        self.changes: list[Change] = []

    def report(self, field: str, wanted: str | None, found: str | None, cause: str | None) -> None:
        """Note what is wrong."""
        self.findings.append({"field": field, "wanted": wanted, "found": found, "cause": cause})

    def fix(
        self, field: str, wanted: str, found: str | None, cause: str | None, kind: Kind, key: str, values: Values
    ) -> None:
        """Note what is wrong, and what fixes it, unless people decide that.

        Nothing is wrong where the schema of the release has none of the columns.
        """
        if not any(self.knows(kind, name) for name in values):
            return
        self.report(field, wanted, found, cause)
        if cause not in self._leave:
            self.update(kind, key, values)

    def knows(self, kind: Kind, column: str) -> bool:
        """Whether the objects of a kind have a column."""
        columns = self._columns.get(kind)
        return columns is None or column in columns

    def insert(self, kind: Kind, key: str, values: Values) -> None:
        """A new object, without columns that the schema does not have, and without empty values."""
        kept = {name: value for name, value in values.items() if value not in (None, "") and self.knows(kind, name)}
        self.changes.append({"kind": kind, "id": key, "action": "insert", "values": kept})

    def update(self, kind: Kind, key: str, values: Values) -> None:
        """Other values of an object; several updates of one object become one change."""
        kept = {name: value for name, value in values.items() if self.knows(kind, name)}
        for change in self.changes:
            if (change["kind"], change["id"]) == (kind, key) and change["action"] != "delete":
                change["values"].update(kept)
                return
        if kept:
            self.changes.append({"kind": kind, "id": key, "action": "update", "values": kept})

    def delete(self, kind: Kind, key: str) -> None:
        """Remove an object."""
        self.changes.append({"kind": kind, "id": key, "action": "delete", "values": {}})


def digest(user: str, realm: str, password: str) -> str:
    """The MD5 digest that Asterisk keeps instead of a password (RFC 2617, HA1)."""
    return hashlib.md5("{0}:{1}:{2}".format(user, realm, password).encode("utf-8")).hexdigest()


def digests(entries: str, user: str, realm: str, password: str) -> str:
    """The ``ALGORITHM:DIGEST`` entries of a password_digest, computed again; MD5 may lack its name.

    An entry of an unknown algorithm stays as it is.
    """
    secret = "{0}:{1}:{2}".format(user, realm, password).encode("utf-8")
    made = []
    for entry in listed(entries):
        name, colon, _digest = entry.rpartition(":")
        try:
            made.append(name + colon + hashlib.new(ALGORITHMS[name.strip().upper() or "MD5"], secret).hexdigest())
        except (KeyError, ValueError):
            made.append(entry)
    return ",".join(made)


def text(row: Mapping[str, Any], column: str) -> str:
    """A column as text without blanks around it; "" when it is not set."""
    value = row.get(column)
    return "" if value is None else str(value).strip()


def number(row: Mapping[str, Any], column: str) -> int:
    """A column with a number; 0 when it holds none."""
    found = text(row, column)
    return int(found) if found.isdigit() else 0


def check_new(account: WantedAccount) -> None:
    """Raises `ProbeError` ``invalid`` where a new account would register and never call."""
    lacking = [name for name in ("context", "codecs") if not account.get(name)]
    if lacking:
        raise ProbeError(
            "invalid",
            "the account registry has no {0} for {1}: a new account would register and could not call".format(
                " and no ".join(lacking), account["username"]
            ),
        )


def asked_too_seldom(plan: Plan, kind: Kind, account: WantedAccount, found: int, values: Values) -> None:
    """The server asks the client every ``found`` seconds, 0 for never: less often than the network path needs."""
    wanted = "every {0} s".format(account["keep_alive_seconds"])
    shown = "every {0} s".format(found) if found else "off"
    plan.fix("keep_alive", wanted, shown, "nat_idle_drop", kind, account["username"], values)


def codecs(plan: Plan, kind: Kind, key: str, account: WantedAccount, row: Mapping[str, Any]) -> None:
    """Compare the codecs, where the account wants certain ones.

    To Asterisk their names are the same in any case, a second time says nothing, and ``:20`` is how long a packet is,
    which the account may want, too.
    """
    wanted = list(account.get("codecs") or [])
    if not wanted:
        return
    allowed = [one.lower() for one in listed(row.get("allow"))]
    none_before = text(row, "disallow").lower() == "all" or "!all" in allowed
    # It takes away what stands before it.
    found = allowed[len(allowed) - allowed[::-1].index("!all") :] if "!all" in allowed else allowed
    same = list(dict.fromkeys(one.lower() for one in wanted))
    names = list(dict.fromkeys(one if one in same else one.partition(":")[0] for one in found))
    if names != same or not none_before:
        shown = ",".join(found) if none_before else "all before " + ",".join(found)
        plan.fix("codecs", ",".join(wanted), shown, "codec_mismatch", kind, key, codec_values(account))


def context(plan: Plan, kind: Kind, key: str, account: WantedAccount, row: Mapping[str, Any]) -> None:
    """Compare the dialplan's context, where the account wants a certain one."""
    wanted = account.get("context") or ""
    if wanted and text(row, "context") != wanted:
        plan.fix("context", wanted, text(row, "context"), None, kind, key, {"context": wanted})


def acl(plan: Plan, account: WantedAccount, row: Mapping[str, Any], named: Iterable[str]) -> None:
    """Compare the access list: a difference is reported, and never changed. ``named``: columns that name a list."""
    wanted = networks(account.get("acl") or [])
    found = networks(listed(row.get("permit")))
    denies = bool(listed(row.get("deny")))
    others = [text(row, column) for column in named if text(row, column)]
    if others or (found if denies else []) != wanted or (denies and not wanted):
        shown = others or found or (["nobody"] if denies else ["everybody"])
        plan.report("acl", ",".join(wanted) or "everybody", ",".join(shown), "acl_denies")


def codec_values(account: WantedAccount) -> Values:
    """The columns of a new account's codecs."""
    wanted = account.get("codecs") or []
    return {"disallow": "all", "allow": ",".join(wanted)} if wanted else {}


def acl_values(account: WantedAccount) -> Values:
    """The columns of a new account's access list."""
    wanted = account.get("acl") or []
    return {"deny": DENY_ALL, "permit": ",".join(wanted)} if wanted else {}


def networks(values: Iterable[object]) -> list[str]:
    """Networks in one spelling, sorted; an invalid one stays as it is."""
    found = set()
    for value in values:
        try:
            found.add(str(ipaddress.ip_network(str(value), strict=False)))
        except ValueError:
            found.add(str(value))
    return sorted(found)
