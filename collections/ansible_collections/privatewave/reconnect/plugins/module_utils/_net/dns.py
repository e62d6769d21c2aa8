# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stub resolver that asks one given resolver (RFC 1035, RFC 2782, RFC 3596, RFC 7766).

The resolver of the system caches and hides who answered; a diagnosis needs the answer of one resolver. NXDOMAIN and "no
data" are answers. An answer is hostile input: lengths and compression pointers are checked.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import time
from typing import TYPE_CHECKING, Literal, NamedTuple, TypedDict, Union, overload

from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, error_of

if TYPE_CHECKING:
    from ansible_collections.privatewave.reconnect.plugins.module_utils._net.documents import (
        Addresses,
        Service,
        Services,
    )

    #: The family of a socket, and the address and port to connect to.
    Endpoint = tuple[socket.AddressFamily, tuple[str, int]]
    #: Text of an address, name of a CNAME, or priority, weight, port and target of SRV; None for other types.
    Value = Union[str, tuple[int, int, int, str], None]
    #: Name, type and value.
    Record = tuple[str, int, Value]

A, CNAME, AAAA, SRV = 1, 5, 28, 33
TYPES = {"A": A, "AAAA": AAAA, "SRV": SRV}
RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}

RESEND_AFTER = 0.5
ALIAS_LIMIT = 8
RECORD_LIMIT = 32
SRV_TARGET_LIMIT = 8

_IN = 1
_HEADER = struct.Struct("!6H")
_RECORD = struct.Struct("!HHIH")
_TRUNCATED = 0x0200
_RESPONSE = 0x8000


class DNSError(ValueError):
    """The bytes are not a DNS message, or the name is not a domain name."""


class Message(TypedDict):
    """A DNS message. Names are in lower case without the last dot; a question is a name and a type."""

    id: int
    response: bool
    truncated: bool
    rcode: str
    questions: list[tuple[str, int]]
    answers: list[Record]
    additionals: list[Record]


class _Found(NamedTuple):
    """The values of a name behind its CNAMEs, and the additional records of the last answer."""

    values: list[Value]
    rcode: str
    aliases: list[str]
    additionals: list[Record]


@overload
def lookup(resolver: str, name: str, kind: Literal["A", "AAAA"], limit: float = 2.0) -> Addresses: ...
@overload
def lookup(resolver: str, name: str, kind: Literal["SRV"], limit: float = 2.0) -> Services: ...


def lookup(resolver: str, name: str, kind: Literal["A", "AAAA", "SRV"], limit: float = 2.0) -> Addresses | Services:
    """Ask ``resolver`` (address, ``address:port`` or ``[address]:port``) for the ``kind`` records of ``name``.

    ``limit`` is seconds for the whole question. Raises `ProbeError` when there is no usable answer.
    """
    deadline = time.monotonic() + limit
    try:
        if kind == "SRV":
            return _services(resolver, name, deadline)
        return _addresses(resolver, name, TYPES[kind], deadline)
    except DNSError as error:
        raise ProbeError("invalid", "{0}: {1}".format(resolver, error)) from None
    except OSError as error:
        kind_of_error = error_of(error)
        if kind_of_error == "timed_out":
            raise ProbeError("timed_out", "{0} did not answer within {1:g} s".format(resolver, limit)) from None
        raise ProbeError(kind_of_error, "{0}: {1}".format(resolver, error)) from None


def system_resolvers(path: str = "/etc/resolv.conf") -> list[str]:
    """The addresses of the first three ``nameserver`` lines, as resolv.conf(5) limits them."""
    try:
        with open(path, encoding="utf-8", errors="replace") as lines:
            words = [line.split() for line in lines]
    except OSError:
        return []
    return [word[1] for word in words if len(word) > 1 and word[0] == "nameserver"][:3]


def encode_name(name: str) -> bytes:
    """A domain name as on the wire. Raises `DNSError` for an invalid name."""
    wire = b""
    for label in name.rstrip(".").split(".") if name.rstrip(".") else []:
        try:
            octets = label.encode("ascii") if label.isascii() else label.encode("idna")
        except UnicodeError:
            octets = b""
        if not 0 < len(octets) < 64:
            raise DNSError("{0!r} is not a domain name".format(name[:100]))
        wire += bytes([len(octets)]) + octets
    if len(wire) > 254:
        raise DNSError("{0!r} is too long for a domain name".format(name[:100]))
    return wire + b"\0"


def encode_query(number: int, name: str, kind: int) -> bytes:
    """The question for one name, recursion desired."""
    return _HEADER.pack(number, 0x0100, 1, 0, 0, 0) + encode_name(name) + struct.pack("!HH", kind, _IN)


def parse(message: bytes) -> Message:
    """A DNS message. Records of other classes than IN are left out. Raises `DNSError`."""
    try:
        number, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(message)
        at = _HEADER.size
        asked: list[tuple[str, int]] = []
        for _count in range(questions):
            name, at = _name(message, at)
            kind, _class = struct.unpack_from("!HH", message, at)
            asked.append((name, kind))
            at += 4
        sections = []
        for count in (answers, authorities, additionals):
            records: list[Record] = []
            for _count in range(count):
                record, at = _record(message, at)
                if record:
                    records.append(record)
            sections.append(records)
    except struct.error:
        raise DNSError("the message ends too early") from None
    return {
        "id": number,
        "response": bool(flags & _RESPONSE),
        "truncated": bool(flags & _TRUNCATED),
        "rcode": RCODES.get(flags & 15, str(flags & 15)),
        "questions": asked,
        "answers": sections[0],
        "additionals": sections[2],
    }


def _name(message: bytes, at: int) -> tuple[str, int]:
    """The name at an offset and the offset after it. A compression pointer may only point backwards, so this ends."""
    labels: list[str] = []
    length, lowest = 0, at
    end: int | None = None
    while True:
        if at >= len(message):
            raise DNSError("a name ends too early")
        octet = message[at]
        if octet & 0xC0 == 0xC0:
            if at + 1 >= len(message):
                raise DNSError("a name ends too early")
            target = (octet & 0x3F) << 8 | message[at + 1]
            if target >= lowest:
                raise DNSError("a compression pointer that does not point backwards")
            end = at + 2 if end is None else end
            at = lowest = target
            continue
        if octet & 0xC0:
            raise DNSError("a label of unknown type")
        at += 1
        if octet == 0:
            return ".".join(labels), at if end is None else end
        if at + octet > len(message):
            raise DNSError("a label ends too early")
        length += octet + 1
        if length > 254:
            raise DNSError("a name that is too long")
        labels.append(_label(message[at : at + octet]))
        at += octet


def _label(octets: bytes) -> str:
    """A label as text in the form of RFC 4343: a character that is not plain is escaped."""
    return "".join(
        chr(octet) if 0x21 <= octet < 0x7F and octet not in b'."\\' else "\\{0:03d}".format(octet) for octet in octets
    ).lower()


def _record(message: bytes, at: int) -> tuple[Record | None, int]:
    name, at = _name(message, at)
    kind, klass, _ttl, size = _RECORD.unpack_from(message, at)
    at += _RECORD.size
    end = at + size
    if end > len(message):
        raise DNSError("a record ends too early")
    if klass != _IN:
        return None, end
    value: Value = None
    if kind in (A, AAAA):
        if size != (4 if kind == A else 16):
            raise DNSError("an address of the wrong size")
        value = str(ipaddress.ip_address(message[at:end]))
    elif kind == CNAME:
        value, after = _name(message, at)
        if after != end:
            raise DNSError("a CNAME of the wrong size")
    elif kind == SRV:
        priority, weight, port = struct.unpack_from("!3H", message, at)
        target, after = _name(message, at + 6)
        if after != end:
            raise DNSError("an SRV record of the wrong size")
        value = (priority, weight, port, target)
    return (name, kind, value), end


def _follow(resolver: str, name: str, kind: int, deadline: float) -> _Found:
    """The values of a name behind its CNAMEs; asks again where the resolver stopped at one."""
    aliases: list[str] = []
    current = wanted = _lower(name)
    while True:
        answer = _ask(resolver, wanted, kind, deadline)
        owners = {
            owner: value for owner, found, value in answer["answers"] if found == CNAME and isinstance(value, str)
        }
        while current in owners and len(aliases) < ALIAS_LIMIT:
            current = owners[current]
            aliases.append(current)
        values = [value for owner, found, value in answer["answers"] if found == kind and owner == current]
        if values or answer["rcode"] != "NOERROR" or current == wanted or len(aliases) >= ALIAS_LIMIT:
            break
        wanted = current
    if current in owners:
        raise DNSError("CNAMEs that lead nowhere")
    return _Found(values, answer["rcode"], aliases, answer["additionals"])


def _addresses(resolver: str, name: str, kind: int, deadline: float) -> Addresses:
    found = _follow(resolver, name, kind, deadline)
    texts = {value for value in found.values if isinstance(value, str)}
    records = sorted(texts, key=lambda text: ipaddress.ip_address(text).packed)
    return {"records": records[:RECORD_LIMIT], "rcode": found.rcode, "aliases": found.aliases}


def _services(resolver: str, name: str, deadline: float) -> Services:
    """The SRV records; the addresses of a target are in the additional records, else the same resolver is asked."""
    found = _follow(resolver, name, SRV, deadline)
    known: dict[str, list[str]] = {}
    for owner, kind, value in found.additionals:
        if kind in (A, AAAA) and isinstance(value, str):
            known.setdefault(owner, []).append(value)
    records: list[Service] = []
    for priority, weight, port, target in sorted(value for value in found.values if isinstance(value, tuple)):
        if target and target not in known and len(records) < SRV_TARGET_LIMIT:
            known[target] = []
            try:
                for kind in (A, AAAA):
                    known[target] += _addresses(resolver, target, kind, deadline)["records"]
            except (ProbeError, DNSError, OSError):
                # The SRV records were answered: a target that cannot be resolved has no addresses.
                pass
        addresses = known.get(target, []) if len(records) < SRV_TARGET_LIMIT else []
        records.append(
            {
                "priority": priority,
                "weight": weight,
                "port": port,
                "target": target,
                "addresses": sorted(set(addresses), key=lambda text: (":" in text, text)),
            }
        )
    return {"records": records[:RECORD_LIMIT], "rcode": found.rcode, "aliases": found.aliases}


def _lower(name: str) -> str:
    """A name as `parse` returns it."""
    return _name(encode_name(name), 0)[0]


def _ask(resolver: str, name: str, kind: int, deadline: float) -> Message:
    """The answer over UDP, or over TCP when that was cut off."""
    address = _address(resolver)
    number = struct.unpack("!H", os.urandom(2))[0]
    query = encode_query(number, name, kind)
    answer = _ask_udp(address, query, number, name, kind, deadline)
    if answer["truncated"]:
        answer = _ask_tcp(address, query, deadline)
        if not _answers(answer, number, name, kind) or answer["truncated"]:
            raise DNSError("an answer to another question")
    if answer["rcode"] not in ("NOERROR", "NXDOMAIN"):
        raise ProbeError(
            "denied" if answer["rcode"] == "REFUSED" else "failed",
            "{0} answered {1} for {2}".format(resolver, answer["rcode"], name),
            rcode=answer["rcode"],
        )
    return answer


def _address(resolver: str) -> Endpoint:
    """The address of a resolver. Raises `DNSError`."""
    host, port = resolver, "53"
    if resolver.startswith("["):
        host, _bracket, rest = resolver[1:].partition("]")
        port = rest[1:] or "53"
    elif resolver.count(":") == 1:
        host, port = resolver.split(":")
    try:
        version = ipaddress.ip_address(host.partition("%")[0]).version
        return socket.AF_INET6 if version == 6 else socket.AF_INET, (host, int(port))
    except ValueError:
        raise DNSError("{0!r} is not the address of a resolver".format(resolver[:100])) from None


def _answers(message: Message, number: int, name: str, kind: int) -> bool:
    return message["response"] and message["id"] == number and message["questions"] == [(_lower(name), kind)]


def _remaining(deadline: float) -> float:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise socket.timeout("timed out")
    return remaining


def _ask_udp(address: Endpoint, query: bytes, number: int, name: str, kind: int, deadline: float) -> Message:
    # A connected socket: the kernel drops what others send, and reports a closed port.
    with socket.socket(address[0], socket.SOCK_DGRAM) as sock:
        sock.connect(address[1])
        while True:
            sock.send(query)
            resend_at = time.monotonic() + RESEND_AFTER
            while time.monotonic() < resend_at:
                sock.settimeout(max(0.001, min(resend_at - time.monotonic(), _remaining(deadline))))
                try:
                    answer = parse(sock.recv(4096))
                except (socket.timeout, DNSError):
                    # Someone else can send garbage: the real answer can still arrive.
                    continue
                if _answers(answer, number, name, kind):
                    return answer
            _remaining(deadline)


def _ask_tcp(address: Endpoint, query: bytes, deadline: float) -> Message:
    with socket.create_connection(address[1], timeout=_remaining(deadline)) as sock:
        sock.sendall(struct.pack("!H", len(query)) + query)
        size = struct.unpack("!H", _receive(sock, 2, deadline))[0]
        return parse(_receive(sock, size, deadline))


def _receive(sock: socket.socket, size: int, deadline: float) -> bytes:
    received = b""
    while len(received) < size:
        sock.settimeout(_remaining(deadline))
        piece = sock.recv(size - len(received))
        if not piece:
            raise DNSError("the connection was closed in the middle of the answer")
        received += piece
    return received
