# SPDX-License-Identifier: GPL-3.0-or-later
"""RTP packets are recognized and counted, and missing ones are found."""

from __future__ import annotations

import struct

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import rtp


def packet(payload: bytes, version: int = 4, protocol: int = 17) -> bytes:
    udp = struct.pack("!HHHH", 20000, 15000, 8 + len(payload), 0) + payload
    if version == 6:
        return struct.pack("!IHBB", 0x60000000, len(udp), protocol, 64) + bytes(32) + udp
    return struct.pack("!BBHHHBBH8x", 0x45, 0, 20 + len(udp), 0, 0, 64, protocol, 0) + udp


def audio(number: int = 7, kind: int = 0) -> bytes:
    return struct.pack("!BBHII", 0x80, kind, number, 0, 99) + b"sound"


@pytest.mark.parametrize("version", [4, 6])
def test_a_packet_of_rtp_is_recognized(version: int) -> None:
    assert rtp.parse(packet(audio(), version)) == (20000, 15000, 99, 7)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        packet(audio(), protocol=6),
        packet(audio(), 6, protocol=6),
        packet(b"\x00" + audio()[1:]),
        packet(audio()[:10]),
        packet(audio(kind=200)),
    ],
    ids=["nothing", "tcp", "tcp over ipv6", "another version", "too short", "rtcp"],
)
def test_other_packets_are_ignored(data: bytes) -> None:
    assert rtp.parse(data) is None


@pytest.mark.parametrize(
    ("numbers", "lost"),
    [
        ([1, 2, 3], 0),
        ([1, 3, 2], 0),
        ([1, 2, 5], 2),
        ([65534, 65535, 0, 1], 0),
        ([65534, 1], 2),
        ([], 0),
    ],
)
def test_missing_numbers_are_lost_packets(numbers: list[int], lost: int) -> None:
    flow = rtp.Flow()
    for number in numbers:
        flow.add(99, number)
    assert (flow.count, flow.lost()) == (len(numbers), lost)


def test_each_source_has_its_own_numbers() -> None:
    flow = rtp.Flow()
    for source, number in ((1, 10), (2, 5000), (1, 11), (2, 5002)):
        flow.add(source, number)
    assert (flow.count, flow.lost()) == (4, 1)
