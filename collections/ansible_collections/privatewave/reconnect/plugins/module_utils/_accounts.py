# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts of a server compared with what they should be, and changed: all of one account, or nothing of it."""

from __future__ import annotations

from ansible_collections.privatewave.reconnect.plugins.module_utils import (
    _account_files,
    _account_journal,
    _account_pjsip,
    _account_plan,
    _account_sip,
    _account_tables,
    _config,
    _control,
)
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import NAME
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk_answers import parse_realtime
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

CONTROL_LIMIT = 5.0
FAMILIES = {"pjsip": "ps_endpoints", "sip": "sippeers"}
#: How a change ended that another run left behind, by how far it had come.
_RECOVERED = {
    "all": ("done", "An interrupted change of the account {0} had been completed."),
    "nothing": ("rolled_back", "An interrupted change of the account {0} had not touched it."),
    "other": ("done", "The account {0} was changed by others since an interrupted change of it, and stays as it is."),
    "half": ("rolled_back", "An interrupted change of the account {0} was taken back."),
}


def open_store(settings, backend="auto"):
    """The tables, or the files, that Asterisk has its accounts from. Raises `ProbeError`, `OSError`."""
    driver = settings.get("channel_driver") or "pjsip"
    if backend == "auto":
        mapped = FAMILIES[driver] in parse_realtime(_config.read("extconfig.conf"))
        backend = "realtime" if mapped else "file"
    return _account_tables.Tables(settings) if backend == "realtime" else _account_files.Sections(settings)


def world(settings):
    """What accounts are compared with beside the registry: transports, realm and domain of this Asterisk."""
    if (settings.get("channel_driver") or "pjsip") == "sip":
        general = _config.read("sip.conf").get("general", {})
        return {"realm": general.get("realm"), "domain": settings.get("sip_domain")}
    sections = _config.read("pjsip.conf")
    transports = {
        name: values.get("protocol", "udp").lower()
        for name, values in sections.items()
        if values.get("type", "").lower() == "transport"
    }
    realm = next(
        (one.get("default_realm") for one in sections.values() if one.get("type", "").lower() == "global"), None
    )
    return {"transports": transports or None, "realm": realm, "domain": settings.get("sip_domain")}


def plan_of(store, driver, account, found, around, state="present", leave=_account_plan.LEFT_TO_PEOPLE):
    """The `Plan` of one account."""
    plan = _account_plan.Plan(store.columns, leave)
    if state == "absent":
        for kind in [one for one in store.columns if one != "contact"]:
            if account["username"] in found.get(kind, {}):
                plan.delete(kind, account["username"])
        for contact in found.get("contact", []):
            plan.delete("contact", contact["id"])
        if plan.changes:
            plan.findings.append({"field": "username", "wanted": None, "found": account["username"], "cause": None})
        return plan
    for kind in found["doubled"]:
        plan.wrong(kind, "one", "several", "account_doubled")
    if not account["enabled"]:
        plan.wrong("enabled", "no account in use", "asked for", "account_disabled")
    if found["doubled"] or not account["enabled"]:
        # Which of them counts, and whether it may be used at all, is nothing to guess.
        return plan
    {"pjsip": _account_pjsip, "sip": _account_sip}[driver].compare(plan, account, found, around)
    return plan


class Accounts:
    """One call: open, recover, then `apply` accounts one by one."""

    def __init__(self, settings, backend, check_mode, folder=_account_journal.FOLDER):
        self.driver = settings.get("channel_driver") or "pjsip"
        self.check_mode = check_mode
        self.store = open_store(settings, backend)
        self.journal = _account_journal.Journal(folder, writable=not check_mode)
        self.around = world(settings)
        self.touched = []

    def recover(self):
        """End what an interrupted call left behind: ``[{account, state, sentence}]``; in check mode it is only told."""
        told = []
        for document in self.journal.interrupted():
            far = _account_journal.how_far(self.store, document)
            state, sentence = _RECOVERED[far]
            if not self.check_mode:
                if far == "half":
                    with self.store.transaction():
                        self.store.write(_account_journal.way_back(self.store, document))
                self.journal.end(document, state)
                self.touched.append(document["account"])
            told.append(
                {"account": document["account"], "state": state, "sentence": sentence.format(document["account"])}
            )
        return told

    def apply(self, accounts, state, leave):
        """Compare all accounts and change those that need it. Returns a dict for each of them."""
        names = [one["username"] for one in accounts]
        wrong = [name for name in names if not NAME.match(name)]
        if wrong:
            raise ProbeError("invalid", "{0!r} is no name of an account".format(wrong[0][:80]))
        if state == "restored":
            return [self._restore(name) for name in names]
        found = self.store.read(names)
        return [self._apply(one, found[one["username"]], state, leave) for one in accounts]

    def _apply(self, account, found, state, leave):
        plan = plan_of(self.store, self.driver, account, found, self.around, state, leave)
        if plan.changes and not self.check_mode:
            with self.store.transaction():
                # What was read before may have changed since.
                found = self.store.read([account["username"]], lock=True)[account["username"]]
                plan = plan_of(self.store, self.driver, account, found, self.around, state, leave)
                document = self.journal.begin(self.store, account["username"], plan.changes)
                self.store.write(plan.changes)
            self.journal.end(document)
            self.touched.append(account["username"])
        return self._told(account["username"], found, plan, state)

    def _told(self, user, found, plan, state):
        changed = bool(plan.changes)
        missing = any(one["cause"] == "account_missing" for one in plan.findings)
        after = {"present": "created" if missing else "mended", "absent": "removed"}[state]
        told = {
            "username": user,
            "state": after if changed else "left" if plan.findings else "ok",
            "changed": changed,
            "findings": plan.findings,
        }
        if changed:
            told["diff"] = diff(user, found, plan.changes)
            told["backup"] = self.journal.path(user)
        return told

    def _restore(self, user):
        document = self.journal.load(user)
        if document is None:
            raise ProbeError("missing", "there is no backup of the account {0}".format(user))
        changes = _account_journal.way_back(self.store, document)
        if changes and not self.check_mode:
            with self.store.transaction():
                self.store.write(changes)
            self.journal.end(document, "rolled_back")
            self.touched.append(user)
        return {"username": user, "state": "restored" if changes else "ok", "changed": bool(changes), "findings": []}

    def reload(self):
        """Let Asterisk take what was changed: ``{ok, message}``. Rows of chan_pjsip are read at every request."""
        commands = []
        if isinstance(self.store, _account_files.Sections):
            commands = ["module reload res_pjsip.so" if self.driver == "pjsip" else "sip reload"]
        elif self.driver == "sip":
            commands = ["sip prune realtime peer {0}".format(name) for name in self.touched]
        try:
            for command in commands:
                _control.command(command, limit=CONTROL_LIMIT)
        except ProbeError as error:
            return {"ok": False, "message": "Asterisk was not told: {0}".format(error)}
        return {"ok": True, "message": ""}


def masked(kind, key, values):
    """The lines of an object, its secrets masked."""
    lines = ["{0} {1}".format(kind, key)]
    for name in sorted(values):
        value = values[name]
        if name in _account_plan.SECRET_COLUMNS and value not in (None, ""):
            value = _account_plan.MASKED
        lines.append("  {0}: {1}".format(name, "" if value is None else value))
    return lines


def diff(user, found, changes):
    """``{before, after}`` as text: the objects that change, secrets masked; a new secret is told as such."""
    before, after = [], []
    for change in changes:
        kind, key = change["kind"], change["id"]
        row = next((one for one in found.get("contact", []) if one["id"] == key), None)
        row = row if kind == "contact" else found.get(kind, {}).get(key)
        names = sorted(change["values"]) or sorted(row or {})
        if row is not None:
            before += masked(kind, key, {name: row.get(name) for name in names})
        if change["action"] != "delete":
            lines = masked(kind, key, change["values"])
            if row is not None:
                lines = [
                    line + " (changed)" if _changed_secret(line, row, change["values"]) else line for line in lines
                ]
            after += lines
    return {"before": "\n".join(before) + "\n", "after": "\n".join(after) + "\n", "header": "account {0}".format(user)}


def _changed_secret(line, row, values):
    name = line.partition(":")[0].strip()
    return (
        name in _account_plan.SECRET_COLUMNS and name in values and str(row.get(name) or "") != str(values[name] or "")
    )
