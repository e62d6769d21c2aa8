# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small client of the Asterisk Manager Interface (AMI): one login, then actions that answer with a list.

Every exchange is bounded in time and size. The secret is read from manager.conf where Asterisk runs. Only Asterisk
itself gets it, as the digest of a challenge.
"""

from __future__ import annotations

import hashlib
import socket
import time
from typing import TYPE_CHECKING, Dict

from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, error_of
from ansible_collections.privatewave.reconnect.plugins.module_utils._text import is_yes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.documents import AmiAccess

PORT = 5038
#: Bytes.
ANSWER_LIMIT = 8 * 1024 * 1024

#: A message of AMI: its fields by name.
Message = Dict[str, str]

_ANYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1", "[::]": "::1"}


def parse_manager_conf(sections: Mapping[str, Mapping[str, str]]) -> AmiAccess:
    """Where and as whom AMI can be asked, from the sections of manager.conf (see ``config.parse``).

    ``user`` and ``secret`` are empty when no user may send what we send.
    """
    general = sections.get("general", {})
    enabled = is_yes(general.get("enabled"))
    bind = general.get("bindaddr", "").strip()
    port = general.get("port", "")
    found: AmiAccess = {
        "enabled": enabled,
        "host": _ANYWHERE.get(bind, bind.strip("[]")),
        "port": int(port) if port.isdigit() else PORT,
        "user": "",
        "secret": "",
        "read": [],
    }
    for name, values in sections.items():
        granted = values.get("write", "").replace(" ", "").split(",")
        if name != "general" and values.get("secret") and ("system" in granted or "all" in granted):
            told = [one for one in values.get("read", "").replace(" ", "").split(",") if one]
            found["user"], found["secret"], found["read"] = name, values["secret"], told
            break
    return found


class Ami:
    """A logged-in connection; use it in a ``with`` statement. Everything raises `ProbeError`.

    ``access`` is what `parse_manager_conf` returns, ``limit`` the seconds for all exchanges together, and ``events``
    the classes of events that `received` returns.
    """

    def __init__(self, access: AmiAccess, limit: float, events: str = "off") -> None:
        self._deadline = time.monotonic() + limit
        self._buffer = b""
        self._read = 0
        try:
            self._connection = socket.create_connection((access["host"], access["port"]), timeout=limit)
        except OSError as error:
            raise ProbeError(error_of(error), "AMI: {0}".format(error)) from None
        try:
            self._line()
            challenge = self._ask({"Action": "Challenge", "AuthType": "MD5"})
            digest = hashlib.md5((challenge.get("Challenge", "") + access["secret"]).encode("utf-8"))
            login = {"AuthType": "MD5", "Username": access["user"], "Key": digest.hexdigest(), "Events": events}
            answer = self._ask(dict(login, Action="Login"))
            if answer.get("Response") != "Success":
                raise ProbeError("denied", "AMI: {0}".format(answer.get("Message", "login refused")))
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Ami:
        return self

    def __exit__(self, *_error: object) -> None:
        self._connection.close()

    def listed(self, action: str, **fields: str) -> list[Message]:
        """The events that an action answers with, without the one that completes the list.

        Raises `ProbeError` ``missing`` when Asterisk does not know the action or has no such object.
        """
        answer = self._ask(dict(fields, Action=action))
        events: list[Message] = []
        if answer.get("Response") != "Success":
            message = answer.get("Message", "refused")
            if message.startswith("No ") and message.endswith(" found"):
                # This is how AMI reports an empty list: "No Contacts found".
                return events
            raise ProbeError("missing", "AMI {0}: {1}".format(action, message))
        while True:
            event = self._message()
            if event.get("EventList") == "Complete" or event.get("Event", "").endswith("Complete"):
                return events
            events.append(event)

    def done(self, action: str, **fields: str) -> None:
        """Carry out an action. Raises `ProbeError` ``failed`` with Asterisk's message when it is refused."""
        answer = self._ask(dict(fields, Action=action))
        if answer.get("Response") != "Success":
            raise ProbeError("failed", "AMI {0}: {1}".format(action, answer.get("Message", "refused")))

    def fileno(self) -> int:
        """For ``select``: readable when there is something to receive."""
        return self._connection.fileno()

    def received(self) -> list[Message]:
        """The events since the last call, without waiting for any."""
        self._connection.setblocking(False)
        while len(self._buffer) < ANSWER_LIMIT:
            try:
                part = self._connection.recv(65536)
            except BlockingIOError:
                break
            except OSError as error:
                raise ProbeError(error_of(error), "AMI: {0}".format(error)) from None
            if not part:
                raise ProbeError("refused", "AMI closed the connection")
            self._buffer += part
        whole, _end, rest = self._buffer.rpartition(b"\r\n\r\n")
        self._buffer = rest
        messages = (
            dict(line.split(": ", 1) for line in text.split("\r\n") if ": " in line)
            for text in whole.decode("utf-8", "replace").split("\r\n\r\n")
        )
        return [message for message in messages if "Event" in message]

    def _ask(self, fields: Mapping[str, str]) -> Message:
        if any("\r" in value or "\n" in value for value in fields.values()):
            raise ProbeError("invalid", "a field of AMI has a line break")
        text = "".join("{0}: {1}\r\n".format(name, value) for name, value in fields.items())
        try:
            self._connection.sendall(text.encode("utf-8") + b"\r\n")
        except OSError as error:
            raise ProbeError(error_of(error), "AMI: {0}".format(error)) from None
        message = self._message()
        while "Response" not in message:
            # FullyBooted and the like may come first.
            message = self._message()
        return message

    def _message(self) -> Message:
        """The next message; when a field comes several times the last one counts."""
        fields: Message = {}
        while True:
            line = self._line()
            if not line:
                if fields:
                    return fields
                continue
            name, _colon, value = line.partition(":")
            fields[name] = value.strip()

    def _line(self) -> str:
        while b"\n" not in self._buffer:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise ProbeError("timed_out", "AMI does not answer")
            try:
                self._connection.settimeout(left)
                part = self._connection.recv(65536)
            except OSError as error:
                raise ProbeError(error_of(error), "AMI: {0}".format(error)) from None
            self._read += len(part)
            if not part:
                raise ProbeError("refused", "AMI closed the connection")
            if self._read > ANSWER_LIMIT:
                raise ProbeError("invalid", "AMI answers with more than {0} bytes".format(ANSWER_LIMIT))
            self._buffer += part
        line, _end, self._buffer = self._buffer.partition(b"\n")
        return line.rstrip(b"\r").decode("utf-8", "replace")
