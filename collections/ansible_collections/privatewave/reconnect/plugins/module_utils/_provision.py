# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients' documents on the server, and the links by which a client fetches one, once.

Under the folder::

    accounts/USERNAME/NAME        the document, and NAME.old, the one before it
    activations/SHA256.json       {"username", "name", "expires_at"}: a link that was not used yet; it is named by the
                                  digest of its token, so that whoever reads the folder can't use it
    activations/SHA256.used       one that was used

A document is put in place at once or not at all. Who claims a link renames its file: only one can.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import tempfile
import time

USERNAME = re.compile(r"[0-9]{1,20}\Z")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*\Z")
TOKEN = re.compile(r"[A-Za-z0-9_-]{20,100}\Z")
#: How long in seconds links that were used or expired are remembered, to answer that they are gone.
REMEMBERED = 30 * 86400


class ProvisionError(Exception):
    """What can't be done, in one sentence without a secret."""


def put(folder, document, owner, mode, change=True):
    """Put a document in place; ``owner`` is (uid, gid) or None. Returns ``{username, name, state}``.

    ``state`` is ``same``, ``created`` or ``changed``; with ``change`` false it is only told.
    """
    username, name = _checked(document)
    home = os.path.join(folder, "accounts", username)
    path = os.path.join(home, name)
    content = document["content"].encode("utf-8")
    before = _content(path)
    state = "created" if before is None else "same" if before == content else "changed"
    if change and state != "same":
        _folder(home, owner)
        new = _written(home, content, owner, mode)
        try:
            if before is not None:
                _link_old(path)
            os.replace(new, path)
        except OSError:
            os.unlink(new)
            raise
        _sync(home)
        if _content(path) != content:
            raise ProvisionError("The document {0} of account {1} reads back otherwise.".format(name, username))
    return {"username": username, "name": name, "state": state}


def restore(folder, username, name):
    """Bring back the document that was there before the last one. True when there was one."""
    _checked({"username": username, "name": name})
    path = os.path.join(folder, "accounts", username, name)
    try:
        os.replace(path + ".old", path)
    except FileNotFoundError:
        return False
    return True


def activate(folder, username, name, seconds, owner, now=None):
    """Make a link to a document; returns its token. Earlier links of the account are taken back."""
    _checked({"username": username, "name": name})
    if _content(os.path.join(folder, "accounts", username, name)) is None:
        raise ProvisionError("Account {0} has no document {1} to fetch.".format(username, name))
    moment = time.time() if now is None else now
    links = os.path.join(folder, "activations")
    _folder(links, owner)
    _take_back(links, username, moment)
    token = secrets.token_urlsafe(32)
    link = {"username": username, "name": name, "expires_at": int(moment + seconds)}
    new = _written(links, json.dumps(link).encode("ascii"), owner, 0o600)
    os.replace(new, os.path.join(links, _digest(token) + ".json"))
    _sync(links)
    return token


def claim(folder, token, now=None):
    """Use a link: ``(status, name, content)``, with the statuses of HTTP.

    200: this once · 404: there is no such link · 410: it was used, or it is too late.
    """
    if not TOKEN.match(token):
        return 404, "", b""
    path = os.path.join(folder, "activations", _digest(token))
    try:
        os.rename(path + ".json", path + ".used")
    except FileNotFoundError:
        return (410 if os.path.exists(path + ".used") else 404), "", b""
    link = json.loads((_content(path + ".used") or b"{}").decode("ascii"))
    if link.get("expires_at", 0) < (time.time() if now is None else now):
        return 410, "", b""
    content = _content(os.path.join(folder, "accounts", *_checked(link)))
    return (404, "", b"") if content is None else (200, link["name"], content)


def _take_back(links, username, moment):
    for entry in os.listdir(links):
        path = os.path.join(links, entry)
        try:
            if entry.endswith(".json") and json.loads((_content(path) or b"{}").decode())["username"] == username:
                os.rename(path, path[: -len("json")] + "used")
            elif entry.endswith(".used") and os.stat(path).st_mtime < moment - REMEMBERED:
                os.unlink(path)
        except (OSError, ValueError, KeyError):
            # Used or taken back by somebody else meanwhile, or not ours.
            continue


def _checked(document):
    username, name = str(document["username"]), str(document["name"])
    if not USERNAME.match(username) or not NAME.match(name):
        raise ProvisionError("{0!r} of {1!r} is no document of an account.".format(name[:80], username[:80]))
    return username, name


def _digest(token):
    return hashlib.sha256(token.encode("ascii")).hexdigest()


def _content(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _folder(path, owner):
    for folder in (os.path.dirname(path), path):
        if not os.path.isdir(folder):
            os.makedirs(folder, mode=0o750)
            if owner:
                os.chown(folder, *owner)


def _written(folder, content, owner, mode):
    """A temporary file in ``folder`` with this content, safely on the disk."""
    handle, path = tempfile.mkstemp(prefix=".new-", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
            if owner:
                os.fchown(file.fileno(), *owner)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        os.unlink(path)
        raise
    return path


def _link_old(path):
    """Keep the document that is there under its old name, without a moment in which there is none."""
    kept = path + ".old"
    if os.path.lexists(kept):
        os.unlink(kept)
    os.link(path, kept)


def _sync(folder):
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
