# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of another implementation, read by ours."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import x509 as certificates
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

START = datetime(2026, 1, 31, 3, 0, tzinfo=UTC)
KEYS: dict[str, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey] = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
}


def named(*attributes: tuple[str, str]) -> x509.Name:
    kinds = {"CN": x509.NameOID.COMMON_NAME, "O": x509.NameOID.ORGANIZATION_NAME, "C": x509.NameOID.COUNTRY_NAME}
    return x509.Name([x509.NameAttribute(kinds[kind], value) for kind, value in attributes])


def make(
    key: str = "rsa",
    subject: x509.Name | None = None,
    issuer: x509.Name | None = None,
    names: Sequence[x509.GeneralName] = (),
    start: datetime = START,
    end: datetime = START + timedelta(days=90),
    extensions: Sequence[x509.ExtensionType] = (),
) -> x509.Certificate:
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


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def test_every_field_of_a_certificate_is_read() -> None:
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
    assert certificates.details(der(certificate)) == {
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
def test_the_key_and_the_signature_are_named(key: str, expected: tuple[str, int, str]) -> None:
    said = certificates.details(der(make(key)))
    assert (said["key_type"], said["key_bits"], said["signature"]) == expected


def test_times_before_and_after_2050_are_read() -> None:
    said = certificates.details(
        der(make(start=datetime(1999, 12, 31, tzinfo=UTC), end=datetime(2051, 1, 1, tzinfo=UTC)))
    )
    assert (said["not_before"], said["not_after"]) == ("1999-12-31T00:00:00Z", "2051-01-01T00:00:00Z")


def test_a_certificate_that_names_itself_as_issuer_is_self_signed() -> None:
    assert certificates.details(der(make()))["self_signed"] is True


def test_the_same_name_with_another_key_is_not_self_signed() -> None:
    identifiers: list[x509.ExtensionType] = [
        x509.SubjectKeyIdentifier.from_public_key(KEYS["rsa"].public_key()),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(KEYS["p256"].public_key()),
    ]
    assert certificates.details(der(make(extensions=identifiers)))["self_signed"] is False


@pytest.mark.attack("control characters in a certificate")
def test_control_characters_in_a_name_are_escaped() -> None:
    assert certificates.details(der(make(subject=named(("CN", "pbx\x1b[2J")))))["subject"] == "CN=pbx\\1B[2J"


def test_a_pem_file_gives_its_chain_in_order() -> None:
    chain = [make("p256"), make("rsa")]
    text = "a comment\n" + "".join(c.public_bytes(serialization.Encoding.PEM).decode() for c in chain)
    assert certificates.pem_chain(text) == [der(c) for c in chain]


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n", "\0" * 100])
def test_a_file_without_certificate_is_invalid(text: str) -> None:
    with pytest.raises(certificates.Invalid):
        certificates.pem_chain(text)


WHOLE = der(make(names=[x509.DNSName("a.test")]))


@pytest.mark.parametrize("length", range(0, len(WHOLE), 7))
def test_a_certificate_cut_short_is_invalid(length: int) -> None:
    with pytest.raises(certificates.Invalid):
        certificates.details(WHOLE[:length])


@pytest.mark.attack("damaged certificates")
@settings(max_examples=300)
@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_a_damaged_certificate_is_read_or_invalid_never_a_crash(at: int, value: int) -> None:
    damaged = WHOLE[:at] + bytes([value]) + WHOLE[at + 1 :]
    with contextlib.suppress(certificates.Invalid):
        assert certificates.details(damaged)["fingerprint_sha256"]


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_invalid(data: bytes) -> None:
    with pytest.raises(certificates.Invalid):
        certificates.details(data)
