# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hold that a person puts on this server: while the file stands, nothing is changed here.

Standard library only, Python 3.8 and later: it runs on the server.
"""

from __future__ import annotations

import os
import pwd
import stat

from ansible_collections.privatewave.reconnect.plugins.module_utils._lease.state import Refused, utc
from ansible_collections.privatewave.reconnect.plugins.module_utils._text import printable

DEFAULT_PATH = "/etc/reconnect/hold"
#: So much of the reason is read, in bytes.
REASON_BYTES = 300


class OnHold(Refused):
    """A person holds the server."""

    final = True


def check(path: str = DEFAULT_PATH) -> None:
    """Raise :class:`OnHold` while the server is on hold."""
    held = sentence(path)
    if held:
        raise OnHold(held)


def sentence(path: str = DEFAULT_PATH) -> str:
    """Who holds the server, since when and why; empty when nobody does.

    Whatever stands at ``path`` is a hold. A regular file's content is the reason.
    """
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as problem:
        return "Nothing is changed: it cannot be seen whether the file {0} holds the server ({1}).".format(
            path, problem.strerror
        )
    try:
        who = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        who = "user {0}".format(status.st_uid)
    reason = _reason(path, status)
    return "The server is on hold since {0} by {1}{2}. Nothing is changed while the file {3} stands.".format(
        utc(status.st_mtime), who, ": " + reason if reason else "", path
    )


def _reason(path: str, status: os.stat_result) -> str:
    """What the file says, on one printable line; empty when it says nothing or is no file."""
    if not stat.S_ISREG(status.st_mode):
        return ""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(handle, "rb") as file:
        content = file.read(REASON_BYTES).decode("utf-8", "replace")
    return printable(" ".join(content.split())).rstrip(".")
