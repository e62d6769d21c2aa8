"""`reconnect accounts validate`: every mistake is a sentence with its place, and the exit code says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from reconnect.cli import commands as cli

ROOT = Path(__file__).resolve().parents[4]

TEN_MISTAKES = """group:
  name: sales
  server: pbx9
  colour: red
  defaults: {password: "{{ lookup('ansible.builtin.env', 'NEVER_LOOKED_UP') }}"}
accounts:
- {username: "1001", virtual_number: "+390212345601", server: pbx1, max_contacts: 0}
- {username: "1001", virtual_number: "+390212345602", server: pbx1}
- {username: "1002", virtual_number: "+390212345601", server: pbx1}
- {username: "1003", virtual_number: "+390212345603", server: pbx1, password: canary-in-the-clear}
- {username: hello, virtual_number: "+390212345604", server: pbx1}
- {username: "1005", virtual_number: "0212345605", server: pbx1}
- {username: "1006", virtual_number: "+390212345606", server: pbx1, transport: quic}
- {username: "1007", virtual_number: "+390212345607", server: pbx1, acl: [10.0.0.1/8]}
"""


@pytest.fixture
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RECONNECT_PROJECT", str(ROOT))
    (tmp_path / "hosts").write_text("[servers]\npbx1\n")
    (tmp_path / "accounts").mkdir()
    return tmp_path


def test_ten_mistakes_are_ten_sentences_and_exit_code_2(inventory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (inventory / "accounts" / "sales.yml").write_text(TEN_MISTAKES)
    assert cli.run(["accounts", "validate", "--inventory", str(inventory), "--json"]) == 2
    found = json.loads(capfd.readouterr().out)
    assert [one["where"] for one in found["mistakes"]] == [
        f"accounts/sales.yml:{line}" for line in (4, 3, 7, 8, 9, 10, 11, 12, 13, 14)
    ]
    assert cli.run(["accounts", "validate", "--inventory", str(inventory)]) == 2
    said = capfd.readouterr()
    assert len(said.err.splitlines()) == 10
    assert said.out == ""
    assert "canary-in-the-clear" not in said.err


def test_three_hundred_accounts_without_a_mistake(inventory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    entries = "".join(f'- {{username: "{n}", virtual_number: "+39021234{n}"}}\n' for n in range(1000, 1300))
    common = "group: {name: a, server: pbx1, defaults: {password: '{{ x }}'}}\n"
    (inventory / "accounts" / "a.yml").write_text(f"{common}accounts:\n{entries}")
    assert cli.run(["accounts", "validate", "--inventory", str(inventory)]) == 0
    assert "300 accounts of 1 server," in capfd.readouterr().out


def test_no_registry_is_one_sentence(inventory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (inventory / "accounts").rmdir()
    assert cli.run(["accounts", "validate", "--inventory", str(inventory)]) == 2
    assert "accounts is missing" in capfd.readouterr().err.replace("\n", "")


def test_an_inventory_without_servers_is_one_sentence(inventory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (inventory / "hosts").write_text("[server]\npbx1\n")
    assert cli.run(["accounts", "validate", "--inventory", str(inventory)]) == 2
    assert "no host in the group 'servers'" in capfd.readouterr().err


def test_the_registry_is_the_one_that_the_inventory_names(inventory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (inventory / "group_vars").mkdir()
    (inventory / "group_vars" / "all.yml").write_text("reconnect_account_registry: {plugin: nowhere}\n")
    assert cli.run(["accounts", "validate", "--inventory", str(inventory)]) == 2
    assert "no account registry 'nowhere'" in capfd.readouterr().err
