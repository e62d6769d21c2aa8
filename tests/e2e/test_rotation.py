"""A new password on real servers: in the registry, on the server and in the client, and never half of it."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret
from trials.phone import follows_the_message
from trials.tools import INVENTORY, ROOT

from .test_interrupted import until

ACCOUNT = "1018"
FORGOTTEN = {
    "pbx22": f"UPDATE ps_auths SET password = 'forgotten' WHERE id = '{ACCOUNT}'",
    "pbx16": f"UPDATE sippeers SET secret = 'forgotten' WHERE name = '{ACCOUNT}'",
}
STORED = {
    "pbx22": f"SELECT password FROM ps_auths WHERE id = '{ACCOUNT}'",
    "pbx16": f"SELECT secret FROM sippeers WHERE name = '{ACCOUNT}'",
}
#: Setting the password takes this long in seconds, less than the module's limit for a statement.
SLOW = {
    "pbx22": f"BEFORE UPDATE ON ps_auths FOR EACH ROW SET @slow = IF(NEW.id = '{ACCOUNT}', SLEEP(6), 0)",
    "pbx16": f"BEFORE UPDATE ON sippeers FOR EACH ROW SET @slow = IF(NEW.name = '{ACCOUNT}', SLEEP(6), 0)",
}
KEY = VaultSecret(b"of the lab's end-to-end tests")

servers = pytest.mark.parametrize("server", ["pbx22", "pbx16"])


class Registry:
    """The lab's inventory with one account whose password is vaulted."""

    def __init__(self, folder: Path, server: str, password: str) -> None:
        (folder / "tests").symlink_to(ROOT / "tests")
        self.inventory = folder / "inventories" / "lab"
        shutil.copytree(ROOT / "inventories" / "lab", self.inventory)
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


@pytest.fixture
def lab_password():
    """The password the lab gave the account on a server."""
    secrets = json.loads((ROOT / "tests/lab/.state/secrets.yml").read_text())
    return lambda server: secrets["servers"][server]["accounts"][ACCOUNT]


@pytest.fixture
def rotate(lab, reconnect, tmp_path, monkeypatch, lab_password, request):
    """The registry of a server whose account has a forgotten password, and a call that mends it."""
    (tmp_path / "key").write_bytes(KEY.bytes)
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(tmp_path / "key"))
    server = request.getfixturevalue("server")
    registry = Registry(tmp_path, server, lab_password(server))
    lab.run(server, "rm", "-f", "/var/lib/reconnect/state.json")
    lab.run(server, "mysql", "asterisk", "-e", FORGOTTEN[server])

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
    return lab.run(server, "mysql", "--skip-column-names", "asterisk", "-e", STORED[server]).strip()


def found_in(folder: Path, text: str) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and text.encode() in file.read_bytes()]


@servers
def test_a_new_password_is_stored_set_and_taken_by_the_client(lab, rotate, lab_password, server, tmp_path):
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
    lab.run(server, "mysql", "asterisk", "-e", f"CREATE TRIGGER slow {SLOW[server]}")
    try:
        rotation = threading.Thread(target=lambda: ended.append(run("--rotate-password", "--yes")))
        rotation.start()
        sleeping = "SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User sleep'"
        until(lambda: lab.run(server, "mysql", "--skip-column-names", "-e", sleeping).strip() != "0")
        lab.run(server, "sh", "-c", "kill -9 $(grep -l RECONNECT_RUN_ID /proc/[0-9]*/environ | cut -d/ -f3)")
        rotation.join()
    finally:
        lab.run(server, "mysql", "asterisk", "-e", "DROP TRIGGER slow")
    (remedy,) = ended[0].result["remedies"]
    assert remedy["state"] == "failed"
    assert "The account registry has the new password" in remedy["reason"]
    assert registry.password != lab_password(server)
    assert on(lab, server) == "forgotten"
    finished = run("--yes")
    assert finished.code == 0, finished.result["remedies"]
    assert on(lab, server) == registry.password
