# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A TLS handshake as a client makes it, and everything it tells about the server's certificate."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import ssl
import time
import warnings

from ansible_collections.privatewave.reconnect.plugins.module_utils import _x509
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, error_of

CERTIFICATE_LIMIT = 10
NAME_LIMIT = 200


def examine(connect, name, ca, deadline, ca_error=None):
    """Shake hands with a server and look at its certificate.

    ``connect()`` returns a fresh TCP socket; ``name`` is sent as SNI and looked for in the certificate; ``ca`` is PEM
    text of the authorities a client trusts, None for those of the system; ``deadline`` a time of ``time.monotonic``.
    Returns the TLS socket and ``{version, cipher, certificates, verified, verify_code, verify_message, name_matches,
    alert}``: ``verified`` is None when it could not be judged, ``ca_error`` says why. Raises `ProbeError`.

    The first handshake verifies, as a client does. When the server does not pass, a second one verifies nothing and
    offers every version, so that the certificate can still be looked at.
    """
    verdict = {"verified": True, "verify_code": 0, "verify_message": "ok", "alert": None}
    context = None
    if ca_error is None:
        try:
            context = verifying_context(ca)
        except (ssl.SSLError, ValueError) as error:
            ca_error = "the CA certificates can't be used: {0}".format(error)
    if context is None:
        verdict.update(verified=None, verify_code=None, verify_message=ca_error)
        sock = _handshake(connect(), seeing_context(), name, deadline)
    else:
        try:
            sock = _handshake(connect(), context, name, deadline)
        except ssl.SSLCertVerificationError as error:
            verdict.update(verified=False, verify_code=error.verify_code, verify_message=error.verify_message)
            sock = _handshake(connect(), seeing_context(), name, deadline)
        except ProbeError as error:
            if not error.extra.get("alert"):
                raise
            verdict.update(verified=None, verify_code=None, verify_message=str(error), alert=error.extra["alert"])
            sock = _handshake(connect(), seeing_context(), name, deadline)
    certificates = [_details(der) for der in _chain(sock)[:CERTIFICATE_LIMIT]]
    matches = bool(certificates) and name_matches(certificates[0], name)
    cipher = sock.cipher()
    return sock, dict(
        verdict,
        version=sock.version(),
        cipher=cipher[0] if cipher else None,
        certificates=[dict(one, names=one["names"][:NAME_LIMIT]) for one in certificates],
        name_matches=matches,
    )


def verifying_context(ca):
    """A client's context that trusts ``ca`` (PEM text), or the authorities of the system when that is None."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The name is judged apart from the chain: a wrong name must not hide who signed.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    if ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        context.load_verify_locations(cadata=ca)
    return context


def seeing_context():
    """A context that verifies nothing and accepts any version and cipher: for looking, nothing is sent in trust."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.set_ciphers("ALL:@SECLEVEL=0")
        except (ValueError, ssl.SSLError):
            # The system's policy or OpenSSL's build forbids it: what is allowed has to do.
            pass
    return context


def name_matches(certificate, name):
    """Whether a certificate (`_x509.details`) is for a name: RFC 5922, 7.2 and RFC 6125, 6.4.3."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        address = None
    names = certificate.get("names") or [
        # A certificate without alternative names is for its common name.
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


def _same_address(candidate, address):
    try:
        return ipaddress.ip_address(candidate) == address
    except ValueError:
        return False


def _same_name(pattern, name):
    if pattern.startswith("*."):
        first, dot, rest = name.partition(".")
        return bool(first and dot) and rest == pattern[2:] and "." in rest
    return pattern == name


def _handshake(sock, context, name, deadline):
    try:
        sock.settimeout(max(0.001, deadline - time.monotonic()))
        return context.wrap_socket(sock, server_hostname=name or None)
    except ssl.SSLCertVerificationError:
        sock.close()
        raise
    except (ssl.SSLError, OSError, ValueError) as error:
        sock.close()
        raise _failure(error) from None


def _failure(error):
    """A handshake that came to nothing, as `ProbeError`; ``alert`` is there when the server sent one."""
    reason = getattr(error, "reason", None) or ""
    if "ALERT" in reason:
        text = reason.lower().replace("_", " ")
        return ProbeError("failed", "the server ended the handshake: {0}".format(text), alert=reason)
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


def _chain(sock):
    """What the server sent, leaf first, as DER; the leaf alone where Python can't tell more (before 3.10)."""
    owner = sock if hasattr(sock, "get_unverified_chain") else getattr(sock, "_sslobj", None)
    chain = owner.get_unverified_chain() if hasattr(owner, "get_unverified_chain") else None
    if not chain:
        leaf = sock.getpeercert(binary_form=True)
        return [leaf] if leaf else []
    # Python 3.10 to 3.12 have certificate objects here, later ones bytes; 2 is _ssl.ENCODING_DER.
    return [bytes(one) if isinstance(one, bytes) else one.public_bytes(2) for one in chain]


def _details(der):
    try:
        return _x509.details(der)
    except _x509.Invalid as error:
        return {"fingerprint_sha256": hashlib.sha256(der).hexdigest(), "names": [], "subject": "", "error": str(error)}
