# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Follow an account's attempts to register, live, on the server they are made at.

AMI reports security events and contacts where manager.conf allows it. Elsewhere the security log is followed, and
Asterisk is asked for the contact after each login. The other log is always followed: only it has failed TLS handshakes.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from typing import TYPE_CHECKING

from ansible_collections.privatewave.reconnect.plugins.module_utils import _files
from ansible_collections.privatewave.reconnect.plugins.module_utils._account import probes as accounts
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import log
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.ami import Ami, parse_manager_conf
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.attempts import Attempts, peer_of_uri
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.probes import Asterisk
from ansible_collections.privatewave.reconnect.plugins.module_utils._common import ACCOUNT_NAME
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import config
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._text import account_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ansible_collections.privatewave.reconnect.plugins.module_utils._account.documents import Watched
    from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.ami import Message
    from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.attempts import Peer
    from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.documents import Attempt, Reconnection
    from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import Settings

#: Seconds between two looks into a log, and from a login without any further event until it is decided.
PAUSE = 0.2
GRACE = 0.8
#: Bytes of a log that are read at a time.
PART = 1024 * 1024
AMI_CLASSES = ("system", "security")


class Follower:
    """The lines that are added to a file, also when another file replaces it (logrotate)."""

    def __init__(self, path: str) -> None:
        """Starts at the file's end. Raises `OSError`."""
        self._path = path
        self._file = open(path, "rb", opener=_files.opener)  # noqa: SIM115  (it stays open as long as it is followed)
        self._file.seek(0, os.SEEK_END)
        self._rest = b""

    def lines(self) -> list[str]:
        """The whole lines since the last call."""
        text = self._read()
        with contextlib.suppress(OSError):
            now = os.stat(self._path)
            here = os.fstat(self._file.fileno())
            if (now.st_dev, now.st_ino) != (here.st_dev, here.st_ino) or now.st_size < self._file.tell():
                fresh = open(self._path, "rb", opener=_files.opener)  # noqa: SIM115
                self._file.close()
                self._file = fresh
                text += self._read()
        return text.decode("utf-8", "replace").split("\n")[:-1] if text else []

    def close(self) -> None:
        self._file.close()

    def _read(self) -> bytes:
        text = self._rest + self._file.read(PART)
        whole, end, self._rest = text.rpartition(b"\n")
        return whole + end


class Sources:
    """Everything that reports attempts; for a ``with`` statement."""

    def __init__(self, settings: Settings, seconds: float) -> None:
        self._opened = contextlib.ExitStack()
        self._ami: Ami | None = None
        self._security: Follower | None = None
        self._messages: Follower | None = None
        #: Why something is not followed.
        self.why: list[str] = []
        access = parse_manager_conf(config.read("manager.conf"))
        if access["enabled"] and access["user"] and {"all", *AMI_CLASSES} & set(access["read"]):
            try:
                self._ami = self._opened.enter_context(Ami(access, seconds, ",".join(AMI_CLASSES)))
            except ProbeError as error:
                self.why.append(str(error))
        told = set(access["read"]) if self._ami else set()
        self.contacts = bool(told & {"all", "system"})
        security_told = bool(told & {"all", "security"})
        paths = Asterisk(settings).log_files()
        if not security_told:
            self._security = self._follow(paths["security"], "the security log")
        self._messages = self._follow(paths["messages"], "the log")
        self.security = security_told or self._security is not None
        #: What is followed.
        self.names = [
            name
            for name, there in (("ami", self._ami), ("security_log", self._security), ("log", self._messages))
            if there
        ]

    @property
    def log(self) -> bool:
        """Whether the log of notices, warnings and errors is followed."""
        return self._messages is not None

    def __enter__(self) -> Sources:
        return self

    def __exit__(self, *_error: object) -> None:
        self._opened.close()

    def hand_over(self, attempts: Attempts) -> bool:
        """Give everything new to ``attempts``. Returns whether there was anything."""
        lines = self._messages.lines() if self._messages else []
        for line in lines:
            attempts.line(line, self.security)
        security = [line for line in self._security.lines() if 'SecurityEvent="' in line] if self._security else []
        for line in security:
            attempts.security(log.security_fields(line))
        events = self._events()
        for event in events:
            if event["Event"] in ("ContactStatus", "PeerStatus"):
                attempts.contact(event)
            elif "RemoteAddress" in event:
                attempts.security(event)
        return bool(lines or security or events)

    def wait(self, seconds: float) -> None:
        """Wait until there may be something new, at most ``seconds``."""
        if self._ami is not None:
            select.select([self._ami], [], [], seconds)
        else:
            time.sleep(seconds)

    def _events(self) -> list[Message]:
        if self._ami is None:
            return []
        try:
            return self._ami.received()
        except ProbeError as error:
            # Asterisk has stopped or restarted: only the logs are left.
            self.why.append(str(error))
            self._ami = None
            return []

    def _follow(self, path: str | None, what: str) -> Follower | None:
        if not path:
            self.why.append("{0} is off".format(what))
            return None
        try:
            return self._opened.enter_context(contextlib.closing(Follower(path)))
        except OSError as error:
            self.why.append("{0}: {1}".format(path, error.strerror))
            return None


def watch(
    settings: Settings,
    account: str,
    seconds: float,
    until: str,
    addresses: Iterable[str],
    begin: Callable[[], Reconnection] | None = None,
    tell: Callable[[Attempt], None] = lambda attempt: None,
) -> Watched:
    """Follow the attempts of ``account`` for ``seconds``; with ``until`` ``registered`` up to the first success.

    ``begin`` is called once everything is followed, so that nothing it causes is missed; ``tell`` with each attempt as
    soon as its outcome is known. Raises `ProbeError`.
    """
    account = account_name(account)
    asterisk = Asterisk(settings)
    started = time.monotonic()
    deadline = started + seconds
    with Sources(settings, seconds + 30) as sources:
        if not sources.names:
            raise ProbeError("missing", "nothing reports attempts: {0}".format("; ".join(sources.why)))
        attempts = Attempts(
            account,
            addresses,
            lambda name: _knows(asterisk, name),
            lambda: _peers(asterisk, account),
            sources.log,
            tell,
        )
        begun = begin() if begin else None
        quiet_since = time.monotonic()
        while not (until == "registered" and attempts.registered):
            now = time.monotonic()
            if sources.hand_over(attempts):
                quiet_since = now
            elif not sources.security and now - quiet_since >= GRACE:
                attempts.look()
                quiet_since = now
            elif attempts.waiting and now - quiet_since >= GRACE:
                attempts.settle()
            if now >= deadline:
                break
            sources.wait(min(PAUSE, max(0.01, deadline - now)))
        registered = until == "registered" and attempts.registered
        found = attempts.end()
    for one, cipher in _ciphers(settings, account, found):
        one["cipher"] = cipher
    return {
        "attempts": found,
        "sources": sources.names,
        "ended": "registered" if registered else "time",
        "seconds": round(time.monotonic() - started, 3),
        "why": sources.why,
        "begun": begun,
    }


def _knows(asterisk: Asterisk, account: str) -> bool | None:
    """Whether Asterisk has the account, None when it does not answer."""
    if not ACCOUNT_NAME.match(account):
        return False
    try:
        return asterisk.knows(account)
    except ProbeError:
        return None


def _peers(asterisk: Asterisk, account: str) -> list[Peer]:
    try:
        return [peer_of_uri(one["uri"]) for one in asterisk.live(account)["contacts"]]
    except ProbeError:
        return []


def _ciphers(settings: Settings, account: str, attempts: Iterable[Attempt]) -> Iterator[tuple[Attempt, str]]:
    """Attempts over TLS, and their ciphers by the session view."""
    over_tls = [one for one in attempts if one["transport"] == "tls" and one["account"] == account]
    if not over_tls or not settings.get("session_view"):
        return
    try:
        sessions = accounts.Account(settings, account).sessions()
    except ProbeError:
        return
    known: dict[str, str] = {}
    for entry in reversed(sessions["account"]["entries"]):
        if entry["cipher"]:
            known[str(entry["address"] or "")] = entry["cipher"]
    for one in over_tls:
        forms = ("{0}:{1}", "[{0}]:{1}", "{0}")
        places = [form.format(one["address"], one["port"]) for form in forms]
        found = [known[place] for place in places if place in known]
        if found:
            yield one, found[0]
