"""What a play leaves behind."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pexpect
import pytest
from reconnect.ansible import playbook


def test_what_a_killed_process_left_is_removed_and_nothing_of_another_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(playbook, "MEMORY", tmp_path)
    outside = tmp_path / "outside"
    outside.mkdir()
    never_left = playbook.short_private_folder("20261127-102355-59870b4")
    killed = never_left.__enter__()
    (killed / "env").mkdir()
    (killed / "env" / "extravars").write_text("{}")
    (killed / "link").symlink_to(outside)
    with playbook.short_private_folder("20261127-102356-59870b5") as other:
        assert (killed.parent, killed.stat().st_mode & 0o777) == (tmp_path, 0o700)
        playbook.remove_left("20261127-102355-59870b4")
        assert (killed.exists(), other.exists(), outside.exists()) == (False, True, True)


def test_nothing_waits_after_a_program_has_ended() -> None:
    with contextlib.closing(pexpect.spawn("true")) as program:
        assert program.ptyproc.delayafterclose == 0
