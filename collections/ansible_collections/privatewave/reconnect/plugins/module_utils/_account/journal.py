# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of accounts on the server: what each was before its last change, to roll it back or to recover from a crash.

Each account has a file of the shape ``documents.Backup``, in a folder of mode 0700 that is only ours. A file has mode
0600: it holds secrets.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
from typing import TYPE_CHECKING, Any, Literal, cast

from ansible_collections.privatewave.reconnect.plugins.module_utils import _files
from ansible_collections.privatewave.reconnect.plugins.module_utils._common import plain_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ansible_collections.privatewave.reconnect.plugins.module_utils._account.documents import (
        Backup,
        Change,
        KeptChange,
        Values,
    )
    from ansible_collections.privatewave.reconnect.plugins.module_utils._account.store import Store

SCHEMA: Literal["reconnect/account-backup/v1"] = "reconnect/account-backup/v1"
FOLDER = "/var/lib/reconnect/accounts"
#: How long to wait for another run.
LOCK_SECONDS = 30.0
#: Columns that Asterisk itself writes at any time; they do not count as a change.
STATE_COLUMNS = ("ipaddr", "port", "regseconds", "fullcontact", "useragent", "lastms", "regserver")


class JournalError(Exception):
    """A backup cannot be read or written; nothing was changed. The message is one sentence."""


class Journal:
    """The backups of a server; one run at a time holds them (``with journal.held():``)."""

    def __init__(self, folder: str = FOLDER, writable: bool = True) -> None:
        self.folder = folder
        self._writable = writable

    @contextlib.contextmanager
    def held(self) -> Iterator[Journal]:
        """No other run changes accounts meanwhile; a run that only reads does not wait. Raises `JournalError`."""
        if not self._writable:
            yield self
            return
        try:
            with _files.private(self.folder) as folder:
                handle = os.open(".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
        except OSError as error:
            raise JournalError("Cannot keep backups in {0}: {1}.".format(self.folder, error.strerror)) from None
        try:
            try:
                alone = _files.lock(handle, LOCK_SECONDS)
            except OSError as error:
                raise JournalError("Cannot lock the backups in {0}: {1}.".format(self.folder, error.strerror)) from None
            if not alone:
                raise JournalError("Another run is changing accounts of this server.")
            yield self
        finally:
            os.close(handle)

    def begin(self, store: Store, account: str, changes: Iterable[Change]) -> Backup:
        """Back up what the changes will touch, before anything is changed. Raises `JournalError`."""
        kept: list[KeptChange] = []
        for change in changes:
            if change["kind"] == "contact":
                continue
            row = store.row(change["kind"], change["id"])
            after = None if change["action"] == "delete" else {k: _plain(v) for k, v in change["values"].items()}
            kept.append({"kind": change["kind"], "id": change["id"], "before": _row(row), "after": after})
        document: Backup = {"schema": SCHEMA, "account": account, "began_at": _now(), "state": "begun", "changes": kept}
        self._save(document)
        return document

    def end(self, document: Backup, state: Literal["done", "rolled_back"] = "done") -> None:
        """Note how a change ended. Raises `JournalError`."""
        self._save({**document, "state": state})

    def load(self, account: str) -> Backup | None:
        """The backup of an account, None when there is none. Raises `JournalError`."""
        path = self.path(account)
        try:
            with open(path, encoding="utf-8", opener=_files.opener) as file:
                document = plain_json(file.read())
            if document.get("schema") != SCHEMA or not isinstance(document.get("changes"), list):
                raise ValueError("its schema is not {0}".format(SCHEMA))
            return cast("Backup", document)
        except FileNotFoundError:
            return None
        except (ValueError, AttributeError) as error:
            raise JournalError("The backup {0} is invalid: {1}.".format(path, error)) from None
        except OSError as error:
            raise JournalError("Cannot read the backup {0}: {1}.".format(path, error.strerror)) from None

    def interrupted(self) -> list[Backup]:
        """The backups of changes that began and did not end. Raises `JournalError`."""
        try:
            names = sorted(os.listdir(self.folder))
        except FileNotFoundError:
            return []
        documents = [self.load(name[: -len(".json")]) for name in names if name.endswith(".json")]
        return [one for one in documents if one and one["state"] == "begun"]

    def path(self, account: str) -> str:
        """The path of an account's backup."""
        return os.path.join(self.folder, "{0}.json".format(account))

    def _save(self, document: Backup) -> None:
        path = self.path(document["account"])
        try:
            _files.replace(path, json.dumps(document))
        except OSError as error:
            raise JournalError("Cannot write the backup {0}: {1}.".format(path, error.strerror)) from None


def rollback(store: Store, document: Backup) -> list[Change]:
    """The changes that restore what was before, without what is restored already."""
    changes: list[Change] = []
    for one in reversed(document["changes"]):
        if _is_before(one, store.row(one["kind"], one["id"])):
            continue
        if one["before"] is None:
            changes.append({"kind": one["kind"], "id": one["id"], "action": "delete", "values": {}})
        elif one["after"] is None:
            values = {name: value for name, value in one["before"].items() if value is not None}
            changes.append({"kind": one["kind"], "id": one["id"], "action": "insert", "values": values})
        else:
            values = {name: one["before"].get(name) for name in one["after"]}
            changes.append({"kind": one["kind"], "id": one["id"], "action": "update", "values": values})
    return changes


def progress(store: Store, document: Backup) -> Literal["all", "nothing", "half", "other"]:
    """How much of a change was written; ``other``: somebody changed the account since."""
    done = [_is_after(one, store.row(one["kind"], one["id"])) for one in document["changes"]]
    if all(done):
        return "all"
    undone = [_is_before(one, store.row(one["kind"], one["id"])) for one in document["changes"]]
    if all(undone):
        return "nothing"
    return "half" if all(map(any, zip(done, undone))) else "other"


def _is_after(change: KeptChange, row: Values | None) -> bool:
    if change["after"] is None or row is None:
        return change["after"] is None and row is None
    return all(_text(row.get(name)) == _text(value) for name, value in change["after"].items())


def _is_before(change: KeptChange, row: Values | None) -> bool:
    before = change["before"]
    if before is None or row is None:
        return before is None and row is None
    names = before if change["after"] is None else change["after"]
    return all(_text(row.get(name)) == _text(before.get(name)) for name in names if name not in STATE_COLUMNS)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _row(row: Mapping[str, Any] | None) -> Values | None:
    return None if row is None else {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
