# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate authority and real servers on loopback, each in a thread."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils import _sip
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


class Authority:
    """A root and an intermediate that issue server certificates into a folder."""

    def __init__(self, folder):
        self._folder = folder
        self._root_key, self._root = self._make("Test root", None, None, authority=True)
        self._key, self._intermediate = self._make("Test intermediate", self._root_key, self._root, authority=True)
        self.pem = self._root.public_bytes(serialization.Encoding.PEM).decode()

    @staticmethod
    def _make(name, signer, issuer, authority=False, names=(), start=NOW - DAY, end=NOW + DAY):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False
            )
        return key, builder.sign(signer or key, hashes.SHA256())

    def context(self, *names, chain=True, expired=False):
        """A server's TLS context with a certificate for ``names``, its intermediate along with it or not."""
        validity = {"start": NOW - 9 * DAY, "end": NOW - DAY} if expired else {}
        key, certificate = self._make(names[0], self._key, self._intermediate, names=names, **validity)
        path = self._folder / f"{certificate.serial_number}.pem"
        parts = [certificate] + ([self._intermediate] if chain else [])
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + b"".join(part.public_bytes(serialization.Encoding.PEM) for part in parts)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def serve():
    """serve(handle, context=None): a server on loopback; handle(connection) talks to each client. Gives its port."""
    listeners = []

    def start(handle, context=None):
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def talk(connection):
            try:
                with context.wrap_socket(connection, server_side=True) if context else connection as talking:
                    talking.settimeout(10)
                    handle(talking)
            except OSError:
                connection.close()

        def accept():
            while True:
                try:
                    connection, _peer = listener.accept()
                except OSError:
                    return
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return listener.getsockname()[1]

    yield start
    for listener in listeners:
        listener.close()


def sip_reply(request, status=200, reason="OK", headers=()):
    """A response to a request, as a server makes it (RFC 3261, 8.2.6)."""
    kept = [header for header in request.headers if header[0] in ("Via", "From", "To", "Call-ID", "CSeq")]
    return bytes(_sip.Message(status=status, reason=reason, headers=[*kept, *headers]))


@pytest.fixture
def answer_sip():
    """A handler that answers every SIP request of a stream with 200."""

    def handle(connection):
        while data := connection.recv(65536):
            connection.sendall(sip_reply(_sip.parse(data), headers=[("Server", "loop\x1b[31mback")]))

    return handle
