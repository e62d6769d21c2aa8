# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Register as the client of an account does (RFC 3261, 10), and look for the contact in the answer.

A registration test disturbs nobody. Where another client has a contact, nothing is registered: the server might drop
that contact for ours. A password is sent once. Its contacts have a name of their own, so that two tests wait for each
other, and nobody takes them for a client's.
"""

from __future__ import annotations

import os
import socket
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from ansible_collections.privatewave.reconnect.plugins.module_utils._net import connections, sip, sip_client, tls
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, run_all
from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import TEST_MARK
from ansible_collections.privatewave.reconnect.plugins.module_utils._text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ansible_collections.privatewave.reconnect.plugins.module_utils._net.documents import (
        Contact,
        RegisterAnswer,
        Registration,
        RegistrationTest,
    )
    from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import Probe
    from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import Transport

#: Seconds to open a connection, and for an answer.
CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 3.0
#: Seconds to wait for another test to leave, and between two looks at it.
TURN_SECONDS = 12.0
LOOK_SECONDS = 0.1
#: How often a contact is registered that is not there afterwards: another test may have displaced it.
ATTEMPTS = 2
#: Seconds that one test may take, without what ``hold`` takes.
LIMIT = CONNECT_SECONDS + TURN_SECONDS + ANSWER_SECONDS
#: Seconds until the server itself forgets our contact.
EXPIRES = 60

ROUNDS = 4
CONTACT_LIMIT = 50
TEXT_LIMIT = 200


def register(
    account: str,
    auth_name: str,
    password: str,
    server: str,
    port: int,
    transport: str,
    domain: str,
    expires: int,
    stay: bool,
    ca: str | None,
    limit: float,
    keep_open: float = 0,
) -> Registration:
    """Register and, unless ``stay``, remove the contact again. Raises `ProbeError` when there is no answer.

    ``server`` is an address, ``domain`` the name that clients use, ``expires`` seconds, ``ca`` PEM text or None for the
    authorities of the system, ``limit`` seconds for everything. Asterisk forgets a contact with its connection:
    ``keep_open`` is for how many seconds a process that is left behind holds the connection.

    A 200 alone verifies nothing: Asterisk answers 200 also when it could not store the contact, so the contact must be
    in the answer. The password is sent as a digest only, and over TLS only to a server whose certificate is valid for
    the domain.
    """
    deadline = time.monotonic() + limit
    with connect(server, port, transport, domain, ca, deadline) as sock:
        flow = sip_client.Flow(sock, transport, connections.bracketed(domain), account)
        client = Client(flow, auth_name, password, deadline)
        try:
            response = client.ask(expires)
            contacts = contacts_of(response) if response.status == 200 else []
            found = any(_is_ours(contact["uri"], flow, response) for contact in contacts)
        except sip.SIPError as error:
            raise ProbeError("invalid", "the answer is not valid SIP: {0}".format(error)) from None
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


def _keep_open(sock: socket.socket, seconds: float) -> None:
    """Leave a process behind that holds the connection until the server closes it or the time is over."""
    if os.fork():
        return
    try:
        # Nobody must wait for it: it gives up the terminal and the pipes of our caller.
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


class Client:
    """Answers challenges, and records every final answer. ``deadline`` is a time of ``time.monotonic``.

    ``refused`` is whether the server has refused the password. It is not sent again then: servers ban who does.
    """

    def __init__(self, flow: sip_client.Flow, auth_name: str, password: str, deadline: float = 0.0) -> None:
        self.flow = flow
        self.answers: list[RegisterAnswer] = []
        self.deadline = deadline
        self.refused = False
        self._auth_name = auth_name
        self._password = password
        self._challenge: tuple[int, dict[str, str]] | None = None
        self._count = 0

    def ask(self, expires: int | None) -> sip.Message:
        """Register and return the last answer; with ``expires`` None only ask for the contacts.

        Raises `ProbeError`, ``denied`` when the password was refused before.
        """
        tried: str | None = None
        if self.refused:
            raise ProbeError("denied", "the server refused the password, so it is not sent again")
        for _round in range(ROUNDS):
            response = self._send(expires)
            if response.status in (401, 407):
                challenge = sip.choose_challenge(response)
                if challenge is None:
                    raise ProbeError("invalid", "the server asks for an unknown kind of authentication")
                # A second challenge means a wrong password, unless the nonce was only too old.
                if tried is not None and challenge.get("stale", "").lower() != "true":
                    self.refused = True
                    return response
                tried = challenge["nonce"]
                self._challenge, self._count = (response.status, challenge), 0
            elif response.status == 423 and (response.get("Min-Expires") or "").isdigit():
                expires = min(int((response.get("Min-Expires") or "")[:9]), 86400)
            else:
                self.refused = response.status == 403 and self._challenge is not None
                return response
        self.refused = self._challenge is not None
        return response

    def _send(self, expires: int | None) -> sip.Message:
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
                    sip.digest_answer(
                        challenge, "REGISTER", uri, self._auth_name, self._password, sip_client.nonce(), self._count
                    ),
                )
            )
        started = time.monotonic()
        response = self.flow.request("REGISTER", uri, self.flow.identity, headers, self.deadline)
        self.answers.append(
            {
                "expires": expires,
                "status": response.status,
                "reason": printable(response.reason, TEXT_LIMIT),
                "seconds": round(time.monotonic() - started, 4),
                "algorithm": algorithm,
                "server": printable(response.server, TEXT_LIMIT),
            }
        )
        return response


def log_in(flow: sip_client.Flow, account: str, password: str, deadline: float) -> None:
    """Authenticate as an account by asking for its contacts, and change none of them (RFC 3261, 10.2.3).

    Raises `ProbeError`, ``denied`` when the server refuses the account.
    """
    response = Client(flow, account, password, deadline).ask(None)
    if response.status != 200:
        reason = printable(response.reason, TEXT_LIMIT)
        raise ProbeError("denied", "the server refuses {0}: {1} {2}".format(account, response.status, reason).rstrip())


def connect(server: str, port: int, transport: str, domain: str, ca: str | None, deadline: float) -> socket.socket:
    """A connected socket, over TLS only to a server whose certificate is valid for the domain.

    Raises `ProbeError`, and `OSError` over UDP.
    """
    seconds = deadline - time.monotonic()
    if transport == "udp":
        return connections.connected(socket.SOCK_DGRAM, server, port, seconds)
    if transport == "tcp":
        return connections.connect(server, port, seconds)
    sock, seen = tls.examine(
        lambda: connections.connect(server, port, deadline - time.monotonic()), domain, ca, deadline
    )
    if not seen["verified"]:
        sock.close()
        raise ProbeError("invalid", "the server's certificate is not trusted: {0}".format(seen["verify_message"]))
    if not seen["name_matches"]:
        sock.close()
        raise ProbeError("invalid", "the server's certificate is not for {0}".format(domain))
    return sock


def contacts_of(response: sip.Message) -> list[Contact]:
    """The contacts that a 200 to REGISTER lists (RFC 3261, 10.3). Raises `SIPError`."""
    contacts: list[Contact] = []
    for value in response.listed("Contact")[:CONTACT_LIMIT]:
        # chan_sip answers "<>" for an account that has no contact.
        if value.startswith("<>"):
            continue
        address = sip.parse_address(value)
        expires = address["parameters"].get("expires")
        contacts.append(
            {
                "uri": printable(address["uri"], TEXT_LIMIT),
                "expires": int(expires) if expires and expires.isdigit() else None,
            }
        )
    return contacts


def _is_ours(uri: str, flow: sip_client.Flow, response: sip.Message) -> bool:
    """Whether a contact is ours, as we sent it or with the address that the server saw (RFC 3581)."""
    sent, seen = sip.parse_uri(flow.contact.strip("<>")), sip.parse_uri(uri)
    via = sip.parse_via(response.listed("Via")[0])
    received = via["parameters"].get("received") or via["host"]
    port = via["parameters"].get("rport") or via["port"]
    ours = ((sent["host"], str(sent["port"])), (connections.bracketed(received.strip("[]")), str(port)))
    return seen.get("user") == sent["user"] and (seen.get("host"), str(seen.get("port"))) in ours


# ------------------------------------------------------------------------------------------------ a registration test


def _nothing() -> None:
    """Tell nobody that the password was accepted."""


def _there(_mark: str) -> bool:
    """Believe the registrar that the contact is there."""
    return True


def answer(accounts: Sequence[Mapping[str, str]], **server: Any) -> dict[str, Any]:
    """The answer of the module registration_test: a probe for each of ``accounts``, tested at the same time."""
    questions = {}
    for one in accounts:
        question = partial(register_and_leave, one["username"], one["password"], **server)
        questions[one["username"]] = question, LIMIT
    answers: dict[str, Probe[RegistrationTest]] = run_all(questions)
    return {"registrations": answers}


def register_and_leave(
    account: str,
    password: str,
    addresses: Sequence[str],
    port: int,
    transport: Transport,
    domain: str,
    tls_ca: str | None = None,
    accepted: Callable[[], object] = _nothing,
    hold: Callable[[str], bool] = _there,
) -> RegistrationTest:
    """Register an account and leave again. Raises `ProbeError` when there is no answer.

    The first of ``addresses`` that answers is used. ``domain`` is the name that clients use, ``tls_ca`` PEM text or
    None for the authorities of the system. ``accepted`` is called when the server has accepted the password. ``hold``
    is called with the user part of our contact while it is registered, and says whether the contact is there.
    """
    test = _Test(account, password, addresses, port, transport, domain, tls_ca, accepted, hold)
    try:
        return test.run()
    except ProbeError as error:
        # A connection breaks now and then, and a phone opens the next one; a server that always closes them closes
        # that, too. A test ends where the password is refused, so it is not sent again.
        if error.error != "refused":
            raise
        return test.run()


class _Test:
    """One test, on one connection after the other; ``answers`` and ``marks`` are those of all of them."""

    def __init__(
        self,
        account: str,
        password: str,
        addresses: Sequence[str],
        port: int,
        transport: Transport,
        domain: str,
        tls_ca: str | None,
        accepted: Callable[[], object],
        hold: Callable[[str], bool],
    ) -> None:
        self._login = account, password
        self._addresses = addresses
        self._port = port
        self._transport: Transport = transport
        self._domain = domain
        self._tls_ca = tls_ca
        self._accepted = accepted
        self._hold = hold
        self._answers: list[RegisterAnswer] = []
        self._marks: list[str] = []

    def run(self) -> RegistrationTest:
        """The test on a new connection. Raises `ProbeError`."""
        account, password = self._login
        sock, address = _connect(self._addresses, self._port, self._transport, self._domain, self._tls_ca)
        with sock:
            mark = TEST_MARK + sip_client.nonce()
            self._marks.append(mark)
            flow = sip_client.Flow(sock, self._transport, connections.bracketed(self._domain), account, mark)
            client = Client(flow, account, password)
            client.answers = self._answers
            found: RegistrationTest = {
                "address": connections.endpoint(address, self._port),
                "transport": self._transport,
                "accepted": False,
                "others": 0,
                "contact": flow.contact,
                "registered": None,
                "listed": False,
                "unregistered": False,
                "answers": self._answers,
            }
            try:
                self._examine(client, found, mark)
            except sip.SIPError as error:
                raise ProbeError("invalid", "the answer is not valid SIP: {0}".format(error)) from None
        return found

    def _examine(self, client: Client, found: RegistrationTest, mark: str) -> None:
        present = _ask(client, None)
        if present is None:
            return
        self._accepted()
        self._accepted = _nothing
        for _attempt in range(ATTEMPTS):
            present = self._our_turn(client, present)
            found["others"] = sum(not _is_a_test(one) for one in present)
            if client.refused or found["others"] or _register(client, found, mark, self._hold):
                break
        # A server that loses its database meanwhile refuses what it has just accepted.
        found["accepted"] = not client.refused

    def _our_turn(self, client: Client, present: list[Contact]) -> list[Contact]:
        """The contacts once no other test has one; a test that was killed leaves one for a while."""
        until = time.monotonic() + TURN_SECONDS
        while any(map(self._is_of_another_test, present)) and time.monotonic() < until:
            time.sleep(LOOK_SECONDS)
            known = len(client.answers)
            looked = _ask(client, None)
            if looked is None:
                break
            del client.answers[known:]
            present = looked
        return present

    def _is_of_another_test(self, contact: Contact) -> bool:
        return _is_a_test(contact) and user_of(contact["uri"]) not in self._marks


def _register(client: Client, found: RegistrationTest, mark: str, hold: Callable[[str], bool]) -> bool:
    """Register, look at the contact twice, and leave, whatever happens in between.

    Returns whether there is nothing to try again: the contact was there, or the server refused it.
    """
    refused = there = False
    try:
        present = _ask(client, EXPIRES)
        refused = present is None
        found["registered"] = has(mark, present or [])
        if not refused:
            found["listed"] = has(mark, _ask(client, None) or [])
            refused = client.refused
            there = not refused and hold(mark)
    finally:
        if not refused:
            found["unregistered"] = _leave(client, mark)
    return refused or bool(found["registered"] and found["listed"] and there)


def _leave(client: Client, mark: str) -> bool:
    """Remove our contact. Returns whether the server said so and no longer lists it.

    chan_sip answers 200 and leaves the contact in the table where it read the peer before it had one.
    """
    for _attempt in range(ATTEMPTS):
        if _ask(client, 0) is None:
            return False
        if not has(mark, _ask(client, None) or []):
            return True
    return False


def has(mark: str, contacts: Iterable[Contact]) -> bool:
    """Whether one of the contacts is the one with that user part."""
    return any(user_of(one["uri"]) == mark for one in contacts)


def user_of(uri: str) -> str:
    """The user part of a contact, as it is sent or as it is stored."""
    return uri.partition(":")[2].partition("@")[0]


def _is_a_test(contact: Contact) -> bool:
    return user_of(contact["uri"]).startswith(TEST_MARK)


def _ask(client: Client, expires: int | None) -> list[Contact] | None:
    """The contacts that a 200 lists, None after another answer."""
    client.deadline = time.monotonic() + ANSWER_SECONDS
    response = client.ask(expires)
    return contacts_of(response) if response.status == 200 else None


def _connect(
    addresses: Sequence[str], port: int, transport: Transport, domain: str, tls_ca: str | None
) -> tuple[socket.socket, str]:
    """A connection to the first address that answers, and that address. Raises the first `ProbeError`."""
    first: ProbeError | None = None
    until = time.monotonic() + CONNECT_SECONDS
    for address in addresses:
        try:
            return connect(address, port, transport, domain, tls_ca, until), address
        except ProbeError as error:
            first = first or error
        except OSError as error:
            first = first or ProbeError("unreachable", "{0}: {1}".format(address, error))
    raise first or ProbeError("missing", "no address of the server is known")
