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


def test_a_task_for_several_servers_ends_a_step_of_each() -> None:
    steps: list[playbook.StepEnd] = []
    seen = playbook._Seen(playbook.Watch(step=steps.append))

    def ended(stdout: str) -> list[playbook.StepEnd]:
        steps.clear()
        data = {"host": "pbx1", "task": "Gather evidence", "duration": 1.5}
        seen.event({"event": "runner_on_ok", "stdout": stdout, "event_data": data})
        return steps

    assert ended("\x1b[0;32mpbx1 ➜ Gather evidence: ok  0.5 s\x1b[0m") == [
        playbook.StepEnd("pbx1", "Gather evidence", "ok", 1.5)
    ]
    both = "\x1b[0;32mpbx1 ➜ Gather evidence: ok  0.5 s\x1b[0m\npbx2 ➜ Gather evidence: failed\n    no: such ➜ port: ok"
    assert ended(both) == [
        playbook.StepEnd("pbx1", "Gather evidence", "ok", 0.5),
        playbook.StepEnd("pbx2", "Gather evidence", "failed", None),
    ]
