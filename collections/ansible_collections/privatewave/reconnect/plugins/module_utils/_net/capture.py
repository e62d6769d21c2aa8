# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Capture the SIP packets of this server for an engineer; no other program is needed.

The kernel returns the packets that match a filter (packet(7), Linux "Socket Filtering"). They are written in libpcap's
file format with the link type RAW. Passwords and keys never leave the server: clear SIP is overwritten in place, so
lengths stay and only a checksum no longer fits. To find them, the data of each side of a connection is put together in
the order of its sequence numbers, however it was cut into segments. TLS stays encrypted.
"""

from __future__ import annotations

import base64
import ctypes
import re
import select
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import answered, error_of, failed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ansible_collections.privatewave.reconnect.plugins.module_utils._net.documents import Capture
    from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import Probe

    #: An offset in the order of a stream, the packet that holds it, and where its payload begins.
    Segment = tuple[int, bytearray, int]
    #: An instruction of the filter: code, jump if true, jump if false, operand.
    Instruction = tuple[int, int, int, int]

#: The most seconds and bytes of one capture.
MAX_SECONDS = 60
MAX_BYTES = 1024 * 1024
LINKTYPE_RAW = 101

_SO_ATTACH_FILTER = 26
_EVERY_PROTOCOL = 0x0003
_OUTGOING = 4
_LONGEST = 0xFFFF

# Instructions of the classic Berkeley packet filter.
_LOAD_BYTE, _LOAD_HALF, _LOAD_HALF_BEHIND, _LOAD_LENGTH = 0x30, 0x28, 0x48, 0xB1
_SHIFT_RIGHT, _EQUAL, _ANY_BIT, _JUMP, _RETURN = 0x74, 0x15, 0x45, 0x05, 0x06
_TCP, _UDP = 6, 17
_SYN = 0x02

_SECRETS = (
    # Challenges and their answers (RFC 3261, 25.1), and the keys of media (RFC 4568).
    re.compile(rb'\b(?:response|cnonce|nonce|opaque|nextnonce|rspauth)\s*=\s*"?([^",\s]{1,512})', re.IGNORECASE),
    re.compile(rb"\binline:([A-Za-z0-9+/=]{8,512})"),
    re.compile(rb"\bAuthorization:\s*(?!Digest)[A-Za-z]+\s+([^\r\n]{1,512})", re.IGNORECASE),
    re.compile(rb'\b(?:passw(?:or)?d|pwd|secret)\s*[=:]\s*"?([^\s;&"]{1,128})', re.IGNORECASE),
)
#: A message between people (RFC 3428), and its length.
_MESSAGE = re.compile(rb"MESSAGE [^\r\n]{1,512} SIP/2\.0\r\n")
_LENGTH = re.compile(rb"^(?:Content-Length|l)[ \t]*:[ \t]*([0-9]{1,7})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
#: The start of a SIP message: after a gap nobody knows what the bytes before it belong to.
_BEGINNING = re.compile(rb"(?:\A[ \r\n]*|\n)(?:[A-Z]{3,20} [^\r\n]{1,512} SIP/2\.0\r\n|SIP/2\.0 [1-6][0-9]{2}\b)")
#: The start of a TLS record (RFC 8446, 5.1): it is encrypted, or holds no secret.
_TLS = re.compile(rb"[\x14-\x18]\x03[\x00-\x04]")
_NUMBER = re.compile(rb"\+([0-9]{4,13})(?=[0-9]{2}(?![0-9]))")


def capture(ports: Sequence[int], seconds: float, limit: int = MAX_BYTES, numbers: bool = False) -> Capture:
    """Capture TCP and UDP packets from and to ``ports`` for ``seconds``, without their secrets.

    They are kept in memory, at most ``limit`` bytes. ``numbers`` overwrites telephone numbers except their last two
    digits. Raises `OSError` when this user may not capture packets.
    """
    content = bytearray(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, _LONGEST, LINKTYPE_RAW))
    times: list[float] = []
    packets: list[bytes] = []
    size, cut = len(content), False
    deadline = time.monotonic() + min(seconds, MAX_SECONDS)
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_EVERY_PROTOCOL)) as wire:
        _attach(wire, program(ports))
        wire.setblocking(False)
        _drain(wire)
        while not cut:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([wire], [], [], left)[0]:
                break
            try:
                packet, (interface, _protocol, kind, _type, _address) = wire.recvfrom(_LONGEST)
            except BlockingIOError:
                continue
            if interface == "lo" and kind == _OUTGOING:
                # The loopback shows every packet twice.
                continue
            size += 16 + len(packet)
            if size > limit:
                cut = True
                break
            times.append(time.time())
            packets.append(packet)
    for at, packet in zip(times, without_secrets(packets, numbers)):
        content += record(at, packet)
    return {"packets": len(packets), "bytes": len(content), "cut": cut, "pcap": base64.b64encode(content).decode()}


def answer(ports: Sequence[int], seconds: float, limit: int, numbers: bool) -> dict[str, Probe[Capture]]:
    """The answer of the module packet_capture."""
    began = time.monotonic()
    try:
        return {"capture": answered(capture(ports, seconds, limit, numbers), time.monotonic() - began)}
    except OSError as problem:
        return {"capture": failed(error_of(problem), "Cannot capture packets: {0}.".format(problem.strerror))}


def record(at: float, packet: bytes) -> bytes:
    """A packet as the file holds it; ``at`` is seconds since 1970."""
    return struct.pack("<IIII", int(at), int(at % 1 * 1e6), len(packet), len(packet)) + packet


def without_secrets(packets: Iterable[bytes], numbers: bool = False) -> list[bytes]:
    """IP packets without padding, in which each byte of a secret or of a message between people is an ``x``."""
    cleared = [bytearray(_unpadded(packet)) for packet in packets]
    #: By addresses and ports: the first sequence number and the segments of each connection of that side.
    sides: dict[tuple[bytes, bytes], list[tuple[int, list[Segment]]]] = {}
    for packet in cleared:
        protocol, start, payload = _layers(packet)
        if protocol == _TCP and len(packet) >= start + 20:
            # One side of a connection: its data has an offset in the order, and is written back to its packet.
            sequence = int.from_bytes(packet[start + 4 : start + 8], "big")
            opens = bool(packet[start + 13] & _SYN)
            addresses = bytes(packet[12:20] if packet[0] >> 4 == 4 else packet[8:40])
            side = sides.setdefault((addresses, bytes(packet[start : start + 4])), [])
            if not side or (opens and side[-1][0] != sequence):
                side.append((sequence, []))
            if payload < len(packet):
                first, segments = side[-1]
                # Sequence numbers wrap; the data of a minute is never half of their range apart.
                offset = (sequence + opens - first + 0x80000000) % 0x100000000 - 0x80000000
                segments.append((offset, packet, payload))
        else:
            packet[payload:] = _covered(bytes(packet[payload:]), numbers)
    for side in sides.values():
        for _first, segments in side:
            _cover(segments, numbers)
    return [bytes(packet) for packet in cleared]


def _cover(segments: Iterable[Segment], numbers: bool) -> None:
    """Overwrite the secrets of one side of a connection in its packets."""
    runs: list[tuple[int, bytearray, list[Segment]]] = []
    stream, begins = bytearray(), 0
    # The sort is stable: of two segments at the same offset the first one counts.
    for offset, packet, payload in sorted(segments, key=lambda segment: segment[0]):
        data = bytes(packet[payload:])
        if not runs or offset > begins + len(stream):
            stream, begins = bytearray(), offset
            runs.append((begins, stream, []))
        known = stream[offset - begins : offset - begins + len(data)]
        if known != data[: len(known)]:
            # It differs from the data that was sent before: nobody knows which of them was received.
            packet[payload:] = b"x" * len(data)
        else:
            runs[-1][2].append((offset, packet, payload))
        stream += data[len(known) :]
    for begins, stream, parts in runs:
        data = bytes(stream)
        hidden = 0
        if not _TLS.match(data):
            beginning = _BEGINNING.search(data)
            hidden = beginning.start() if beginning else len(data)
        covered = b"x" * hidden + _covered(data[hidden:], numbers, stream=True)
        for offset, packet, payload in parts:
            packet[payload:] = covered[offset - begins : offset - begins + len(packet) - payload]


def _covered(data: bytes, numbers: bool, stream: bool = False) -> bytes:
    """The data with its secrets and messages between people overwritten."""
    for pattern in _SECRETS:
        data = pattern.sub(_overwritten, data)
    data = _without_texts(data, stream)
    return _NUMBER.sub(_overwritten, data) if numbers else data


def _overwritten(match: re.Match[bytes]) -> bytes:
    """The match with its group overwritten."""
    begin, end = (offset - match.start() for offset in match.span(1))
    return match.group(0)[:begin] + b"x" * (end - begin) + match.group(0)[end:]


def _without_texts(data: bytes, stream: bool) -> bytes:
    """The bodies of messages overwritten: one ends at its length in a ``stream``, else with the datagram."""
    covered, done = bytearray(data), 0
    while True:
        message = _MESSAGE.search(data, done)
        blank = data.find(b"\r\n\r\n", message.end() - 2) if message else -1
        if not message or blank < 0:
            return bytes(covered)
        begin, end = blank + 4, len(data)
        lengths = [int(length) for length in _LENGTH.findall(data, message.end(), blank)]
        if stream and lengths:
            end = min(begin + max(lengths), end)
        covered[begin:end] = b"x" * (end - begin)
        done = end


def _unpadded(packet: bytes) -> bytes:
    """The packet without the padding that a network card adds to short ones."""
    head = packet[:6].ljust(6, b"\0")
    after = 0 if head[0] >> 4 == 4 else 40
    data = int.from_bytes(head[2:4] if after == 0 else head[4:6], "big")
    # A packet that the kernel put together is too long for this field, which is 0 then.
    return packet[: after + data] if data else packet


def _layers(packet: bytes | bytearray) -> tuple[int, int, int]:
    """The protocol, the start of its header, and the start of its payload."""
    head = packet[:20].ljust(20, b"\0")
    if head[0] >> 4 == 4:
        protocol, start = head[9], (head[0] & 0x0F) * 4
    else:
        protocol, start = head[6], 40
    if protocol == _TCP and len(packet) > start + 12:
        return protocol, start, start + (packet[start + 12] >> 4) * 4
    return protocol, start, start + 8


def program(ports: Iterable[int]) -> list[Instruction]:
    """The filter for TCP and UDP packets over IPv4 and IPv6 from or to the ports."""
    # A line is (code, operand), (code, label) of a jump, or (code, operand, label if true, label if false).
    either: list[tuple[Any, ...]] = [(_EQUAL, port, "yes", None) for port in ports]
    lines: list[tuple[str | None, list[tuple[Any, ...]]]] = [
        (None, [(_LOAD_BYTE, 0), (_SHIFT_RIGHT, 4), (_EQUAL, 4, "v4", None), (_EQUAL, 6, "v6", "no")]),
        ("v4", [(_LOAD_BYTE, 9), (_EQUAL, _TCP, "first", None), (_EQUAL, _UDP, "first", "no")]),
        # Only the first fragment has ports.
        ("first", [(_LOAD_HALF, 6), (_ANY_BIT, 0x1FFF, "no", None), (_LOAD_LENGTH, 0)]),
        (None, [(_LOAD_HALF_BEHIND, 0), *either, (_LOAD_HALF_BEHIND, 2), *either, (_JUMP, "no")]),
        ("v6", [(_LOAD_BYTE, 6), (_EQUAL, _TCP, "six", None), (_EQUAL, _UDP, "six", "no")]),
        ("six", [(_LOAD_HALF, 40), *either, (_LOAD_HALF, 42), *either]),
        ("no", [(_RETURN, 0)]),
        ("yes", [(_RETURN, _LONGEST)]),
    ]
    positions: dict[str | None, int] = {}
    flat: list[tuple[Any, ...]] = []
    for label, instructions in lines:
        positions[label] = len(flat)
        flat += instructions
    return [_instruction(number, line, positions) for number, line in enumerate(flat)]


def _instruction(number: int, line: tuple[Any, ...], positions: dict[str | None, int]) -> Instruction:
    def jump(label: str | None) -> int:
        return 0 if label is None else positions[label] - number - 1

    if line[0] == _JUMP:
        return (_JUMP, 0, 0, jump(line[1]))
    if len(line) == 4:
        return (line[0], jump(line[2]), jump(line[3]), line[1])
    return (line[0], 0, 0, line[1])


def _attach(wire: socket.socket, instructions: Sequence[Instruction]) -> None:
    code = b"".join(struct.pack("HBBI", *line) for line in instructions)
    kept = ctypes.create_string_buffer(code, len(code))
    wire.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(instructions), ctypes.addressof(kept)))


def _drain(wire: socket.socket) -> None:
    """Drop the packets that arrived before the filter was attached."""
    try:
        for _unused in range(100_000):
            wire.recv(1)
    except BlockingIOError:
        pass
