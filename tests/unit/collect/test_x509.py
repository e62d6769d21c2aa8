# SPDX-License-Identifier: GPL-3.0-or-later
"""What our reader says of certificates made by another implementation."""

from __future__ import annotations

import contextlib
import ipaddress
from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils import _x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

START = datetime(2026, 1, 31, 3, 0, tzinfo=UTC)
KEYS = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
}


def named(*attributes):
    kinds = {"CN": x509.NameOID.COMMON_NAME, "O": x509.NameOID.ORGANIZATION_NAME, "C": x509.NameOID.COUNTRY_NAME}
    return x509.Name([x509.NameAttribute(kinds[kind], value) for kind, value in attributes])


def make(key="rsa", subject=None, issuer=None, names=(), start=START, end=START + timedelta(days=90), extensions=()):
    subject = subject or named(("CN", "pbx22.reconnect.test"))
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(KEYS[key].public_key())
        .serial_number(0xC0FFEE)
        .not_valid_before(start)
        .not_valid_after(end)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(KEYS[key], None if key == "ed25519" else hashes.SHA256())


def der(certificate):
    return certificate.public_bytes(serialization.Encoding.DER)


def test_says_what_the_certificate_says():
    certificate = make(
        subject=named(("C", "IT"), ("O", "Lab, Inc"), ("CN", "pbx22.reconnect.test")),
        issuer=named(("CN", "Lab CA")),
        names=[
            x509.DNSName("pbx22.reconnect.test"),
            x509.DNSName("*.reconnect.test"),
            x509.IPAddress(ipaddress.ip_address("198.18.20.22")),
            x509.IPAddress(ipaddress.ip_address("2001:2:0:20::22")),
        ],
    )
    assert _x509.details(der(certificate)) == {
        "subject": "CN=pbx22.reconnect.test,O=Lab\\, Inc,C=IT",
        "issuer": "CN=Lab CA",
        "serial": "C0FFEE",
        "not_before": "2026-01-31T03:00:00Z",
        "not_after": "2026-05-01T03:00:00Z",
        "names": ["pbx22.reconnect.test", "*.reconnect.test", "198.18.20.22", "2001:2:0:20::22"],
        "fingerprint_sha256": certificate.fingerprint(hashes.SHA256()).hex(),
        "key_type": "rsa",
        "key_bits": 2048,
        "self_signed": False,
        "signature": "sha256WithRSAEncryption",
    }


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("rsa", ("rsa", 2048, "sha256WithRSAEncryption")),
        ("p256", ("ec", 256, "ecdsa-with-SHA256")),
        ("p384", ("ec", 384, "ecdsa-with-SHA256")),
        ("ed25519", ("ed25519", 256, "ed25519")),
    ],
)
def test_names_the_key_and_the_signature(key, expected):
    said = _x509.details(der(make(key)))
    assert (said["key_type"], said["key_bits"], said["signature"]) == expected


def test_reads_times_before_and_after_2050():
    said = _x509.details(der(make(start=datetime(1999, 12, 31, tzinfo=UTC), end=datetime(2051, 1, 1, tzinfo=UTC))))
    assert (said["not_before"], said["not_after"]) == ("1999-12-31T00:00:00Z", "2051-01-01T00:00:00Z")


def test_a_certificate_that_names_itself_as_issuer_is_self_signed():
    assert _x509.details(der(make()))["self_signed"] is True


def test_the_same_name_with_another_key_is_not_self_signed():
    identifiers = [
        x509.SubjectKeyIdentifier.from_public_key(KEYS["rsa"].public_key()),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(KEYS["p256"].public_key()),
    ]
    assert _x509.details(der(make(extensions=identifiers)))["self_signed"] is False


def test_control_characters_in_a_name_are_escaped():
    assert _x509.details(der(make(subject=named(("CN", "pbx\x1b[2J")))))["subject"] == "CN=pbx\\1B[2J"


def test_a_pem_file_gives_its_chain_in_order():
    chain = [make("p256"), make("rsa")]
    text = "a comment\n" + "".join(c.public_bytes(serialization.Encoding.PEM).decode() for c in chain)
    assert _x509.pem_chain(text) == [der(c) for c in chain]


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n", "\0" * 100])
def test_a_file_without_certificate_is_invalid(text):
    with pytest.raises(_x509.Invalid):
        _x509.pem_chain(text)


WHOLE = der(make(names=[x509.DNSName("a.test")]))


@pytest.mark.parametrize("length", range(0, len(WHOLE), 7))
def test_a_certificate_cut_short_is_invalid(length):
    with pytest.raises(_x509.Invalid):
        _x509.details(WHOLE[:length])


@settings(max_examples=300)
@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_a_damaged_certificate_is_read_or_invalid_never_a_crash(at, value):
    damaged = WHOLE[:at] + bytes([value]) + WHOLE[at + 1 :]
    with contextlib.suppress(_x509.Invalid):
        assert _x509.details(damaged)["fingerprint_sha256"]


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_invalid(data):
    with pytest.raises(_x509.Invalid):
        _x509.details(data)
