# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Follow an account's attempts to register, live, on the server they are made at.

AMI tells security events and contacts where manager.conf lets us; else the security log is followed, and Asterisk is
asked for the contact after each login. The other log is followed in any case: a TLS handshake that failed stands only
there.
"""

from __future__ import annotations

import contextlib
import os
import select
import time

from ansible_collections.privatewave.reconnect.plugins.module_utils import _account, _config
from ansible_collections.privatewave.reconnect.plugins.module_utils import _asterisk_log as log
from ansible_collections.privatewave.reconnect.plugins.module_utils._ami import Ami, parse_manager_conf
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import NAME, Asterisk
from ansible_collections.privatewave.reconnect.plugins.module_utils._attempts import Attempts, place_of
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

#: Seconds between two looks into a log, and until a login that nothing was heard of is looked after.
PAUSE = 0.2
GRACE = 0.8
#: Bytes of a log that are read at once.
PART = 1024 * 1024
AMI_CLASSES = ("system", "security")


class Follower:
    """The lines that are added to a file, also when another file takes its place (logrotate)."""

    def __init__(self, path):
        """Starts at the file's end. Raises `OSError`."""
        self._path = path
        self._file = open(path, "rb")  # noqa: SIM115  (it stays open as long as it is followed)
        self._file.seek(0, os.SEEK_END)
        self._rest = b""

    def lines(self):
        """The whole lines that came since the last time."""
        text = self._read()
        with contextlib.suppress(OSError):
            now = os.stat(self._path)
            here = os.fstat(self._file.fileno())
            if (now.st_dev, now.st_ino) != (here.st_dev, here.st_ino) or now.st_size < self._file.tell():
                fresh = open(self._path, "rb")  # noqa: SIM115
                self._file.close()
                self._file = fresh
                text += self._read()
        return text.decode("utf-8", "replace").split("\n")[:-1] if text else []

    def close(self):
        self._file.close()

    def _read(self):
        text = self._rest + self._file.read(PART)
        whole, end, self._rest = text.rpartition(b"\n")
        return whole + end


class Sources:
    """Everything that tells of an attempt; for a ``with`` statement."""

    def __init__(self, settings, seconds):
        self._opened = contextlib.ExitStack()
        self._ami = None
        self._security = None
        self._messages = None
        self.why = []
        access = parse_manager_conf(_config.read("manager.conf"))
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
        self.names = [
            name
            for name, there in (("ami", self._ami), ("security_log", self._security), ("log", self._messages))
            if there
        ]

    @property
    def log(self):
        """Whether the log that is no security log is followed."""
        return self._messages is not None

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self._opened.close()

    def hand_over(self, attempts):
        """Give what has come since the last time to ``attempts``. Returns whether there was anything."""
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

    def wait(self, seconds):
        """Until there may be something new, at most ``seconds``."""
        if self._ami is not None:
            select.select([self._ami], [], [], seconds)
        else:
            time.sleep(seconds)

    def _events(self):
        if self._ami is None:
            return []
        try:
            return self._ami.received()
        except ProbeError as error:
            # Asterisk has ended or was restarted: what is left is the logs.
            self.why.append(str(error))
            self._ami = None
            return []

    def _follow(self, path, what):
        if not path:
            self.why.append("{0} is off".format(what))
            return None
        try:
            return self._opened.enter_context(contextlib.closing(Follower(path)))
        except OSError as error:
            self.why.append("{0}: {1}".format(path, error.strerror))
            return None


def watch(settings, account, seconds, until, addresses, begin=None):
    """Follow the attempts of ``account`` for ``seconds``; with ``until`` ``registered`` up to the first success.

    ``begin`` is called once everything is followed, so that what it causes can't be missed. Returns ``{attempts,
    sources, ended, seconds, why, begun}``: the attempts as `Attempts` makes them, what was followed, whether it ended
    ``registered`` or ``time``, how long it took, why a source was not followed and what ``begin`` returned. Raises
    `ProbeError`.
    """
    if not NAME.match(account):
        raise ProbeError("invalid", "an account's name is at most 80 letters, digits and . _ + -")
    asterisk = Asterisk(settings)
    started = time.monotonic()
    deadline = started + seconds
    with Sources(settings, seconds + 30) as sources:
        if not sources.names:
            raise ProbeError("missing", "nothing tells of attempts: {0}".format("; ".join(sources.why)))
        attempts = Attempts(
            account, addresses, lambda name: _knows(asterisk, name), lambda: _places(asterisk, account), sources.log
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
        ended = "registered" if until == "registered" and attempts.registered else "time"
        found = attempts.end()
    for one, cipher in _ciphers(settings, account, found):
        one["cipher"] = cipher
    return {
        "attempts": found,
        "sources": sources.names,
        "ended": ended,
        "seconds": round(time.monotonic() - started, 3),
        "why": sources.why,
        "begun": begun,
    }


def _knows(asterisk, account):
    """Whether Asterisk has the account, None when it does not say."""
    if not NAME.match(account):
        return False
    try:
        return asterisk.knows(account)
    except ProbeError:
        return None


def _places(asterisk, account):
    try:
        return [place_of(one["uri"]) for one in asterisk.live(account)["contacts"]]
    except ProbeError:
        return []


def _ciphers(settings, account, attempts):
    """What the session view says of the ciphers of attempts over TLS, as (attempt, cipher)."""
    over_tls = [one for one in attempts if one["transport"] == "tls" and one["account"] == account]
    if not over_tls or not settings.get("session_view"):
        return
    try:
        sessions = _account.Account(settings, account).sessions()
    except ProbeError:
        return
    known = {}
    for entry in reversed(sessions["account"]["entries"]):
        if entry.get("cipher"):
            known[str(entry.get("address") or "")] = entry["cipher"]
    for one in over_tls:
        forms = ("{0}:{1}", "[{0}]:{1}", "{0}")
        places = [form.format(one["address"], one["port"]) for form in forms]
        found = [known[place] for place in places if place in known]
        if found:
            yield one, found[0]
