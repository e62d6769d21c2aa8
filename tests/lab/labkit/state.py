"""What is made once when the lab is created and never leaves the machine: keys, certificates, passwords.

Everything lies in tests/lab/.state (git-ignored, readable by its owner only):

    id_ed25519 known_hosts hostkeys/HOST…   SSH
    ca.crt ca/                              root and intermediate certificate authority
    tls/PBX/{server,https,expired,name_mismatch,untrusted}.crt {server,https,other}.key
    secrets.yml                             accounts and passwords per host (JSON, which is YAML too)
    tracker_token                           "Authorization: token …" for the tracker's REST 2.0
    hook_secret                             what the tracker signs with when it calls HOOK
"""

import datetime
import json
import os
import secrets
import shutil
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .hosts import CONTROL_NODE, HOSTS, PBXS, SERVERS, STRANGERS, Host
from .paths import STATE
from .podman import call

ACCOUNTS = [str(number) for number in (*range(1001, 1021), 601, 602)]
HEALTH_ACCOUNTS = ("601", "602")
SSH_PORT = 22
SECRETS = STATE / "secrets.yml"
TRACKER_TOKEN = STATE / "tracker_token"
HOOK_SECRET = STATE / "hook_secret"
#: Where the tracker looks for the service. Mostly nobody listens: it is told so at once, and goes on.
HOOK = f"http://{SERVERS.address(CONTROL_NODE)}:8765/hooks/rt"

OPENSSL_CA = """
[ca]
default_ca = lab
[lab]
dir = {directory}
database = $dir/index.txt
new_certs_dir = $dir
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
copy_extensions = none
[any]
commonName = supplied
[authority]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[server]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""


def password() -> str:
    letters = string.ascii_letters + string.digits
    return "".join(secrets.choice(letters) for _ in range(20))


def create() -> None:
    """Make what is missing; what is complete is left alone, and a host that has joined the lab gets its own."""
    STATE.mkdir(mode=0o700, exist_ok=True)
    if not HOOK_SECRET.exists():
        keep(HOOK_SECRET, password())
    complete = STATE / "complete"
    if not complete.exists():
        for path in ("hostkeys", "ca", "tls"):
            shutil.rmtree(STATE / path, ignore_errors=True)
        for path in ("id_ed25519", "id_ed25519.pub"):
            (STATE / path).unlink(missing_ok=True)
        SECRETS.unlink(missing_ok=True)
    elif set(complete.read_text().split()) >= set(HOSTS):
        return
    create_ssh()
    create_certificates()
    create_secrets()
    complete.write_text("".join(f"{name}\n" for name in HOSTS))


def make_key(path: Path) -> None:
    options = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
    call(["openssl", "genpkey", "-quiet", *options, "-out", str(path)])
    path.chmod(0o600)


def create_ssh() -> None:
    def keygen(path: Path, comment: str) -> str:
        if not path.exists():
            call(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])
        return path.with_suffix(".pub").read_text().strip()

    keygen(STATE / "id_ed25519", "reconnect lab")
    (STATE / "hostkeys").mkdir(exist_ok=True)
    known = []
    for host in HOSTS.values():
        kind, key, _ = keygen(STATE / "hostkeys" / host.name, host.name).split(" ", 2)
        addresses = [
            address
            for network, number in host.places.items()
            for address in (network.address(number), network.address6(number))
        ]
        names = [host.name, *addresses]
        if host.ssh_port != SSH_PORT:
            names = [f"[{name}]:{host.ssh_port}" for name in names]
        known.append(f"{','.join(names)} {kind} {key}\n")
    (STATE / "known_hosts").write_text("".join(known))


class Authority:
    """A certificate authority in a directory, made unless it is there, worked by openssl."""

    def __init__(self, directory: Path, name: str, issuer: "Authority | None" = None) -> None:
        self.directory = directory
        self.certificate = directory / "ca.crt"
        self.key = directory / "ca.key"
        if self.key.exists():
            return
        directory.mkdir(parents=True)
        (directory / "index.txt").touch()
        signer = issuer or self
        signer.sign(name, self.key, self.certificate, "authority", days=(-30, 3650), self_signed=issuer is None)

    def sign(
        self,
        name: str,
        key: Path,
        certificate: Path,
        kind: str,
        days: tuple[int, int],
        self_signed: bool = False,
        names: tuple[str, ...] = (),
    ) -> None:
        """Make a key when there is none, and a certificate valid between `days` from now."""
        if not key.exists():
            make_key(key)
        configuration = self.directory / "openssl.cnf"
        listed = ",".join(f"DNS:{each}" for each in names) or "DNS:unused"
        configuration.write_text(OPENSSL_CA.format(directory=self.directory, names=listed))
        request = self.directory / "request.csr"
        call(["openssl", "req", "-new", "-key", str(key), "-subj", f"/CN={name}", "-out", str(request)])
        now = datetime.datetime.now(datetime.UTC)
        start, end = (f"{now + datetime.timedelta(days=day):%Y%m%d%H%M%SZ}" for day in days)
        sign = ["openssl", "ca", "-batch", "-notext", "-config", str(configuration), "-extensions", kind]
        sign += ["-in", str(request), "-out", str(certificate), "-startdate", start, "-enddate", end]
        if self_signed:
            sign += ["-selfsign", "-keyfile", str(key)]
        else:
            sign += ["-cert", str(self.certificate), "-keyfile", str(self.key)]
        call(sign)


def create_certificates() -> None:
    root = Authority(STATE / "ca" / "root", "Reconnect lab root")
    intermediate = Authority(STATE / "ca" / "intermediate", "Reconnect lab intermediate", root)
    stranger = Authority(STATE / "ca" / "stranger", "A stranger's root")
    shutil.copy(root.certificate, STATE / "ca.crt")
    good = (-30, 365)
    for host in filter(lambda one: one.has_tls, HOSTS.values()):
        directory = STATE / "tls" / host.name
        if (directory / "other.key").exists():  # the last that is made
            continue
        directory.mkdir(parents=True, exist_ok=True)
        key = directory / "server.key"

        def issue(
            file: str, by: Authority, key: Path, days: tuple[int, int], name: str, directory: Path = directory
        ) -> Path:
            certificate = directory / f"{file}.crt"
            by.sign(name, key, certificate, "server", days, names=(name,))
            if by is intermediate:
                with certificate.open("a") as chain:
                    chain.write(intermediate.certificate.read_text())
            return certificate

        issue("server", intermediate, key, good, host.domain_name)
        issue("https", intermediate, directory / "https.key", good, host.domain_name)
        issue("expired", intermediate, key, (-60, -1), host.domain_name)
        issue("name_mismatch", intermediate, key, good, "old-name.reconnect.test")
        issue("untrusted", stranger, key, good, host.domain_name)
        make_key(directory / "other.key")


def fresh_certificate(host: Host, begins: int, ends: int) -> str:
    """A chain for the server's key that is valid between two days from now: a kept one would grow old."""
    intermediate = Authority(STATE / "ca" / "intermediate", "Reconnect lab intermediate")
    directory = STATE / "tls" / host.name
    certificate = directory / f"valid_{begins}_{ends}.crt"
    intermediate.sign(
        host.domain_name, directory / "server.key", certificate, "server", (begins, ends), names=(host.domain_name,)
    )
    return certificate.read_text() + intermediate.certificate.read_text()


def create_secrets() -> None:
    known = read_secrets() if SECRETS.exists() else {}
    servers = {
        host.name: {
            "accounts": {account: password() for account in ACCOUNTS},
            "database_password": password(),
            "ami_secret": password(),
        }
        for host in (*PBXS, *STRANGERS)
    }
    tracker = {"url": f"http://{HOSTS['tracker'].address}:8080", "root_password": password(), "user": "reconnect"}
    tracker["password"] = password()
    kept = {"servers": servers | known.get("servers", {}), "tracker": known.get("tracker", tracker)}
    keep(SECRETS, json.dumps(kept, indent=2))


def keep(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def read_secrets() -> dict[str, dict[str, dict[str, str]]]:
    kept: dict[str, dict[str, dict[str, str]]] = json.loads(SECRETS.read_text())
    return kept


def accounts_of(host: Host) -> dict[str, str]:
    """The passwords of a server's accounts, by name."""
    kept: dict[str, str] = json.loads(SECRETS.read_text())["servers"][host.name]["accounts"]
    return kept


def files_for(host: Host) -> dict[str, bytes]:
    """The files of the state that belong on a host, by their path there."""
    files = {
        "root/.ssh/authorized_keys": (STATE / "id_ed25519.pub").read_bytes(),
        "etc/ssh/ssh_host_ed25519_key": (STATE / "hostkeys" / host.name).read_bytes(),
        "etc/ssh/ssh_host_ed25519_key.pub": (STATE / "hostkeys" / f"{host.name}.pub").read_bytes(),
        "usr/local/share/ca-certificates/reconnect-lab.crt": (STATE / "ca.crt").read_bytes(),
    }
    if host.is_pbx:
        tls = STATE / "tls" / host.name
        own = read_secrets()["servers"][host.name]
        for file in ("server.crt", "server.key"):
            files[f"etc/asterisk/keys/{file}"] = (tls / file).read_bytes()
            files[f"etc/provisioning/{file}"] = (tls / file.replace("server", "https")).read_bytes()
        files["etc/asterisk/keys/ca.crt"] = (STATE / "ca.crt").read_bytes()
        for file in ("expired.crt", "name_mismatch.crt", "untrusted.crt", "other.key"):
            files[f"opt/lab/tls/{file}"] = (tls / file).read_bytes()
        client = f"[client]\nuser = asterisk\npassword = {own['database_password']}\n"
        files["etc/provisioning/database.conf"] = client.encode()
        files["opt/lab/accounts.sql"] = accounts_sql(host, own).encode()
    if host.is_stranger and host.has_tls:
        for name, file in (("pbx.crt", "server.crt"), ("pbx.key", "server.key")):
            files[f"etc/asterisk/tls/{name}"] = (STATE / "tls" / host.name / file).read_bytes()
    if host.before:
        for name in ("server.crt", "server.key"):
            files[f"etc/kamailio/tls/{name}"] = (STATE / "tls" / host.name / name).read_bytes()
    if host.name == "tracker":
        files["opt/lab/tracker.json"] = json.dumps(read_secrets()["tracker"]).encode()
        hook = {"ReconnectURL": HOOK, "ReconnectSecret": HOOK_SECRET.read_text()}
        lines = [f"Set(${name}, '{value}');\n" for name, value in hook.items()]
        files["etc/request-tracker5/RT_SiteConfig.d/95-reconnect.pm"] = f"{''.join(lines)}1;\n".encode()
    return files


def accounts_sql(host: Host, own: dict[str, Any]) -> str:
    """SQL that makes the accounts, and the database user that Asterisk works as."""
    make = pjsip_rows if "pjsip" in host.recipes else sip_rows
    rows = [row for account, secret in own["accounts"].items() for row in make(account, secret)]
    if host.engine == "postgresql":
        grants = [
            f"CREATE ROLE asterisk LOGIN PASSWORD '{own['database_password']}';",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO asterisk;",
        ]
        return "\n".join([*rows, *grants]) + "\n"
    grants = [
        f"CREATE USER 'asterisk'@'%' IDENTIFIED BY '{own['database_password']}';",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON asterisk.* TO 'asterisk'@'%';",
    ]
    return "\n".join(["USE asterisk;", *rows, *grants]) + "\n"


def is_end_to_site(account: str) -> bool:
    """Whether the account's calls are encrypted up to the server (SDES); the others agree on keys past it (ZRTP)."""
    return account in HEALTH_ACCOUNTS or int(account) <= 1010


def pjsip_rows(account: str, secret: str) -> Iterator[str]:
    yield insert(
        "ps_endpoints",
        id=account,
        aors=account,
        auth=account,
        context="internal",
        disallow="all",
        allow="ulaw,alaw",
        direct_media="no",
        force_rport="yes",
        rewrite_contact="yes",
        rtp_symmetric="yes",
        media_encryption="sdes" if is_end_to_site(account) else "no",
    )
    yield insert("ps_auths", id=account, auth_type="userpass", username=account, password=secret)
    yield insert(
        "ps_aors",
        id=account,
        max_contacts="1",
        remove_existing="yes",
        minimum_expiration="60",
        maximum_expiration="3600",
        qualify_frequency="60",
    )


def sip_rows(account: str, secret: str) -> Iterator[str]:
    yield insert(
        "sippeers",
        name=account,
        host="dynamic",
        type="friend",
        secret=secret,
        defaultuser=account,
        transport="tls,tcp,udp",
        encryption="yes" if is_end_to_site(account) else "no",
        context="internal",
        nat="force_rport,comedia",
        qualify="yes",
        disallow="all",
        allow="ulaw,alaw",
        directmedia="no",
    )


def insert(table: str, **values: str) -> str:
    columns = ", ".join(values)
    return f"INSERT INTO {table} ({columns}) VALUES ({', '.join(repr(value) for value in values.values())});"
