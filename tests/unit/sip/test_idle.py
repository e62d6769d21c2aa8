# SPDX-License-Identifier: GPL-3.0-or-later
"""Silence at a server on loopback that lives, forgets, says goodbye, or lets nobody in."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils import _idle, _sip
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

SHORT, LONG, LIMIT = 0.05, 3.0, 1.5


class Server:
    """Lets everybody in who answers a challenge. ``patience`` is how many seconds of silence it endures."""

    def __init__(self):
        self.lets_in = True
        self.patience = 60.0
        self.says_goodbye = False
        #: After so many seconds of silence it says something by itself, once.
        self.speaks_after = None
        self.contacts = []
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.port = self._sock.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._sock.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _address = self._sock.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError):
            heard = time.monotonic()
            connection.settimeout(self.patience if self.says_goodbye else self.speaks_after)
            while data := self._hear(connection):
                silence, heard = time.monotonic() - heard, time.monotonic()
                if silence > self.patience:
                    # The next to speak is answered with a reset, as by a router that knows the connection no more.
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                if data.strip():
                    connection.sendall(self._answer(_sip.parse(data)))

    def _hear(self, connection):
        try:
            return connection.recv(65536)
        except TimeoutError:
            if not self.speaks_after:
                raise
            connection.settimeout(None)
            connection.sendall(b"\r\n\r\n")
            return b"\r\n"

    def _answer(self, request):
        kept = [(n, v) for n, v in request.headers if n in ("Via", "From", "To", "Call-ID", "CSeq")]
        kept.append(("Content-Length", "0"))
        if request.method == "REGISTER" and not request.get("Authorization"):
            challenge = ("WWW-Authenticate", 'Digest realm="asterisk", nonce="1", algorithm=MD5, qop="auth"')
            return bytes(_sip.Message(status=401, reason="x", headers=[*kept, challenge]))
        if request.method == "REGISTER":
            self.contacts += [value for name, value in request.headers if name == "Contact"]
            # What chan_sip tells of an account without a contact.
            kept.append(("Contact", "<>;expires=120"))
        status = 200 if self.lets_in else 403
        return bytes(_sip.Message(status=status, reason="x", headers=kept))


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(_idle, "PARTS", (LONG / SHORT, 1))
    server = Server()
    yield server
    server.close()


def measure(server):
    return _idle.measure("601", "secret", "127.0.0.1", server.port, "tcp", "pbx.example", None, LONG)


def ended(found):
    return [found["kept"]["ended"], *(one["ended"] for one in found["silent"])]


def test_silence_that_nobody_minds(server):
    found = measure(server)
    assert (ended(found), found["keep_alive_seconds"]) == (["alive"] * 3, 0)
    assert [one["seconds"] for one in found["silent"]] == [SHORT, LONG]
    assert server.contacts == []


def test_silence_that_something_forgets(server):
    server.patience = LIMIT
    assert ended(measure(server)) == ["alive", "alive", "lost"]


def test_silence_that_the_other_side_ends_with_a_goodbye(server):
    server.patience, server.says_goodbye = LIMIT, True
    found = measure(server)
    assert (ended(found), found["keep_alive_seconds"]) == (["alive", "alive", "closed"], 0)


def test_a_silence_that_the_server_breaks_begins_anew(server):
    server.patience, server.speaks_after = 2.0, 1.5
    assert ended(measure(server)) == ["alive", "alive", "lost"]


def test_an_account_that_is_not_let_in_measures_nothing(server):
    server.lets_in = False
    with pytest.raises(ProbeError, match="601 was not let in: 403") as raised:
        measure(server)
    assert raised.value.error == "denied"


@pytest.mark.parametrize(
    ("kept", "silent", "seconds"),
    [
        ("alive", ("alive", "alive", "lost", "lost"), 8),
        ("alive", ("alive", "alive", "alive", "alive"), 0),
        ("alive", ("lost", "lost", "lost", "lost"), 0),
        ("alive", ("alive", "lost", "alive", "lost"), 0),
        ("alive", ("alive", "alive", "lost", "closed"), 0),
        ("lost", ("alive", "alive", "lost", "lost"), 0),
    ],
)
def test_how_often_to_speak_is_known_only_where_silence_is_the_reason(kept, silent, seconds):
    rungs = [{"seconds": seconds, "ended": one} for seconds, one in zip((4.2, 8.4, 16.8, 33.6), silent, strict=True)]
    assert _idle.keep_alive_seconds({"ended": kept}, rungs) == seconds
