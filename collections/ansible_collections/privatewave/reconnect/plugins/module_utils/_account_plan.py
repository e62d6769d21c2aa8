# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with an account, and what has to change, for both drivers: rows in, findings and changes out.

An object is a row of a table or a section of a file: its kind (``endpoint auth aor peer contact``), its id and its
``{column: value}``. A change is ``{kind, id, action: insert|update|delete, values}``.
"""

from __future__ import annotations

import hashlib
import ipaddress

#: Values that nobody may see.
SECRET_COLUMNS = ("password", "md5_cred", "password_digest", "secret", "md5secret")
MASKED = "********"
#: What a person decides: it is told, and left as it is.
LEFT_TO_PEOPLE = ("acl_denies", "account_disabled", "account_doubled")
#: The algorithms of chan_pjsip's password_digest, as hashlib calls them.
ALGORITHMS = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
DENY_ALL = "0.0.0.0/0.0.0.0,::/0"


class Plan:
    """Findings and changes of one account."""

    def __init__(self, columns, leave=LEFT_TO_PEOPLE):
        """``columns`` are those that exist, by kind; None where everything may be written."""
        self._columns = columns
        self._leave = leave
        self.findings = []
        self.changes = []

    def wrong(self, field, wanted, found, cause, kind=None, key=None, values=None):
        """Note what is wrong, and what mends it unless people decide that.

        What an older or a newer schema has no column for can't be wrong there.
        """
        if kind is not None and not any(self.knows(kind, name) for name in values):
            return
        self.findings.append({"field": field, "wanted": wanted, "found": found, "cause": cause})
        if kind is not None and cause not in self._leave:
            self.update(kind, key, values)

    def knows(self, kind, column):
        """Whether the objects of a kind have a column."""
        columns = self._columns.get(kind)
        return columns is None or column in columns

    def insert(self, kind, key, values):
        """A new object; columns that the schema does not have are left out, and so is what is not set."""
        kept = {name: value for name, value in values.items() if value not in (None, "") and self.knows(kind, name)}
        self.changes.append({"kind": kind, "id": key, "action": "insert", "values": kept})

    def update(self, kind, key, values):
        """Other values of an object; those of several updates come together."""
        kept = {name: value for name, value in values.items() if self.knows(kind, name)}
        for change in self.changes:
            if (change["kind"], change["id"]) == (kind, key) and change["action"] != "delete":
                change["values"].update(kept)
                return
        if kept:
            self.changes.append({"kind": kind, "id": key, "action": "update", "values": kept})

    def delete(self, kind, key):
        """Take an object away."""
        self.changes.append({"kind": kind, "id": key, "action": "delete", "values": {}})


def digest(user, realm, password):
    """The MD5 digest that Asterisk keeps instead of a password."""
    return hashlib.md5("{0}:{1}:{2}".format(user, realm, password).encode("utf-8")).hexdigest()


def digests(entries, user, realm, password):
    """The ``ALGORITHM:DIGEST`` entries of a password_digest, made anew; MD5 may do without its name.

    What is of no algorithm that is known here stays as it is.
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


def text(row, column):
    """A column as text without blanks around it; "" when it is not set."""
    value = row.get(column)
    return "" if value is None else str(value).strip()


def number(row, column):
    """A column with a number; 0 when there is none."""
    found = text(row, column)
    return int(found) if found.isdigit() else 0


def listed(value):
    """The entries of a list with commas."""
    return [one.strip() for one in str(value or "").split(",") if one.strip()]


def is_yes(value):
    """Whether Asterisk takes a value for yes."""
    return str(value or "").strip().lower() in ("yes", "true", "y", "t", "1", "on")


def asked_too_seldom(plan, kind, account, found, values):
    """Note that the server asks the client every ``found`` seconds, 0 for never, and not as often as the way needs."""
    wanted = "every {0} s".format(account["keep_alive_seconds"])
    shown = "every {0} s".format(found) if found else "off"
    plan.wrong("keep_alive", wanted, shown, "nat_idle_drop", kind, account["username"], values)


def codecs(plan, kind, key, account, row):
    """Compare the codecs, where the account wants certain ones."""
    wanted = list(account.get("codecs") or [])
    if not wanted:
        return
    allowed = listed(row.get("allow"))
    none_before = text(row, "disallow").lower() == "all" or "!all" in allowed
    found = [one for one in allowed if one != "!all"]
    if found != wanted or not none_before:
        values = {"disallow": "all", "allow": ",".join(wanted)}
        shown = ",".join(found) if none_before else "all before " + ",".join(found)
        plan.wrong("codecs", ",".join(wanted), shown, "codec_mismatch", kind, key, values)


def context(plan, kind, key, account, row):
    """Compare the dialplan's context, where the account wants a certain one."""
    wanted = account.get("context") or ""
    if wanted and text(row, "context") != wanted:
        plan.wrong("context", wanted, text(row, "context"), None, kind, key, {"context": wanted})


def acl(plan, account, row, named=("acl", "contact_acl")):
    """Compare who may come: the list is told when it differs, and never changed."""
    wanted = networks(account.get("acl") or [])
    found = networks(listed(row.get("permit")))
    denies = bool(listed(row.get("deny")))
    others = [text(row, column) for column in named if text(row, column)]
    if others or (found if denies else []) != wanted or (denies and not wanted):
        shown = others or found or (["nobody"] if denies else ["everybody"])
        plan.wrong("acl", ",".join(wanted) or "everybody", ",".join(shown), "acl_denies")


def acl_values(account):
    """The columns of a new account's access list."""
    wanted = account.get("acl") or []
    return {"deny": DENY_ALL, "permit": ",".join(wanted)} if wanted else {}


def networks(values):
    """Networks in one spelling, sorted; what is no network stays as it is."""
    found = set()
    for value in values:
        try:
            found.add(str(ipaddress.ip_network(str(value), strict=False)))
        except ValueError:
            found.add(str(value))
    return sorted(found)
