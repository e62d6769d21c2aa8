"""Packets of SIP: only those that were asked for, bounded, and without secrets."""

from __future__ import annotations

import base64
import os
import socket
import struct
import threading

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils import _capture

CANARY = b"Kanarienvogel7"


def udp(payload: bytes) -> bytes:
    """An IPv4 packet with a UDP datagram."""
    return (
        struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), 0, 0, 64, 17, 0, bytes(4), bytes(4))
        + bytes(8)
        + payload
    )


def tcp6(payload: bytes) -> bytes:
    """An IPv6 packet with a TCP segment that has options."""
    return struct.pack("!IHBB16s16s", 6 << 28, 32 + len(payload), 6, 64, bytes(16), bytes(16)) + (
        bytes(12) + b"\x80" + bytes(19) + payload
    )


@pytest.mark.parametrize("wrapped", [udp, tcp6])
@pytest.mark.parametrize(
    "words",
    [
        b'Authorization: Digest username="1005", realm="r", nonce="%b", response="%b", cnonce=%b\r\n',
        b'WWW-Authenticate: Digest realm="r", nonce="%b", opaque="%b"\r\n',
        b"Authorization: Basic %b\r\n",
        b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%b\r\n",
        b"password=%b",
        b'%b", uri="sip:r"\r\n',
        b"MESSAGE sip:1@r SIP/2.0\r\nContent-Type: text/plain\r\n\r\ncall me, %b",
    ],
)
def test_secrets_are_overwritten_and_lengths_stay(wrapped, words):
    packet = wrapped(words.replace(b"%b", CANARY))
    covered = _capture.without_secrets(packet)
    assert CANARY not in covered
    assert len(covered) == len(packet)
    assert (b"1005" in covered) == (b"1005" in packet)


@pytest.mark.parametrize("words", [b"REGISTER sip:r SIP/2.0\r\nContact: <sip:1005@r>\r\n\r\n", bytes(range(256)), b""])
def test_everything_else_stays(words):
    assert _capture.without_secrets(udp(words)) == udp(words)


def test_numbers_are_overwritten_where_it_is_asked():
    packet = udp(b"INVITE sip:+390212345678@r SIP/2.0\r\n")
    assert b"sip:+xxxxxxxxxx78@r" in _capture.without_secrets(packet, numbers=True)
    assert _capture.without_secrets(packet) == packet


@pytest.mark.parametrize("length", [0, 1, 9, 20, 27, 33, 40, 53])
def test_a_packet_that_is_cut_is_no_problem(length):
    for packet in (udp(b"x"), tcp6(b"x")):
        assert _capture.without_secrets(packet[:length] or b"\x45") is not None


def test_jumps_of_the_filter_stay_inside():
    for ports in ([5061], list(range(5060, 5068))):
        lines = _capture.program(ports)
        for number, (code, if_true, if_false, operand) in enumerate(lines):
            furthest = operand if code == 0x05 else max(if_true, if_false)
            assert min(if_true, if_false) >= 0
            assert number + 1 + furthest < len(lines) or code == 0x06


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root may look at packets")


def captured(ports, limit, *datagrams):
    """What a capture on this machine has of datagrams (port, content), as (file, answer)."""
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def send() -> None:
        while not over.wait(0.1):
            for port, content in datagrams:
                sender.sendto(content, ("127.0.0.1", port))

    over = threading.Event()
    user = threading.Thread(target=send)
    user.start()
    found = _capture.capture(ports, 1.5, limit)
    over.set()
    user.join()
    sender.close()
    return base64.b64decode(found["pcap"]), found


@needs_root
def test_only_the_ports_that_were_asked_for_are_captured():
    content, found = captured([45061], 100_000, (45061, b"wanted"), (45062, b"another"))
    assert struct.unpack("<IHHiIII", content[:24]) == (0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
    assert found["packets"] == content.count(b"wanted") >= 3
    assert b"another" not in content
    assert found["cut"] is False


@needs_root
def test_a_capture_is_bounded():
    content, found = captured([45061], 200, (45061, b"x" * 50))
    assert found["cut"] is True
    assert len(content) <= 200
