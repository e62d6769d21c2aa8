"""A playbook in an execution environment: podman is a program that does what it was told without a container."""

from __future__ import annotations

import itertools
import json
import os
import socket
import sys
from pathlib import Path

import pytest
from reconnect.ansible.isolation import Isolation
from reconnect.ansible.playbook import short_private_folder
from reconnect.errors import InputError

from ..conftest import Workplace

PODMAN = f"""#!{sys.executable}
import json, os, sys
note = os.environ["NOTE"]
with open(note, "a") as file:
    print(json.dumps(sys.argv[1:]), file=file)
words = sys.argv[1:]
if words[0] == "run":
    at = words.index("reconnect-ee:1")
    options = words[:at]
    mounts = [one.split(":") for name, one in zip(options, options[1:]) if name == "-v"]
    [data] = [here for here, there, *_ in mounts if there.rstrip("/") == "/runner"]
    translated = lambda text: text.replace("/runner/", data.rstrip("/") + "/")
    with open(options[options.index("--env-file") + 1]) as file:
        inside = dict(line.rstrip("\\n").split("=", 1) for line in file)
    with open(note + ".environment", "w") as file:
        json.dump(inside, file)
    path = os.path.dirname(sys.executable) + ":" + os.defpath
    inside = {{name: translated(value) for name, value in inside.items()}} | {{"PATH": path, "HOME": data}}
    os.chdir(options[options.index("--workdir") + 1])
    os.execvpe(words[at + 1], [translated(one) for one in words[at + 1:]], inside)
"""
JUDGES = """
- hosts: servers
  gather_facts: false
  tasks:
    - name: Judge
      ansible.builtin.set_fact:
        reconnect_judgement: {verdict: {outcome: not_an_issue, user_message: "Ask your provider."}, findings: []}
"""


@pytest.fixture
def podman(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What podman was told, a line each, in a site that names an execution environment."""
    programs = workplace.folder / "bin"
    programs.mkdir()
    (programs / "podman").write_text(PODMAN)
    (programs / "podman").chmod(0o755)
    note = workplace.folder / "note"
    key = workplace.folder / "key"
    key.touch()
    workplace.environment |= {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "NOTE": str(note),
        "RECONNECT_EXECUTION_ENVIRONMENT": "reconnect-ee:1",
        "RECONNECT_EXECUTION_ENVIRONMENT_MOUNTS": json.dumps([str(key)]),
        "RECONNECT_EXECUTION_ENVIRONMENT_OPTIONS": '["--pids-limit=0"]',
        "ANSIBLE_FORKS": "7",
        "SECRET_OF_THE_SHELL": "none of its business",
    }
    return note


def test_the_playbook_runs_in_a_container_that_is_removed(workplace: Workplace, podman: Path) -> None:
    workplace.playbook(JUDGES)
    ended = workplace.diagnose("alpha")
    assert ended.code == 0, ended.stderr
    *_, told, removed = map(json.loads, podman.read_text().splitlines())
    at = told.index("reconnect-ee:1")
    assert told[at + 1] == "ansible-playbook"
    assert {"--rm", "--network=host", "--user=0", "--pids-limit=0"} <= set(told[:at])
    assert removed == ["rm", "--force", "--ignore", told[told.index("--name") + 1]]
    mounts = [one for name, one in itertools.pairwise(told) if name == "-v"]
    folder = workplace.folder
    assert {f"{folder}:{folder}:ro", f"{folder / 'inventory'}:{folder / 'inventory'}:ro"} <= set(mounts)
    assert f"{folder / 'key'}:{folder / 'key'}:ro" in mounts
    written = [one.split(":")[0] for one in mounts if one.endswith(":rw")]
    inside = json.loads(Path(f"{podman}.environment").read_text())
    for name in ("RECONNECT_RESULT_DIR", "ANSIBLE_LOCAL_TEMP", "ANSIBLE_SSH_CONTROL_PATH_DIR", "RECONNECT_GUARD"):
        assert any(Path(inside[name]).is_relative_to(one) for one in written), name
    assert inside["ANSIBLE_FORKS"] == "7"
    assert inside["ANSIBLE_INJECT_FACT_VARS"] == "False"
    assert {"PATH", "SECRET_OF_THE_SHELL", "NOTE"}.isdisjoint(inside)


def test_what_is_not_there_ends_the_run_with_a_sentence(workplace: Workplace, podman: Path) -> None:
    workplace.playbook(JUDGES)
    (workplace.folder / "key").unlink()
    ended = workplace.diagnose("alpha")
    assert ended.code != 0
    assert f"Cannot mount '{workplace.folder / 'key'}': it is not there." in " ".join(ended.stdout.split())
    assert not podman.exists()


def test_a_path_with_a_colon_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()
    with pytest.raises(InputError, match="it has a colon"):
        Isolation("image", [tmp_path / "a:b"]).options(tmp_path, [], [])


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home folder beside a program podman."""
    (tmp_path / "podman").write_text("#!/bin/sh\n")
    (tmp_path / "podman").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return tmp_path


def mounts(isolation: Isolation) -> list[str]:
    return list(isolation.options(Path("/project"), [], [])["container_volume_mounts"])


@pytest.mark.usefixtures("installed")
def test_an_agent_is_mounted_while_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with short_private_folder("agent") as folder, socket.socket(socket.AF_UNIX) as listener:
        agent = folder / "agent"
        monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
        assert mounts(Isolation("image")) == []
        listener.bind(str(agent))
        assert mounts(Isolation("image")) == [f"{agent}:{agent}:rw"]


def test_an_agent_that_cannot_be_mounted_is_left_out(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (installed / "a:b").touch()
    monkeypatch.setenv("SSH_AUTH_SOCK", str(installed / "a:b"))
    assert mounts(Isolation("image")) == []


def test_files_of_passwords_are_there(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (installed / "vault").touch()
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", "~/vault")
    file = str(installed / "vault")
    assert mounts(Isolation("image")) == [f"{file}:{file}:ro"]
    assert Isolation("image").environment({})["ANSIBLE_VAULT_PASSWORD_FILE"] == file
    monkeypatch.setenv("ANSIBLE_BECOME_PASSWORD_FILE", "/proc/1/fd/7")
    with pytest.raises(InputError, match=r"typed does not reach an execution environment\. Give it in a file\."):
        mounts(Isolation("image"))


def test_a_mount_may_be_in_the_home_folder(installed: Path) -> None:
    (installed / "keys").mkdir()
    assert mounts(Isolation("image", [Path("~/keys")])) == [f"{installed}/keys:{installed}/keys:ro"]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("path", ["/", "/home", "/usr/"])
def test_what_ansible_runner_refuses_is_said(path: str) -> None:
    with pytest.raises(InputError, match="Name a folder below"):
        mounts(Isolation("image", [Path(path)]))


def test_what_cannot_be_looked_at_is_said(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    isolation = Isolation("image", [installed / "keys"])
    monkeypatch.setattr(Path, "exists", denied)
    with pytest.raises(InputError, match="keys': Permission denied"):
        mounts(isolation)


def test_a_site_without_podman_is_told(workplace: Workplace, podman: Path) -> None:
    workplace.playbook(JUDGES)
    (workplace.folder / "bin" / "podman").unlink()
    workplace.environment["PATH"] = str(workplace.folder / "bin")
    ended = workplace.diagnose("alpha")
    assert ended.code != 0
    assert "There is no podman to run the playbook in 'reconnect-ee:1'. Install it." in " ".join(ended.stdout.split())
