# SPDX-License-Identifier: GPL-3.0-or-later
"""Idle connections to a server on loopback that keeps, drops or closes them, or refuses the account."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import idle, sip
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

SHORT, LONG, LIMIT = 0.05, 3.0, 1.5


class Server:
    """Accepts every client that answers a challenge. It drops a connection that is idle for ``patience`` seconds."""

    def __init__(self) -> None:
        self.accepts = True
        self.patience = 60.0
        self.closes = False
        #: It sends a keep-alive after so many idle seconds, once.
        self.sends_after: float | None = None
        self.contacts: list[str] = []
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.port = self._sock.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _address = self._sock.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            heard = time.monotonic()
            connection.settimeout(self.patience if self.closes else self.sends_after)
            while data := self._hear(connection):
                idle_time, heard = time.monotonic() - heard, time.monotonic()
                if idle_time > self.patience:
                    # The next data is answered with a reset, as by a router that has dropped the connection.
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                if data.strip():
                    connection.sendall(self._answer(sip.parse(data)))

    def _hear(self, connection: socket.socket) -> bytes | None:
        try:
            return connection.recv(65536)
        except TimeoutError:
            if not self.sends_after:
                raise
            connection.settimeout(None)
            connection.sendall(b"\r\n\r\n")
            return b"\r\n"

    def _answer(self, request: sip.Message) -> bytes:
        kept = [(n, v) for n, v in request.headers if n in ("Via", "From", "To", "Call-ID", "CSeq")]
        kept.append(("Content-Length", "0"))
        if request.method == "REGISTER" and not request.get("Authorization"):
            challenge = ("WWW-Authenticate", 'Digest realm="asterisk", nonce="1", algorithm=MD5, qop="auth"')
            return bytes(sip.Message(status=401, reason="x", headers=[*kept, challenge]))
        if request.method == "REGISTER":
            self.contacts += [value for name, value in request.headers if name == "Contact"]
            # chan_sip answers this for an account without a contact.
            kept.append(("Contact", "<>;expires=120"))
        status = 200 if self.accepts else 403
        return bytes(sip.Message(status=status, reason="x", headers=kept))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(idle, "PARTS", (LONG / SHORT, 1))
    server = Server()
    yield server
    server.close()


def measure(server: Server) -> Any:
    return idle.measure("601", "secret", "127.0.0.1", server.port, "tcp", "pbx.example", None, LONG)


def ended(found: dict[str, Any]) -> list[str]:
    return [found["kept"]["ended"], *(one["ended"] for one in found["silent"])]


def test_idle_connections_that_survive(server: Server) -> None:
    found = measure(server)
    assert (ended(found), found["keep_alive_seconds"]) == (["alive"] * 3, 0)
    assert [one["seconds"] for one in found["silent"]] == [SHORT, LONG]
    assert server.contacts == []


def test_idle_connections_that_are_dropped(server: Server) -> None:
    server.patience = LIMIT
    assert ended(measure(server)) == ["alive", "alive", "lost"]


def test_idle_connections_that_the_server_closes(server: Server) -> None:
    server.patience, server.closes = LIMIT, True
    found = measure(server)
    assert (ended(found), found["keep_alive_seconds"]) == (["alive", "alive", "closed"], 0)


def test_the_idle_time_starts_again_after_data_of_the_server(server: Server) -> None:
    server.patience, server.sends_after = 2.0, 1.5
    assert ended(measure(server)) == ["alive", "alive", "lost"]


def test_a_refused_account_measures_nothing(server: Server) -> None:
    server.accepts = False
    with pytest.raises(ProbeError, match="the server refuses 601: 403") as raised:
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
def test_the_keep_alive_is_known_only_where_the_idle_time_is_the_reason(
    kept: str, silent: tuple[str, ...], seconds: int
) -> None:
    rungs: Any = [
        {"seconds": seconds, "ended": one} for seconds, one in zip((4.2, 8.4, 16.8, 33.6), silent, strict=True)
    ]
    first: Any = {"ended": kept}
    assert idle.keep_alive_seconds(first, rungs) == seconds
