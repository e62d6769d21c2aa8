# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate authority and real servers on loopback, each in a thread."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import dns, path, register, sip
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is late because this machine is busy; a test about a limit sets its own."""
    monkeypatch.setattr(dns.lookup, "__defaults__", (60.0,))
    for name in ("CONNECT_SECONDS", "ANSWER_SECONDS"):
        monkeypatch.setattr(register, name, 60.0)
    for name in ("STEP_SECONDS", "FLOW_SECONDS", "HOP_SECONDS", "DNS_SECONDS"):
        monkeypatch.setattr(path, name, 60.0)


class Authority:
    """A root and an intermediate that issue server certificates into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._root_key, self._root = self._make("Test root", None, None, authority=True)
        self._key, self._intermediate = self._make("Test intermediate", self._root_key, self._root, authority=True)
        self.pem = self._root.public_bytes(serialization.Encoding.PEM).decode()

    @staticmethod
    def _make(
        name: str,
        signer: ec.EllipticCurvePrivateKey | None,
        issuer: x509.Certificate | None,
        authority: bool = False,
        names: Sequence[str] = (),
        start: datetime.datetime = NOW - DAY,
        end: datetime.datetime = NOW + DAY,
    ) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
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

    def context(self, *names: str, chain: bool = True, expired: bool = False) -> ssl.SSLContext:
        """The TLS context of a server with a certificate for ``names``, with or without its intermediate."""
        validity: dict[str, Any] = {"start": NOW - 9 * DAY, "end": NOW - DAY} if expired else {}
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
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def serve() -> Iterator[Callable[..., int]]:
    """serve(handle, context=None): a server on loopback; handle(connection) serves each client. Returns its port."""
    listeners = []

    def start(handle: Callable[..., Any], context: ssl.SSLContext | None = None) -> int:
        listener = socket.create_server(("127.0.0.1", 0))

        def talk(connection: socket.socket) -> None:
            try:
                with context.wrap_socket(connection, server_side=True) if context else connection as talking:
                    talking.settimeout(10)
                    handle(talking)
            except OSError:
                connection.close()

        def accept() -> None:
            while True:
                try:
                    connection, _peer = listener.accept()
                except OSError:
                    return
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

        accepting = threading.Thread(target=accept, daemon=True)
        listeners.append((listener, accepting))
        accepting.start()
        return int(listener.getsockname()[1])

    yield start
    for listener, accepting in listeners:
        # To close it does not wake who waits in accept.
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()
        listener.close()


def sip_reply(
    request: sip.Message, status: int = 200, reason: str = "OK", headers: Sequence[tuple[str, str]] = ()
) -> bytes:
    """A response to a request, as a server makes it (RFC 3261, 8.2.6)."""
    kept = [header for header in request.headers if header[0] in ("Via", "From", "To", "Call-ID", "CSeq")]
    return bytes(sip.Message(status=status, reason=reason, headers=[*kept, *headers]))


@pytest.fixture
def answer_sip() -> Callable[..., None]:
    """A handler that answers every SIP request of a stream with 200."""

    def handle(connection: socket.socket | ssl.SSLSocket) -> None:
        while data := connection.recv(65536):
            connection.sendall(sip_reply(sip.parse(data), headers=[("Server", "loop\x1b[31mback")]))

    return handle
