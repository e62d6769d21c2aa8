# SPDX-License-Identifier: GPL-3.0-or-later
"""`reconnect inspect`: where the file goes, and what is never overwritten."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import pytest
from reconnect.ansible import inspecting
from reconnect.ansible.playbook import Play, PlayEnd, PlayRunner, Watch
from reconnect.cli import commands

TEXT = "---\nreconnect_sip_port: 5061\n"


@pytest.fixture
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "hosts").write_text("[servers]\npbx1\npbx2\n")
    monkeypatch.setattr(inspecting, "inspect", lambda *_given: TEXT)
    return tmp_path


def test_the_file_is_among_the_variables_of_the_host(inventory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run(["inspect", "pbx1", "--inventory", str(inventory)]) == 0
    file = inventory / "host_vars" / "pbx1.yml"
    assert file.read_text() == TEXT
    assert str(file) in capsys.readouterr().out
    assert commands.run(["inspect", "pbx1", "--inventory", str(inventory)]) == 2
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(("ended", "code"), [(4, 12), (2, 1)])
def test_the_reason_is_said_once(
    ended: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hosts").write_text("[servers]\npbx1\n")
    said = ("    Task failed: refused", "", "pbx1: unreachable: not reached", "  Task failed: refused")

    def run(_runner: PlayRunner, _play: Play, _seconds: float, _cancelled: Event, watch: Watch) -> PlayEnd:
        for line in said:
            watch.output(line)
        return PlayEnd("finished", ended, True, [], [])

    monkeypatch.setattr(PlayRunner, "run", run)
    assert commands.run(["inspect", "pbx1", "--inventory", str(tmp_path)]) == code
    assert capsys.readouterr().err == "reconnect: Cannot inspect pbx1: Task failed: refused\n"


def test_it_can_be_printed(inventory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run(["inspect", "pbx1", "--inventory", str(inventory), "--file", "-"]) == 0
    assert capsys.readouterr().out == TEXT
    assert not (inventory / "host_vars").exists()


def test_a_group_is_not_inspected(inventory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run(["inspect", "servers", "--inventory", str(inventory)]) == 2
    assert "one server at a time" in capsys.readouterr().err


def test_a_file_that_cannot_be_looked_for_is_one_sentence(inventory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run(["inspect", "pbx1", "--inventory", str(inventory), "--file", "x" * 300]) == 2
    assert "file name too long" in capsys.readouterr().err
