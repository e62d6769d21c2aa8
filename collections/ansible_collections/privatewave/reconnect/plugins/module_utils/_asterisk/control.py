# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asterisk's control socket, asked as ``asterisk -rx`` asks it, but without a process that could be left behind.

Asterisk greets with one line ``host/pid/version``. It answers the first command after ``cli quit after`` with the
command's text, then closes the connection. A hung Asterisk accepts the connection (the kernel does) and says nothing.
"""

from __future__ import annotations

import re
import socket
import struct
import time
from typing import TYPE_CHECKING

from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, error_of

if TYPE_CHECKING:
    from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.documents import Greeting

DEFAULT_PATH = "/var/run/asterisk/asterisk.ctl"
#: Bytes.
ANSWER_LIMIT = 4 * 1024 * 1024
GREETING_LIMIT = 1024

_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_NO_SUCH = re.compile(r"^No such command '")


def parse_greeting(text: str) -> Greeting:
    """The greeting's parts. Raises `ProbeError` ``invalid``."""
    parts = text.strip().split("/", 2)
    if len(parts) != 3 or not parts[1].isdigit():
        raise ProbeError("invalid", "the control socket greets with {0!r}".format(text[:80]))
    return {"host": parts[0], "pid": int(parts[1]), "version": parts[2]}


def greeting(path: str = DEFAULT_PATH, limit: float = 3.0) -> Greeting:
    """What Asterisk says to whoever connects, within ``limit`` seconds. Raises `ProbeError`."""
    return _talk(path, limit, None)[0]


def command(line: str, path: str = DEFAULT_PATH, limit: float = 3.0) -> str:
    """The text that Asterisk answers to a command of its command line, within ``limit`` seconds.

    Raises `ProbeError`, ``missing`` when this Asterisk does not know the command.
    """
    text = _talk(path, limit, line)[1]
    if _NO_SUCH.match(text):
        raise ProbeError("missing", "this Asterisk does not know the command {0!r}".format(line))
    return text


def _talk(path: str, limit: float, line: str | None) -> tuple[Greeting, str]:
    deadline = time.monotonic() + limit
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            # A busy Asterisk has a short queue of connections. The kernel waits for room; Python's own limit would not.
            wait = struct.pack("ll", int(limit), int(limit % 1 * 1000000))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)
            connection.connect(path)
            hello, rest = _until(connection, deadline, b"\n", GREETING_LIMIT)
            facts = parse_greeting(hello.decode("utf-8", "replace"))
            if line is None:
                return facts, ""
            connection.sendall(b"cli quit after " + line.encode("utf-8") + b"\0")
            text = rest + _until(connection, deadline, None, ANSWER_LIMIT)[0]
        except (OSError, ValueError) as error:
            kind = error_of(error)
            why = str(error)
            if kind == "timed_out":
                why = "no answer" if line is None else "no answer to {0!r}".format(line)
            raise ProbeError(kind, "Asterisk's control socket {0}: {1}".format(path, why)) from None
    return facts, _ESCAPES.sub("", text.decode("utf-8", "replace"))


def _until(connection: socket.socket, deadline: float, end: bytes | None, limit: int) -> tuple[bytes, bytes]:
    """Read up to ``end``, or the connection's end, and return what came before it and after it."""
    text = b""
    while end is None or end not in text:
        left = deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("no answer")
        connection.settimeout(left)
        part = connection.recv(65536)
        if not part:
            if end is None:
                return text, b""
            raise ProbeError("refused", "Asterisk's control socket closed the connection")
        text += part
        if len(text) > limit:
            raise ProbeError("invalid", "Asterisk answers with more than {0} bytes".format(limit))
    head, _end, rest = text.partition(end)
    return head, rest
