"""The account registry: what is right becomes accounts, what is wrong becomes sentences with file and line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._database import sql as database_sql
from ansible_collections.privatewave.reconnect.plugins.module_utils._database.sql import Login
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import accounts
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.accounts.registry import Registered

GOOD = """
group:
  name: sales
  server: pbx1
  profile: {name: sales, logging: true}
  defaults:
    password: "{{ lookup('x', username) }}"
    codecs: [alaw]
accounts:
- username: 0601
  virtual_number: +390212345601
- username: "602"
  virtual_number: "+390212345602"
  password: !vault |
    $ANSIBLE_VAULT;1.1;AES256
    6162
  profile: {logging: false}
  obfuscation: {mode: xor, key: "{{ k }}"}
"""

TEN_MISTAKES = """
group:
  name: sales
  server: pbx9
  colour: red
accounts:
- username: "1001"
  virtual_number: "+390212345601"
  password: "{{ a }}"
  max_contacts: 0
- username: "1001"
  virtual_number: "+390212345601"
  password: in the clear
- username: hello
  virtual_number: "12345"
  transport: quic
  acl: [10.0.0.1/8]
- username: "1004"
  username: "1005"
"""


def load(folder: Path, servers: set[str] | None = None, **files: str) -> accounts.Registered:
    (folder / "accounts").mkdir()
    for name, text in files.items():
        (folder / "accounts" / f"{name}.yml").write_text(text)
    return accounts.load({}, str(folder), servers)


def test_accounts_have_every_field_and_group_defaults(tmp_path: Path) -> None:
    found = load(tmp_path, sales=GOOD)
    assert found.mistakes == []
    first, second = found.accounts
    assert first.username == "0601"
    assert first.values["virtual_number"] == "+390212345601"
    assert first.values["profile"]["logging"] is True
    assert second.values["profile"] == {**first.values["profile"], "logging": False}
    assert first.values["codecs"] == ["alaw"]
    assert (first.values["transport"], first.values["max_contacts"], first.values["group"]) == ("tls", 1, "sales")
    assert second.values["password"].kind == "vault"
    assert [one.username for one in found.of("pbx1")] == ["0601", "602"]


def test_secrets_are_revealed_only_when_asked_and_never_shown(tmp_path: Path) -> None:
    first, second = load(tmp_path, sales=GOOD).accounts
    assert "lookup" not in repr(first)
    assert "6162" not in repr(second)
    plain = accounts.resolved(second, lambda secret, known: f"{secret.kind} of {known['username']}")
    assert plain["password"] == "vault of 602"
    assert plain["obfuscation"] == {"mode": "xor", "key": "expression of 602"}


def test_ten_mistakes_are_ten_sentences_with_their_lines(tmp_path: Path) -> None:
    found = load(tmp_path, {"pbx1"}, sales=TEN_MISTAKES)
    said = [str(one) for one in found.mistakes]
    lines = [int(one.partition(".yml:")[2].partition(":")[0]) for one in said]
    wanted = {
        4: "pbx9",
        5: "colour",
        10: "max_contacts",
        11: "taken already in accounts/sales.yml:7",
        12: "taken already",
        13: "clear text",
        14: "digits only",
        15: "international prefix",
        16: "quic",
        17: "10.0.0.0/8",
        19: "twice",
    }
    for line, words in wanted.items():
        assert any(number == line and words in text for number, text in zip(lines, said, strict=True)), (line, said)
    assert all(one.startswith("accounts/sales.yml:") and one.endswith(".") for one in said)
    assert not any("in the clear" in one for one in said)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("group: [", "no YAML"),
        ("- 1", "group and accounts"),
        ("accounts: []", "field group is missing"),
        ("group: {name: a, server: b}", "accounts is missing"),
        ("group: {name: a, server: b}\naccounts: [3]", "must hold fields"),
        ("group: {name: a, server: b}\naccounts: [{username: '1', codecs: alaw}]", "list of codecs"),
        ("group: {name: a, server: b}\naccounts: [{username: '{{ x }}'}]", "only secrets may be looked up"),
        ("group: {name: a, server: b}\naccounts: !!python/name:os.system []", "not known here"),
        ("group: {name: a, server: b, defaults: {username: '1'}}\naccounts: []", "unknown field 'username'"),
        ("group: {name: a, server: b}\naccounts: [{obfuscation: {mode: xor}}]", "a mode and no key"),
    ],
)
def test_what_is_no_registry_is_told_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    found = load(tmp_path, bad=text)
    assert any(words in str(one) for one in found.mistakes), found.mistakes
    assert found.accounts == []


def test_groups_and_accounts_of_two_files_may_not_be_the_same(tmp_path: Path) -> None:
    found = load(tmp_path, a=GOOD, b=GOOD)
    said = " ".join(map(str, found.mistakes))
    assert "two groups 'sales'" in said
    assert "accounts/b.yml:11: The username '0601'" in said or "accounts/b.yml:10: The username '0601'" in said


def test_servers_number_their_users_on_their_own(tmp_path: Path) -> None:
    other = GOOD.replace("pbx1", "pbx2").replace("name: sales", "name: other", 1).replace("+3902", "+3906")
    assert load(tmp_path, a=GOOD, b=other).mistakes == []


def test_no_folder_and_no_plugin_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(accounts.RegistryError, match="missing"):
        accounts.load({}, str(tmp_path))
    with pytest.raises(accounts.RegistryError, match="no account registry 'os'"):
        accounts.load({"plugin": "os"}, str(tmp_path))
    with pytest.raises(accounts.RegistryError, match="not installed"):
        accounts.load({"plugin": "acme.voip.ldap"}, str(tmp_path))


def test_three_hundred_accounts_are_read_in_one_go(tmp_path: Path) -> None:
    entries = "".join(f'- {{username: "{n}", virtual_number: "+39021234{n}"}}\n' for n in range(1000, 1300))
    text = f"group: {{name: a, server: b, defaults: {{password: '{{{{ x }}}}'}}}}\naccounts:\n{entries}"
    found = load(tmp_path, a=text)
    assert (len(found.accounts), found.mistakes) == (300, [])


class _Connection:
    rows: Sequence[dict[str, Any]] = ()

    def __init__(self, login: Login, limit: float) -> None:
        self.login = login

    def records(self, statement: str, values: tuple[Any, ...] = ()) -> Sequence[dict[str, Any]]:
        assert statement.startswith("SELECT * FROM wanted ")
        return self.rows

    def close(self) -> None:
        pass


def test_rows_of_a_database_are_accounts_and_their_secrets_are_data(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    row = {
        "username": "1001",
        "password": "{{ never }}",
        "virtual_number": "+390212345601",
        "server": "pbx1",
        "group_name": "sales",
        "enabled": 1,
        "max_contacts": None,
        "codecs": "ulaw, alaw",
        "profile_read_only": 0,
        "acl": "198.18.10.0/24",
        "unheard_of": "x",
    }
    monkeypatch.setattr(_Connection, "rows", [row, {**row, "virtual_number": "no"}])
    monkeypatch.setattr(database_sql, "Connection", _Connection)
    found = accounts.load({"plugin": "sql", "table": "wanted", "user": "me"}, str(tmp_path))
    (account,) = found.accounts
    assert account.values["codecs"] == ["ulaw", "alaw"]
    assert account.values["enabled"] is True
    assert account.values["profile"]["read_only"] is False
    assert account.values["group"] == "sales"
    assert accounts.resolved(account, lambda secret, known: secret.text)["password"] == "{{ never }}"
    assert any(one.where == "wanted, username '1001'" for one in found.mistakes)


def test_a_table_has_a_plain_name(tmp_path: Path) -> None:
    with pytest.raises(accounts.RegistryError, match="not a valid name of a table"):
        accounts.load({"plugin": "sql", "table": "a; DROP TABLE b"}, str(tmp_path))


CSV = """\
server;username;virtual_number;password;codecs;profile_read_only;group_name
pbx1;1001;+390212345601;{{ never }};"ulaw, alaw";no;sales
pbx1;1002;no;secret;;;sales
pbx1;1003;+390212345603;secret;;;;one more
"""


def of_csv(folder: Path, text: str, mode: int = 0o600, **configuration: str) -> Registered:
    file = folder / "accounts.csv"
    file.write_text(text)
    file.chmod(mode)
    return accounts.load({"plugin": "csv", **configuration}, str(folder))


def test_accounts_in_a_csv_file(tmp_path: Path) -> None:
    found = of_csv(tmp_path, CSV, delimiter=";")
    (account,) = found.accounts
    assert account.values["codecs"] == ["ulaw", "alaw"]
    assert account.values["profile"]["read_only"] is False
    assert (account.values["group"], account.where) == ("sales", "accounts.csv:2")
    assert accounts.resolved(account, lambda secret, known: secret.text)["password"] == "{{ never }}"
    assert [one.where for one in found.mistakes] == ["accounts.csv:4", "accounts.csv:3"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_csv_file_of_windows(tmp_path: Path, encoding: str) -> None:
    before = of_csv(tmp_path, CSV, delimiter=";")
    (tmp_path / "accounts.csv").write_bytes(CSV.replace("\n", "\r\n").encode(encoding))
    found = accounts.load({"plugin": "csv", "delimiter": ";"}, str(tmp_path))
    assert (found.accounts, found.mistakes) == (before.accounts, before.mistakes)
    (tmp_path / "accounts.csv").write_bytes("username\nAnnüt\n".encode("latin-1"))
    with pytest.raises(accounts.RegistryError, match=r"no UTF-8 text\. Save it as UTF-8\."):
        accounts.load({"plugin": "csv"}, str(tmp_path))


def test_a_csv_file_with_mistakes(tmp_path: Path) -> None:
    found = of_csv(tmp_path, "username,pasword\n1001,x\n")
    assert "There is no column 'pasword'." in [one.sentence for one in found.mistakes]
    with pytest.raises(accounts.RegistryError, match="Others may read the passwords"):
        of_csv(tmp_path, CSV, mode=0o640)
    with pytest.raises(accounts.RegistryError, match="No such file"):
        accounts.load({"plugin": "csv", "path": "nowhere.csv"}, str(tmp_path))


def test_a_password_of_a_csv_file_may_be_called_yes(tmp_path: Path) -> None:
    found = of_csv(tmp_path, CSV.replace("{{ never }}", "yes"), delimiter=";")
    (account,) = found.accounts
    assert accounts.resolved(account, lambda secret, known: secret.text)["password"] == "yes"
