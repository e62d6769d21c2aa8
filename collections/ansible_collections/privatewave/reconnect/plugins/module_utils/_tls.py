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

#: Words of OpenSSL for a client that ends the handshake itself, for the server chose a version that it does not speak.
_VERSION_REFUSED = ("UNSUPPORTED_PROTOCOL", "VERSION_TOO_LOW", "WRONG_SSL_VERSION")


def examine(connect, name, ca, deadline, ca_error=None, profile=None):
    """Shake hands with a server and look at its certificate.

    ``connect()`` returns a fresh TCP socket; ``name`` is sent as SNI and looked for in the certificate; ``ca`` is PEM
    text of the authorities a client trusts, None for those of the system; ``deadline`` a time of ``time.monotonic``;
    ``profile`` is what clients offer, ``{minimum_version: "1.2", ciphers: cipher list of OpenSSL}``, None: what Python
    does. Returns the TLS socket and ``{version, cipher, certificates, verified, verify_code, verify_message,
    name_matches, alert}``: ``verified`` is None when it could not be judged, ``ca_error`` says why. Raises
    `ProbeError`.

    The first handshake verifies and offers what a client does. When the server does not pass, a second one verifies
    nothing and offers every version and cipher, so that the server can still be looked at. ``alert`` is how the first
    one ended when the two could not agree; ``offered``, ``{minimum_version, ciphers}``, is there, too, then.
    """
    verdict = {"verified": True, "verify_code": 0, "verify_message": "ok", "alert": None}
    context = None
    if ca_error is None:
        try:
            context = verifying_context(ca, profile)
        except (ssl.SSLError, ValueError) as error:
            ca_error = "the CA certificates or the clients' cipher list can't be used: {0}".format(error)
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
            verdict.update(verified=None, verify_code=None, verify_message=str(error), **error.extra)
            verdict["offered"] = _offered(context)
            try:
                sock = _handshake(connect(), seeing_context(), name, deadline)
            except ProbeError:
                # What a client meets counts, not what became of looking closer.
                raise error from None
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


def verifying_context(ca, profile=None):
    """A client's context that trusts ``ca`` (PEM text), or the authorities of the system when that is None.

    ``profile`` is that of `examine`. Raises `ValueError` or `ssl.SSLError` when one of the two can't be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The name is judged apart from the chain: a wrong name must not hide who signed.
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


def _offered(context):
    """What a context offers: its oldest version, in the words of `ssl.SSLSocket.version`, and its ciphers."""
    minimum = context.minimum_version
    return {
        "minimum_version": minimum.name.replace("_", ".") if minimum > 0 else None,
        "ciphers": [one["name"] for one in context.get_ciphers()],
    }


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
    """A handshake that came to nothing, as `ProbeError`; ``alert`` is there when one side would not go on."""
    reason = getattr(error, "reason", None) or ""
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
