"""A new password in the registry: stored at once or not at all, and nothing else of it changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._database import sql
from ansible_collections.privatewave.reconnect.plugins.module_utils._database.sql import Login
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import accounts
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.accounts import lines
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.accounts.registries import RegistryError
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.accounts.registry import read

FILE = """# Sales, as they asked for it.
group: {name: sales, server: pbx1, defaults: {codecs: [alaw]}}

accounts:
  - username: "1001"
    virtual_number: "+390212345601"   # the front desk – ünïcode
    password: !vault |
      $ANSIBLE_VAULT;1.1;AES256
      6161
      6262

  # Who comes next.
  - {username: "1002", virtual_number: "+390212345602", password: !vault "$ANSIBLE_VAULT;1.1;AES256\\n6363"}
  - username: "1003"
    password: "{{ lookup('x') }}"
    virtual_number: "+390212345603"
"""
CIPHERTEXT = "$ANSIBLE_VAULT;1.1;AES256\n7777\n8888\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "accounts").mkdir()
    file = tmp_path / "accounts" / "sales.yml"
    file.write_text(FILE)
    file.chmod(0o640)
    return file


def keep(file: Path, username: str) -> list[tuple[str, list[str]]]:
    seen = []

    def encrypt(text: str, like: str) -> str:
        seen.append((text, like.split()))
        return CIPHERTEXT

    _account, store = accounts.keeper({}, str(file.parents[1]), "pbx1", username, encrypt)
    store("new")
    return seen


def test_a_block_is_replaced_and_everything_else_stays(file: Path) -> None:
    assert keep(file, "1001") == [("new", ["$ANSIBLE_VAULT;1.1;AES256", "6161", "6262"])]
    assert file.read_text() == FILE.replace("6161\n      6262", "7777\n      8888")
    assert file.stat().st_mode & 0o777 == 0o640
    assert os.listdir(file.parent) == ["sales.yml"]


def test_one_in_a_line_stays_in_its_line(file: Path) -> None:
    keep(file, "1002")
    assert file.read_text() == FILE.replace("6363", "7777\\n8888")


def test_line_ends_stay(file: Path) -> None:
    file.write_bytes(FILE.replace("\n", "\r\n").encode())
    keep(file, "1001")
    changed = FILE.replace("6161\n      6262", "7777\n      8888")
    assert file.read_bytes() == changed.replace("\n", "\r\n").encode()


@pytest.mark.parametrize(
    ("username", "more", "words"),
    [
        ("1003", "", "is looked up (accounts/sales.yml:14)"),
        ("1004", '  - {username: "1004", virtual_number: "+390212345604"}\n', "password of its group"),
        ("1009", "", "no account 1009"),
    ],
)
def test_what_cannot_be_stored_is_refused_before_anything(file: Path, username: str, more: str, words: str) -> None:
    shared = 'defaults: {password: !vault "$ANSIBLE_VAULT;1.1;AES256\\n6464", '
    text = FILE.replace("defaults: {", shared) + more if more else FILE
    file.write_text(text)
    with pytest.raises(accounts.RegistryError) as raised:
        keep(file, username)
    assert words in str(raised.value)
    assert file.read_text() == text


def test_an_account_that_moved_meanwhile_is_left_alone(file: Path) -> None:
    _account, store = accounts.keeper({}, str(file.parents[1]), "pbx1", "1001", lambda text, like: CIPHERTEXT)
    file.write_text("# One line more.\n" + FILE)
    with pytest.raises(accounts.RegistryError, match="no longer"):
        store("new")
    assert file.read_text() == "# One line more.\n" + FILE


def test_a_write_that_fails_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(accounts.RegistryError, match="No space left"):
        keep(file, "1001")
    assert file.read_text() == FILE
    assert os.listdir(file.parent) == ["sales.yml"]


def test_a_registry_that_can_store_nothing_says_so(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setattr(accounts, "open_registry", lambda configuration, inventory: object())
    monkeypatch.setattr(accounts, "load", lambda *_arguments: read([lines.read(FILE, "a.yml")[0]]))
    with pytest.raises(accounts.RegistryError, match="cannot store a password"):
        keep(file, "1001")


class Table:
    """A table with the accounts' passwords, as `_sql.Connection` reaches it; what a statement says counts."""

    rows: dict[tuple[str, ...], str]
    read_only: bool

    def __init__(self, login: Login, limit: float) -> None:
        self.before = dict(self.rows)

    def records(self, statement: str, values: tuple[str, ...] = ()) -> list[dict[str, str]]:
        if statement.startswith("SELECT *"):
            return [
                {"username": user, "server": server, "password": password, "virtual_number": f"+39021234560{number}"}
                for number, ((user, server), password) in enumerate(self.rows.items())
            ]
        assert "WHERE username = %s AND server = %s" in statement
        return [{"username": values[0], "password": self.rows[values]}] if values in self.rows else []

    def change(self, statement: str, values: tuple[str, ...] = ()) -> None:
        assert statement == "UPDATE accounts SET password = %s WHERE username = %s AND server = %s"
        if not self.read_only:
            self.rows[values[1:]] = values[0]

    def transaction(self) -> Table:
        return self

    def __enter__(self) -> Table:
        return self

    def __exit__(self, kind: type[RegistryError] | None, *_error: object) -> None:
        if kind:
            self.rows.clear()
            self.rows.update(self.before)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("read_only", [False, True])
def test_a_row_gets_it_or_keeps_what_it_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, read_only: bool) -> None:
    rows = {("1001", "pbx1"): "old", ("1001", "pbx2"): "other"}
    monkeypatch.setattr(Table, "rows", rows, raising=False)
    monkeypatch.setattr(Table, "read_only", read_only, raising=False)
    monkeypatch.setattr(sql, "Connection", Table)
    _account, store = accounts.keeper({"plugin": "sql"}, str(tmp_path), "pbx1", "1001", lambda text, like: "")
    if read_only:
        with pytest.raises(accounts.RegistryError, match="does not keep"):
            store("new")
    else:
        store("new")
    assert rows == {("1001", "pbx1"): "old" if read_only else "new", ("1001", "pbx2"): "other"}
