# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read an X.509 certificate (RFC 5280, DER as in ITU-T X.690) with the standard library alone.

Nothing is verified here: OpenSSL checks signatures. A certificate comes from a peer or a file, so it is hostile input:
every length is checked, and whatever is not strict DER raises `Invalid`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ansible_collections.privatewave.reconnect.plugins.module_utils._common import HIDDEN

if TYPE_CHECKING:
    from ansible_collections.privatewave.reconnect.plugins.module_utils._net.documents import CertificateDetails

MAX_SIZE = 64 * 1024
MAX_CHAIN = 16

_ATTRIBUTES = {
    "2.5.4.3": "CN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "emailAddress",
}
_SIGNATURES = {
    "1.2.840.113549.1.1.4": "md5WithRSAEncryption",
    "1.2.840.113549.1.1.5": "sha1WithRSAEncryption",
    "1.2.840.113549.1.1.10": "rsassaPss",
    "1.2.840.113549.1.1.11": "sha256WithRSAEncryption",
    "1.2.840.113549.1.1.12": "sha384WithRSAEncryption",
    "1.2.840.113549.1.1.13": "sha512WithRSAEncryption",
    "1.2.840.10045.4.1": "ecdsa-with-SHA1",
    "1.2.840.10045.4.3.2": "ecdsa-with-SHA256",
    "1.2.840.10045.4.3.3": "ecdsa-with-SHA384",
    "1.2.840.10045.4.3.4": "ecdsa-with-SHA512",
    "1.3.101.112": "ed25519",
    "1.3.101.113": "ed448",
}
_RSA, _EC = "1.2.840.113549.1.1.1", "1.2.840.10045.2.1"
_FIXED_KEYS: dict[str, tuple[str, int | None]] = {
    "1.3.101.112": ("ed25519", 256),
    "1.3.101.113": ("ed448", 456),
    "1.2.840.10040.4.1": ("dsa", None),
}
_CURVE_BITS = {
    "1.2.840.10045.3.1.7": 256,
    "1.3.132.0.34": 384,
    "1.3.132.0.35": 521,
    "1.3.132.0.10": 256,
    "1.3.36.3.3.2.8.1.1.7": 256,
    "1.3.36.3.3.2.8.1.1.11": 384,
    "1.3.36.3.3.2.8.1.1.13": 512,
}
_SUBJECT_KEY, _SUBJECT_ALT, _AUTHORITY_KEY = "2.5.29.14", "2.5.29.17", "2.5.29.35"

_SEQUENCE, _SET, _INTEGER, _BITS, _OCTETS, _OID = 0x30, 0x31, 0x02, 0x03, 0x04, 0x06
_STRINGS = {
    0x0C: "utf-8",
    0x12: "ascii",
    0x13: "ascii",
    0x14: "latin-1",
    0x16: "ascii",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}
_PEM = re.compile(r"-----BEGIN (?:X509 )?CERTIFICATE-----\s*([A-Za-z0-9+/=\s]+?)-----END", re.ASCII)


class Invalid(ValueError):
    """The bytes are not a certificate in strict DER."""


def details(der: bytes) -> CertificateDetails:
    """What one certificate says. Raises `Invalid`."""
    try:
        return _details(bytes(der))
    except Invalid:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        raise Invalid("not a certificate: %s" % error) from None


def pem_chain(text: str) -> list[bytes]:
    """The certificates of a PEM file as DER bytes, in the order of the file (the leaf is first). Raises `Invalid`."""
    chain = []
    for block in _PEM.findall(text)[:MAX_CHAIN]:
        try:
            chain.append(base64.b64decode("".join(block.split()), validate=True))
        except (binascii.Error, ValueError) as error:
            raise Invalid("a certificate in the file is not base64: %s" % error) from None
    if not chain:
        raise Invalid("the file holds no certificate in PEM form")
    return chain


class _Reader:
    """Walks over the elements of one constructed value."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def more(self) -> bool:
        return self.at < len(self.data)

    def peek(self) -> int:
        return self.data[self.at] if self.more() else -1

    def next(self, tag: int = -1) -> tuple[int, bytes, bytes]:
        """The next element: its tag, its content, and the element with its header."""
        data, start = self.data, self.at
        if len(data) - start < 2:
            raise Invalid("the certificate ends too early")
        found, length, at = data[start], data[start + 1], start + 2
        if found & 0x1F == 0x1F:
            raise Invalid("a tag of more than one byte")
        if length == 0x80 or length > 0x84:
            raise Invalid("a length that DER does not allow")
        if length > 0x80:
            octets = data[at : at + length - 0x80]
            at += len(octets)
            if len(octets) != length - 0x80 or octets[0] == 0:
                raise Invalid("a length that DER does not allow")
            length = int.from_bytes(octets, "big")
            if length < 0x80:
                raise Invalid("a length that is not minimal")
        if length > len(data) - at:
            raise Invalid("an element is longer than its container")
        if tag not in (-1, found):
            raise Invalid("element 0x%02x instead of 0x%02x" % (found, tag))
        self.at = at + length
        return found, data[at : self.at], data[start : self.at]

    def content(self, tag: int) -> bytes:
        return self.next(tag)[1]

    def inside(self, tag: int = _SEQUENCE) -> _Reader:
        return _Reader(self.content(tag))

    def end(self) -> None:
        if self.more():
            raise Invalid("bytes after the end")


def _details(der: bytes) -> CertificateDetails:
    if len(der) > MAX_SIZE:
        raise Invalid("a certificate of more than %d bytes" % MAX_SIZE)
    outer = _Reader(der)
    certificate = outer.inside()
    outer.end()
    body = certificate.inside()
    signature = _oid(certificate.inside().content(_OID))
    certificate.content(_BITS)
    certificate.end()

    if body.peek() == 0xA0:
        body.next()
    serial = int.from_bytes(body.content(_INTEGER), "big", signed=True)
    body.next(_SEQUENCE)
    _tag, issuer, issuer_whole = body.next(_SEQUENCE)
    validity = body.inside()
    not_before, not_after = _time(validity), _time(validity)
    _tag, subject, subject_whole = body.next(_SEQUENCE)
    key_type, key_bits = _key(body.inside())
    extensions = _extensions(body)

    authority = extensions.get(_AUTHORITY_KEY)
    own = extensions.get(_SUBJECT_KEY)
    same_key = authority is None or own is None or _authority_key(authority) in (None, _Reader(own).content(_OCTETS))
    return {
        "subject": _name(subject),
        "issuer": _name(issuer),
        "serial": "%s%X" % ("-" if serial < 0 else "", abs(serial)),
        "not_before": not_before,
        "not_after": not_after,
        "names": _alternative_names(extensions[_SUBJECT_ALT]) if _SUBJECT_ALT in extensions else [],
        "fingerprint_sha256": hashlib.sha256(der).hexdigest(),
        "key_type": key_type,
        "key_bits": key_bits,
        "self_signed": subject_whole == issuer_whole and same_key,
        "signature": _SIGNATURES.get(signature, signature),
    }


def _oid(content: bytes) -> str:
    if not content or content[-1] & 0x80:
        raise Invalid("an object identifier without an end")
    arcs: list[int] = []
    value = 0
    for octet in content:
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(str(arc) for arc in [first, arcs[0] - 40 * first, *arcs[1:]])


def _time(reader: _Reader) -> str:
    tag, content, _whole = reader.next()
    text = content.decode("ascii")
    if tag == 0x17 and re.match(r"\d{12}Z$", text):
        # RFC 5280, 4.1.2.5.1: two digits from 50 on belong to the last century.
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != 0x18 or not re.match(r"\d{14}Z$", text):
        raise Invalid("an invalid time of validity")
    moment = datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment.year > 999 else "%04d-01-01T00:00:00Z" % moment.year


def _name(content: bytes) -> str:
    """A distinguished name as RFC 4514 text: the most specific part first."""
    parts: list[str] = []
    reader = _Reader(content)
    while reader.more():
        group, attributes = reader.inside(_SET), []
        while group.more():
            attribute = group.inside()
            kind = _oid(attribute.content(_OID))
            tag, value, _whole = attribute.next()
            attributes.append("%s=%s" % (_ATTRIBUTES.get(kind, kind), _escape(_text(tag, value))))
        parts.append("+".join(attributes))
    return ",".join(reversed(parts))


def _text(tag: int, value: bytes) -> str:
    return value.decode(_STRINGS[tag], "replace") if tag in _STRINGS else "#" + value.hex()


def _escape(text: str) -> str:
    text = re.sub(r'([,+"\\<>;])', r"\\\1", text)
    return "".join(
        c if c.isprintable() and not HIDDEN.match(c) else "".join("\\%02X" % o for o in c.encode("utf-8")) for c in text
    )


def _key(reader: _Reader) -> tuple[str, int | None]:
    algorithm = reader.inside()
    kind = _oid(algorithm.content(_OID))
    bits = reader.content(_BITS)
    if kind == _RSA:
        modulus = _Reader(bits[1:]).inside().content(_INTEGER)
        return "rsa", int.from_bytes(modulus, "big").bit_length()
    if kind == _EC:
        return "ec", _CURVE_BITS.get(_oid(algorithm.content(_OID))) if algorithm.peek() == _OID else None
    return _FIXED_KEYS.get(kind, (kind, None))


def _extensions(body: _Reader) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    while body.more():
        tag, content, _whole = body.next()
        if tag != 0xA3:
            continue
        listed = _Reader(content).inside()
        while listed.more():
            extension = listed.inside()
            kind = _oid(extension.content(_OID))
            if extension.peek() == 0x01:
                extension.next()
            if kind in found:
                raise Invalid("a repeated extension")
            found[kind] = extension.content(_OCTETS)
    return found


def _authority_key(content: bytes) -> bytes | None:
    reader = _Reader(content).inside()
    return reader.content(0x80) if reader.peek() == 0x80 else None


def _alternative_names(content: bytes) -> list[str]:
    names: list[str] = []
    reader = _Reader(content).inside()
    while reader.more():
        tag, value, _whole = reader.next()
        if tag == 0x82:
            names.append(_escape(value.decode("ascii")))
        elif tag == 0x87 and len(value) in (4, 16):
            names.append(str(ipaddress.ip_address(value)))
    return names
