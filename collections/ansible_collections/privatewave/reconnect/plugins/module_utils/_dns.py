# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stub resolver that asks the resolver it is told to ask (RFC 1035, RFC 2782, RFC 3596, RFC 7766).

The system's own resolver hides who answered and caches; a diagnosis wants the answer of one given resolver. NXDOMAIN
and "no data" are answers. Whatever comes back is hostile input: lengths and compression pointers are checked.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import time

from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, error_of

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
    """The bytes are no DNS message, or the name is no domain name."""


def lookup(resolver, name, kind, limit=2.0):
    """Ask ``resolver`` (address, ``address:port`` or ``[address]:port``) for the ``kind`` records of ``name``.

    ``kind`` is ``A``, ``AAAA`` or ``SRV``; ``limit`` is seconds for the whole question. Returns ``records``, ``rcode``
    (``NOERROR`` or ``NXDOMAIN``) and ``aliases`` (the names a CNAME led to). Addresses are text; an SRV record is
    ``{priority, weight, port, target, addresses}``. Raises `ProbeError` when there is no usable answer.
    """
    deadline = time.monotonic() + limit
    try:
        answer = _follow(resolver, name, TYPES[kind], deadline)
        if kind == "SRV":
            _find_addresses(resolver, answer, deadline)
    except DNSError as error:
        raise ProbeError("invalid", "{0}: {1}".format(resolver, error)) from None
    except OSError as error:
        kind_of_error = error_of(error)
        if kind_of_error == "timed_out":
            raise ProbeError("timed_out", "{0} did not answer within {1:g} s".format(resolver, limit)) from None
        raise ProbeError(kind_of_error, "{0}: {1}".format(resolver, error)) from None
    return {"records": answer["records"], "rcode": answer["rcode"], "aliases": answer["aliases"]}


def system_resolvers(path="/etc/resolv.conf"):
    """The addresses of the ``nameserver`` lines of resolv.conf(5), at most three as there."""
    try:
        with open(path, encoding="utf-8", errors="replace") as lines:
            words = [line.split() for line in lines]
    except OSError:
        return []
    return [word[1] for word in words if len(word) > 1 and word[0] == "nameserver"][:3]


def encode_name(name):
    """A domain name as on the wire. Raises `DNSError` for what can't be one."""
    wire = b""
    for label in name.rstrip(".").split(".") if name.rstrip(".") else []:
        try:
            octets = label.encode("ascii") if label.isascii() else label.encode("idna")
        except UnicodeError:
            octets = b""
        if not 0 < len(octets) < 64:
            raise DNSError("{0!r} is no domain name".format(name[:100]))
        wire += bytes([len(octets)]) + octets
    if len(wire) > 254:
        raise DNSError("{0!r} is too long for a domain name".format(name[:100]))
    return wire + b"\0"


def encode_query(number, name, kind):
    """The question for one name, recursion desired."""
    return _HEADER.pack(number, 0x0100, 1, 0, 0, 0) + encode_name(name) + struct.pack("!HH", kind, _IN)


def parse(message):
    """A DNS message as ``{id, response, truncated, rcode, questions, answers, additionals}``. Raises `DNSError`.

    A question is ``(name, type)`` and a record ``(name, type, value)``; names are lower case without the last dot. The
    value of an address is text, of CNAME a name, of SRV ``(priority, weight, port, target)``, of others None.
    """
    try:
        number, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(message)
        at, asked = _HEADER.size, []
        for _count in range(questions):
            name, at = _name(message, at)
            kind, _class = struct.unpack_from("!HH", message, at)
            asked.append((name, kind))
            at += 4
        sections = []
        for count in (answers, authorities, additionals):
            records = []
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


def _name(message, at):
    """The name at an offset and the offset behind it. A compression pointer may only point backwards, so it ends."""
    labels, length, end, lowest = [], 0, None, at
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


def _label(octets):
    """A label as text in the presentation form of RFC 4343: what is not plain is escaped."""
    return "".join(
        chr(octet) if 0x21 <= octet < 0x7F and octet not in b'."\\' else "\\{0:03d}".format(octet) for octet in octets
    ).lower()


def _record(message, at):
    name, at = _name(message, at)
    kind, klass, _ttl, size = _RECORD.unpack_from(message, at)
    at += _RECORD.size
    end = at + size
    if end > len(message):
        raise DNSError("a record ends too early")
    if klass != _IN:
        return None, end
    value = None
    if kind in (A, AAAA):
        if size != (4 if kind == A else 16):
            raise DNSError("an address of the wrong size")
        value = str(ipaddress.ip_address(message[at:end]))
    elif kind == CNAME:
        value, behind = _name(message, at)
        if behind != end:
            raise DNSError("a CNAME of the wrong size")
    elif kind == SRV:
        priority, weight, port = struct.unpack_from("!3H", message, at)
        target, behind = _name(message, at + 6)
        if behind != end:
            raise DNSError("an SRV record of the wrong size")
        value = (priority, weight, port, target)
    return (name, kind, value), end


def _follow(resolver, name, kind, deadline):
    """The records of a name behind any CNAMEs; asks again where the resolver stopped at one."""
    aliases = []
    current = wanted = _lower(name)
    while True:
        answer = _ask(resolver, wanted, kind, deadline)
        owners = {owner: value for owner, found, value in answer["answers"] if found == CNAME}
        while current in owners and len(aliases) < ALIAS_LIMIT:
            current = owners[current]
            aliases.append(current)
        values = [value for owner, found, value in answer["answers"] if found == kind and owner == current]
        if values or answer["rcode"] != "NOERROR" or current == wanted or len(aliases) >= ALIAS_LIMIT:
            break
        wanted = current
    if current in owners:
        raise DNSError("CNAMEs that lead nowhere")
    if kind == SRV:
        values = [
            {"priority": value[0], "weight": value[1], "port": value[2], "target": value[3], "addresses": []}
            for value in sorted(values)
        ]
    else:
        values = sorted(set(values), key=ipaddress.ip_address)
    return dict(answer, records=values[:RECORD_LIMIT], aliases=aliases)


def _find_addresses(resolver, answer, deadline):
    """Fill in the addresses of SRV targets: from the additional records, else asked of the same resolver."""
    known = {}
    for owner, kind, value in answer["additionals"]:
        if kind in (A, AAAA):
            known.setdefault(owner, []).append(value)
    for record in answer["records"][:SRV_TARGET_LIMIT]:
        target = record["target"]
        if target and target not in known:
            known[target] = []
            try:
                for kind in (A, AAAA):
                    known[target] += _follow(resolver, target, kind, deadline)["records"]
            except (ProbeError, DNSError, OSError):
                # The SRV records themselves were answered; a target nobody could resolve has no addresses.
                pass
        record["addresses"] = sorted(set(known.get(target, [])), key=lambda text: (":" in text, text))


def _lower(name):
    """A name as `parse` would give it."""
    return _name(encode_name(name), 0)[0]


def _ask(resolver, name, kind, deadline):
    """One question over UDP, again over TCP when the answer was cut off. Returns the parsed answer."""
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


def _address(resolver):
    """Where a resolver is: (family, (address, port)). Raises `DNSError`."""
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


def _answers(message, number, name, kind):
    return message["response"] and message["id"] == number and message["questions"] == [(_lower(name), kind)]


def _remaining(deadline):
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise socket.timeout("timed out")
    return remaining


def _ask_udp(address, query, number, name, kind, deadline):
    # Connected, so that the kernel drops what others send and tells us when the port is closed.
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
                    # Garbage may be forged: the true answer can still come.
                    continue
                if _answers(answer, number, name, kind):
                    return answer
            _remaining(deadline)


def _ask_tcp(address, query, deadline):
    with socket.create_connection(address[1], timeout=_remaining(deadline)) as sock:
        sock.sendall(struct.pack("!H", len(query)) + query)
        size = struct.unpack("!H", _receive(sock, 2, deadline))[0]
        return parse(_receive(sock, size, deadline))


def _receive(sock, size, deadline):
    received = b""
    while len(received) < size:
        sock.settimeout(_remaining(deadline))
        piece = sock.recv(size - len(received))
        if not piece:
            raise DNSError("the connection was closed in the middle of the answer")
        received += piece
    return received
