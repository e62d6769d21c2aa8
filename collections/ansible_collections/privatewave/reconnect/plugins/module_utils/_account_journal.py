# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an account was before it was changed, kept on the server: for the way back, and for an interrupted change.

A file for each account, in a folder of mode 0700 that belongs to us alone. A file has mode 0600: it holds secrets::

    {"schema": "reconnect/account-backup/v1", "account", "began_at", "state": "begun" | "done" | "rolled_back",
     "changes": [{"kind", "id", "before": {column: value} or null, "after": {column: value} or null}]}

``before`` is the whole object, ``after`` the columns that were written. A file that says ``begun`` is a change that was
interrupted: whoever comes next finds out how far it came, and finishes it or takes it back.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import json
import os
import tempfile
import time

SCHEMA = "reconnect/account-backup/v1"
FOLDER = "/var/lib/reconnect/accounts"
LOCK_SECONDS = 30.0
#: Written by Asterisk itself at any time: they say nothing of a change.
STATE_COLUMNS = ("ipaddr", "port", "regseconds", "fullcontact", "useragent", "lastms", "regserver")


class JournalError(Exception):
    """The backup can't be kept; nothing was changed. The message is one sentence."""


class Journal:
    """The backups of a server; one call at a time holds them (``with journal.held():``)."""

    def __init__(self, folder=FOLDER, writable=True):
        self.folder = folder
        self._writable = writable

    @contextlib.contextmanager
    def held(self):
        """Nobody else changes accounts meanwhile; who only looks needs no such thing. Raises `JournalError`."""
        if not self._writable:
            yield self
            return
        try:
            os.makedirs(os.path.dirname(self.folder), mode=0o700, exist_ok=True)
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            lock = os.open(os.path.join(self.folder, ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise JournalError("The backups in {0} can't be kept: {1}.".format(self.folder, error.strerror)) from None
        try:
            deadline = time.monotonic() + LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError as error:
                    if error.errno not in (errno.EAGAIN, errno.EACCES) or time.monotonic() > deadline:
                        raise JournalError("Another run changes accounts of this server.") from None
                    time.sleep(0.05)
            yield self
        finally:
            os.close(lock)

    def begin(self, store, account, changes):
        """Keep what the changes will touch, before anything is changed. Raises `JournalError`."""
        kept = []
        for change in changes:
            if change["kind"] == "contact":
                continue
            row = store.row(change["kind"], change["id"])
            after = None if change["action"] == "delete" else {k: _plain(v) for k, v in change["values"].items()}
            kept.append({"kind": change["kind"], "id": change["id"], "before": _row(row), "after": after})
        document = {"schema": SCHEMA, "account": account, "began_at": _now(), "state": "begun", "changes": kept}
        self._save(document)
        return document

    def end(self, document, state="done"):
        """Note how a change ended."""
        self._save(dict(document, state=state))

    def load(self, account):
        """The backup of an account, None when there is none. Raises `JournalError`."""
        path = self._path(account)
        try:
            with open(path, encoding="utf-8") as file:
                document = json.load(file)
            if document.get("schema") != SCHEMA or not isinstance(document.get("changes"), list):
                raise ValueError("its schema is not {0}".format(SCHEMA))
            return document
        except FileNotFoundError:
            return None
        except (ValueError, AttributeError) as error:
            raise JournalError("The backup {0} can't be understood: {1}.".format(path, error)) from None
        except OSError as error:
            raise JournalError("The backup {0} can't be read: {1}.".format(path, error.strerror)) from None

    def interrupted(self):
        """The changes that were begun and never ended. Raises `JournalError`."""
        try:
            names = sorted(os.listdir(self.folder))
        except FileNotFoundError:
            return []
        documents = [self.load(name[: -len(".json")]) for name in names if name.endswith(".json")]
        return [one for one in documents if one and one["state"] == "begun"]

    def path(self, account):
        """Where the backup of an account is."""
        return self._path(account)

    def _path(self, account):
        return os.path.join(self.folder, "{0}.json".format(account))

    def _save(self, document):
        path = self._path(document["account"])
        try:
            handle, name = tempfile.mkstemp(prefix=".backup-", dir=self.folder)
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(document, file)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(name, path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(name)
                raise
        except OSError as error:
            raise JournalError("The backup {0} can't be written: {1}.".format(path, error.strerror)) from None


def way_back(store, document):
    """The changes that bring back what was before, of what is not back already."""
    changes = []
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


def how_far(store, document):
    """How far a change came: ``all``, ``nothing``, ``half``, or ``other`` when somebody changed the account since."""
    done = [_is_after(one, store.row(one["kind"], one["id"])) for one in document["changes"]]
    if all(done):
        return "all"
    undone = [_is_before(one, store.row(one["kind"], one["id"])) for one in document["changes"]]
    if all(undone):
        return "nothing"
    return "half" if all(map(any, zip(done, undone))) else "other"


def _is_after(change, row):
    if change["after"] is None or row is None:
        return change["after"] is None and row is None
    return all(_text(row.get(name)) == _text(value) for name, value in change["after"].items())


def _is_before(change, row):
    before = change["before"]
    if before is None or row is None:
        return before is None and row is None
    names = before if change["after"] is None else change["after"]
    return all(_text(row.get(name)) == _text(before.get(name)) for name in names if name not in STATE_COLUMNS)


def _text(value):
    return "" if value is None else str(value)


def _row(row):
    return None if row is None else {name: _plain(value) for name, value in row.items()}


def _plain(value):
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
