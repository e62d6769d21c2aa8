# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts of a server compared with what they should be, and changed: an account as a whole, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Collection, ContextManager, Iterable, Literal, Mapping, Optional, Protocol, Sequence

from ansible_collections.privatewave.reconnect.plugins.module_utils._account import files, journal, pjsip, sip, tables
from ansible_collections.privatewave.reconnect.plugins.module_utils._account import plan as plans
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import control
from ansible_collections.privatewave.reconnect.plugins.module_utils._database.realtime import disagreement, sources
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import config
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._text import account_name

if TYPE_CHECKING:
    from ansible_collections.privatewave.reconnect.plugins.module_utils._account.documents import (
        Applied,
        Backup,
        Change,
        Found,
        Kind,
        Recovered,
        Reloaded,
        TextDiff,
        Values,
        WantedAccount,
        World,
    )
    from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import Settings

#: Seconds of a command of Asterisk.
CONTROL_LIMIT = 5.0
#: How an interrupted change ends, by `journal.progress`.
_RECOVERED: dict[str, tuple[Literal["done", "rolled_back"], str]] = {
    "all": ("done", "An interrupted change of the account {0} was complete."),
    "nothing": ("rolled_back", "An interrupted change of the account {0} had changed nothing."),
    "other": ("done", "The account {0} was changed by others after an interrupted change, and stays as it is."),
    "half": ("rolled_back", "An interrupted change of the account {0} was rolled back."),
}


class ChangedSince(Exception):
    """An account is not what a change left; nothing was restored. The message is one sentence."""


class Store(Protocol):
    """Where Asterisk has its accounts from."""

    @property
    def columns(self) -> Mapping[Kind, Optional[Collection[str]]]:
        """The columns of each kind that exist, None: any."""

    def hides(self, kind: Kind) -> bool:
        """Whether objects of a kind may be there that are not seen."""

    def read(self, users: Iterable[str], lock: bool = False) -> dict[str, Found]:
        """The objects of users; ``lock`` keeps them as they are until the transaction's end."""

    def row(self, kind: Kind, key: str) -> Values | None:
        """An object, or None."""

    def write(self, changes: Iterable[Change]) -> None:
        """Carry out changes. Raises `ProbeError`, `OSError`."""

    def transaction(self) -> ContextManager[object]:
        """All or nothing: changes are kept at its end, and none after an exception."""

    def close(self) -> None:
        """Close what is open."""


def open_store(settings: Settings, backend: str = "auto") -> Store:
    """The tables, or the files, that Asterisk has its accounts from: ``auto`` is what the inventory says.

    Raises `ProbeError`, ``invalid`` where Asterisk's configuration says something else, and `OSError`.
    """
    backend = settings["account_backend"] if backend == "auto" else backend
    why = disagreement(settings, sources(settings), backend)
    if why:
        raise ProbeError("invalid", "Asterisk does not read its accounts where the inventory says: {0}".format(why))
    return tables.Tables(settings) if backend == "realtime" else files.Sections(settings)


def world(settings: Settings) -> World:
    """The transports, realm and domain of this Asterisk. Raises `OSError`."""
    if settings["channel_driver"] == "sip":
        general = config.read("sip.conf").get("general", {})
        return {"realm": general.get("realm"), "domain": settings.get("sip_domain")}
    sections = config.read("pjsip.conf")
    transports = {
        name: values.get("protocol", "udp").lower()
        for name, values in sections.items()
        if values.get("type", "").lower() == "transport"
    }
    realm = next(
        (one.get("default_realm") for one in sections.values() if one.get("type", "").lower() == "global"), None
    )
    return {"transports": transports or None, "realm": realm, "domain": settings.get("sip_domain")}


def plan_of(
    store: Store,
    driver: str,
    account: WantedAccount,
    found: Found,
    around: World,
    state: str = "present",
    leave: Collection[str] = plans.LEFT_TO_PEOPLE,
) -> plans.Plan:
    """The `Plan` of one account. Raises `ProbeError` where something only may be missing."""
    plan = plans.Plan(store.columns, leave)
    if state == "absent":
        for kind in store.columns:
            if kind != "contact" and files.object_of(found, kind, account["username"]) is not None:
                plan.delete(kind, account["username"])
        for contact in found.get("contact", []):
            plan.delete("contact", contact["id"])
        if plan.changes:
            plan.report("username", None, account["username"], None)
        return plan
    for kind in found["doubled"]:
        plan.report(kind, "one", "several", "account_doubled")
    if not account["enabled"]:
        plan.report("enabled", "no account in use", "asked for", "account_disabled")
    if found["doubled"] or not account["enabled"]:
        # A person decides which of them counts, and whether it may be used.
        return plan
    (sip if driver == "sip" else pjsip).compare(plan, account, found, around)
    hidden = next((one["kind"] for one in plan.changes if one["action"] == "insert" and store.hides(one["kind"])), None)
    if hidden:
        raise ProbeError("denied", "the database may hide rows, so the {0} may only look missing".format(hidden))
    return plan


class Accounts:
    """One call: open, recover, then `apply` accounts one by one.

    Everything raises `ProbeError`, `journal.JournalError` and `OSError`.
    """

    def __init__(self, settings: Settings, backend: str, check_mode: bool, folder: str = journal.FOLDER) -> None:
        self.driver: str = settings["channel_driver"]
        self.check_mode = check_mode
        self.store = open_store(settings, backend)
        self.journal = journal.Journal(folder, writable=not check_mode)
        self.around = world(settings)
        #: The accounts that were changed.
        self.touched: list[str] = []

    def recover(self) -> list[Recovered]:
        """End the changes that an interrupted call left behind; in check mode only say how they would end."""
        recovered: list[Recovered] = []
        for document in self.journal.interrupted():
            progress = journal.progress(self.store, document)
            state, sentence = _RECOVERED[progress]
            if not self.check_mode:
                if progress == "half":
                    with self.store.transaction():
                        self.store.write(journal.rollback(self.store, document))
                self.journal.end(document, state)
                self.touched.append(document["account"])
            recovered.append(
                {"account": document["account"], "state": state, "sentence": sentence.format(document["account"])}
            )
        return recovered

    def apply(
        self, accounts: Sequence[WantedAccount], state: str, leave: Collection[str], changed_at: str = ""
    ) -> list[Applied]:
        """Compare all accounts and change those that need it. ``changed_at`` is as for the module."""
        names = [account_name(one["username"]) for one in accounts]
        if state == "restored":
            return [self._restore(name, changed_at) for name in names]
        found = self.store.read(names)
        return [self._apply(one, found[one["username"]], state, leave) for one in accounts]

    def _apply(self, account: WantedAccount, found: Found, state: str, leave: Collection[str]) -> Applied:
        plan = plan_of(self.store, self.driver, account, found, self.around, state, leave)
        document: Backup | None = None
        if plan.changes and not self.check_mode:
            with self.store.transaction():
                # Somebody may have changed the account since it was read.
                found = self.store.read([account["username"]], lock=True)[account["username"]]
                plan = plan_of(self.store, self.driver, account, found, self.around, state, leave)
                document = self.journal.begin(self.store, account["username"], plan.changes)
                self.store.write(plan.changes)
            self.journal.end(document)
            self.touched.append(account["username"])
        return self._applied(account["username"], found, plan, state, document)

    def _applied(self, user: str, found: Found, plan: plans.Plan, state: str, document: Backup | None) -> Applied:
        changed = bool(plan.changes)
        applied: Applied = {
            "username": user,
            "state": "left" if plan.findings else "ok",
            "changed": changed,
            "findings": plan.findings,
        }
        if changed:
            missing = any(one["cause"] == "account_missing" for one in plan.findings)
            applied["state"] = "removed" if state == "absent" else "created" if missing else "fixed"
            applied["diff"] = diff(user, found, plan.changes)
            applied["backup"] = self.journal.path(user)
            if document is not None:
                applied["changed_at"] = document["began_at"]
        return applied

    def _restore(self, user: str, changed_at: str) -> Applied:
        document = self.journal.load(user)
        if document is None:
            raise ProbeError("missing", "there is no backup of the account {0}".format(user))
        if changed_at and document["began_at"] != changed_at:
            raise ChangedSince("The account {0} was changed again at {1}.".format(user, document["began_at"]))
        if changed_at and document["state"] == "done" and journal.progress(self.store, document) == "other":
            raise ChangedSince("Somebody has changed the account {0} since {1}.".format(user, changed_at))
        undone = bool(changed_at) and document["state"] == "rolled_back"
        changes = [] if undone else journal.rollback(self.store, document)
        if changes and not self.check_mode:
            with self.store.transaction():
                self.store.write(changes)
            self.journal.end(document, "rolled_back")
            self.touched.append(user)
        return {"username": user, "state": "restored" if changes else "ok", "changed": bool(changes), "findings": []}

    def reload(self) -> Reloaded:
        """Make Asterisk take the changes. It reads rows of chan_pjsip at every request."""
        commands: list[str] = []
        if isinstance(self.store, files.Sections):
            commands = ["module reload res_pjsip.so" if self.driver == "pjsip" else "sip reload"]
        elif self.driver == "sip":
            commands = ["sip prune realtime peer {0}".format(name) for name in self.touched]
        try:
            for command in commands:
                control.command(command, limit=CONTROL_LIMIT)
        except ProbeError as error:
            return {"ok": False, "message": "Asterisk has not taken the changes: {0}".format(error)}
        return {"ok": True, "message": ""}


def masked(kind: Kind, key: str, values: Values) -> list[str]:
    """The lines of an object, its secrets masked."""
    lines = ["{0} {1}".format(kind, key)]
    for name in sorted(values):
        value = values[name]
        if name in plans.SECRET_COLUMNS and value not in (None, ""):
            value = plans.MASKED
        lines.append("  {0}: {1}".format(name, "" if value is None else value))
    return lines


def diff(user: str, found: Found, changes: Iterable[Change]) -> TextDiff:
    """The objects that change, secrets masked; a secret that changes is marked."""
    before: list[str] = []
    after: list[str] = []
    for change in changes:
        kind, key = change["kind"], change["id"]
        row = files.object_of(found, kind, key)
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


def _changed_secret(line: str, row: Values, values: Values) -> bool:
    name = line.partition(":")[0].strip()
    return name in plans.SECRET_COLUMNS and name in values and str(row.get(name) or "") != str(values[name] or "")
