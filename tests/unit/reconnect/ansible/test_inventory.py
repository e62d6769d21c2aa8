"""The inventory as a run uses it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reconnect.ansible import inventory
from reconnect.ansible.project import Project
from reconnect.errors import InputError


@pytest.fixture
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """digest(): of the inventory in `source` as it is now, without asking Ansible."""
    monkeypatch.setattr(inventory, "ask_ansible", lambda *_: '{"hosts": ["pbx1"], "groups": {"servers": ["pbx1"]}}')
    source = tmp_path / "source"
    (source / "group_vars").mkdir(parents=True)
    (source / "hosts").write_text("[servers]\npbx1\n")
    (source / "group_vars" / "servers.yml").write_text("reconnect_sip_port: 5061\n")
    return lambda: inventory.load(source, Project(tmp_path)).digest


def test_the_same_inventory_has_the_same_digest(digest: Callable[[], str], tmp_path: Path) -> None:
    first = digest()
    assert len(first) == 64
    (tmp_path / "source" / ".hosts.swp").write_text("an editor's")
    assert digest() == first


@pytest.mark.parametrize(
    ("name", "text"),
    [("group_vars/servers.yml", "reconnect_sip_port: 5060\n"), ("host_vars.yml", ""), ("hosts", "[servers]\npbx1 \n")],
)
def test_a_file_that_changes_changes_the_digest(
    digest: Callable[[], str], tmp_path: Path, name: str, text: str
) -> None:
    first = digest()
    (tmp_path / "source" / name).write_text(text)
    assert digest() != first


def test_hosts_that_change_change_the_digest(digest: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    first = digest()
    more = '{"hosts": ["pbx1", "pbx2"], "groups": {"servers": ["pbx1"]}}'
    monkeypatch.setattr(inventory, "ask_ansible", lambda *_: more)
    assert digest() != first


def test_hosts_outside_the_group_of_servers_are_no_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "ask_ansible", lambda *_: '{"hosts": ["pbx1"], "groups": {"server": ["pbx1"]}}')
    with pytest.raises(InputError, match=r"There is no host in the group 'servers' of .*ansible-inventory -i"):
        inventory.load(tmp_path, Project(tmp_path))


@pytest.fixture
def remembering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[list[str], int]]:
    """remembering(): the hosts of the inventory in `source` as it is now, and how often Ansible was asked so far."""
    source, asked = tmp_path / "source", []
    (source / "group_vars").mkdir(parents=True)
    (source / "hosts").write_text("pbx1\n")
    (tmp_path / "ansible.cfg").write_text("[defaults]\n")

    def ask(*_: object) -> str:
        asked.append("asked")
        hosts = (source / "hosts").read_text().split()
        return json.dumps({"hosts": hosts, "groups": {"servers": hosts}})

    monkeypatch.setattr(inventory, "ask_ansible", ask)

    def load() -> tuple[list[str], int]:
        found = inventory.load(source, Project(tmp_path), tmp_path / "memory")
        return sorted(found.hosts), len(asked)

    return load


def test_names_are_read_once(remembering: Callable[[], tuple[list[str], int]], tmp_path: Path) -> None:
    assert [remembering(), remembering()] == [(["pbx1"], 1), (["pbx1"], 1)]
    [file] = (tmp_path / "memory").iterdir()
    assert (file.stat().st_mode & 0o077, file.parent.stat().st_mode & 0o077) == (0, 0)


@pytest.mark.parametrize("name", ["source/hosts", "source/more", "source/group_vars/all.yml", "ansible.cfg"])
def test_names_are_read_again_when_a_file_changes(
    remembering: Callable[[], tuple[list[str], int]], tmp_path: Path, name: str
) -> None:
    remembering()
    with (tmp_path / name).open("a") as file:
        file.write("# pbx2\n")
    assert remembering()[1] == 2
    assert remembering()[1] == 2


def test_names_are_read_again_when_a_setting_of_ansible_changes(
    remembering: Callable[[], tuple[list[str], int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    remembering()
    monkeypatch.setenv("ANSIBLE_INVENTORY_IGNORE_EXTS", ".old")
    assert remembering()[1] == 2


@pytest.mark.parametrize(
    "text", ["#!/bin/sh\n", "plugin: site.cmdb\n", '{"plugin": "constructed"}', "$ANSIBLE_VAULT;1.1;AES256\n"]
)
def test_what_a_program_a_plugin_or_a_vault_says_is_never_remembered(
    remembering: Callable[[], tuple[list[str], int]], tmp_path: Path, text: str
) -> None:
    (tmp_path / "source" / "more.yml").write_text(text)
    remembering()
    assert remembering()[1] == 2
    assert not (tmp_path / "memory").exists()


def test_a_program_of_any_content_is_never_remembered(
    remembering: Callable[[], tuple[list[str], int]], tmp_path: Path
) -> None:
    (tmp_path / "source" / "more").touch(mode=0o700)
    remembering()
    assert remembering()[1] == 2


def test_other_plugins_of_the_site_are_never_remembered(
    remembering: Callable[[], tuple[list[str], int]], tmp_path: Path
) -> None:
    (tmp_path / "ansible.cfg").write_text("[inventory]\nenable_plugins = site.cmdb\n")
    remembering()
    assert remembering()[1] == 2


def test_a_linked_folder_is_never_remembered(remembering: Callable[[], tuple[list[str], int]], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "source" / "linked").symlink_to(tmp_path / "other")
    remembering()
    assert remembering()[1] == 2


@pytest.mark.attack("what is remembered of an inventory is damaged")
@pytest.mark.parametrize("text", ["", "[]", '{"key": 1}', "{", '{"names": {"hosts": 1}}'])
def test_a_damaged_memory_is_written_again(
    remembering: Callable[[], tuple[list[str], int]], tmp_path: Path, text: str
) -> None:
    remembering()
    [file] = (tmp_path / "memory").iterdir()
    file.write_text(text)
    assert [remembering(), remembering()] == [(["pbx1"], 2), (["pbx1"], 2)]


def test_a_file_that_changes_while_it_is_read_is_not_remembered(
    remembering: Callable[[], tuple[list[str], int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = inventory.ask_ansible

    def changed(*words: Any) -> str:
        (tmp_path / "source" / "more").write_text("pbx3\n")
        return ask(*words)

    monkeypatch.setattr(inventory, "ask_ansible", changed)
    remembering()
    assert not (tmp_path / "memory").exists()
