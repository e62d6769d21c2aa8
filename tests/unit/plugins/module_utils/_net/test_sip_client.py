# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests over real sockets: retransmission, framing, and servers that misbehave."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import sip, sip_client
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError


def reply(
    request: sip.Message, status: int = 200, reason: str = "OK", headers: Sequence[tuple[str, str]] = ()
) -> bytes:
    """A response to a request, as a server makes it (RFC 3261, 8.2.6)."""
    kept = [header for header in request.headers if header[0] in ("Via", "From", "To", "Call-ID", "CSeq")]
    return bytes(sip.Message(status=status, reason=reason, headers=[*kept, *headers]))


@pytest.fixture
def udp() -> Iterator[tuple[Callable[..., sip_client.Flow], list[Any]]]:
    """(start, requests): start(answer) serves UDP; answer(request, number) gives the datagrams to send."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    server.settimeout(60)
    requests = []
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.connect(server.getsockname())

    def start(answer: Callable[..., Any]) -> sip_client.Flow:
        def serve() -> None:
            # The socket is closed when the test ends.
            with contextlib.suppress(OSError):
                while True:
                    data, sender = server.recvfrom(65536)
                    requests.append(data)
                    for datagram in answer(sip.parse(data), len(requests)):
                        server.sendto(datagram, sender)

        threading.Thread(target=serve, daemon=True).start()
        return sip_client.Flow(client, "udp", "example.com", "reconnect")

    yield start, requests
    client.close()
    server.close()


@pytest.fixture
def tcp() -> Iterator[Callable[..., sip_client.Flow]]:
    """start(pieces): a TCP server that answers a request with pieces(request) sent one after the other, then closes."""
    listener = socket.create_server(("127.0.0.1", 0))
    sockets = [listener]

    def start(pieces: Callable[..., Any]) -> sip_client.Flow:
        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _peer = listener.accept()
                sockets.append(connection)
                connection.settimeout(60)
                for piece in pieces(sip.parse(connection.recv(65536))):
                    connection.sendall(piece)
                connection.close()

        threading.Thread(target=serve, daemon=True).start()
        client = socket.create_connection(listener.getsockname())
        sockets.append(client)
        return sip_client.Flow(client, "tcp", "example.com", "reconnect")

    yield start
    for sock in sockets:
        sock.close()


def ask(flow: sip_client.Flow) -> sip.Message:
    response = sip_client.options(flow, time.monotonic() + 60)
    assert response is not None
    return response


def test_a_lost_request_is_sent_again_after_half_a_second(
    udp: tuple[Callable[..., sip_client.Flow], list[Any]],
) -> None:
    start, requests = udp
    started = time.monotonic()
    response = ask(start(lambda request, number: [reply(request)] if number == 2 else []))
    assert response.status == 200
    assert requests[0] == requests[1]
    assert time.monotonic() - started > 0.45


class Nobody:
    """A socket to somebody who does not answer; its clock goes on while it waits for that."""

    def __init__(self) -> None:
        self.now = self.seconds = 0.0
        self.sent: list[float] = []

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", 5060

    def settimeout(self, seconds: float) -> None:
        self.seconds = seconds

    def send(self, _data: bytes) -> None:
        self.sent.append(self.now)

    sendall = send

    def recv(self, _most: int) -> bytes:
        self.now += self.seconds
        raise TimeoutError


def test_no_answer_ends_at_the_deadline_after_the_requests_of_the_rfc(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody: Any = Nobody()
    monkeypatch.setattr(sip_client, "time", SimpleNamespace(monotonic=lambda: nobody.now))
    with pytest.raises(ProbeError) as caught:
        sip_client.options(sip_client.Flow(nobody, "udp", "example.com", "reconnect"), 2.5)
    assert (caught.value.error, nobody.now) == ("timed_out", 2.5)
    assert nobody.sent == [0, 0.5, 1.5]


def test_provisional_and_foreign_responses_are_not_the_answer(
    udp: tuple[Callable[..., sip_client.Flow], list[Any]],
) -> None:
    def answer(request: sip.Message, number: int) -> list[bytes]:
        other = sip.Message(
            request.method,
            request.uri,
            headers=[(name, value.replace("z9hG4bK", "z9hG4bKother")) for name, value in request.headers],
        )
        return [b"\r\n\r\n", reply(request, 100, "Trying"), reply(other, 500, "no"), reply(request, 404, "Not Found")]

    assert ask(udp[0](answer)).status == 404


def test_a_stray_datagram_does_not_hide_the_answer(udp: tuple[Callable[..., sip_client.Flow], list[Any]]) -> None:
    assert ask(udp[0](lambda request, number: [b"garbage", reply(request)])).status == 200


def test_garbage_alone_is_invalid_and_not_timed_out(
    udp: tuple[Callable[..., sip_client.Flow], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = udp[0](lambda request, number: [b"HTTP/1.0 400 Bad\r\n\r\n"])
    # The deadline is reached as soon as that has arrived.
    monkeypatch.setattr(sip_client, "time", SimpleNamespace(monotonic=lambda: 60.0 if flow._garbage else 0.0))
    with pytest.raises(ProbeError) as caught:
        sip_client.options(flow, 60.0)
    assert caught.value.error == "invalid"


def test_a_closed_udp_port_refuses(closed_port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", closed_port))
        with pytest.raises(ProbeError) as caught:
            ask(sip_client.Flow(client, "udp", "example.com", "reconnect"))
    assert caught.value.error == "refused"


def test_a_stream_is_framed_by_content_length(tcp: Callable[..., sip_client.Flow]) -> None:
    def pieces(request: sip.Message) -> list[bytes]:
        first = reply(request, 100, "Trying")
        whole = b"\r\n\r\n" + first + reply(request, 200, "OK", [("Server", "x")])
        return [whole[i : i + 7] for i in range(0, len(whole), 7)]

    assert ask(tcp(pieces)).get("Server") == "x"


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        (lambda request: [], "refused"),
        (lambda request: [reply(request)[:30]], "invalid"),
        (lambda request: [b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"], "invalid"),
        (lambda request: [reply(request).replace(b"Content-Length: 0\r\n", b"")], "invalid"),
        (lambda request: [b"SIP/2.0 200 OK\r\nX: " + b"y" * 70000] * 3, "invalid"),
    ],
)
def test_streams_without_a_response(
    tcp: Callable[..., sip_client.Flow], pieces: Callable[..., Any], error: str
) -> None:
    with pytest.raises(ProbeError) as caught:
        ask(tcp(pieces))
    assert caught.value.error == error


def test_a_request_names_our_user_and_address(udp: tuple[Callable[..., sip_client.Flow], list[Any]]) -> None:
    start, requests = udp
    flow = start(lambda request, number: [reply(request)])
    ask(flow)
    request = sip.parse(requests[0])
    assert request.uri == "sip:example.com"
    assert sip.parse_via(str(request.get("Via")))["port"] == flow.sock.getsockname()[1]
    assert sip.parse_address(str(request.get("From")))["uri"] == "sip:reconnect@example.com"


@pytest.mark.attack("a hostile user name in a SIP URI", harm="execution")
def test_a_hostile_user_stays_inside_its_uri(udp: tuple[Callable[..., sip_client.Flow], list[Any]]) -> None:
    start, requests = udp
    flow = start(lambda request, number: [reply(request)])
    hostile = sip_client.Flow(flow.sock, "udp", "example.com", "1001@evil>\r\nX: {{ 7*7 }}")
    ask(hostile)
    request = sip.parse(requests[0])
    assert request.get("X") is None
    assert sip.parse_address(str(request.get("From")))["uri"] == (
        "sip:1001%40evil%3E%0D%0AX%3A%20%7B%7B%207*7%20%7D%7D@example.com"
    )
