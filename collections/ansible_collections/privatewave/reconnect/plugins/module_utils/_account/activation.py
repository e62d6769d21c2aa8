# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The links by which a client fetches its document, once: what the provisioning service works with.

The service runs as a user of its own, in the folder that `provision` fills. This file is all that it needs: it imports
nothing but Python's own library.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import time
from typing import Any, Mapping

USERNAME = re.compile(r"[0-9]{1,20}\Z")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*\Z")
TOKEN = re.compile(r"[A-Za-z0-9_-]{20,100}\Z")
#: The largest document, in bytes.
LARGEST = 1024 * 1024


def claim(folder: str, token: str, now: float | None = None) -> tuple[int, str, bytes]:
    """Use a link: ``(status, name, content)``, with the statuses of HTTP.

    200: the document, once · 404: there is no such link · 410: the link was used or has expired.
    """
    if not TOKEN.match(token):
        return 404, "", b""
    path = os.path.join(folder, "activations", digest(token))
    try:
        os.rename(path + ".json", path + ".used")
    except FileNotFoundError:
        return (410 if os.path.exists(path + ".used") else 404), "", b""
    try:
        link = json.loads((_content(path + ".used") or b"{}").decode("ascii"))
        # No number that is infinite or none: such a link would never expire.
        expires_at = int(link["expires_at"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return 404, "", b""
    if expires_at < (time.time() if now is None else now):
        return 410, "", b""
    if not is_valid(link):
        return 404, "", b""
    content = _content(os.path.join(folder, "accounts", link["username"], link["name"]))
    return (404, "", b"") if content is None else (200, link["name"], content)


def is_valid(document: Mapping[str, Any]) -> bool:
    """Whether ``username`` and ``name`` are those of a document: neither can lead out of the folder."""
    return bool(USERNAME.match(str(document.get("username"))) and NAME.match(str(document.get("name"))))


def digest(token: str) -> str:
    """The name of the link with this token."""
    return hashlib.sha256(token.encode("ascii")).hexdigest()


def _content(path: str) -> bytes | None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        return file.read(LARGEST) if stat.S_ISREG(os.fstat(handle).st_mode) else None
