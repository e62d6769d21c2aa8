# SPDX-License-Identifier: GPL-3.0-or-later
"""What everybody expects of a command: help, version, completion, and a terminal without colours."""

from __future__ import annotations

import io
import os
import stat
import subprocess
from pathlib import Path

import pytest
import typer
from reconnect.cli import commands
from reconnect.cli.commands import running
from reconnect.cli.terminal import Terminal
from reconnect.runs.request import DIAGNOSE, Asked
from rich.text import Text

PACKAGING = Path(__file__).parents[4] / "packaging"


@pytest.mark.parametrize("words", [["-h"], ["--help"], ["causes", "-h"], ["accounts", "validate", "-h"]])
def test_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run(words) == 0
    assert "Usage: reconnect" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run(["--version"]) == 0
    long = capsys.readouterr().out
    assert commands.run(["version"]) == 0
    assert capsys.readouterr().out == long != ""


def test_no_color_is_no_bold_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")

    def printed() -> str:
        stream = io.StringIO()
        Terminal(stream).print(Text("said", "bold red"))
        return stream.getvalue()

    assert "\x1b" in printed()
    monkeypatch.setenv("NO_COLOR", "1")
    assert printed() == "said\n"


def completed(*words: str) -> set[str]:
    """What bash offers for the last word."""
    script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _reconnect; echo "${COMPREPLY[@]}"'
    ended = subprocess.run(
        ["bash", "-c", script, "bash", PACKAGING / "completion" / "reconnect", "reconnect", *words],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(ended.stdout.split())


def test_completion_of_bash() -> None:
    assert completed("dia") == {"diagnose-server"}
    assert completed("diagnose-server", "pbx22", "--app") == {"--apply", "--approve"}
    assert completed("accounts", "") == {"validate"}
    assert {"add", "list"} <= completed("users", "")
    assert {"--inventory", "--json"} <= completed("accounts", "validate", "--")
    assert completed("report", "latest", "--html", "/etc/pass") >= {"/etc/passwd"}


def test_completion_says_what_each_command_and_group_does() -> None:
    lines = (PACKAGING / "completion" / "reconnect.fish").read_text(encoding="utf-8").splitlines()
    said = {line.split()[6]: line.partition(" -d ")[2] for line in lines if "use_subcommand -a" in line}
    assert said.keys() == commands.COMMANDS.keys()
    assert [name for name, text in said.items() if len(text) < 10] == []


def test_files_of_passwords_are_named_to_ansible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANSIBLE_VAULT_PASSWORD_FILE", "ANSIBLE_BECOME_PASSWORD_FILE"):
        monkeypatch.setenv(name, "of the environment")
    monkeypatch.chdir(tmp_path)
    Path("password").touch()
    running._passwords(Asked(playbook=DIAGNOSE, vault_password_file=Path("password")))
    assert os.environ["ANSIBLE_VAULT_PASSWORD_FILE"] == str(tmp_path / "password")
    assert os.environ["ANSIBLE_BECOME_PASSWORD_FILE"] == "of the environment"


@pytest.mark.attack("somebody looks for the password that a person typed", harm="leak")
def test_a_password_that_is_asked_for_is_in_memory_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ANSIBLE_VAULT_PASSWORD_FILE", "ANSIBLE_BECOME_PASSWORD_FILE"):
        monkeypatch.setenv(name, "of the environment")
    assert commands.run(["diagnose-server", "alpha", "--ask-become-pass"]) == 2
    said = "Cannot ask for the password of sudo on the servers: no terminal. Give --become-password-file."
    assert said in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda prompt: "Quittenbaum")
    running._passwords(Asked(playbook=DIAGNOSE, ask_vault_pass=True))
    file = os.environ["ANSIBLE_VAULT_PASSWORD_FILE"]
    assert os.environ["ANSIBLE_BECOME_PASSWORD_FILE"] == "of the environment"
    # As Ansible does: more than once, from other processes, and it would run what may be executed.
    assert [subprocess.check_output(["cat", file]) for _ in range(2)] == [b"Quittenbaum"] * 2
    assert os.readlink(file).startswith("/memfd:")
    assert (stat.S_IMODE(os.stat(file).st_mode), os.access(file, os.X_OK)) == (0o400, False)


def test_a_password_comes_from_a_file_or_from_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    for what in ("vault", "become"):
        words = ["diagnose-server", "alpha", f"--ask-{what}-pass", f"--{what}-password-file", "x"]
        assert commands.run(words) == 2
        assert f"--ask-{what}-pass and --{what}-password-file exclude each other" in capsys.readouterr().err


def test_every_command_is_in_the_manual() -> None:
    manual = (PACKAGING / "man" / "reconnect.1").read_text(encoding="utf-8").replace("\\-", "-")
    group = typer.main.get_command(commands.app)
    assert [name for name in vars(group)["commands"] if f".SS reconnect {name}" not in manual] == []
