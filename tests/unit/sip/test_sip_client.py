# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests over real sockets: retransmission, framing, and servers that misbehave."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils import _sip, _sip_client
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError


def reply(request, status=200, reason="OK", headers=()):
    """A response to a request, as a server makes it (RFC 3261, 8.2.6)."""
    kept = [header for header in request.headers if header[0] in ("Via", "From", "To", "Call-ID", "CSeq")]
    return bytes(_sip.Message(status=status, reason=reason, headers=[*kept, *headers]))


@pytest.fixture
def udp():
    """(start, requests): start(answer) serves UDP; answer(request, number) gives the datagrams to send."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    server.settimeout(10)
    requests = []
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.connect(server.getsockname())

    def start(answer):
        def serve():
            while True:
                try:
                    data, sender = server.recvfrom(65536)
                except OSError:
                    return
                requests.append(data)
                for datagram in answer(_sip.parse(data), len(requests)):
                    server.sendto(datagram, sender)

        threading.Thread(target=serve, daemon=True).start()
        return _sip_client.Flow(client, "udp", "example.com", "reconnect")

    yield start, requests
    client.close()
    server.close()


@pytest.fixture
def tcp():
    """start(pieces): a TCP server that answers a request with pieces(request) sent one after the other, then closes."""
    listener = socket.create_server(("127.0.0.1", 0))
    sockets = [listener]

    def start(pieces):
        def serve():
            connection, _peer = listener.accept()
            sockets.append(connection)
            connection.settimeout(10)
            for piece in pieces(_sip.parse(connection.recv(65536))):
                connection.sendall(piece)
            connection.close()

        threading.Thread(target=serve, daemon=True).start()
        client = socket.create_connection(listener.getsockname())
        sockets.append(client)
        return _sip_client.Flow(client, "tcp", "example.com", "reconnect")

    yield start
    for sock in sockets:
        sock.close()


def ask(flow, seconds=5.0):
    return _sip_client.options(flow, time.monotonic() + seconds)


def test_a_lost_request_is_sent_again_after_half_a_second(udp):
    start, requests = udp
    started = time.monotonic()
    response = ask(start(lambda request, number: [reply(request)] if number == 2 else []))
    assert response.status == 200
    assert requests[0] == requests[1]
    assert 0.45 < time.monotonic() - started < 3


def test_silence_ends_at_the_deadline_after_the_requests_of_the_rfc(udp):
    start, requests = udp
    with pytest.raises(ProbeError) as caught:
        ask(start(lambda request, number: []), 2.5)
    assert caught.value.error == "timed_out"
    assert len(requests) == 3  # at 0, 0.5 and 1.5 s; the next one would be at 3.5 s


def test_provisional_and_foreign_responses_are_not_the_answer(udp):
    def answer(request, number):
        other = _sip.Message(
            request.method,
            request.uri,
            headers=[(name, value.replace("z9hG4bK", "z9hG4bKother")) for name, value in request.headers],
        )
        return [b"\r\n\r\n", reply(request, 100, "Trying"), reply(other, 500, "no"), reply(request, 404, "Not Found")]

    assert ask(udp[0](answer)).status == 404


def test_one_stray_datagram_does_not_spoil_the_answer(udp):
    assert ask(udp[0](lambda request, number: [b"garbage", reply(request)])).status == 200


def test_garbage_and_nothing_else_is_told_from_silence(udp):
    with pytest.raises(ProbeError) as caught:
        ask(udp[0](lambda request, number: [b"HTTP/1.0 400 Bad\r\n\r\n"]), 0.3)
    assert caught.value.error == "invalid"


def test_a_closed_udp_port_refuses():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        where = unused.getsockname()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(where)
        with pytest.raises(ProbeError) as caught:
            ask(_sip_client.Flow(client, "udp", "example.com", "reconnect"))
    assert caught.value.error == "refused"


def test_a_stream_is_framed_by_content_length(tcp):
    def pieces(request):
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
def test_streams_that_bring_no_response(tcp, pieces, error):
    with pytest.raises(ProbeError) as caught:
        ask(tcp(pieces))
    assert caught.value.error == error


def test_a_request_says_who_and_where_we_are(udp):
    start, requests = udp
    flow = start(lambda request, number: [reply(request)])
    ask(flow)
    request = _sip.parse(requests[0])
    assert request.uri == "sip:example.com"
    assert _sip.parse_via(request.get("Via"))["port"] == flow.sock.getsockname()[1]
    assert _sip.parse_address(request.get("From"))["uri"] == "sip:reconnect@example.com"


def test_a_hostile_user_stays_inside_its_uri(udp):
    start, requests = udp
    flow = start(lambda request, number: [reply(request)])
    hostile = _sip_client.Flow(flow.sock, "udp", "example.com", "1001@evil>\r\nX: {{ 7*7 }}")
    ask(hostile)
    request = _sip.parse(requests[0])
    assert request.get("X") is None
    assert _sip.parse_address(request.get("From"))["uri"] == (
        "sip:1001%40evil%3E%0D%0AX%3A%20%7B%7B%207*7%20%7D%7D@example.com"
    )
