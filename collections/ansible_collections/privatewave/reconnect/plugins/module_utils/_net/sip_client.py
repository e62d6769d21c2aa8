# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client side of a SIP flow: non-INVITE transactions over UDP, TCP or TLS (RFC 3261, 17.1.2, 18)."""

from __future__ import annotations

import binascii
import os
import socket
import ssl
import time
from typing import TYPE_CHECKING

from ansible_collections.privatewave.reconnect.plugins.module_utils._net import connections, sip
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, error_of
from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import TEST_AGENT

if TYPE_CHECKING:
    from collections.abc import Iterable

T1 = 0.5
T2 = 4.0
USER_AGENT = "Reconnect"
KEEP_ALIVE = b"\r\n\r\n"


def nonce() -> str:
    """A random word, for tags, branches and cnonces."""
    return binascii.hexlify(os.urandom(8)).decode("ascii")


class Flow:
    """A connected socket over which requests are sent to one server.

    ``transport`` is ``udp``, ``tcp`` or ``tls``, ``domain`` the name that clients use for the server, ``mark`` is
    by what a registration test is known: the user part of its contact and its Call-ID. All requests of a flow have the
    same Call-ID and tag and count CSeq, as those of one client do.
    """

    def __init__(self, sock: socket.socket, transport: str, domain: str, user: str, mark: str = "") -> None:
        self.sock = sock
        self.transport = transport
        self.domain = domain
        host, port = sock.getsockname()[:2]
        self.local = connections.endpoint(host, port)
        user = sip.escape_user(user)
        self.identity = "sip:{0}@{1}".format(user, domain)
        self.contact = "<sip:{0}@{1};transport={2}>".format(mark or user, self.local, transport)
        self.call_id = mark or nonce()
        self.agent = TEST_AGENT if mark else USER_AGENT
        self.tag = nonce()
        self.count = 0
        self._received = b""
        self._garbage: sip.SIPError | None = None

    def request(
        self, method: str, uri: str, to: str, headers: Iterable[tuple[str, str]], deadline: float, forwards: int = 70
    ) -> sip.Message:
        """Send one request and return the final response. Raises `ProbeError`.

        ``to`` is the URI of the To field, ``headers`` further (name, value) pairs, ``deadline`` a time of
        ``time.monotonic``, ``forwards`` how many proxies may pass it on. A request over UDP is sent again after 0.5 s,
        1 s, 2 s … until an answer arrives.
        """
        self.count += 1
        branch = "z9hG4bK" + nonce()
        message = bytes(
            sip.Message(
                method,
                uri,
                headers=[
                    ("Via", "SIP/2.0/{0} {1};branch={2};rport".format(self.transport.upper(), self.local, branch)),
                    ("Max-Forwards", str(forwards)),
                    ("From", "<{0}>;tag={1}".format(self.identity, self.tag)),
                    ("To", "<{0}>".format(to)),
                    ("Call-ID", self.call_id),
                    ("CSeq", "{0} {1}".format(self.count, method)),
                    ("User-Agent", self.agent),
                    *headers,
                ],
            )
        )
        started = time.monotonic()
        try:
            self.sock.settimeout(max(0.001, deadline - started))
            self.sock.sendall(message)
            return self._final_response(message, branch, method, deadline)
        except sip.SIPError as error:
            raise ProbeError("invalid", "the answer is not valid SIP: {0}".format(error)) from None
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            raise ProbeError("refused", "the server closed the connection instead of answering") from None
        except OSError as error:
            kind = error_of(error)
            if kind != "timed_out":
                raise ProbeError(kind, "SIP over {0}: {1}".format(self.transport, error)) from None
            if self._garbage:
                raise ProbeError("invalid", "the answer is not valid SIP: {0}".format(self._garbage)) from None
            limit = "{0:.1f} s".format(deadline - started)
            raise ProbeError("timed_out", "no answer to {0} within {1}".format(method, limit)) from None

    def keep_alive(self) -> None:
        """Send a keep-alive (RFC 5626, 3.5.1). Raises `ProbeError` when the connection is lost."""
        try:
            self.sock.sendall(KEEP_ALIVE)
        except OSError as error:
            raise _lost(error) from None

    def listen(self, until: float) -> bool:
        """Send nothing until data arrives, at most until a time of ``time.monotonic``. Returns whether it arrived.

        Raises `ProbeError`: ``refused`` when the server closes the connection, another error when it is lost.
        """
        try:
            self.sock.settimeout(max(0.001, until - time.monotonic()))
            piece = self.sock.recv(16384)
        except socket.timeout:
            return False
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            piece = b""
        except OSError as error:
            raise _lost(error) from None
        if not piece:
            raise ProbeError("refused", "the server closed the connection")
        self._received = (self._received + piece)[-sip.MESSAGE_LIMIT :]
        return True

    def _final_response(self, message: bytes, branch: str, method: str, deadline: float) -> sip.Message:
        interval = T1
        resend_at = time.monotonic() + interval
        while True:
            now = time.monotonic()
            if now >= deadline:
                raise socket.timeout("timed out")
            if self.transport == "udp" and now >= resend_at:
                self.sock.send(message)
                interval = min(2 * interval, T2)
                resend_at = now + interval
            until = min(deadline, resend_at) if self.transport == "udp" else deadline
            response = self._receive(until, deadline)
            if response is None or response.status < 200:
                continue
            if response.branch == branch and response.cseq[1] == method:
                return response

    def _receive(self, until: float, deadline: float) -> sip.Message | None:
        """The next message; over UDP None when none arrives in time."""
        if self.transport != "udp":
            return self._receive_framed(deadline)
        self.sock.settimeout(max(0.001, until - time.monotonic()))
        try:
            datagram = self.sock.recv(sip.MESSAGE_LIMIT)
        except socket.timeout:
            return None
        if not datagram.strip(b"\r\n\0"):
            return None
        try:
            return sip.parse(datagram)
        except sip.SIPError as error:
            # A bad datagram can come from someone else: the answer can still arrive.
            self._garbage = error
            return None

    def _receive_framed(self, deadline: float) -> sip.Message:
        """The next message of a stream, whose end Content-Length tells (RFC 3261, 18.3)."""
        while True:
            self._received = self._received.lstrip(b"\r\n")
            head, blank, rest = self._received.partition(b"\r\n\r\n")
            if blank:
                message = sip.parse_head(head)
                length = sip.content_length(message)
                if length is None:
                    raise sip.SIPError("no Content-Length on a stream")
                if len(rest) >= length:
                    message.body, self._received = rest[:length], rest[length:]
                    return message
            if len(self._received) > 2 * sip.MESSAGE_LIMIT:
                raise sip.SIPError("a message of more than {0} bytes".format(sip.MESSAGE_LIMIT))
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise socket.timeout("timed out")
            self.sock.settimeout(remaining)
            piece = self.sock.recv(16384)
            if not piece:
                if self._received:
                    raise sip.SIPError("the connection was closed in the middle of a message")
                raise ProbeError("refused", "the server closed the connection instead of answering")
            self._received += piece


def _lost(error: OSError) -> ProbeError:
    return ProbeError("unreachable", "the connection is lost: {0}".format(error))


def options(flow: Flow, deadline: float, forwards: int = 70, uri: str = "") -> sip.Message:
    """Ask a server for its capabilities (RFC 3261, 11): any final response shows that it serves SIP.

    ``uri`` is whom the request is for, by default the server. ``forwards`` is as for `Flow.request`.
    """
    uri = uri or "sip:{0}".format(flow.domain)
    accept = [("Contact", flow.contact), ("Accept", "application/sdp")]
    return flow.request("OPTIONS", uri, uri, accept, deadline, forwards)
