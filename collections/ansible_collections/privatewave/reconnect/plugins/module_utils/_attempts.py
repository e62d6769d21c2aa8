# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what Asterisk says while somebody registers to attempts, each with one outcome.

Nothing is asked or read here. The events are those of chan_pjsip of Asterisk 22 and chan_sip of Asterisk 16, as they
come over AMI and as they stand in the security log (the same fields in both), and the lines of the other log.
"""

from __future__ import annotations

import re
import time

from ansible_collections.privatewave.reconnect.plugins.module_utils import _asterisk_log as log

#: What an attempt can come to.
OUTCOMES = (
    "registered",
    "unregistered",
    "challenged",
    "unknown_account",
    "wrong_password",
    "acl_denied",
    "tls_failed",
    "not_found",
    "no_contact",
    "forbidden",
)

LIMIT = 500
DETAIL_LIMIT = 160
#: Seconds within which the same event of the same conversation belongs to one attempt: a client that is turned away
#: before it is challenged, and after, makes two.
SAME = 2.0

_AUTH_MISSING = "the auth that the endpoint names is not there"
_TLS = (
    # chan_pjsip; what OpenSSL says, and to whom.
    re.compile(r"SSL_ERROR_\w+ \(Handshake\).*<error:[0-9A-Fa-f]+:([^<>]*)>.* peer: (\S+)$"),
    # chan_sip says it in two lines of one thread; the second names the peer.
    re.compile(r"Unable to set up ssl connection with peer '([^']+)'$"),
)
_TLS_REASON = re.compile(r"Problem setting up ssl connection: (.*)$")
_UNBOUND = re.compile(r"Unable to bind contact '(.*)' to AOR '([^']*)'$")
_REFUSED = re.compile(
    r"(?:Registration|Request 'REGISTER') from '(.*)' failed for '([^']*)'(?: \(callid: \S*\))? - (.*)$"
)
_USER = re.compile(r"sips?:([^@;>\s]+)@")
_HOST_PORT = re.compile(r"sips?:(?:[^@;>]*@)?(\[[^\]]+\]|[^:;>\s]+)(?::(\d+))?")
_LINE = re.compile(r"\[([^\]]{5,40})\] \w+\[(\d+)\](?:\[[^\]]*\])? \S+?: (.*)", re.DOTALL)

#: The reasons in the log, for a server without security events.
_REASONS = (
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


def place(text):
    """``address:port`` of a log as ``(address, port)``; the port is None when there is none."""
    found = re.match(r"\[?([^\]]*?)\]?:(\d+)$", text)
    return (found.group(1), int(found.group(2))) if found else (text.strip("[]"), None)


def place_of(uri):
    """Where a contact's URI points to, as ``(address, port)``."""
    found = _HOST_PORT.search(uri)
    if not found:
        return ("", None)
    return (found.group(1).strip("[]"), int(found.group(2)) if found.group(2) else None)


class Attempts:
    """Takes events in the order in which they came and keeps the attempts they amount to.

    ``account`` is the one that is watched; what comes from one of ``addresses`` counts whatever account it names, and
    so does a failed TLS handshake, from anywhere when no address is given. ``knows`` is called with the account when
    Asterisk hides an unknown account behind a wrong password and says whether it knows it (None: it can't be told).
    ``live`` is called when a login was let in and no event told what became of it: the places, as `place_of` returns
    them, of the account's contacts. ``sees_log``: the lines of the log come in as well as the security events.
    """

    def __init__(self, account, addresses, knows, live, sees_log):
        self._account = account
        self._addresses = frozenset(addresses)
        self._knows = knows
        self._live = live
        self._sees_log = sees_log
        self._open = {}
        self._waiting = {}
        self._told = {}
        self._unbound = []
        self._reasons = {}
        self._last = {}
        self._places = set(live())
        self.found = []

    @property
    def registered(self):
        """Whether the watched account has registered."""
        return any(one["outcome"] == "registered" and one["account"] == self._account for one in self.found)

    @property
    def waiting(self):
        """Whether a login was let in whose contact is still unknown."""
        return bool(self._waiting)

    # What comes in

    def security(self, fields):
        """A security event: the fields of AMI or of a line of the security log."""
        event, account = fields.get("SecurityEvent") or fields.get("Event", ""), fields.get("AccountID", "")
        remote = fields.get("RemoteAddress", "").split("/")
        if fields.get("Service", "").upper() not in ("PJSIP", "SIP") or len(remote) < 4:
            return
        address, port, transport = remote[2], int(remote[3]) if remote[3].isdigit() else None, remote[1].lower()
        if not self._concerns(account, address):
            return
        when = log.event_time(fields.get("EventTV", ""))
        key = (account, address, port)
        attempt = {
            "at": log.utc(when) if when else None,
            "account": log.printable(account, 80),
            "address": log.printable(address, 60),
            "port": port,
            "transport": log.printable(transport, 10),
            "cipher": None,
            "event": log.printable(event, 60),
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
            if self._told.pop(key, None):
                return
            self._waiting.setdefault(key, []).append(attempt)
            self._take_unbound(key)
            return
        # It was let in, and then turned away all the same.
        waited = self._first(key)
        again = (key, event, fields.get("SessionID"))
        before = self._last.get(again)
        if waited is None and before is not None and when is not None and 0 <= when - before < SAME:
            return
        if when is not None:
            self._last[again] = when
        self._add(attempt, outcome, detail)

    def contact(self, fields):
        """``ContactStatus`` of chan_pjsip or ``PeerStatus`` of chan_sip, over AMI."""
        if fields.get("Event") == "ContactStatus":
            account, where = fields.get("EndpointName") or fields.get("AOR", ""), place_of(fields.get("URI", ""))
            state, among = fields.get("ContactStatus", ""), (self._waiting,)
        else:
            account, where = fields.get("Peer", "").partition("/")[2], place(fields.get("Address", ""))
            state, among = fields.get("PeerStatus", ""), (self._waiting, self._open)
        gone = state in ("Removed", "Unregistered")
        if account != self._account or not (gone or state in ("NonQualified", "Reachable", "Created", "Registered")):
            return
        key, attempt = self._conversation(where, among)
        if key and where[0] and where != key[1:] and (gone or state == "Reachable"):
            # Another contact, which gives way to the one being made or was asked whether it still answers.
            return
        if key is None:
            # A contact that goes without a request has expired or was taken away.
            if not gone or not self._places or (where[0] and where not in self._places):
                return
            attempt = self._unasked(where, fields["Event"])
        if gone:
            self._places = {one for one in self._places if where[0] and one != where}
        else:
            self._places.add(where)
        if key and self._first(key) is None:
            # chan_sip tells of the contact first and of the login after that.
            self._told[key] = True
            self._open.pop(key, None)
        self._add(dict(attempt, event=fields["Event"]), "unregistered" if gone else "registered", state)

    def line(self, text, security_known):
        """A line of the log that holds notices, warnings and errors.

        ``security_known``: security events are seen too, so that the log's own word on a refusal is not needed.
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
                self._tls(stamp, failed.groups(), self._reasons.pop(thread, ""))
                return
        unbound = _UNBOUND.search(said)
        if unbound:
            self._unbound.append(place_of(unbound.group(1)))
            for key in list(self._waiting):
                self._take_unbound(key)
        elif not security_known:
            self._refused(stamp, said)

    def look(self):
        """Compare the contacts with those of the last time: for a server that tells nothing of a login."""
        before, self._places = self._places, set(self._live())
        for outcome, places in (("unregistered", before - self._places), ("registered", self._places - before)):
            for where in sorted(places, key=str):
                self._add(self._unasked(where, "contact"), outcome, "")

    def settle(self):
        """Decide about logins that were let in without any further event: call it a moment after them."""
        for key in list(self._waiting):
            self._settle(key)

    def end(self):
        """No more events come: whoever was challenged and never answered is told as such. Returns the attempts."""
        self.settle()
        for key in list(self._open):
            self._unanswered(key)
        # What became of a login is known a moment later than that another one was turned away.
        self.found.sort(key=lambda one: one["at"] or "")
        return self.found

    # What they amount to

    def _concerns(self, account, address):
        return account == self._account or address in self._addresses

    def _outcome(self, event, fields):
        if event == "InvalidAccountID":
            return "unknown_account", ""
        if event == "InvalidPassword":
            # chan_sip pretends to know everybody.
            known = self._knows(fields.get("AccountID", ""))
            if known is None:
                return "wrong_password", "whether the account exists could not be asked"
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
            # What is no access list is told as one too.
            outcome = "forbidden" if name.startswith(("registrar_", "peer_not_dynamic")) else "acl_denied"
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

    def _conversation(self, where, among):
        """The login that a contact belongs to: of the same place, else the last of the account."""
        for kept in among:
            own = [key for key in kept if key[0] == self._account]
            exact = [key for key in own if key[1:] == where]
            if own:
                key = (exact or own)[-1]
                return key, kept[key][0] if kept is self._waiting else kept[key]
        return None, None

    def _unasked(self, where, event):
        return {
            "at": log.utc(time.time()),
            "account": self._account,
            "address": log.printable(where[0], 60),
            "port": where[1],
            "transport": "",
            "cipher": None,
            "event": event,
        }

    def _first(self, key):
        """The oldest login of a place that nothing was heard of yet, which is no longer waited for."""
        waiting = self._waiting.get(key)
        if not waiting:
            return None
        first = waiting.pop(0)
        if not waiting:
            del self._waiting[key]
        return first

    def _take_unbound(self, key):
        while key in self._waiting and key[1:] in self._unbound:
            self._unbound.remove(key[1:])
            self._add(self._first(key), "no_contact", "the contact could not be stored")

    def _settle(self, key):
        *earlier, last = self._waiting.pop(key)
        before, self._places = self._places, set(self._live())
        if key[0] != self._account or self._places:
            # Where a contact is not rewritten its place is another than the one the login came from.
            gone = key[0] == self._account and key[1:] in before and key[1:] not in self._places
        elif not before and not (earlier and self._sees_log):
            self._add(last, "no_contact", "let in, and there is no contact")
            return
        else:
            # It has come and gone: a contact that could not be stored would be in the log.
            gone = True
        for attempt in earlier:
            self._add(attempt, "registered", "")
        self._add(last, "unregistered" if gone else "registered", "")

    def _unanswered(self, key):
        attempt = self._open.pop(key, None)
        if attempt is not None and key[0] != "<unknown>":
            self._add(attempt, "challenged", "it did not answer the challenge")

    def _tls(self, stamp, groups, reason):
        detail, peer = groups if len(groups) == 2 else (reason, groups[0])
        address, port = place(peer)
        if self._addresses and address not in self._addresses:
            return
        self._add(_from_log(stamp, "", address, port, "tls"), "tls_failed", detail)

    def _refused(self, stamp, said):
        found = _REFUSED.search(said)
        if not found:
            return
        who, peer, reason = found.groups()
        users = _USER.findall(who)
        address, port = place(peer)
        account = users[-1] if users else ""
        if not self._concerns(account, address):
            return
        outcome = next((outcome for start, outcome in _REASONS if reason.startswith(start)), "forbidden")
        if outcome == "wrong_password" and self._knows(account) is False:
            outcome = "unknown_account"
        again = (account, address, port, outcome)
        if reason == "Failed to authenticate" and any(one[:3] == again[:3] for one in self._last):
            # chan_pjsip says it after the true reason too.
            return
        when = log.seconds(stamp, time.time()) or 0.0
        if 0 <= when - self._last.get(again, 0.0) < SAME:
            return
        self._last[again] = when
        self._add(_from_log(stamp, account, address, port, ""), outcome, reason)

    def _add(self, attempt, outcome, detail):
        if len(self.found) < LIMIT:
            self.found.append(dict(attempt, outcome=outcome, detail=log.printable(detail, DETAIL_LIMIT)))


def _from_log(stamp, account, address, port, transport):
    when = log.seconds(stamp, time.time())
    return {
        "at": log.utc(when) if when else None,
        "account": log.printable(account, 80),
        "address": log.printable(address, 60),
        "port": port,
        "transport": transport,
        "cipher": None,
        "event": "log",
    }
