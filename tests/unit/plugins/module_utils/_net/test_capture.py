"""Captured SIP packets: only of the given ports, limited, and without secrets."""

from __future__ import annotations

import base64
import os
import random
import re
import socket
import struct
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import capture

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


@pytest.mark.attack("secrets in captured packets", harm="leak")
@pytest.mark.parametrize("wrapped", [udp, tcp6])
@pytest.mark.parametrize(
    "words",
    [
        b'SIP/2.0 401 U\r\nAuthorization: Digest username="1005", realm="r", nonce="%b", response="%b", cnonce=%b\r\n',
        b'WWW-Authenticate: Digest realm="r", nonce="%b", opaque="%b"\r\n',
        b"Authorization: Basic %b\r\n",
        b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%b\r\n",
        b"password=%b",
        b"MESSAGE sip:1@r SIP/2.0\r\nContent-Type: text/plain\r\n\r\ncall me, %b",
    ],
)
def test_secrets_are_overwritten_and_lengths_stay(wrapped: Callable[..., bytes], words: bytes) -> None:
    packet = wrapped(words.replace(b"%b", CANARY))
    [covered] = capture.without_secrets([packet])
    assert CANARY not in covered
    assert len(covered) == len(packet)
    assert (b"1005" in covered) == (b"1005" in packet)


@pytest.mark.parametrize("words", [b"REGISTER sip:r SIP/2.0\r\nContact: <sip:1005@r>\r\n\r\n", bytes(range(256)), b""])
def test_everything_else_stays(words: bytes) -> None:
    assert capture.without_secrets([udp(words)]) == [udp(words)]


def test_telephone_numbers_are_overwritten_on_request() -> None:
    packet = udp(b"INVITE sip:+390212345678@r SIP/2.0\r\n")
    assert b"sip:+xxxxxxxxxx78@r" in capture.without_secrets([packet], numbers=True)[0]
    assert capture.without_secrets([packet]) == [packet]


@pytest.mark.parametrize("length", [0, 1, 9, 20, 27, 33, 40, 53])
def test_a_cut_packet_is_handled(length: int) -> None:
    for packet in (udp(b"x"), tcp6(b"x")):
        assert capture.without_secrets([packet[:length] or b"\x45"]) is not None


def segment(payload: bytes, sequence: int, source: int = 5060, target: int = 45060, flags: int = 0x18) -> bytes:
    """An IPv4 packet with a TCP segment."""
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40 + len(payload), 0, 0, 64, 6, 0, bytes(4), bytes(4))
    return head + struct.pack("!HHIIBBHHH", source, target, sequence % 2**32, 0, 0x50, flags, 0, 0, 0) + payload


def data_of(packets: list[bytes]) -> bytes:
    """The data of the segments, in the order of their sequence numbers."""
    return b"".join(packet[40:] for packet in sorted(packets, key=lambda packet: packet[24:28]))


REGISTER = (
    b"REGISTER sip:r SIP/2.0\r\nCall-ID: 1\r\n"
    b'Authorization: Digest username="1005", nonce="%b", response="%b"\r\nContent-Length: 0\r\n\r\n'
).replace(b"%b", CANARY)
HIDDEN = REGISTER.replace(CANARY, b"x" * len(CANARY))


def test_a_digest_in_segments_of_a_byte_is_overwritten_in_any_order() -> None:
    packets = [segment(REGISTER[at : at + 1], 1000 + at) for at in range(len(REGISTER))]
    # Each is sent twice, and they arrive in a random order.
    shuffled = random.Random(5).sample(packets * 2, len(packets) * 2)
    covered = capture.without_secrets(shuffled)
    assert [len(packet) for packet in covered] == [len(packet) for packet in shuffled]
    assert data_of(list(dict.fromkeys(covered))) == HIDDEN
    assert len(set(covered)) == len(set(packets))


@pytest.mark.parametrize("first", [2**32 - 20, 7])
@pytest.mark.parametrize("size", [2, 7, 100])
def test_segments_that_overlap_or_wrap_are_put_together(first: int, size: int) -> None:
    packets = [segment(REGISTER[at : at + size + 3], first + at) for at in range(0, len(REGISTER), size)]
    for packet, covered in zip(packets, capture.without_secrets(packets), strict=True):
        at = (int.from_bytes(packet[24:28], "big") - first) % 2**32
        assert covered[40:] == HIDDEN[at : at + len(packet) - 40]


def test_data_after_a_gap_is_overwritten_until_the_next_message() -> None:
    half = len(REGISTER) // 2
    lost = [segment(REGISTER[:half], 0), segment(REGISTER[half + 1 :] + REGISTER, half + 1)]
    before, after = capture.without_secrets(lost)
    assert before[40:] == HIDDEN[:half]
    rest = len(REGISTER) - half - 1
    assert set(after[40 : 40 + rest - 1]) == {ord("x")}
    assert after[40 + rest :] == HIDDEN


def test_a_segment_that_contradicts_another_is_overwritten() -> None:
    packets = [segment(REGISTER, 0), segment(b"?" * 100 + CANARY, 0)]
    covered = capture.without_secrets(packets)
    assert covered[0][40:] == HIDDEN
    assert set(covered[1][40:]) == {ord("x")}


def test_a_second_connection_with_the_same_ports_is_separate() -> None:
    opened = [segment(b"", 5, flags=0x02), segment(REGISTER, 6), segment(b"", 900, flags=0x02), segment(REGISTER, 901)]
    assert [packet[40:] for packet in capture.without_secrets(opened)] == [b"", HIDDEN, b"", HIDDEN]
    both = [segment(REGISTER, 0), segment(REGISTER[:30], 0, 45060, 5060)]
    assert [packet[40:] for packet in capture.without_secrets(both)] == [HIDDEN, REGISTER[:30]]


def test_only_the_texts_between_people_are_overwritten_in_a_stream() -> None:
    text = b"MESSAGE sip:1@r SIP/2.0\r\nContent-Length: 20\r\n\r\n" + b"call me, " + CANARY[:11]
    stream = text + b"SIP/2.0 200 OK\r\n\r\n"
    packets = [segment(stream[at : at + 9], at) for at in range(0, len(stream), 9)]
    covered = b"".join(packet[40:] for packet in capture.without_secrets(packets))
    assert covered == stream.replace(text[-20:], b"x" * 20)


def test_tls_stays() -> None:
    record = b"\x16\x03\x01\x00\x05" + bytes(range(200))
    assert capture.without_secrets([segment(record, 1)]) == [segment(record, 1)]


def test_the_padding_of_short_packets_is_removed() -> None:
    short = segment(b"R", 1)
    assert capture.without_secrets([short + bytes(5), segment(REGISTER[1:], 2)]) == [short, segment(HIDDEN[1:], 2)]


@pytest.mark.attack("hostile streams in captured packets", harm="hang")
@pytest.mark.parametrize(
    "words", [b"\r\n" * 500_000, b"MESSAGE a SIP/2.0\r\n" * 50_000, b"\nAAA " * 200_000, b"a" * 10**6]
)
def test_hostile_streams_take_no_longer(words: bytes) -> None:
    began = time.process_time()
    capture.without_secrets([segment(words[at : at + 1400], at) for at in range(0, len(words), 1400)], True)
    assert time.process_time() - began < 10


def test_jumps_stay_inside_the_filter() -> None:
    for ports in ([5061], list(range(5060, 5068))):
        lines = capture.program(ports)
        for number, (code, if_true, if_false, operand) in enumerate(lines):
            furthest = operand if code == 0x05 else max(if_true, if_false)
            assert min(if_true, if_false) >= 0
            assert number + 1 + furthest < len(lines) or code == 0x06


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root may look at packets")


def captured(
    patch: pytest.MonkeyPatch, ports: list[int], talk: Callable[[], None], limit: int = 100_000
) -> tuple[bytes, Any]:
    """The capture of what `talk` sends on this machine, as (file, answer)."""
    drain = capture._drain

    def begin(wire: socket.socket) -> None:
        drain(wire)
        # From here on the kernel keeps what is captured.
        talk()

    patch.setattr(capture, "_drain", begin)
    # It ends when nothing more comes.
    patch.setattr(capture, "time", SimpleNamespace(monotonic=lambda: 0.0, time=time.time))
    found = capture.capture(ports, 0.3, limit)
    return base64.b64decode(found["pcap"]), found


def send(*datagrams: tuple[int, bytes]) -> None:
    """Sends datagrams (port, content) three times."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for port, content in datagrams * 3:
            sender.sendto(content, ("127.0.0.1", port))


@needs_root
def test_only_the_given_ports_are_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    content, found = captured(monkeypatch, [45061], lambda: send((45061, b"wanted"), (45062, b"another")))
    assert struct.unpack("<IHHiIII", content[:24]) == (0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
    assert found["packets"] == content.count(b"wanted") >= 3
    assert b"another" not in content
    assert found["cut"] is False


@needs_root
def test_a_capture_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    content, found = captured(monkeypatch, [45061], lambda: send((45061, b"x" * 50)), 200)
    assert found["cut"] is True
    assert len(content) <= 200


@needs_root
def test_a_digest_that_a_real_connection_sends_byte_by_byte_is_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = re.split(b"(%s)" % CANARY, REGISTER)
    pieces = [piece for part in parts for piece in ([bytes([byte]) for byte in part] if part == CANARY else [part])]
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def talk() -> None:
        with socket.create_connection(("127.0.0.1", port)) as client, listener.accept()[0] as server:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                client.send(piece)
                # The next byte is sent after this one arrived, so each has its own segment.
                server.recv(4096)
            server.send(REGISTER)

    content, found = captured(monkeypatch, [port], talk)
    listener.close()
    assert found["packets"] > len(pieces) > 2 * len(CANARY)
    assert CANARY not in content
    assert content.count(HIDDEN) == 1
    assert content.count(b"x" * len(CANARY)) == 2
