# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns what Asterisk reports while somebody registers into attempts, each with one outcome.

Nothing is asked or read here. The input is the events of chan_pjsip of Asterisk 22 and chan_sip of Asterisk 16, over
AMI or from the security log (the fields are the same), and the lines of the other log.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Optional, Tuple

from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import log
from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import TEST_MARK
from ansible_collections.privatewave.reconnect.plugins.module_utils._text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.documents import (
        Attempt,
        Outcome,
        Seen,
    )

#: An address, empty when unknown, and a port, None when unknown.
Peer = Tuple[str, Optional[int]]
#: A conversation: its account, and the peer's address and port.
Key = Tuple[str, str, Optional[int]]

#: Attempts that are kept, and characters of the detail of one.
LIMIT = 500
DETAIL_LIMIT = 160
#: Seconds within which the same event of the same conversation belongs to one attempt: a client that is refused both
#: before and after its challenge causes two.
SAME = 2.0

_AUTH_MISSING = "the auth that the endpoint names does not exist"
_TLS = (
    # chan_pjsip: OpenSSL's reason, and the peer.
    re.compile(r"SSL_ERROR_\w+ \(Handshake\).*<error:[0-9A-Fa-f]+:([^<>]*)>.* peer: (\S+)$"),
    # chan_sip writes two lines in one thread; the second names the peer.
    re.compile(r"Unable to set up ssl connection with peer '([^']+)'$"),
)
_TLS_REASON = re.compile(r"Problem setting up ssl connection: (.*)$")
_UNBOUND = re.compile(r"Unable to bind contact '(.*)' to AOR '([^']*)'$")
_REFUSED = re.compile(
    r"(?:Registration|Request 'REGISTER') from '(.*)' failed for '([^']*)'(?: \(callid: \S*\))? - (.*)$"
)
_USER = re.compile(r"sips?:([^@;>\s]{1,200})@")
_HOST_PORT = re.compile(r"sips?:(?:[^@;>]*@)?(\[[^\]]+\]|[^:;>\s]+)(?::(\d+))?")
_LINE = re.compile(r"\[([^\]]{5,40})\] \w+\[(\d+)\](?:\[[^\]]*\])? \S+?: (.*)", re.DOTALL)

#: The outcome by the reason in the log, for a server without security events.
_REASONS: tuple[tuple[str, Outcome], ...] = (
    ("Wrong password", "wrong_password"),
    ("Failed to authenticate", "wrong_password"),
    ("Username/auth name mismatch", "wrong_password"),
    ("No matching endpoint found", "unknown_account"),
    ("No matching peer found", "unknown_account"),
    ("Device does not match ACL", "acl_denied"),
    ("Not match Endpoint ACL", "acl_denied"),
    ("Not match Endpoint Contact ACL", "acl_denied"),
    ("ACL error", "acl_denied"),
    ("Error to authenticate", "not_found"),
    ("AOR", "not_found"),
)


def peer_of(text: str) -> Peer:
    """``address:port`` of a log, taken apart."""
    found = re.match(r"\[?([^\]]*?)\]?:(\d+)$", text)
    return (found.group(1), int(found.group(2))) if found else (text.strip("[]"), None)


def peer_of_uri(uri: str) -> Peer:
    """Where a contact's URI points to."""
    found = _HOST_PORT.search(uri)
    if not found:
        return ("", None)
    return (found.group(1).strip("[]"), int(found.group(2)) if found.group(2) else None)


class Attempts:
    """Takes events in their order and keeps the attempts that they amount to.

    ``account`` is watched. An event from one of ``addresses`` counts whatever account it names. A failed TLS handshake
    counts from these addresses, or from anywhere when none is given. ``knows`` is called with an account when Asterisk
    may hide that it is unknown; it says whether Asterisk knows it, None when that is unknown. ``live`` returns the
    peers of the account's contacts; it is called when a login succeeded and no event says what became of it.
    ``sees_log``: the lines of the log come in, not only the security events. ``tell`` is called with each attempt as
    soon as its outcome is known.
    """

    def __init__(
        self,
        account: str,
        addresses: Iterable[str],
        knows: Callable[[str], bool | None],
        live: Callable[[], Iterable[Peer]],
        sees_log: bool,
        tell: Callable[[Attempt], None] = lambda attempt: None,
    ) -> None:
        self._account = account
        self._addresses = frozenset(addresses)
        self._knows = knows
        self._live = live
        self._sees_log = sees_log
        self._tell = tell
        #: Challenged and not answered yet.
        self._open: dict[Key, Seen] = {}
        #: Logged in, the contact still unknown; the oldest first.
        self._waiting: dict[Key, list[Seen]] = {}
        #: Registered by an event of the contact that came before the one of the login.
        self._reported: set[Key] = set()
        self._unbound: list[Peer] = []
        #: Why TLS failed, by thread.
        self._reasons: dict[str, str] = {}
        #: When each event of a session, and each refusal in the log, came last, in seconds since 1970.
        self._last: dict[tuple[Key, str, str | None], float] = {}
        self._refusals: dict[tuple[Key, Outcome], float] = {}
        self._peers = set(live())
        self.found: list[Attempt] = []

    @property
    def registered(self) -> bool:
        """Whether the watched account has registered."""
        return any(one["outcome"] == "registered" and one["account"] == self._account for one in self.found)

    @property
    def waiting(self) -> bool:
        """Whether a login succeeded whose contact is still unknown."""
        return bool(self._waiting)

    # Input

    def security(self, fields: Mapping[str, str]) -> None:
        """A security event: the fields of AMI or of a line of the security log."""
        event, account = fields.get("SecurityEvent") or fields.get("Event", ""), fields.get("AccountID", "")
        remote = fields.get("RemoteAddress", "").split("/")
        if fields.get("Service", "").upper() not in ("PJSIP", "SIP") or len(remote) < 4:
            return
        address, port, transport = remote[2], int(remote[3]) if remote[3].isdigit() else None, remote[1].lower()
        if not self._concerns(account, address) or fields.get("SessionID", "").startswith(TEST_MARK):
            return
        when = log.event_time(fields.get("EventTV", ""))
        key = (account, address, port)
        attempt: Seen = {
            "at": log.utc(when) if when else None,
            "account": printable(account, 80),
            "address": printable(address, 60),
            "port": port,
            "transport": printable(transport, 10),
            "cipher": None,
            "event": printable(event, 60),
        }
        if event == "ChallengeSent":
            self._unanswered(key)
            self._open[key] = attempt
            return
        outcome, detail = self._outcome(event, fields)
        if outcome is None:
            return
        self._open.pop(key, None)
        if outcome == "registered":
            if key in self._reported:
                self._reported.remove(key)
                return
            self._waiting.setdefault(key, []).append(attempt)
            self._take_unbound(key)
            return
        # The login succeeded, and the request was refused all the same.
        waited = self._first(key)
        again = (key, event, fields.get("SessionID"))
        before = self._last.get(again)
        if waited is None and before is not None and when is not None and 0 <= when - before < SAME:
            return
        if when is not None:
            self._last[again] = when
        self._add(attempt, outcome, detail)

    def contact(self, fields: Mapping[str, str]) -> None:
        """``ContactStatus`` of chan_pjsip or ``PeerStatus`` of chan_sip, over AMI."""
        if fields.get("Event") == "ContactStatus":
            account, where = fields.get("EndpointName") or fields.get("AOR", ""), peer_of_uri(fields.get("URI", ""))
            state, challenged = fields.get("ContactStatus", ""), False
        else:
            account, where = fields.get("Peer", "").partition("/")[2], peer_of(fields.get("Address", ""))
            state, challenged = fields.get("PeerStatus", ""), True
        gone = state in ("Removed", "Unregistered")
        if "sip:" + TEST_MARK in fields.get("URI", ""):
            # A registration test, and no client.
            return
        if account != self._account or not (gone or state in ("NonQualified", "Reachable", "Created", "Registered")):
            return
        key, attempt = self._conversation(where, challenged)
        if key and where[0] and where != key[1:] and (gone or state == "Reachable"):
            # Another contact: the new one replaces it, or it was asked whether it still answers.
            return
        if attempt is None:
            # A contact that goes without a request has expired or was removed.
            if not gone or not self._peers or (where[0] and where not in self._peers):
                return
            attempt = self._unasked(where, fields["Event"])
        if gone:
            self._peers = {one for one in self._peers if where[0] and one != where}
        else:
            self._peers.add(where)
        if key and self._first(key) is None:
            # chan_sip reports the contact first and the login after that.
            self._reported.add(key)
            self._open.pop(key, None)
        attempt["event"] = fields["Event"]
        self._add(attempt, "unregistered" if gone else "registered", state)

    def line(self, text: str, security_known: bool) -> None:
        """A line of the log of notices, warnings and errors.

        ``security_known``: security events come in too, so the log's own lines about refusals are not needed.
        """
        found = _LINE.match(text)
        if not found:
            return
        stamp, thread, said = found.groups()
        reason = _TLS_REASON.search(said)
        if reason:
            self._reasons[thread] = reason.group(1)
            return
        for pattern in _TLS:
            failed = pattern.search(said)
            if failed:
                *detail, peer = failed.groups()
                reason_before = self._reasons.pop(thread, "")
                self._tls(stamp, peer, detail[0] if detail else reason_before)
                return
        unbound = _UNBOUND.search(said)
        if unbound:
            self._unbound.append(peer_of_uri(unbound.group(1)))
            for key in list(self._waiting):
                self._take_unbound(key)
        elif not security_known:
            self._refused(stamp, said)

    def look(self) -> None:
        """Compare the contacts with those of the last time: for a server that reports no logins."""
        before, self._peers = self._peers, set(self._live())
        for where in sorted(before - self._peers, key=str):
            self._add(self._unasked(where, "contact"), "unregistered", "")
        for where in sorted(self._peers - before, key=str):
            self._add(self._unasked(where, "contact"), "registered", "")

    def settle(self) -> None:
        """Decide about logins that succeeded without any further event: call it a moment after them."""
        for key in list(self._waiting):
            self._settle(key)

    def end(self) -> list[Attempt]:
        """No more events come: a challenge without an answer becomes an attempt. Returns the attempts by time."""
        self.settle()
        for key in list(self._open):
            self._unanswered(key)
        # A login is decided a moment later than a refusal.
        self.found.sort(key=lambda one: one["at"] or "")
        return self.found

    # Output

    def _concerns(self, account: str, address: str) -> bool:
        return account == self._account or address in self._addresses

    def _outcome(self, event: str, fields: Mapping[str, str]) -> tuple[Outcome | None, str]:
        """The outcome that a security event stands for, None when it is none, and the detail."""
        if event == "InvalidAccountID":
            return "unknown_account", ""
        if event == "InvalidPassword":
            # chan_sip may pretend that every account exists.
            known = self._knows(fields.get("AccountID", ""))
            if known is None:
                return "wrong_password", "unknown whether the account exists"
            return ("wrong_password", "") if known else ("unknown_account", "")
        if event == "ChallengeResponseFailed":
            if fields.get("AccountID") == "<unknown>":
                return None, ""
            if fields.get("Service", "").upper() == "PJSIP" and not fields.get("Challenge"):
                return "not_found", _AUTH_MISSING
            if fields.get("Service", "").upper() == "SIP":
                return "wrong_password", "it authenticates as {0!r}".format(fields.get("Response", "")[:80])
            return "wrong_password", ""
        if event == "FailedACL":
            name = fields.get("ACLName", "")
            # The registrar's own refusals come as this event, too.
            outcome: Outcome = "forbidden" if name.startswith(log.NO_LIST) else "acl_denied"
            return outcome, name
        if event == "RequestNotSupported":
            asked = fields.get("RequestType", "")
            return ("not_found" if asked.endswith("_not_found") else "forbidden"), asked
        if event == "InvalidTransport":
            return "forbidden", "not over {0}".format(fields.get("AttemptedTransport", ""))
        if event == "SuccessfulAuth":
            return "registered", ""
        if event in ("RequestBadFormat", "AuthMethodNotAllowed", "SessionLimit", "LoadAverageLimit", "MemoryLimit"):
            return "forbidden", event
        return None, ""

    def _conversation(self, where: Peer, challenged: bool) -> tuple[Key | None, Seen | None]:
        """The login that a contact belongs to: the one of the same peer, else the account's last.

        ``challenged``: a request that was only challenged so far counts, too.
        """
        for kept in (self._waiting, self._open) if challenged else (self._waiting,):
            own = [key for key in kept if key[0] == self._account]
            exact = [key for key in own if key[1:] == where]
            if own:
                key = (exact or own)[-1]
                return key, self._waiting[key][0] if kept is self._waiting else self._open[key]
        return None, None

    def _unasked(self, where: Peer, event: str) -> Seen:
        return {
            "at": log.utc(time.time()),
            "account": self._account,
            "address": printable(where[0], 60),
            "port": where[1],
            "transport": "",
            "cipher": None,
            "event": event,
        }

    def _first(self, key: Key) -> Seen | None:
        """Take the oldest login of a conversation that waits for its contact."""
        waiting = self._waiting.get(key)
        if not waiting:
            return None
        first = waiting.pop(0)
        if not waiting:
            del self._waiting[key]
        return first

    def _take_unbound(self, key: Key) -> None:
        while key[1:] in self._unbound:
            attempt = self._first(key)
            if attempt is None:
                return
            self._unbound.remove(key[1:])
            self._add(attempt, "no_contact", "the contact could not be stored")

    def _settle(self, key: Key) -> None:
        *earlier, last = self._waiting.pop(key)
        before, self._peers = self._peers, set(self._live())
        if key[0] != self._account or self._peers:
            # A contact that Asterisk does not rewrite has another address than its login.
            gone = key[0] == self._account and key[1:] in before and key[1:] not in self._peers
        elif not before and not (earlier and self._sees_log):
            self._add(last, "no_contact", "the login succeeded, and there is no contact")
            return
        else:
            # The contact came and went: one that could not be stored would be in the log.
            gone = True
        for attempt in earlier:
            self._add(attempt, "registered", "")
        self._add(last, "unregistered" if gone else "registered", "")

    def _unanswered(self, key: Key) -> None:
        attempt = self._open.pop(key, None)
        if attempt is not None and key[0] != "<unknown>":
            self._add(attempt, "challenged", "the challenge was not answered")

    def _tls(self, stamp: str, peer: str, detail: str) -> None:
        address, port = peer_of(peer)
        if self._addresses and address not in self._addresses:
            return
        self._add(_from_log(stamp, "", address, port, "tls"), "tls_failed", detail)

    def _refused(self, stamp: str, said: str) -> None:
        found = _REFUSED.search(said)
        if not found:
            return
        who, peer, reason = found.groups()
        users = _USER.findall(who)
        address, port = peer_of(peer)
        account = users[-1] if users else ""
        if not self._concerns(account, address):
            return
        outcome: Outcome = next((outcome for start, outcome in _REASONS if reason.startswith(start)), "forbidden")
        if outcome == "wrong_password" and self._knows(account) is False:
            outcome = "unknown_account"
        key = (account, address, port)
        again = (key, outcome)
        if reason == "Failed to authenticate" and any(one[0] == key for one in self._refusals):
            # chan_pjsip adds this line after the true reason.
            return
        when = log.seconds(stamp, time.time()) or 0.0
        if 0 <= when - self._refusals.get(again, 0.0) < SAME:
            return
        self._refusals[again] = when
        self._add(_from_log(stamp, account, address, port, ""), outcome, reason)

    def _add(self, seen: Seen, outcome: Outcome, detail: str) -> None:
        if len(self.found) < LIMIT:
            self.found.append({**seen, "outcome": outcome, "detail": printable(detail, DETAIL_LIMIT)})
            self._tell(self.found[-1])


def _from_log(stamp: str, account: str, address: str, port: int | None, transport: str) -> Seen:
    when = log.seconds(stamp, time.time())
    return {
        "at": log.utc(when) if when else None,
        "account": printable(account, 80),
        "address": printable(address, 60),
        "port": port,
        "transport": transport,
        "cipher": None,
        "event": "log",
    }
