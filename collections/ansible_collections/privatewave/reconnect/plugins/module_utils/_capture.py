# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packets of SIP as they pass this server, for whoever has to look closer; needs no other program.

The kernel hands over what passes a filter (packet(7), Linux "Socket Filtering"); it is written in libpcap's file format
with the link type RAW. Passwords and keys never leave the server: what clear SIP says of them is overwritten in place,
so that lengths stay and only a checksum no longer fits. They are looked for in what each side of a connection said, put
together in the order of its sequence numbers, however it was cut into segments. What TLS carries stays encrypted.

Standard library only, Python 3.8 and later: it runs on the server.
"""

from __future__ import annotations

import base64
import ctypes
import re
import select
import socket
import struct
import time

from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import answered, error_of, failed

#: Nobody captures for longer, in seconds, or more, in bytes.
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
    # What answers a challenge, or asks for it (RFC 3261, 25.1), and the keys of media (RFC 4568).
    re.compile(rb'\b(?:response|cnonce|nonce|opaque|nextnonce|rspauth)\s*=\s*"?([^",\s]{1,512})', re.IGNORECASE),
    re.compile(rb"\binline:([A-Za-z0-9+/=]{8,512})"),
    re.compile(rb"\bAuthorization:\s*(?!Digest)[A-Za-z]+\s+([^\r\n]{1,512})", re.IGNORECASE),
    re.compile(rb'\b(?:passw(?:or)?d|pwd|secret)\s*[=:]\s*"?([^\s;&"]{1,128})', re.IGNORECASE),
)
#: What people write to each other (RFC 3428), and how long it says that is.
_MESSAGE = re.compile(rb"MESSAGE [^\r\n]{1,512} SIP/2\.0\r\n")
_LENGTH = re.compile(rb"^(?:Content-Length|l)[ \t]*:[ \t]*([0-9]{1,7})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
#: How a message begins: after a hole nobody knows what the bytes before it belong to.
_BEGINNING = re.compile(rb"(?:\A[ \r\n]*|\n)(?:[A-Z]{3,20} [^\r\n]{1,512} SIP/2\.0\r\n|SIP/2\.0 [1-6][0-9]{2}\b)")
#: How a record of TLS begins (RFC 8446, 5.1); it is encrypted, or says nothing secret.
_TLS = re.compile(rb"[\x14-\x18]\x03[\x00-\x04]")
_NUMBER = re.compile(rb"\+([0-9]{4,13})(?=[0-9]{2}(?![0-9]))")


def capture(ports, seconds, limit=MAX_BYTES, numbers=False):
    """Packets over TCP and UDP from and to ``ports`` for ``seconds``, as ``{packets, bytes, cut, pcap}``.

    They are kept in memory, at most ``limit`` bytes, and freed of secrets together.

    ``pcap`` is the file in base64, at most ``limit`` bytes of it, ``cut`` whether there was more; ``numbers``
    overwrites telephone numbers but for their last two digits. Raises OSError where this user may not look at packets.
    """
    content = bytearray(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, _LONGEST, LINKTYPE_RAW))
    times, packets, size, cut = [], [], len(content), False
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
                # There every packet is seen twice.
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


def answer(ports, seconds, limit, numbers):
    """`capture` as the module ``packet_capture`` answers: a probe."""
    began = time.monotonic()
    try:
        return {"capture": answered(capture(ports, seconds, limit, numbers), time.monotonic() - began)}
    except OSError as problem:
        return {"capture": failed(error_of(problem), "Packets can't be looked at: {0}.".format(problem.strerror))}


def record(at, packet):
    """A packet as the file has it; ``at`` in seconds since the epoch."""
    return struct.pack("<IIII", int(at), int(at % 1 * 1e6), len(packet), len(packet)) + packet


def without_secrets(packets, numbers=False):
    """IP packets with every secret and every text between people overwritten by as many ``x``; their padding is off."""
    told = [bytearray(_unpadded(packet)) for packet in packets]
    sides = {}
    for packet in told:
        protocol, start, payload = _layers(packet)
        if protocol == _TCP and len(packet) >= start + 20:
            # What one side of a connection said: a place in its order, and the packet that it is written back to.
            sequence = int.from_bytes(packet[start + 4 : start + 8], "big")
            opens = bool(packet[start + 13] & _SYN)
            addresses = bytes(packet[12:20] if packet[0] >> 4 == 4 else packet[8:40])
            side = sides.setdefault((addresses, bytes(packet[start : start + 4])), [])
            if not side or (opens and side[-1][0] != sequence):
                side.append((sequence, []))
            if payload < len(packet):
                first, segments = side[-1]
                # Sequence numbers go round; nothing of a minute is further apart than half of them.
                place = (sequence + opens - first + 0x80000000) % 0x100000000 - 0x80000000
                segments.append((place, packet, payload))
        else:
            packet[payload:] = _covered(bytes(packet[payload:]), numbers)
    for side in sides.values():
        for _first, segments in side:
            _cover(segments, numbers)
    return [bytes(packet) for packet in told]


def _cover(segments, numbers):
    """Free what one side of a connection said of secrets, in its packets."""
    runs, stream, begins = [], bytearray(), 0
    # The sort is stable: of two segments for the same place the first one counts.
    for place, packet, payload in sorted(segments, key=lambda segment: segment[0]):
        said = bytes(packet[payload:])
        if not runs or place > begins + len(stream):
            stream, begins = bytearray(), place
            runs.append((begins, stream, []))
        known = stream[place - begins : place - begins + len(said)]
        if known != said[: len(known)]:
            # It says something else than was said there: nobody knows which of them was heard.
            packet[payload:] = b"x" * len(said)
        else:
            runs[-1][2].append((place, packet, payload))
        stream += said[len(known) :]
    for begins, stream, parts in runs:
        said = bytes(stream)
        hidden = 0
        if not _TLS.match(said):
            beginning = _BEGINNING.search(said)
            hidden = beginning.start() if beginning else len(said)
        covered = b"x" * hidden + _covered(said[hidden:], numbers, stream=True)
        for place, packet, payload in parts:
            packet[payload:] = covered[place - begins : place - begins + len(packet) - payload]


def _covered(said, numbers, stream=False):
    """What was said, its secrets and the texts between people overwritten."""
    for pattern in _SECRETS:
        said = pattern.sub(_overwritten, said)
    said = _without_texts(said, stream)
    return _NUMBER.sub(_overwritten, said) if numbers else said


def _overwritten(match):
    """What matched, its group overwritten."""
    begin, end = (place - match.start() for place in match.span(1))
    return match.group(0)[:begin] + b"x" * (end - begin) + match.group(0)[end:]


def _without_texts(said, stream):
    """The bodies of messages overwritten; in a ``stream`` one ends where it says, else with the datagram."""
    covered, done = bytearray(said), 0
    while True:
        message = _MESSAGE.search(said, done)
        blank = said.find(b"\r\n\r\n", message.end() - 2) if message else -1
        if blank < 0:
            return bytes(covered)
        begin, end = blank + 4, len(said)
        lengths = [int(length) for length in _LENGTH.findall(said, message.end(), blank)]
        if stream and lengths:
            end = min(begin + max(lengths), end)
        covered[begin:end] = b"x" * (end - begin)
        done = end


def _unpadded(packet):
    """The packet without what a network card adds to short ones."""
    head = packet[:6].ljust(6, b"\0")
    after = 0 if head[0] >> 4 == 4 else 40
    said = int.from_bytes(head[2:4] if after == 0 else head[4:6], "big")
    # Packets that the kernel has put together are too long for that, and say nothing.
    return packet[: after + said] if said else packet


def _layers(packet):
    """The protocol, where its header begins, and where its payload does."""
    head = packet[:20].ljust(20, b"\0")
    if head[0] >> 4 == 4:
        protocol, start = head[9], (head[0] & 0x0F) * 4
    else:
        protocol, start = head[6], 40
    if protocol == _TCP and len(packet) > start + 12:
        return protocol, start, start + (packet[start + 12] >> 4) * 4
    return protocol, start, start + 8


def program(ports):
    """The filter, as ``[(code, jump if true, jump if false, operand)]``: IPv4 and IPv6, TCP and UDP, these ports."""
    either = [(_EQUAL, port, "yes", None) for port in ports]
    lines = [
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
    places, flat = {}, []
    for label, instructions in lines:
        places[label] = len(flat)
        flat += instructions
    return [_instruction(number, line, places) for number, line in enumerate(flat)]


def _instruction(number, line, places):
    def jump(label):
        return 0 if label is None else places[label] - number - 1

    if line[0] == _JUMP:
        return (_JUMP, 0, 0, jump(line[1]))
    if len(line) == 4:
        return (line[0], jump(line[2]), jump(line[3]), line[1])
    return (line[0], 0, 0, line[1])


def _attach(wire, instructions):
    code = b"".join(struct.pack("HBBI", *line) for line in instructions)
    kept = ctypes.create_string_buffer(code, len(code))
    wire.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(instructions), ctypes.addressof(kept)))


def _drain(wire):
    """Forget what came before the filter was there."""
    try:
        for _unused in range(100_000):
            wire.recv(1)
    except BlockingIOError:
        pass
