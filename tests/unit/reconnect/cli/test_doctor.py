# SPDX-License-Identifier: GPL-3.0-or-later
"""What `reconnect doctor` finds missing, and the command that it names."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from reconnect.ansible import inventory
from reconnect.ansible.inventory import Inventory
from reconnect.ansible.project import Project
from reconnect.cli import commands
from reconnect.cli.commands import doctor
from reconnect.settings import Settings
from reconnect.settings.notifications import NotificationSettings
from reconnect.settings.service import ServiceSettings

ROOT = Path(__file__).parents[4]
#: As `ansible --one-line` says it.
ANSWERS = """\
good | SUCCESS => {"changed": false,"ping": "pong"}
new | UNREACHABLE!: Failed to connect to the host via ssh: Host key verification failed.
shut | UNREACHABLE!: Failed to connect to the host via ssh: root@shut: Permission denied (publickey,password).
sudo | FAILED! => {"changed": false,"msg": "Task failed: Missing sudo password: sudo: a password is required"}
lost | UNREACHABLE!: Failed to connect to the host via ssh: ssh: Could not resolve hostname lost: Name or service
away | UNREACHABLE!: Failed to connect to the host via ssh: ssh: connect to host away port 22: No route to host
bare | FAILED! => {"changed": false,"msg": "The module interpreter '/opt/python' was not found.","rc": 127}
broken | FAILED! => {"changed": false,"msg": "Module result deserialization failed: No start of json char found"}
stranger | UNREACHABLE!: what a server printed
"""
HOSTS = frozenset(["good", "new", "shut", "sudo", "lost", "away", "bare", "broken"])


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda words, **_: subprocess.CompletedProcess(words, 4, stdout=ANSWERS))


def test_servers_that_nobody_can_log_in_to(answers: None, tmp_path: Path) -> None:
    found = list(doctor.logins(Inventory(tmp_path, HOSTS, {"servers": HOSTS}), Project(ROOT)))
    more = "-m ansible.builtin.ping -vvv"
    assert [(one.sentence, one.command) for one in found] == [
        ("Cannot work on new: its host key is unknown or has changed.", "ssh new"),
        ("Cannot work on shut: it refuses the key or the user.", f"ansible -i {tmp_path} shut {more}"),
        ("Cannot work on sudo: sudo wants a password there.", "ssh sudo sudo -n true"),
        ("Cannot work on lost: its name has no address.", "getent hosts lost"),
        ("Cannot work on away: it cannot be reached.", f"ansible -i {tmp_path} away {more}"),
        (
            "Cannot work on bare: the inventory names a Python that it does not have.",
            f"ansible -i {tmp_path} bare {more}",
        ),
        ("Cannot work on broken: it runs no module of Ansible.", f"ansible -i {tmp_path} broken {more}"),
    ]


def test_a_misspelt_variable_of_the_inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Ansible's own collections are installed, too: a package that hides ours.
    hiding = tmp_path / "installed" / "ansible_collections"
    hiding.mkdir(parents=True)
    (hiding / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(hiding.parent), os.environ.get("PYTHONPATH")])))
    tmp_path = tmp_path / "site"
    tmp_path.mkdir()
    (tmp_path / "hosts").write_text("[servers]\npbx1\npbx2 reconnect_sip_port=5061\n")
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars" / "pbx1.yml").write_text(
        "reconnect_sip_domian: a\nreconnect_addresses: []\nreconnect_site_note: x\nreconnect_keep_collector: true\n"
    )
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all.yml").write_text("reconnect_nat_address: ['{{ 1 / 0 }}']\n")
    found = {one.sentence for one in doctor.misspelt(inventory.load(tmp_path, Project(ROOT)), Project(ROOT))}
    assert found == {
        "Nobody reads the variable 'reconnect_sip_domian' of pbx1. Did you mean 'reconnect_sip_domain'?",
        "Nobody reads the variable 'reconnect_nat_address' of pbx1. Did you mean 'reconnect_nat_addresses'?",
    }
    (tmp_path / "host_vars" / "pbx1.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n00\n")
    assert list(doctor.misspelt(inventory.load(tmp_path, Project(ROOT)), Project(ROOT))) == []


def test_a_vault_without_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANSIBLE_VAULT_PASSWORD_FILE", raising=False)
    monkeypatch.delenv("ANSIBLE_VAULT_IDENTITY_LIST", raising=False)
    (tmp_path / "plain.yml").write_text("a: 1\n")
    assert list(doctor.vault(tmp_path, Project(ROOT))) == []
    (tmp_path / "secret.yml").write_text("a: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162\n")
    (found,) = doctor.vault(tmp_path, Project(ROOT))
    assert str(tmp_path / "secret.yml") in found.sentence
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", "/some/file")
    assert list(doctor.vault(tmp_path, Project(ROOT))) == []


def test_vantage_points(tmp_path: Path) -> None:
    (found,) = doctor.vantage_points(Inventory(tmp_path, HOSTS, {"vantage_points": frozenset()}))
    assert "no vantage point" in found.sentence
    assert list(doctor.vantage_points(Inventory(tmp_path, HOSTS, {"vantage_points": frozenset(["phone"])}))) == []


def test_a_policy_that_names_no_group_of_the_inventory(tmp_path: Path) -> None:
    own, known = tmp_path / "policy.yml", Inventory(tmp_path, HOSTS, {"shop": frozenset(["good"])})
    loaded = Settings(policy=own)
    for groups, sentences in (
        ("shop", []),
        ("shops", ["The group 'shops' of the policy is no group of the inventory. Correct one of them."]),
    ):
        own.write_text(f"fix: {{groups: [{groups}]}}\n")
        assert [one.sentence for one in doctor.policy_of_the_site(loaded, known, Project(ROOT))] == sentences
    own.write_text("fix: {colour: red}\n")
    assert [one.command for one in doctor.policy_of_the_site(loaded, known, Project(ROOT))] == [f"less {own}"]


def test_a_program_that_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [one.command for one in doctor.programs()] == ["apt install openssh-client"]


def test_without_an_inventory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RECONNECT_STATE_DIR", str(tmp_path / "state"))
    assert commands.run(["doctor", "--inventory", str(tmp_path / "nowhere"), "--json"]) == 10
    (found,) = json.loads(capsys.readouterr().out)
    assert found["sentence"] == f"There is no inventory at '{tmp_path / 'nowhere'}'."


def test_a_setting_of_notifications_that_is_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONNECT_SETTINGS", "/etc/reconnect/own.yml")
    chat = NotificationSettings.model_validate({"chat": {"url": "https://chat.example.org/hooks/1"}})
    (found,) = doctor.notifications(Settings.model_construct(service=ServiceSettings(notifications=chat)))
    assert ("service.origin" in found.sentence, found.command) == (True, "less /etc/reconnect/own.yml")
    own = ServiceSettings(notifications=chat, origin="https://reconnect.example.org")
    assert list(doctor.notifications(Settings.model_construct(service=own))) == []


def test_an_execution_environment_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list(doctor.images(Settings())) == []
    named = Settings(execution_environment="site/ee:1")
    assert [one.sentence for one in doctor.images(named)] == ["The program podman is missing."]
    podman = tmp_path / "podman"
    podman.write_text('#!/bin/sh\n[ "$*" = "image exists site/ee:2" ]\n')
    podman.chmod(0o755)
    assert [(one.sentence, one.command) for one in doctor.images(named)] == [
        ("The execution environment site/ee:1 is not on this machine.", "podman pull site/ee:1")
    ]
    assert list(doctor.images(Settings(execution_environment="site/ee:2"))) == []
    podman.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    monkeypatch.setattr(doctor, "ENGINE_SECONDS", 0.2)
    assert [one.sentence for one in doctor.images(named)] == ["The program podman does not answer."]
