# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages are built, digests are answered, and hostile input raises nothing but `SIPError`."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import sip
from hypothesis import given, settings
from hypothesis import strategies as st

MESSAGES = [path.read_bytes() for path in sorted((Path(__file__).parent / "torture").rglob("*.sip"))]
HEADERS = [
    ("Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport"),
    ("From", "<sip:a@example.com>;tag=1"),
    ("To", "<sip:a@example.com>"),
    ("Call-ID", "1"),
    ("CSeq", "1 OPTIONS"),
]


def survives(data: bytes) -> None:
    try:
        message = sip.parse(data)
    except sip.SIPError:
        return
    assert message.method or 100 <= message.status < 700
    assert message.cseq[0] < 2**31
    assert isinstance(message.listed("Via"), list)


@given(st.binary(max_size=3000))
def test_arbitrary_bytes_raise_only_our_error(data: bytes) -> None:
    survives(data)


@given(st.text(max_size=300), st.text(max_size=300))
def test_arbitrary_header_fields_raise_only_our_error(name: str, value: str) -> None:
    head = "OPTIONS sip:a@example.com SIP/2.0\r\n" + "".join(f"{n}: {v}\r\n" for n, v in HEADERS)
    survives((head + f"{name}: {value}\r\n\r\n").encode("utf-8", "replace"))


@settings(max_examples=300)
@given(st.sampled_from(MESSAGES), st.lists(st.tuples(st.integers(0, 6000), st.binary(max_size=3)), max_size=6))
def test_damaged_messages_raise_only_our_error(message: bytes, damages: list[tuple[int, bytes]]) -> None:
    damaged = bytearray(message)
    for at, octets in damages:
        at = at % len(damaged)
        damaged[at : at + len(octets)] = octets
    survives(bytes(damaged))


@pytest.mark.parametrize(
    "value",
    [
        '"' + "\\" * 4000,
        '"' + '\\"' * 4000,
        "a " * 4000,
        "<" * 8000,
        ";a=b" * 2000,
        "sip:" + "%" * 8000,
        ";" + " " * 8000 + "x",
        "," * 8000,
        "a" * 8000 + "<",
        "sip:a@" + "a." * 4000 + "-",
        " " * 8000,
    ],
)
def test_no_header_field_takes_long(value: str) -> None:
    head = b"OPTIONS sip:a@example.com SIP/2.0\r\n" + b"".join(f"{n}: {v}\r\n".encode() for n, v in HEADERS)
    for name in ("Contact", "Via"):
        started = time.thread_time()
        survives(head + f"{name}: {value}\r\n\r\n".encode())
        assert time.thread_time() - started < 1


def test_sizes_are_bounded() -> None:
    with pytest.raises(sip.SIPError, match="more than 65536 bytes"):
        sip.parse(b"x" * 65537)
    with pytest.raises(sip.SIPError, match="more than 200 header fields"):
        sip.parse(b"OPTIONS sip:a SIP/2.0\r\n" + b"X: y\r\n" * 300 + b"\r\n")
    with pytest.raises(sip.SIPError, match="more than 8192 characters"):
        sip.parse(b"OPTIONS sip:a SIP/2.0\r\nX: " + b"y" * 9000 + b"\r\n\r\n")


def test_a_message_that_was_built_is_parsed_again() -> None:
    message = sip.Message("OPTIONS", "sip:example.com", headers=HEADERS, body=b"hello")
    again = sip.parse(bytes(message))
    assert (again.method, again.uri, again.body, again.get("content-length")) == (
        "OPTIONS",
        "sip:example.com",
        b"hello",
        "5",
    )


@pytest.mark.attack("line breaks in a SIP message", harm="execution")
@pytest.mark.parametrize("injected", ["a\r\nEvil: yes", "a\nb", "a\0b"])
def test_a_line_break_cannot_be_injected_into_a_message(injected: str) -> None:
    with pytest.raises(sip.SIPError):
        bytes(sip.Message("OPTIONS", "sip:example.com", headers=[("Subject", injected)]))


@given(st.text(min_size=1, max_size=60))
def test_any_name_becomes_a_user_part_that_parses(name: str) -> None:
    uri = f"sip:{sip.escape_user(name)}@example.com"
    assert sip.parse_uri(uri)["host"] == "example.com"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60))
def test_quoting_is_undone_by_unquoting(text: str) -> None:
    assert sip.unquote(sip.quote(text)) == text


# The example of RFC 7616, 3.9.1.
CHALLENGE = {
    "realm": "http-auth@example.org",
    "qop": "auth, auth-int",
    "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
}


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_digest_of_the_example_of_rfc_7616(algorithm: str, response: str) -> None:
    answer = sip.digest_answer(
        dict(CHALLENGE, algorithm=algorithm),
        "GET",
        "/dir/index.html",
        "Mufasa",
        "Circle of Life",
        "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    scheme, fields = sip.parse_challenge(answer)
    assert (scheme, fields["response"], fields["nc"], fields["opaque"]) == (
        "digest",
        response,
        "00000001",
        CHALLENGE["opaque"],
    )


def test_digest_of_the_example_of_rfc_2069_style_without_qop() -> None:
    # RFC 2617, 3.5 without qop: request-digest as in RFC 2069, 2.1.2.
    challenge = {"realm": "testrealm@host.com", "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093"}
    answer = sip.digest_answer(challenge, "GET", "/dir/index.html", "Mufasa", "CircleOfLife", "unused")
    assert sip.parse_challenge(answer)[1]["response"] == "1949323746fe6a43ef61f9606e7febea"


def response_with(*challenges: str) -> sip.Message:
    return sip.Message(status=401, reason="", headers=[("WWW-Authenticate", text) for text in challenges])


def test_the_strongest_challenge_is_chosen() -> None:
    chosen = sip.choose_challenge(
        response_with(
            'Digest realm="r", nonce="1", algorithm=MD5, qop="auth"',
            'Digest realm="r", nonce="2", algorithm=SHA-256, qop="auth"',
            'Digest realm="r", nonce="3", algorithm=SHA-512-256, qop="auth"',
            "Bearer x=y",
        )
    )
    assert chosen is not None
    assert chosen["nonce"] == "2"


@pytest.mark.parametrize(
    "challenge",
    [
        'Digest realm="r", nonce="1", algorithm=WHIRLPOOL',
        'Digest realm="r", nonce="1", qop="auth-int"',
        'Digest realm="r"',
        "Basic realm=x",
    ],
)
def test_an_unanswerable_challenge_is_not_chosen(challenge: str) -> None:
    assert sip.choose_challenge(response_with(challenge)) is None
