# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs with a limit, files of a certificate, mounts, and the rules of packet filters."""

from __future__ import annotations

import datetime
import os
import time
from pathlib import Path

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils import (
    _disks,
    _firewall,
    _host,
    _iptables,
    _rules,
    _run,
    _tls_files,
)
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NOBODY = (65534, [65534])


def alive(pid):
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_program_and_what_it_started_end_at_the_limit(tmp_path):
    pids = tmp_path / "pids"
    started = time.monotonic()
    with pytest.raises(ProbeError) as failure:
        _run.run(["sh", "-c", f"sleep 60 & echo $! $$ > {pids}; wait"], 1)
    assert failure.value.error == "timed_out"
    assert time.monotonic() - started < 20
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in pids.read_text().split()) and time.monotonic() < deadline:
        os.sched_yield()
    assert not any(alive(pid) for pid in pids.read_text().split())


def test_a_program_that_never_stops_talking_is_bounded():
    with pytest.raises(ProbeError) as failure:
        _run.run(["yes"], 0.3, output_limit=1000)
    assert failure.value.error == "timed_out"
    assert len(_run.run(["seq", "100000"], 2, output_limit=1000)) == 1000


@pytest.mark.parametrize(
    ("command", "error"), [(["no-such-program"], "missing"), (["sh", "-c", "echo oh >&2; exit 3"], "failed")]
)
def test_a_program_that_fails(command, error):
    with pytest.raises(ProbeError) as failure:
        _run.run(command, 2)
    assert failure.value.error == error


def test_mounts_are_found_by_the_longest_and_the_last():
    mounts = [
        {"mount": "/", "device": "root"},
        {"mount": "/var", "device": "var"},
        {"mount": "/var/lib/mysql", "device": "old"},
        {"mount": "/var/lib/mysql", "device": "new"},
    ]
    found = {path: _disks.mount_of(path, mounts)["device"] for path in ("/", "/vari", "/var", "/var/lib/mysql/ibdata1")}
    assert found == {"/": "root", "/vari": "root", "/var": "var", "/var/lib/mysql/ibdata1": "new"}


def test_the_disk_of_a_cluster_is_looked_at_and_the_newest_release_counts(tmp_path, monkeypatch):
    for release in ("15", "17"):
        (tmp_path / release / "main").mkdir(parents=True)
    monkeypatch.setitem(_disks._DATA, "postgresql", (f"{tmp_path}/*/*", str(tmp_path)))
    assert ("database", f"{tmp_path}/17/main") in _disks.places({"database_engine": "postgresql"})
    monkeypatch.setitem(_disks._DATA, "postgresql", (f"{tmp_path}/nothing/*", str(tmp_path)))
    assert ("database", str(tmp_path)) in _disks.places({"database_engine": "postgresql"})


def test_places_on_one_file_system_are_one_disk():
    disks = _disks.disks({})
    assert len({disk["mount"] for disk in disks}) == len(disks)
    assert [role for disk in disks for role in disk["role"].split()].count("root") == 1
    assert all(disk["size"] >= disk["available"] >= 0 for disk in disks)


def test_the_largest_files_come_first_and_sparse_ones_do_not_count(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "large").write_bytes(b"x" * 300000)
    (tmp_path / "small").write_bytes(b"x" * 5000)
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(10**9)
    found = sorted(_disks._files(str(tmp_path), time.monotonic() + 5, [100]), reverse=True)
    assert [os.path.basename(path) for _size, path in found] == ["large", "small", "sparse"]
    assert list(_disks._files(str(tmp_path), time.monotonic() - 1, [100])) == []


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """The paths of a self-signed certificate, its key, its encrypted key and a key that isn't its own."""
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
    for name, content in files.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
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
def test_keys(authority, name, readable, encrypted, matches):
    found = _tls_files.key_facts(str(authority / "certificate"), str(authority / name), (os.getuid(), [os.getgid()]))
    assert (found["readable"], found["encrypted"], found["matches"]) == (readable, encrypted, matches)
    assert bool(found["error"]) is (name in ("other", "garbage", "absent"))
    assert "PRIVATE" not in str(found)


def test_the_key_never_leaves(authority):
    found = _tls_files.tls_files(
        {"tls_certificate_file": str(authority / "certificate"), "tls_key_file": str(authority / "key")}
    )
    assert found["certificate"]["subject"] == "CN=pbx.example"
    secret = "".join((authority / "key").read_text().split()[3:6])
    assert secret[:40] not in str(found)


def signed(name, key, issuer, signer):
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


def test_the_intermediate_beside_a_certificate_is_found(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    root, _der = signed("root", key, "root", key)
    link, link_der = signed("intermediate", key, "root", key)
    _leaf, leaf_der = signed("pbx.example", key, "intermediate", key)
    (tmp_path / "a-folder").mkdir()
    (tmp_path / "garbage").write_bytes(b"\xff-----BEGIN CERTIFICATE-----AAAA-----END")
    (tmp_path / "root.pem").write_bytes(root)
    assert _tls_files.intermediate(str(tmp_path), leaf_der) is None
    (tmp_path / "z.pem").write_bytes(root + link)
    found = _tls_files.intermediate(str(tmp_path), leaf_der)
    assert found == {"path": str(tmp_path / "z.pem"), "subject": "CN=intermediate", "issuer": "CN=root"}
    # A chain that ends at its authority lacks nothing.
    assert _tls_files.intermediate(str(tmp_path), link_der) is None


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
def test_who_may_read_a_file(monkeypatch, folder, file, user, readable):
    modes = {"/": (0, 0, 0o755), "/keys": (0, 7, folder), "/keys/server.key": (1000, 7, file)}

    def status(path):
        owner, group, mode = modes[path]
        return os.stat_result((mode, 0, 0, 1, owner, group, 0, 0, 0, 0))

    monkeypatch.setattr(_tls_files.os, "stat", status)
    monkeypatch.setattr(_tls_files.os.path, "realpath", lambda path: path)
    assert _tls_files.can_read("/keys/server.key", *user) is readable


def test_a_certificate_that_is_not_configured_is_skipped():
    with pytest.raises(ProbeError) as failure:
        _tls_files.tls_files({})
    assert failure.value.error == "skipped"


def test_ports_that_are_in_no_range():
    assert _rules.others([[10, 20], [0, 4], [15, 30]]) == [[5, 9], [31, 65535]]
    assert _rules.others([[0, 65535]]) == []


def test_the_rest_of_the_addresses():
    assert _rules.outside(["128.0.0.0/1"]) == ["0.0.0.0/1"]
    assert _rules.outside(["8000::/1", "::/1"]) == []


@pytest.mark.parametrize(
    ("rules", "blocked"),
    [
        ("-A INPUT -p tcp --dport 5061 -j DROP", ["tcp"]),
        ("-A INPUT -p tcp ! --dport 5061 -j DROP", []),
        ("-A INPUT -m state --state NEW -p tcp --dport 5061 -j REJECT", ["tcp"]),
        ("-A INPUT -m conntrack --ctstate INVALID -j DROP", []),
        ("-A INPUT -i lo -j DROP", []),
        ("-A INPUT ! -i lo -p tcp --dport 5061 -j DROP", ["tcp"]),
        ("-A INPUT -p tcp --dport 5061 -m hashlimit --hashlimit-above 5/sec --hashlimit-name x -j DROP", []),
        ("-A INPUT -p icmp -j DROP", []),
        ("-A INPUT -j DROP", ["tcp", "udp"]),
        ("-A INPUT -d 224.0.0.0/4 -j DROP", []),
        ("-A INPUT -p udp -j TELEPHONES\n-A TELEPHONES -p tcp -j DROP", []),
        ("-A INPUT -p tcp -j TELEPHONES\n-A TELEPHONES -p tcp --dport 5061 -j DROP", ["tcp"]),
        ("-A INPUT -j TELEPHONES\n-A TELEPHONES -j INPUT", []),
    ],
)
def test_who_is_blocked(rules, blocked):
    chains = _iptables.parse("*filter\n:INPUT ACCEPT [0:0]\n:TELEPHONES - [0:0]\n" + rules + "\nCOMMIT\n", 4)
    found = [
        block["protocol"]
        for block in _rules.blocks(chains)
        if not block["ports"] or any(first <= 5061 <= last for first, last in block["ports"])
    ]
    assert found == blocked


@pytest.mark.parametrize("text", ["", "[]", "[{'asterisk': ['192.0.2.1']}]"])
def test_bans(text):
    if text:
        assert _firewall.parse_banned(text) == ({"asterisk": ["192.0.2.1"]} if "192" in text else {})
    else:
        with pytest.raises(ProbeError):
            _firewall.parse_banned(text)


def test_units_that_systemd_did_not_describe():
    with pytest.raises(ProbeError):
        _host.parse_units("LoadState=loaded\n", ["asterisk.service", "mariadb.service"])


@pytest.mark.parametrize(("text", "span"), [("100ms", 100000), ("1min 30s", 90000000), ("infinity", None), ("0", 0)])
def test_spans_of_systemd(text, span):
    assert _host._span(text) == span


def test_every_question_of_the_host_has_a_limit():
    asked = _host.questions({})
    assert all(0 < limit <= 3 for _function, limit in asked.values())
