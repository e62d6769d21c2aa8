# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""REGISTER as an account, as its client does (RFC 3261, 10), and look for the contact in the answer."""

from __future__ import annotations

import os
import socket
import time

from ansible_collections.privatewave.reconnect.plugins.module_utils import _net, _sip, _sip_client, _tls
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

ROUNDS = 4
CONTACT_LIMIT = 50
TEXT_LIMIT = 200


def register(account, auth_name, password, server, port, transport, domain, expires, stay, ca, limit, keep_open=0):
    """Register and, unless ``stay``, take the contact away again.

    Asterisk forgets a contact with its connection: ``keep_open`` is for how many seconds a process that is left behind
    holds it.

    ``server`` is an address, ``domain`` the name clients use, ``expires`` seconds, ``ca`` PEM text or None for the
    system's authorities, ``limit`` seconds for everything. Returns ``registered`` (a 200 that lists our contact),
    ``answers`` (``[{expires, status, reason, seconds, algorithm}]``: every final answer, in order; ``expires`` 0
    takes the contact away), ``contact``,
    ``contacts`` (``[{uri, expires}]`` of the 200) and ``unregistered``. Raises `ProbeError` when there is no answer.

    A 200 alone proves nothing: Asterisk answers 200 even when it could not store the contact, so the contact is looked
    for. The password is sent only as a digest, and over TLS only to a server whose certificate is good for the domain.
    """
    deadline = time.monotonic() + limit
    with connect(server, port, transport, domain, ca, deadline) as sock:
        flow = _sip_client.Flow(sock, transport, _net.bracketed(domain), account)
        client = _Client(flow, auth_name, password, deadline)
        try:
            response = client.ask(expires)
            contacts = _contacts(response) if response.status == 200 else []
            found = any(_is_ours(contact["uri"], flow, response) for contact in contacts)
        except _sip.SIPError as error:
            raise ProbeError("invalid", "the answer is no SIP: {0}".format(error)) from None
        unregistered = False
        if response.status == 200 and not stay:
            unregistered = client.ask(0).status == 200
        elif found and keep_open and transport != "udp":
            _keep_open(sock, keep_open)
    return {
        "registered": found,
        "answers": client.answers,
        "contact": flow.contact,
        "contacts": contacts,
        "unregistered": unregistered,
    }


def _keep_open(sock, seconds):
    """Leave a process behind that holds the connection until the server or the time ends it."""
    if os.fork():
        return
    try:
        # Nobody must wait for it: it has neither the terminal nor the pipes of whoever started us.
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            sock.settimeout(max(0.1, end - time.monotonic()))
            if not sock.recv(4096):
                break
    except OSError:
        return
    finally:
        os._exit(0)


class _Client:
    """Answers challenges, and keeps a record of every answer."""

    def __init__(self, flow, auth_name, password, deadline):
        self.flow = flow
        self.answers = []
        self._auth_name = auth_name
        self._password = password
        self._deadline = deadline
        self._challenge = None
        self._count = 0

    def ask(self, expires):
        """One registration: the last of its answers; with ``expires`` None only a question. Raises `ProbeError`."""
        tried = None
        for _round in range(ROUNDS):
            response = self._send(expires)
            if response.status in (401, 407):
                challenge = _sip.choose_challenge(response)
                if challenge is None:
                    raise ProbeError("invalid", "the server asks for a kind of authentication that is not known here")
                # A second challenge says that the password is wrong, unless only the nonce was too old.
                if tried is not None and challenge.get("stale", "").lower() != "true":
                    return response
                tried = challenge["nonce"]
                self._challenge, self._count = (response.status, challenge), 0
            elif response.status == 423 and (response.get("Min-Expires") or "").isdigit():
                expires = min(int(response.get("Min-Expires")[:9]), 86400)
            else:
                return response
        return response

    def _send(self, expires):
        uri = "sip:{0}".format(self.flow.domain)
        headers = [] if expires is None else [("Contact", self.flow.contact), ("Expires", str(expires))]
        algorithm = None
        if self._challenge:
            status, challenge = self._challenge
            algorithm = challenge.get("algorithm", "MD5")
            self._count += 1
            headers.append(
                (
                    "Proxy-Authorization" if status == 407 else "Authorization",
                    _sip.digest_answer(
                        challenge, "REGISTER", uri, self._auth_name, self._password, _sip_client.nonce(), self._count
                    ),
                )
            )
        started = time.monotonic()
        response = self.flow.request("REGISTER", uri, self.flow.identity, headers, self._deadline)
        self.answers.append(
            {
                "expires": expires,
                "status": response.status,
                "reason": _sip.printable(response.reason, TEXT_LIMIT),
                "seconds": round(time.monotonic() - started, 4),
                "algorithm": algorithm,
            }
        )
        return response


def log_in(flow, account, password, deadline):
    """Prove to be an account by asking for its contacts, and change none of them (RFC 3261, 10.2.3).

    Raises `ProbeError`, ``denied`` when the server does not let it in.
    """
    response = _Client(flow, account, password, deadline).ask(None)
    if response.status != 200:
        reason = _sip.printable(response.reason, TEXT_LIMIT)
        raise ProbeError("denied", "{0} was not let in: {1} {2}".format(account, response.status, reason).rstrip())


def connect(server, port, transport, domain, ca, deadline):
    """A connected socket; over TLS only to a server whose certificate is good for the domain. Raises `ProbeError`."""
    seconds = deadline - time.monotonic()
    if transport == "udp":
        return _net.connected(socket.SOCK_DGRAM, server, port, seconds)
    if transport == "tcp":
        return _net.connect(server, port, seconds)
    sock, seen = _tls.examine(lambda: _net.connect(server, port, deadline - time.monotonic()), domain, ca, deadline)
    if not seen["verified"]:
        sock.close()
        raise ProbeError("invalid", "the server's certificate is not trusted: {0}".format(seen["verify_message"]))
    if not seen["name_matches"]:
        sock.close()
        raise ProbeError("invalid", "the server's certificate is not for {0}".format(domain))
    return sock


def _contacts(response):
    contacts = []
    for value in response.listed("Contact")[:CONTACT_LIMIT]:
        address = _sip.parse_address(value)
        expires = address["parameters"].get("expires")
        contacts.append(
            {
                "uri": _sip.printable(address["uri"], TEXT_LIMIT),
                "expires": int(expires) if expires and expires.isdigit() else None,
            }
        )
    return contacts


def _is_ours(uri, flow, response):
    """Whether a contact is the one we sent, as sent or rewritten to where the server saw us (RFC 3581)."""
    sent, seen = _sip.parse_uri(flow.contact.strip("<>")), _sip.parse_uri(uri)
    via = _sip.parse_via(response.listed("Via")[0])
    received = via["parameters"].get("received") or via["host"]
    port = via["parameters"].get("rport") or via["port"]
    places = ((sent["host"], str(sent["port"])), (_net.bracketed(received.strip("[]")), str(port)))
    return seen.get("user") == sent["user"] and (seen.get("host"), str(seen.get("port"))) in places
