# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificate, key and intermediate on the disk."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import tls_files
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NOBODY = (65534, [65534])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The paths of a self-signed certificate, its key, its encrypted key and another key."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import NameOID

    folder = tmp_path_factory.mktemp("tls")
    key, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pbx.example")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    plain = serialization.NoEncryption()
    files = {
        "certificate": certificate.public_bytes(pem),
        "key": key.private_bytes(pem, pkcs8, plain),
        "encrypted": key.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"secret")),
        "other": other.private_bytes(pem, pkcs8, plain),
        "garbage": b"no key at all\n",
    }
    for file, content in files.items():
        (folder / file).write_bytes(content)
        (folder / file).chmod(0o600)
    return folder


@pytest.mark.parametrize(
    ("name", "readable", "encrypted", "matches"),
    [
        ("key", True, False, True),
        ("other", True, False, False),
        ("encrypted", True, True, None),
        ("garbage", True, False, False),
        ("absent", False, None, None),
    ],
)
def test_keys(authority: Path, name: str, readable: bool, encrypted: bool | None, matches: bool | None) -> None:
    found = tls_files.key_facts(str(authority / "certificate"), str(authority / name), (os.getuid(), [os.getgid()]))
    assert (found["readable"], found["encrypted"], found["matches"]) == (readable, encrypted, matches)
    assert bool(found["error"]) is (name in ("other", "garbage", "absent"))
    assert "PRIVATE" not in str(found)


def test_the_key_never_leaves(authority: Path) -> None:
    found = tls_files.tls_files(
        {"tls_certificate_file": str(authority / "certificate"), "tls_key_file": str(authority / "key")}
    )
    assert found["certificate"]["subject"] == "CN=pbx.example"
    secret = "".join((authority / "key").read_text().split()[3:6])
    assert secret[:40] not in str(found)


def signed(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, signer: ec.EllipticCurvePrivateKey
) -> tuple[bytes, bytes]:
    """A certificate as PEM and DER, signed by another one's key."""
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, one)]) for one in (name, issuer)]
    made = (
        x509.CertificateBuilder()
        .subject_name(names[0])
        .issuer_name(names[1])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(signer, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM), made.public_bytes(serialization.Encoding.DER)


def test_the_intermediate_beside_a_certificate_is_found(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    root, _der = signed("root", key, "root", key)
    link, link_der = signed("intermediate", key, "root", key)
    _leaf, leaf_der = signed("pbx.example", key, "intermediate", key)
    (tmp_path / "a-folder").mkdir()
    (tmp_path / "garbage").write_bytes(b"\xff-----BEGIN CERTIFICATE-----AAAA-----END")
    (tmp_path / "root.pem").write_bytes(root)
    assert tls_files.intermediate(str(tmp_path), leaf_der) is None
    (tmp_path / "z.pem").write_bytes(root + link)
    found = tls_files.intermediate(str(tmp_path), leaf_der)
    assert found == {"path": str(tmp_path / "z.pem"), "subject": "CN=intermediate", "issuer": "CN=root"}
    # A chain that ends at its authority lacks nothing.
    assert tls_files.intermediate(str(tmp_path), link_der) is None


@pytest.mark.parametrize(
    ("folder", "file", "user", "readable"),
    [
        (0o755, 0o644, NOBODY, True),
        (0o755, 0o640, NOBODY, False),
        (0o755, 0o640, (65534, [65534, 7]), True),
        (0o750, 0o644, NOBODY, False),
        (0o750, 0o640, (65534, [65534, 7]), True),
        (0o700, 0o600, (0, [0]), True),
        (0o755, 0o044, (1000, [7]), False),
    ],
)
def test_who_may_read_a_file(
    monkeypatch: pytest.MonkeyPatch, folder: int, file: int, user: tuple[int, list[int]], readable: bool
) -> None:
    modes = {"/": (0, 0, 0o755), "/keys": (0, 7, folder), "/keys/server.key": (1000, 7, file)}

    def status(path: str) -> os.stat_result:
        owner, group, mode = modes[path]
        return os.stat_result((mode, 0, 0, 1, owner, group, 0, 0, 0, 0))

    monkeypatch.setattr(os, "stat", status)
    monkeypatch.setattr(os.path, "realpath", lambda path: path)
    assert tls_files.can_read("/keys/server.key", *user) is readable


def test_a_certificate_that_is_not_configured_is_skipped() -> None:
    with pytest.raises(ProbeError) as failure:
        tls_files.tls_files({})
    assert failure.value.error == "skipped"


class Authority:
    """An authority, and what it signs."""

    def __init__(self, name: str) -> None:
        self.key, self.name = ec.generate_private_key(ec.SECP256R1()), name
        self.pem = self.sign(name, self.key, days=(-1, 2), authority=True)

    def sign(
        self, name: str, key: ec.EllipticCurvePrivateKey, days: tuple[int, ...] = (-1, 1), authority: bool = False
    ) -> str:
        now = datetime.datetime.now(datetime.UTC)
        subject, issuer = (x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, one)]) for one in (name, self.name))
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=days[0]))
            .not_valid_after(now + datetime.timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize(
    ("name", "days", "trusted", "own_key", "verified", "code", "matches"),
    [
        ("pbx.example", (-1, 1), "ours", True, True, 0, True),
        ("other.example", (-1, 1), "ours", True, True, 0, False),
        ("pbx.example", (-2, -1), "ours", True, False, 10, True),
        ("pbx.example", (1, 2), "ours", True, False, 9, True),
        ("pbx.example", (-1, 1), "theirs", True, False, 20, True),
        # Without its key there is no handshake, and with no readable authority no verdict.
        ("pbx.example", (-1, 1), "ours", False, None, None, True),
        ("pbx.example", (-1, 1), "", True, None, None, True),
    ],
)
def test_whether_clients_would_accept_what_is_on_the_disk(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    days: tuple[int, int],
    trusted: str,
    own_key: bool,
    verified: bool | None,
    code: int | None,
    matches: bool,
) -> None:
    ours, theirs = Authority("ours"), Authority("theirs")
    keys = [ec.generate_private_key(ec.SECP256R1()) for _one in range(2)]
    (tmp_path / "server.crt").write_text(ours.sign(name, keys[0], days))
    (tmp_path / "server.key").write_bytes(
        keys[0 if own_key else 1].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    monkeypatch.setattr(tls_files, "_user_of_asterisk", lambda _settings: (0, [0]))
    found = tls_files.tls_files(
        {
            "tls_certificate_file": str(tmp_path / "server.crt"),
            "tls_key_file": str(tmp_path / "server.key"),
            "sip_domain": "pbx.example",
        },
        {"ours": ours.pem, "theirs": theirs.pem}.get(trusted, ""),
    )["trust"]
    assert (found["verified"], found["verify_code"], found["name_matches"]) == (verified, code, matches)
    assert found["verify_message"]


@pytest.mark.parametrize("kind", ["der", "folder", "empty", "unreadable"])
def test_a_file_that_asterisk_cannot_use_is_invalid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    path = tmp_path / "server.crt"
    key = ec.generate_private_key(ec.SECP256R1())
    pem, der = signed("pbx.example", key, "pbx.example", key)
    if kind == "folder":
        path.mkdir()
    else:
        path.write_bytes({"der": der, "empty": b"", "unreadable": pem}[kind])
    monkeypatch.setattr(tls_files, "_user_of_asterisk", lambda _settings: NOBODY)
    monkeypatch.setattr(tls_files, "can_read", lambda _path, *_user: kind != "unreadable")
    with pytest.raises(ProbeError) as failure:
        tls_files.tls_files({"tls_certificate_file": str(path)})
    assert failure.value.error == "invalid"
