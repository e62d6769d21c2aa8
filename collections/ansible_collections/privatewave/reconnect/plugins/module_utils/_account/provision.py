# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients' documents on the server, and the links by which a client fetches one, once.

Under the folder::

    accounts/USERNAME/NAME        the document, and NAME.old, the one before it
    activations/SHA256.json       {"username", "name", "expires_at"}: a link that was not used yet. The digest of its
                                  token is its name, so that nobody who reads the folder can use it
    activations/SHA256.used       a link that was used or revoked

A document is replaced as a whole. A client that claims a link renames its file: only one can (see `activation`).

The folder may belong to the user of the service that hands the documents out, and this runs as root. So every folder is
opened once and every file is reached by its open folder: see `_files`. New folders belong to root, and the service's
group may read them; only ``activations`` is the service's, because it renames the links.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from typing import TYPE_CHECKING, Any, Literal, Mapping, Optional, Tuple, TypedDict

from ansible_collections.privatewave.reconnect.plugins.module_utils import _files
from ansible_collections.privatewave.reconnect.plugins.module_utils._account import activation
from ansible_collections.privatewave.reconnect.plugins.module_utils._common import plain_json

if TYPE_CHECKING:
    from collections.abc import Iterator

#: For how many seconds used and expired links are remembered, to answer that they are gone.
REMEMBERED = 30 * 86400


#: User and group ids, or None: leave them.
Owner = Optional[Tuple[int, int]]


class ProvisionError(Exception):
    """A document or link cannot be written. The message is one sentence without a secret."""


class Put(TypedDict):
    """What became of a document. ``version`` is of the file as it was left (its time in ns), empty where it is the
    same."""

    username: str
    name: str
    state: Literal["same", "created", "changed"]
    version: str


def put(folder: str, document: Mapping[str, Any], owner: Owner, mode: int, change: bool = True) -> Put:
    """Write a document, ``{username, name, content}``; without ``change`` only say what would be done.

    Raises `ProvisionError` and `OSError`.
    """
    username, name = _checked(document)
    content = document["content"].encode("utf-8")
    if len(content) > activation.LARGEST:
        raise ProvisionError("The document {0} of account {1} is too large.".format(name, username))
    before, version = None, ""
    with contextlib.suppress(FileNotFoundError), _opened(folder, ("accounts", username)) as home:
        before = _content(home, name)
    state: Literal["same", "created", "changed"]
    state = "created" if before is None else "same" if before == content else "changed"
    if change and state != "same":
        with _opened(folder, ("accounts", username), _of_root(owner), 0o750) as home:
            _files.replace_in(home, name, content, mode, owner, None if before is None else name + ".old")
            if _content(home, name) != content:
                raise ProvisionError(
                    "The document {0} of account {1} differs after it was written.".format(name, username)
                )
            version = _version(home, name)
    return {"username": username, "name": name, "state": state, "version": version}


def restore(folder: str, put: Mapping[str, Any]) -> bool:
    """Take back what `put` did: the document before it is there again, or none; False when there is none to restore.

    Raises `ProvisionError` where the document was changed since, and `OSError`.
    """
    username, name = _checked(put)
    try:
        with _opened(folder, ("accounts", username)) as home:
            if put.get("version") and _version(home, name) != put["version"]:
                raise ProvisionError(
                    "The document {0} of account {1} was changed since. It stays as it is.".format(name, username)
                )
            if put.get("state") == "created":
                os.unlink(name, dir_fd=home)
            else:
                os.replace(name + ".old", name, src_dir_fd=home, dst_dir_fd=home)
    except FileNotFoundError:
        return False
    return True


def _version(home: int, name: str) -> str:
    return str(os.stat(name, dir_fd=home, follow_symlinks=False).st_mtime_ns)


def activate(folder: str, username: str, name: str, seconds: float, owner: Owner, now: float | None = None) -> str:
    """Make a link to a document, valid for ``seconds``, and return its token. Earlier links of the account are revoked.

    ``now`` is in seconds since 1970. Raises `ProvisionError` when there is no such document.
    """
    _checked({"username": username, "name": name})
    there = None
    with contextlib.suppress(FileNotFoundError), _opened(folder, ("accounts", username)) as home:
        there = _content(home, name)
    if there is None:
        raise ProvisionError("Account {0} has no document {1} to fetch.".format(username, name))
    moment = time.time() if now is None else now
    token = secrets.token_urlsafe(32)
    link = {"username": username, "name": name, "expires_at": int(moment + seconds)}
    with _opened(folder, ("activations",), owner, 0o750) as links:
        _revoke(links, username, moment)
        content = json.dumps(link).encode("ascii")
        _files.replace_in(links, activation.digest(token) + ".json", content, 0o600, owner)
    return token


def _revoke(links: int, username: str, moment: float) -> None:
    for entry in os.listdir(links):
        try:
            if entry.endswith(".json") and plain_json(_content(links, entry) or b"{}")["username"] == username:
                os.rename(entry, entry[: -len("json")] + "used", src_dir_fd=links, dst_dir_fd=links)
            elif entry.endswith(".used") and os.lstat(entry, dir_fd=links).st_mtime < moment - REMEMBERED:
                os.unlink(entry, dir_fd=links)
        except (OSError, ValueError, KeyError, TypeError):
            # Another process used or revoked it meanwhile, or the file is not ours.
            continue


def _checked(document: Mapping[str, Any]) -> tuple[str, str]:
    username, name = str(document["username"]), str(document["name"])
    if not activation.is_valid({"username": username, "name": name}):
        raise ProvisionError("{0!r} of {1!r} is not a valid document of an account.".format(name[:80], username[:80]))
    return username, name


@contextlib.contextmanager
def _opened(folder: str, names: tuple[str, ...], owner: Owner = None, mode: int | None = None) -> Iterator[int]:
    """The open folder ``names`` below ``folder``; with a ``mode`` what is missing is made, for ``owner``. The parent of
    ``folder`` has to be there."""
    above, own = os.path.split(os.path.abspath(folder))
    with contextlib.ExitStack() as stack:
        try:
            handle, below = stack.enter_context(_files.folder(folder)), names
        except FileNotFoundError:
            if mode is None:
                raise
            handle, below = stack.enter_context(_files.folder(above)), (own, *names)
        for name in below:
            handle = _below(handle, name, owner, mode)
            stack.callback(os.close, handle)
        yield handle


def _below(parent: int, name: str, owner: Owner, mode: int | None) -> int:
    """Open a folder in an open folder; one that is made here gets its owner, another one keeps it."""
    try:
        return _files.below(parent, name)
    except FileNotFoundError:
        if mode is None:
            raise
    handle = _files.below(parent, name, 0o700)
    # Somebody who may write in the parent may have put another one in its place.
    if os.fstat(handle).st_uid == os.geteuid() and not os.listdir(handle):
        if owner is not None:
            os.fchown(handle, *owner)
        os.fchmod(handle, mode)
    return handle


def _of_root(owner: Owner) -> Owner:
    """Who owns folders that the service only reads."""
    return None if owner is None else (os.geteuid(), owner[1])


def _content(folder: int, name: str) -> bytes | None:
    """A file in an open folder; None where there is none, or where it is a link or no file."""
    try:
        handle = _files.regular(folder, name)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        return file.read(activation.LARGEST)
