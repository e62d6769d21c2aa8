"""A new password on real servers: in the registry, on the server and in the client, and never half of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret
from trials.kept import holding, settings_of
from trials.phone import follows_the_message
from trials.tools import INVENTORY, ROOT, Ended, Lab, ask_database, until

ACCOUNT = "1018"
#: The reserved account, with which a diagnosis verifies that the server serves clients.
RESERVED = "601"
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
#: Setting the password takes this long in seconds, less than the module's limit for a statement. Where chan_sip keeps
#: the contact in the same row, another change takes no longer.
SLOW = {
    "pbx22": f"BEFORE UPDATE ON ps_auths FOR EACH ROW SET @slow = IF(NEW.id = '{ACCOUNT}', SLEEP(6), 0)",
    "pbx16": f"BEFORE UPDATE ON sippeers FOR EACH ROW "
    f"SET @slow = IF(NEW.name = '{ACCOUNT}' AND NOT NEW.secret <=> OLD.secret, SLEEP(6), 0)",
}
KEY = VaultSecret(b"of the lab's end-to-end tests")

STATE = ROOT / "tests" / "lab" / ".state"

servers = pytest.mark.parametrize("server", ["pbx22", "pbx16"])
pytestmark = pytest.mark.hosts("phone")


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
        return str(VaultLib([("default", KEY)]).decrypt(vaulted.encode()).decode())

    @property
    def rest(self) -> str:
        """Everything but that."""
        start, _mark, text = self.file.read_text().partition("    # Its own.\n    password: !vault |\n")
        return start + "".join(line for line in text.splitlines(keepends=True) if not line.startswith("      "))


class Table:
    """The lab's inventory with one account and the reserved one in a table of the server's own database."""

    def __init__(self, lab: Lab, folder: Path, server: str, password: str, socket: Path) -> None:
        self.inventory = own_inventory(folder)
        secrets = json.loads((STATE / "secrets.yml").read_text())["servers"][server]
        self._asked: Callable[[str], str] = lambda statement: ask_database(lab, server, statement)
        names = ("username", "server", "virtual_number", "password", "context", "codecs")
        values = [
            (ACCOUNT, server, "+390200001018", password, "internal", "ulaw,alaw"),
            (RESERVED, server, "+390200000601", secrets["accounts"][RESERVED], "internal", "ulaw,alaw"),
        ]
        self._asked(f"CREATE TABLE registry ({', '.join(f'{name} varchar(80)' for name in names)})")
        for one in values:
            self._asked(f"INSERT INTO registry VALUES {one}")
        configuration = {
            "plugin": "sql",
            "engine": "postgresql" if server == "pgsql" else "mysql",
            "socket": str(socket),
            "database": "asterisk",
            "user": "asterisk",
            "password": secrets["database_password"],
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
        return self._asked(f"SELECT password FROM registry WHERE username = '{ACCOUNT}'")

    @property
    def rest(self) -> str:
        """Everything but that."""
        return self._asked("SELECT username, server, virtual_number, context, codecs FROM registry ORDER BY username")


@contextmanager
def in_a_file(lab: Lab, folder: Path, server: str, password: str) -> Iterator[Registry]:
    """The registry as YAML."""
    del lab
    yield Registry(folder, server, password)


@contextmanager
def in_a_table(lab: Lab, folder: Path, server: str, password: str) -> Iterator[Table]:
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
        ask_database(lab, server, "DROP TABLE IF EXISTS registry")
        tunnel.terminate()
        tunnel.wait()


@pytest.fixture
def lab_password() -> Callable[[str], str]:
    """The password the lab gave the account on a server."""
    secrets = json.loads((STATE / "secrets.yml").read_text())
    return lambda server: secrets["servers"][server]["accounts"][ACCOUNT]


@pytest.fixture
def rotate(
    lab: Lab,
    reconnect: Callable[..., Ended],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lab_password: Callable[[str], str],
    request: pytest.FixtureRequest,
) -> Iterator[tuple[Registry | Table, Callable[..., Ended]]]:
    """The registry of a server whose account has a forgotten password, and a call that fixes it."""
    (tmp_path / "key").write_bytes(KEY.bytes)
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(tmp_path / "key"))
    server = request.getfixturevalue("server")
    kept = request.node.callspec.params.get("kept", in_a_file)
    lab.run(server, "rm", "-f", "/var/lib/reconnect/state.json")
    ask_database(lab, server, FORGOTTEN[server])
    with kept(lab, tmp_path, server, lab_password(server)) as registry:

        def run(*words: str) -> Ended:
            where = ("--server", server, "--inventory", str(registry.inventory))
            return reconnect("fix-account-config", ACCOUNT, *where, "--watch", "0", *words)

        yield registry, run
    # By the lab's own inventory its own password is the right one.
    own = ("--server", server, "--inventory", INVENTORY)
    reconnect("fix-account-config", ACCOUNT, *own, "--watch", "0", "--yes")
    assert on(lab, server) == lab_password(server)


def on(lab: Lab, server: str) -> str:
    """The password that the server has."""
    return ask_database(lab, server, STORED[server])


def found_in(folder: Path, text: str) -> list[str]:
    files = [str(file) for file in folder.rglob("*") if file.is_file() and text.encode() in file.read_bytes()]
    return files + holding(settings_of(folder), text)


@pytest.mark.parametrize(
    ("server", "kept"), [("pbx22", in_a_file), ("pbx16", in_a_file), ("pbx22", in_a_table), ("pgsql", in_a_table)]
)
def test_a_new_password_is_stored_set_and_taken_by_the_client(
    lab: Lab,
    rotate: tuple[Registry | Table, Callable[..., Ended]],
    lab_password: Callable[[str], str],
    server: str,
    kept: Callable[..., AbstractContextManager[Registry | Table]],
    tmp_path: Path,
) -> None:
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
def test_one_that_cannot_be_stored_changes_nothing(
    lab: Lab, rotate: tuple[Registry | Table, Callable[..., Ended]], server: str
) -> None:
    registry, run = rotate
    assert isinstance(registry, Registry)
    registry.file.write_text(registry.before)
    ended = run("--rotate-password", "--yes")
    (remedy,) = ended.result["remedies"]
    assert remedy["state"] == "failed"
    assert "No new password was made." in remedy["reason"]
    assert "password of its group" in remedy["reason"] or "looked up" in remedy["reason"]
    assert registry.file.read_text() == registry.before
    assert on(lab, server) == "forgotten"


@servers
def test_interrupted_between_registry_and_server_the_next_run_ends_it(
    lab: Lab, rotate: tuple[Registry | Table, Callable[..., Ended]], lab_password: Callable[[str], str], server: str
) -> None:
    registry, run = rotate
    assert isinstance(registry, Registry)
    ended = []
    ask_database(lab, server, f"CREATE TRIGGER slow {SLOW[server]}")
    try:
        rotation = threading.Thread(target=lambda: ended.append(run("--rotate-password", "--yes")))
        rotation.start()
        sleeping = "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User sleep'"
        until(lambda: ask_database(lab, server, sleeping) != "0")
        lab.run(server, "sh", "-c", "kill -9 $(grep -l RECONNECT_RUN_ID /proc/[0-9]*/environ | cut -d/ -f3)")
        rotation.join()
    finally:
        ask_database(lab, server, "DROP TRIGGER slow")
    (remedy,) = ended[0].result["remedies"]
    assert remedy["state"] == "failed"
    assert "The account registry has the new password" in remedy["reason"]
    assert registry.password != lab_password(server)
    assert on(lab, server) == "forgotten"
    finished = run("--yes")
    assert finished.code == 0, finished.result["remedies"]
    assert on(lab, server) == registry.password
