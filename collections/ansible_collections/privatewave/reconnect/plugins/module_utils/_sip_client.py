# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A SIP client's side of one flow: non-INVITE transactions over UDP, TCP or TLS (RFC 3261, 17.1.2, 18)."""

from __future__ import annotations

import binascii
import os
import socket
import ssl
import time

from ansible_collections.privatewave.reconnect.plugins.module_utils import _net, _sip
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, error_of

T1 = 0.5
T2 = 4.0
USER_AGENT = "Reconnect"
KEEP_ALIVE = b"\r\n\r\n"


def nonce():
    """A fresh unguessable word, for tags, branches and cnonces."""
    return binascii.hexlify(os.urandom(8)).decode("ascii")


class Flow:
    """A connected socket over which requests are sent to one server.

    ``transport`` is ``udp``, ``tcp`` or ``tls`` and ``domain`` the name clients use for the server. The flow keeps
    Call-ID, tag and CSeq, so that its requests belong together as those of one client do.
    """

    def __init__(self, sock, transport, domain, user):
        self.sock = sock
        self.transport = transport
        self.domain = domain
        host, port = sock.getsockname()[:2]
        self.local = _net.endpoint(host, port)
        user = _sip.escape_user(user)
        self.identity = "sip:{0}@{1}".format(user, domain)
        self.contact = "<sip:{0}@{1};transport={2}>".format(user, self.local, transport)
        self.call_id = nonce()
        self.tag = nonce()
        self.count = 0
        self._received = b""
        self._garbage = None

    def request(self, method, uri, to, headers, deadline):
        """Send one request and return the final response (`_sip.Message`). Raises `ProbeError`.

        ``to`` is the URI of the To field, ``headers`` further (name, value) pairs, ``deadline`` a time of
        ``time.monotonic``. A request over UDP is sent again after 0.5 s, 1 s, 2 s … until something answers.
        """
        self.count += 1
        branch = "z9hG4bK" + nonce()
        message = bytes(
            _sip.Message(
                method,
                uri,
                headers=[
                    ("Via", "SIP/2.0/{0} {1};branch={2};rport".format(self.transport.upper(), self.local, branch)),
                    ("Max-Forwards", "70"),
                    ("From", "<{0}>;tag={1}".format(self.identity, self.tag)),
                    ("To", "<{0}>".format(to)),
                    ("Call-ID", self.call_id),
                    ("CSeq", "{0} {1}".format(self.count, method)),
                    ("User-Agent", USER_AGENT),
                    *headers,
                ],
            )
        )
        started = time.monotonic()
        try:
            self.sock.settimeout(max(0.001, deadline - started))
            self.sock.sendall(message)
            return self._final_response(message, branch, method, deadline)
        except _sip.SIPError as error:
            raise ProbeError("invalid", "the answer is no SIP: {0}".format(error)) from None
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            raise ProbeError("refused", "the server closed the connection instead of answering") from None
        except OSError as error:
            kind = error_of(error)
            if kind != "timed_out":
                raise ProbeError(kind, "SIP over {0}: {1}".format(self.transport, error)) from None
            if self._garbage:
                raise ProbeError("invalid", "the answer is no SIP: {0}".format(self._garbage)) from None
            limit = "{0:.1f} s".format(deadline - started)
            raise ProbeError("timed_out", "no answer to {0} within {1}".format(method, limit)) from None

    def keep_alive(self):
        """Say that we are still there (RFC 5626, 3.5.1). Raises `ProbeError` when the connection is lost."""
        try:
            self.sock.sendall(KEEP_ALIVE)
        except OSError as error:
            raise _lost(error) from None

    def listen(self, until):
        """Say nothing until something comes, at most until a time of ``time.monotonic``. Returns whether it came.

        Raises `ProbeError`: ``refused`` when the other side closes the connection, another one when it is lost.
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
        self._received = (self._received + piece)[-_sip.MESSAGE_LIMIT :]
        return True

    def _final_response(self, message, branch, method, deadline):
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
            if response is None or response.status is None or response.status < 200:
                continue
            if response.branch == branch and response.cseq[1] == method:
                return response

    def _receive(self, until, deadline):
        """The next message, or None when there is none until then."""
        if self.transport != "udp":
            return self._receive_framed(deadline)
        self.sock.settimeout(max(0.001, until - time.monotonic()))
        try:
            datagram = self.sock.recv(_sip.MESSAGE_LIMIT)
        except socket.timeout:
            return None
        if not datagram.strip(b"\r\n\0"):
            return None
        try:
            return _sip.parse(datagram)
        except _sip.SIPError as error:
            # One bad datagram may be a stray one: the answer can still come.
            self._garbage = error
            return None

    def _receive_framed(self, deadline):
        """The next message of a stream: its end is told by Content-Length (RFC 3261, 18.3)."""
        while True:
            self._received = self._received.lstrip(b"\r\n")
            head, blank, rest = self._received.partition(b"\r\n\r\n")
            if blank:
                message = _sip.parse_head(head)
                length = _sip.content_length(message)
                if length is None:
                    raise _sip.SIPError("no Content-Length on a stream")
                if len(rest) >= length:
                    message.body, self._received = rest[:length], rest[length:]
                    return message
            if len(self._received) > 2 * _sip.MESSAGE_LIMIT:
                raise _sip.SIPError("a message of more than {0} bytes".format(_sip.MESSAGE_LIMIT))
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise socket.timeout("timed out")
            self.sock.settimeout(remaining)
            piece = self.sock.recv(16384)
            if not piece:
                if self._received:
                    raise _sip.SIPError("the connection was closed in the middle of a message")
                raise ProbeError("refused", "the server closed the connection instead of answering")
            self._received += piece


def _lost(error):
    return ProbeError("unreachable", "the connection is lost: {0}".format(error))


def options(flow, deadline):
    """Ask a server for its capabilities (RFC 3261, 11): any final response shows that SIP is served."""
    uri = "sip:{0}".format(flow.domain)
    accept = [("Contact", flow.contact), ("Accept", "application/sdp")]
    return flow.request("OPTIONS", uri, uri, accept, deadline)
