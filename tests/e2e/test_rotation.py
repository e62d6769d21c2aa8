"""A new password on real servers: in the registry, on the server and in the client, and never half of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret
from trials.phone import follows_the_message
from trials.tools import INVENTORY, ROOT, until

ACCOUNT = "1018"
FORGOTTEN = {
    "pbx22": f"UPDATE ps_auths SET password = 'forgotten' WHERE id = '{ACCOUNT}'",
    "pbx16": f"UPDATE sippeers SET secret = 'forgotten' WHERE name = '{ACCOUNT}'",
}
FORGOTTEN["pgsql"] = FORGOTTEN["pbx22"]
STORED = {
    "pbx22": f"SELECT password FROM ps_auths WHERE id = '{ACCOUNT}'",
    "pbx16": f"SELECT secret FROM sippeers WHERE name = '{ACCOUNT}'",
}
STORED["pgsql"] = STORED["pbx22"]
#: Setting the password takes this long in seconds, less than the module's limit for a statement.
SLOW = {
    "pbx22": f"BEFORE UPDATE ON ps_auths FOR EACH ROW SET @slow = IF(NEW.id = '{ACCOUNT}', SLEEP(6), 0)",
    "pbx16": f"BEFORE UPDATE ON sippeers FOR EACH ROW SET @slow = IF(NEW.name = '{ACCOUNT}', SLEEP(6), 0)",
}
KEY = VaultSecret(b"of the lab's end-to-end tests")

STATE = ROOT / "tests" / "lab" / ".state"

servers = pytest.mark.parametrize("server", ["pbx22", "pbx16"])
pytestmark = pytest.mark.hosts("phone")


def asked(lab, server: str, statement: str) -> str:
    """What the server's database answers its administrator."""
    words = ("runuser", "-u", "postgres", "--", "psql", "-XAtq", "asterisk", "-c")
    if server != "pgsql":
        words = ("mysql", "--skip-column-names", "asterisk", "-e")
    return lab.run(server, *words, statement).strip()


def own_inventory(folder: Path) -> Path:
    """The lab's inventory, to be changed."""
    (folder / "tests").symlink_to(ROOT / "tests")
    return shutil.copytree(ROOT / "inventories" / "lab", folder / "inventories" / "lab")


class Registry:
    """The lab's inventory with one account whose password is vaulted."""

    def __init__(self, folder: Path, server: str, password: str) -> None:
        self.inventory = own_inventory(folder)
        self.file = self.inventory / "accounts" / f"{server}.yml"
        vaulted = VaultLib().encrypt(password, secret=KEY).decode().split()
        self.before = self.file.read_text()
        own = f'  - username: "{ACCOUNT}"\n'
        lines = "".join(f"      {line}\n" for line in vaulted)
        self.file.write_text(self.before.replace(own, f"{own}    # Its own.\n    password: !vault |\n{lines}"))

    @property
    def password(self) -> str:
        """What is stored."""
        text = self.file.read_text().partition("!vault |\n")[2]
        vaulted = "\n".join(line.strip() for line in text.splitlines() if line.startswith("      "))
        return VaultLib([("default", KEY)]).decrypt(vaulted.encode()).decode()

    @property
    def rest(self) -> str:
        """Everything but that."""
        start, _mark, text = self.file.read_text().partition("    # Its own.\n    password: !vault |\n")
        return start + "".join(line for line in text.splitlines(keepends=True) if not line.startswith("      "))


class Table:
    """The lab's inventory with one account in a table of the server's own database."""

    def __init__(self, lab, folder: Path, server: str, password: str, socket: Path) -> None:
        self.inventory = own_inventory(folder)
        self._asked = lambda statement: asked(lab, server, statement)
        names = ("username", "server", "virtual_number", "password", "context", "codecs")
        values = (ACCOUNT, server, "+390200001018", password, "internal", "ulaw,alaw")
        self._asked(f"CREATE TABLE registry ({', '.join(f'{name} varchar(80)' for name in names)})")
        self._asked(f"INSERT INTO registry VALUES {values}")
        configuration = {
            "plugin": "sql",
            "engine": "postgresql" if server == "pgsql" else "mysql",
            "socket": str(socket),
            "database": "asterisk",
            "user": "asterisk",
            "password": json.loads((STATE / "secrets.yml").read_text())["servers"][server]["database_password"],
            "table": "registry",
        }
        if server == "pgsql":
            self._asked("GRANT SELECT, UPDATE ON registry TO asterisk")
        with (self.inventory / "host_vars" / f"{server}.yml").open("a") as file:
            file.write(f"reconnect_account_registry: {json.dumps(configuration)}\n")
        self.before = self.rest

    @property
    def password(self) -> str:
        """What is stored."""
        return self._asked("SELECT password FROM registry")

    @property
    def rest(self) -> str:
        """Everything but that."""
        return self._asked("SELECT username, server, virtual_number, context, codecs FROM registry")


@contextmanager
def in_a_file(lab, folder: Path, server: str, password: str) -> Iterator[Registry]:
    """The registry as YAML."""
    del lab
    yield Registry(folder, server, password)


@contextmanager
def in_a_table(lab, folder: Path, server: str, password: str) -> Iterator[Table]:
    """The registry as a table, which the control node reaches through SSH."""
    name, port = (".s.PGSQL.5432", 5432) if server == "pgsql" else ("mysqld.sock", 3306)
    options = (f"UserKnownHostsFile={STATE}/known_hosts", "HostKeyAlgorithms=ssh-ed25519", "ExitOnForwardFailure=yes")
    where = f"root@{lab.run(server, 'hostname', '-I').split()[0]}"
    words = [word for option in options for word in ("-o", option)]
    forward = ("-N", "-L", f"{folder / name}:127.0.0.1:{port}")
    tunnel = subprocess.Popen(["ssh", "-i", STATE / "id_ed25519", *words, *forward, where], stdin=subprocess.DEVNULL)
    try:
        until((folder / name).exists)
        yield Table(lab, folder, server, password, folder / name)
    finally:
        asked(lab, server, "DROP TABLE IF EXISTS registry")
        tunnel.terminate()
        tunnel.wait()


@pytest.fixture
def lab_password():
    """The password the lab gave the account on a server."""
    secrets = json.loads((STATE / "secrets.yml").read_text())
    return lambda server: secrets["servers"][server]["accounts"][ACCOUNT]


@pytest.fixture
def rotate(lab, reconnect, tmp_path, monkeypatch, lab_password, request):
    """The registry of a server whose account has a forgotten password, and a call that mends it."""
    (tmp_path / "key").write_bytes(KEY.bytes)
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(tmp_path / "key"))
    server = request.getfixturevalue("server")
    kept = request.node.callspec.params.get("kept", in_a_file)
    lab.run(server, "rm", "-f", "/var/lib/reconnect/state.json")
    asked(lab, server, FORGOTTEN[server])
    with kept(lab, tmp_path, server, lab_password(server)) as registry:

        def run(*words: str):
            where = ("--server", server, "--inventory", str(registry.inventory))
            return reconnect("fix-account-config", ACCOUNT, *where, "--watch", "0", *words)

        yield registry, run
    # By the lab's own inventory its own password is the right one.
    own = ("--server", server, "--inventory", INVENTORY)
    reconnect("fix-account-config", ACCOUNT, *own, "--watch", "0", "--yes")
    assert on(lab, server) == lab_password(server)


def on(lab, server: str) -> str:
    """The password that the server has."""
    return asked(lab, server, STORED[server])


def found_in(folder: Path, text: str) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and text.encode() in file.read_bytes()]


@pytest.mark.parametrize(
    ("server", "kept"), [("pbx22", in_a_file), ("pbx16", in_a_file), ("pbx22", in_a_table), ("pgsql", in_a_table)]
)
def test_a_new_password_is_stored_set_and_taken_by_the_client(lab, rotate, lab_password, server, kept, tmp_path):
    registry, run = rotate
    planned = run("--rotate-password")
    assert [one["remedy"] for one in planned.result["verdict"]["plan"]] == ["rotate_password"]
    assert (registry.password, on(lab, server)) == (lab_password(server), "forgotten")
    with follows_the_message(lab, ACCOUNT):
        ended = run("--rotate-password", "--yes")
    assert (ended.code, ended.result["verdict"]["outcome"]) == (0, "fixed_account"), ended.result["remedies"]
    new = registry.password
    assert new not in (lab_password(server), "forgotten")
    assert len(new) >= 20
    assert on(lab, server) == new
    assert registry.rest == registry.before
    assert new not in ended.stdout + ended.stderr
    assert found_in(tmp_path, new) == []
    again = run("--rotate-password", "--yes")
    assert (again.result["remedies"], registry.password, on(lab, server)) == ([], new, new)


@servers
def test_one_that_cannot_be_stored_changes_nothing(lab, rotate, server):
    registry, run = rotate
    registry.file.write_text(registry.before)
    ended = run("--rotate-password", "--yes")
    (remedy,) = ended.result["remedies"]
    assert remedy["state"] == "failed"
    assert "No new password was made." in remedy["reason"]
    assert "password of its group" in remedy["reason"] or "looked up" in remedy["reason"]
    assert registry.file.read_text() == registry.before
    assert on(lab, server) == "forgotten"


@servers
def test_interrupted_between_registry_and_server_the_next_run_ends_it(lab, rotate, lab_password, server):
    registry, run = rotate
    ended = []
    asked(lab, server, f"CREATE TRIGGER slow {SLOW[server]}")
    try:
        rotation = threading.Thread(target=lambda: ended.append(run("--rotate-password", "--yes")))
        rotation.start()
        sleeping = "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User sleep'"
        until(lambda: asked(lab, server, sleeping) != "0")
        lab.run(server, "sh", "-c", "kill -9 $(grep -l RECONNECT_RUN_ID /proc/[0-9]*/environ | cut -d/ -f3)")
        rotation.join()
    finally:
        asked(lab, server, "DROP TRIGGER slow")
    (remedy,) = ended[0].result["remedies"]
    assert remedy["state"] == "failed"
    assert "The account registry has the new password" in remedy["reason"]
    assert registry.password != lab_password(server)
    assert on(lab, server) == "forgotten"
    finished = run("--yes")
    assert finished.code == 0, finished.result["remedies"]
    assert on(lab, server) == registry.password
