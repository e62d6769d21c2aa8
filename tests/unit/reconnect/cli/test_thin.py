# SPDX-License-Identifier: GPL-3.0-or-later
"""Which commands a process carries out that the warm process forks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from reconnect.__main__ import main
from reconnect.ansible.warm import command, launcher, protocol
from reconnect.cli import thin
from reconnect.cli.commands import COMMANDS
from reconnect.exit_codes import ExitCode

SCRIPT = command.script()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """What the launcher was asked for."""
    calls: list[Any] = []
    monkeypatch.setattr(launcher, "stand_for", lambda *words, **more: calls.append((*words, more)))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("RECONNECT_WARM", raising=False)
    return calls


def typed(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *words])
    thin.stand_for_a_run()


def test_a_command_that_loads_much_is_carried_out_there(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    typed(monkeypatch, "show", "latest")
    assert asked == [(str(SCRIPT), str(tmp_path / "reconnect"), ["show", "latest"], {"in_a_shell": True})]


def test_a_run_of_a_service_is_carried_out_there(asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    started, *words = command.work("20261128-101500-000001")
    assert started == str(SCRIPT)
    typed(monkeypatch, *words)
    assert [call[2] for call in asked] == [["carry-out", "20261128-101500-000001"]]


def test_without_an_installed_command_a_service_starts_the_module(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert command.work() == [str(tmp_path / "python"), "-P", "-m", "reconnect", "carry-out"]


def test_it_knows_commands_that_there_are() -> None:
    assert set(COMMANDS) > thin.COMMANDS


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--help",),
        ("serve",),
        ("worker",),
        ("users", "add", "1005"),
        ("diagnose-server", "pbx22", "--ask-vault-pass"),
        ("diagnose-server", "pbx22", "--ask-become-pass"),
    ],
)
def test_others_are_carried_out_here(asked: list[Any], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    typed(monkeypatch, *words)
    assert asked == []


@pytest.mark.parametrize("off", ["0", "false", "No", "OFF"])
def test_the_setting_switches_it_off(asked: list[Any], monkeypatch: pytest.MonkeyPatch, off: str) -> None:
    monkeypatch.setenv("RECONNECT_WARM", off)
    typed(monkeypatch, "show", "latest")
    assert asked == []


def test_without_a_home_the_command_says_so_itself(asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setenv("RECONNECT_STATE_DIR", "~nobody-here/x")
    typed(monkeypatch, "show", "latest")
    assert asked == []


def test_a_run_of_the_warm_process_carries_it_out(asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "forked_by", ("folder", "name"))
    typed(monkeypatch, "show", "latest")
    assert asked == []


def test_who_cancels_while_the_warm_process_is_asked_reads_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def cancelled() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(thin, "stand_for_a_run", cancelled)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == ExitCode.STOPPED
    assert capsys.readouterr().err == "reconnect: Cancelled. Nothing was executed.\n"


def test_another_program_is_no_command(asked: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "reconnect"), "show", "latest"])
    thin.stand_for_a_run()
    assert asked == []


def test_a_thin_client_loads_only_what_it_needs() -> None:
    program = "import sys; before = set(sys.modules); from reconnect.cli import thin; print(*set(sys.modules) - before)"
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    loaded = ended.stdout.split()
    assert {name.partition(".")[0] for name in loaded} <= {*sys.stdlib_module_names, "reconnect"}
    assert "asyncio" not in loaded
