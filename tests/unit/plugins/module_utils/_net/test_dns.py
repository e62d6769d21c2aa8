# SPDX-License-Identifier: GPL-3.0-or-later
"""The stub resolver with a real server on loopback, and with hostile bytes."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import dns
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from hypothesis import given
from hypothesis import strategies as st

from ...conftest import one_port

ZONE: dict[tuple[str, int], list[Any]] = {
    ("pbx.example", dns.A): ["192.0.2.22", "192.0.2.3"],
    ("pbx.example", dns.AAAA): ["2001:db8::22"],
    ("alias.example", dns.CNAME): ["pbx.example"],
    ("far.example", dns.CNAME): ["elsewhere.example"],
    ("elsewhere.example", dns.A): ["192.0.2.9"],
    ("loop.example", dns.CNAME): ["loop.example"],
    ("dangling.example", dns.CNAME): ["gone.example"],
    ("_sips._tcp.pbx.example", dns.SRV): [(20, 0, 5061, "pbx.example"), (10, 5, 5061, "alias.example")],
    ("only-aaaa.example", dns.AAAA): ["2001:db8::1"],
}


def rdata(kind: int, value: Any) -> bytes:
    if kind in (dns.A, dns.AAAA):
        return socket.inet_pton(socket.AF_INET if kind == dns.A else socket.AF_INET6, value)
    if kind == dns.CNAME:
        return dns.encode_name(value)
    return struct.pack("!3H", *value[:3]) + dns.encode_name(value[3])


def record(name: str, kind: int, value: Any) -> bytes:
    data = rdata(kind, value)
    return dns.encode_name(name) + struct.pack("!HHIH", kind, 1, 60, len(data)) + data


def answer(query: bytes, follow: tuple[str, ...] = ("alias.example",)) -> bytes:
    """The answer of an honest server. It follows CNAMEs only for the names in ``follow``."""
    asked = dns.parse(query)
    (name, kind), records = asked["questions"][0], []
    while (name, kind) not in ZONE and (name, dns.CNAME) in ZONE:
        target = ZONE[name, dns.CNAME][0]
        records.append(record(name, dns.CNAME, target))
        if name not in follow:
            break
        name = target
    records += [record(name, kind, value) for value in ZONE.get((name, kind), [])]
    known = any(owner == name for owner, _kind in ZONE)
    flags = 0x8180 | (0 if known else 3)
    return struct.pack("!6H", asked["id"], flags, 1, len(records), 0, 0) + query[12:] + b"".join(records)


@pytest.fixture
def resolver() -> Iterator[Callable[..., str]]:
    """start(over_udp, over_tcp): a resolver on loopback that answers with those functions; returns its address."""
    udp, tcp = one_port()
    tcp.listen()

    def start(over_udp: Callable[..., Any], over_tcp: Callable[..., bytes] = answer) -> str:
        def serve_udp() -> None:
            # The socket is closed when the test ends.
            with contextlib.suppress(OSError):
                while True:
                    query, sender = udp.recvfrom(4096)
                    replies = over_udp(query)
                    for reply in replies if isinstance(replies, list) else [replies]:
                        udp.sendto(reply, sender)

        def serve_tcp() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with tcp.accept()[0] as connection:
                        connection.recv(2, socket.MSG_WAITALL)
                        reply = over_tcp(connection.recv(4096))
                        connection.sendall(struct.pack("!H", len(reply)) + reply)

        for serve in (serve_udp, serve_tcp):
            threading.Thread(target=serve, daemon=True).start()
        return f"127.0.0.1:{udp.getsockname()[1]}"

    yield start
    udp.close()
    tcp.shutdown(socket.SHUT_RDWR)
    tcp.close()


def test_addresses_of_both_families(resolver: Callable[..., str]) -> None:
    where = resolver(answer)
    assert dns.lookup(where, "PBX.example.", "A") == {
        "records": ["192.0.2.3", "192.0.2.22"],
        "rcode": "NOERROR",
        "aliases": [],
    }
    assert dns.lookup(where, "pbx.example", "AAAA")["records"] == ["2001:db8::22"]


def test_nxdomain_and_no_data_are_answers(resolver: Callable[..., str]) -> None:
    where = resolver(answer)
    assert dns.lookup(where, "nobody.example", "A") == {"records": [], "rcode": "NXDOMAIN", "aliases": []}
    assert dns.lookup(where, "only-aaaa.example", "A") == {"records": [], "rcode": "NOERROR", "aliases": []}


def test_srv_records_in_order_with_the_addresses_of_their_targets(resolver: Callable[..., str]) -> None:
    assert dns.lookup(resolver(answer), "_sips._tcp.pbx.example", "SRV")["records"] == [
        {
            "priority": priority,
            "weight": weight,
            "port": 5061,
            "target": target,
            "addresses": ["192.0.2.22", "192.0.2.3", "2001:db8::22"],
        }
        for priority, weight, target in ((10, 5, "alias.example"), (20, 0, "pbx.example"))
    ]


def test_a_cname_is_followed_inside_an_answer_and_by_asking_again(resolver: Callable[..., str]) -> None:
    where = resolver(answer)
    assert dns.lookup(where, "alias.example", "A")["aliases"] == ["pbx.example"]
    assert dns.lookup(where, "far.example", "A") == {
        "records": ["192.0.2.9"],
        "rcode": "NOERROR",
        "aliases": ["elsewhere.example"],
    }
    assert dns.lookup(where, "dangling.example", "A")["rcode"] == "NXDOMAIN"


def test_a_cname_loop_ends(resolver: Callable[..., str]) -> None:
    with pytest.raises(ProbeError, match="lead nowhere") as caught:
        dns.lookup(resolver(answer), "loop.example", "A")
    assert caught.value.error == "invalid"


def test_a_truncated_answer_is_asked_again_over_tcp(resolver: Callable[..., str]) -> None:
    cut = []

    def truncated(query: bytes) -> bytes:
        cut.append(query)
        return query[:2] + b"\x83\x80" + query[4:]

    assert dns.lookup(resolver(truncated), "pbx.example", "AAAA")["records"] == ["2001:db8::22"]
    assert len(cut) == 1


def test_a_forged_answer_is_ignored(resolver: Callable[..., str]) -> None:
    def forged(query: bytes) -> list[bytes]:
        wrong_id = bytes([query[0] ^ 1]) + answer(query)[1:]
        other = query[:12] + dns.encode_name("evil.example") + query[-4:]
        return [wrong_id, b"\0", answer(other), answer(query)]

    assert dns.lookup(resolver(forged), "pbx.example", "A")["records"] == ["192.0.2.3", "192.0.2.22"]


def test_a_lost_question_is_asked_again(resolver: Callable[..., str]) -> None:
    asked = []

    def lossy(query: bytes) -> bytes | list[Any]:
        asked.append(query)
        return answer(query) if len(asked) == 2 else []

    assert dns.lookup(resolver(lossy), "pbx.example", "A")["records"]


@pytest.mark.parametrize(
    ("flags", "error", "rcode"),
    [
        (b"\x81\x82", "failed", "SERVFAIL"),
        (b"\x81\x85", "denied", "REFUSED"),
    ],
)
def test_a_refusal_is_an_error(resolver: Callable[..., str], flags: bytes, error: str, rcode: str) -> None:
    with pytest.raises(ProbeError, match=rcode) as caught:
        dns.lookup(resolver(lambda query: query[:2] + flags + query[4:]), "pbx.example", "A")
    assert (caught.value.error, caught.value.extra) == (error, {"rcode": rcode})


def test_no_answer_and_a_closed_port(resolver: Callable[..., str], closed_port: int) -> None:
    with pytest.raises(ProbeError) as caught:
        dns.lookup(resolver(lambda query: []), "pbx.example", "A", limit=0.2)
    assert caught.value.error == "timed_out"
    with pytest.raises(ProbeError) as caught:
        dns.lookup(f"127.0.0.1:{closed_port}", "pbx.example", "A")
    assert caught.value.error == "refused"


@pytest.mark.parametrize(
    ("where", "name"),
    [
        ("resolver.example", "pbx.example"),
        ("127.0.0.1:x", "pbx.example"),
        ("127.0.0.1", "a..b"),
        ("127.0.0.1", "x" * 64),
        ("127.0.0.1", ".".join(["abcdefgh"] * 40)),
    ],
)
def test_an_invalid_question(where: str, name: str) -> None:
    with pytest.raises(ProbeError) as caught:
        dns.lookup(where, name, "A")
    assert caught.value.error == "invalid"


HEADER = struct.pack("!6H", 1, 0x8180, 1, 0, 0, 0)


@pytest.mark.parametrize(
    "name",
    [
        b"\xc0\x0c",
        b"\x01a\xc0\x0c",
        b"\xc0\x0e\xc0\x0c",
        b"\xc0\xff",
        b"\x80",
        b"\x05ab",
        b"\xc0",
        b"",
        b"\x3f" + b"a" * 9,
        (b"\x3f" + b"a" * 63) * 5 + b"\0",
    ],
)
def test_names_that_loop_or_overrun_raise_one_error(name: bytes) -> None:
    with pytest.raises(dns.DNSError):
        dns.parse(HEADER + name)


def test_pointers_are_followed_backwards_only() -> None:
    message = HEADER + b"\x01a\0" + b"\0\1\0\1"
    asked = struct.pack("!6H", 1, 0x8180, 2, 0, 0, 0) + message[12:] + b"\x01b\xc0\x0c" + b"\0\1\0\1"
    assert dns.parse(asked)["questions"] == [("a", 1), ("b.a", 1)]


@given(st.binary(max_size=600))
def test_arbitrary_bytes_raise_only_our_error(data: bytes) -> None:
    for message in (data, struct.pack("!6H", 1, 0x8180, 1, 3, 0, 3) + data):
        try:
            dns.parse(message)
        except dns.DNSError:
            continue


@given(st.text(max_size=80))
def test_arbitrary_names_raise_only_our_error(name: str) -> None:
    try:
        assert len(dns.encode_name(name)) <= 255
    except dns.DNSError:
        return


def test_the_resolvers_of_the_system(tmp_path: Path) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text("# x\nsearch a\nnameserver 192.0.2.1\nnameserver\nnameserver 2001:db8::1\n")
    assert dns.system_resolvers(str(conf)) == ["192.0.2.1", "2001:db8::1"]
    assert dns.system_resolvers(str(tmp_path / "missing")) == []
