# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A TLS handshake as a client makes it, and what it says about the certificate of the server."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import socket
import ssl
import time
import warnings
from typing import TYPE_CHECKING, Any, Union, cast

from ansible_collections.privatewave.reconnect.plugins.module_utils._net import x509
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, error_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.privatewave.reconnect.plugins.module_utils._net.documents import (
        CertificateDetails,
        Handshake,
        InvalidCertificate,
        Offer,
        TlsProfile,
    )

    Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

CERTIFICATE_LIMIT = 10
NAME_LIMIT = 200

#: The words of OpenSSL when the client ends the handshake: the server chose a version that the client does not speak.
_VERSION_REFUSED = ("UNSUPPORTED_PROTOCOL", "VERSION_TOO_LOW", "WRONG_SSL_VERSION")


def examine(
    connect: Callable[[], socket.socket],
    name: str,
    ca: str | None,
    deadline: float,
    ca_error: str | None = None,
    profile: TlsProfile | None = None,
) -> tuple[ssl.SSLSocket, Handshake]:
    """Perform a TLS handshake with a server and read its certificate. Raises `ProbeError`.

    ``connect()`` returns a fresh TCP socket; ``name`` is sent as SNI and compared with the certificate; ``ca`` is PEM
    text of the authorities that a client trusts, None: those of the system; ``ca_error`` says why there is no ``ca``;
    ``deadline`` is a time of ``time.monotonic``; ``profile`` is what clients offer, None: what Python offers.

    The first handshake verifies the server and offers what a client offers. When it fails, a second one verifies
    nothing and offers every version and cipher, to read the certificate all the same.
    """
    verdict: dict[str, Any] = {"verified": True, "verify_code": 0, "verify_message": "ok", "alert": None}
    context = None
    if ca_error is None:
        try:
            context = verifying_context(ca, profile)
        except (ssl.SSLError, ValueError) as error:
            ca_error = "invalid CA certificates or cipher list of the clients: {0}".format(error)
    if context is None:
        verdict.update(verified=None, verify_code=None, verify_message=ca_error)
        sock = _handshake(connect(), permissive_context(), name, deadline)
    else:
        try:
            sock = _handshake(connect(), context, name, deadline)
        except ssl.SSLCertVerificationError as error:
            verdict.update(verified=False, verify_code=error.verify_code, verify_message=error.verify_message)
            sock = _handshake(connect(), permissive_context(), name, deadline)
        except ProbeError as error:
            if not error.extra.get("alert"):
                raise
            verdict.update(verified=None, verify_code=None, verify_message=str(error), **error.extra)
            verdict["offered"] = _offered(context)
            try:
                sock = _handshake(connect(), permissive_context(), name, deadline)
            except ProbeError:
                # The handshake of a client counts, not the second one.
                raise error from None
    certificates = [_details(der) for der in _chain(sock)[:CERTIFICATE_LIMIT]]
    matches = bool(certificates) and name_matches(certificates[0], name)
    cipher = sock.cipher()
    for one in certificates:
        one["names"] = one["names"][:NAME_LIMIT]
    verdict.update(
        version=sock.version(),
        cipher=cipher[0] if cipher else None,
        certificates=certificates,
        name_matches=matches,
    )
    return sock, cast("Handshake", verdict)


def verifying_context(ca: str | None, profile: TlsProfile | None = None) -> ssl.SSLContext:
    """The context of a client that trusts ``ca`` (PEM text), or the authorities of the system when that is None.

    ``profile`` is that of `examine`. Raises `ValueError` or `ssl.SSLError` when one of the two is invalid.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The name is checked apart from the chain: a wrong name must not hide who signed.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    if profile:
        context.minimum_version = getattr(ssl.TLSVersion, "TLSv" + profile["minimum_version"].replace(".", "_"))
        context.set_ciphers(profile["ciphers"])
    if ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        context.load_verify_locations(cadata=ca)
    return context


def _offered(context: ssl.SSLContext) -> Offer:
    """What a context offers: its oldest version, as `ssl.SSLSocket.version` writes it, and its ciphers."""
    minimum = context.minimum_version
    return {
        "minimum_version": minimum.name.replace("_", ".") if minimum > 0 else None,
        "ciphers": [one["name"] for one in context.get_ciphers()],
    }


def permissive_context() -> ssl.SSLContext:
    """A context that verifies nothing and accepts every version and cipher: only to read the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.set_ciphers("ALL:@SECLEVEL=0")
        except (ValueError, ssl.SSLError):
            # The policy of the system or the build of OpenSSL forbids it: use what they allow.
            pass
    return context


def name_matches(certificate: CertificateDetails | InvalidCertificate, name: str) -> bool:
    """Whether a certificate is for a name: RFC 5922, 7.2 and RFC 6125, 6.4.3."""
    try:
        address: Address | None = ipaddress.ip_address(name)
    except ValueError:
        address = None
    names = certificate.get("names") or [
        # The common name counts when there are no alternative names.
        re.sub(r"\\(.)", r"\1", common)
        for common in re.findall(r"(?:^|,|\+)CN=((?:\\.|[^,+\\])*)", certificate.get("subject", ""))
    ]
    for candidate in names:
        if address is not None:
            if _same_address(candidate, address):
                return True
        elif _same_name(candidate.lower().rstrip("."), name.lower().rstrip(".")):
            return True
    return False


def _same_address(candidate: str, address: Address) -> bool:
    try:
        return ipaddress.ip_address(candidate) == address
    except ValueError:
        return False


def _same_name(pattern: str, name: str) -> bool:
    if pattern.startswith("*."):
        first, dot, rest = name.partition(".")
        return bool(first and dot) and rest == pattern[2:] and "." in rest
    return pattern == name


def _handshake(sock: socket.socket, context: ssl.SSLContext, name: str, deadline: float) -> ssl.SSLSocket:
    try:
        sock.settimeout(max(0.001, deadline - time.monotonic()))
        return context.wrap_socket(sock, server_hostname=name or None)
    except ssl.SSLCertVerificationError:
        sock.close()
        raise
    except (ssl.SSLError, OSError, ValueError) as error:
        sock.close()
        raise _failure(error) from None


def _failure(error: Exception) -> ProbeError:
    """The error of a failed handshake, with ``alert`` when one side ended it."""
    reason: str = getattr(error, "reason", None) or ""
    if "ALERT" in reason:
        text = reason.lower().replace("_", " ")
        return ProbeError("failed", "the server ended the handshake: {0}".format(text), alert=reason)
    if any(word in reason for word in _VERSION_REFUSED):
        text = reason.lower().replace("_", " ")
        return ProbeError(
            "failed", "the server chose a version of TLS that clients refuse: {0}".format(text), alert=reason
        )
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)) or "EOF" in reason:
        return ProbeError("refused", "the server closed the connection during the handshake")
    if isinstance(error, ssl.SSLError) and reason:
        return ProbeError("invalid", "the server does not speak TLS: {0}".format(reason.lower().replace("_", " ")))
    kind = error_of(error)
    if kind == "timed_out":
        return ProbeError(kind, "no answer to the ClientHello: the TLS handshake hangs")
    if kind == "refused":
        return ProbeError(kind, "the server reset the connection during the handshake")
    return ProbeError(kind, "TLS handshake: {0}".format(error))


def _chain(sock: ssl.SSLSocket) -> list[bytes]:
    """The certificates that the server sent as DER, the leaf first; before Python 3.10 the leaf alone."""
    owner: Any = sock if hasattr(sock, "get_unverified_chain") else getattr(sock, "_sslobj", None)
    chain = owner.get_unverified_chain() if hasattr(owner, "get_unverified_chain") else None
    if not chain:
        leaf = sock.getpeercert(binary_form=True)
        return [leaf] if leaf else []
    # Python 3.10 to 3.12 return certificate objects, later ones bytes; 2 is _ssl.ENCODING_DER.
    return [bytes(one) if isinstance(one, bytes) else one.public_bytes(2) for one in chain]


def _details(der: bytes) -> CertificateDetails | InvalidCertificate:
    try:
        return x509.details(der)
    except x509.Invalid as error:
        return {"fingerprint_sha256": hashlib.sha256(der).hexdigest(), "names": [], "subject": "", "error": str(error)}
