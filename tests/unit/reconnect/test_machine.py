from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from reconnect import machine
from reconnect.errors import ReconnectError


def test_every_process_gives_the_same_name(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as many:
        names = set(many.map(lambda _: machine.machine.__wrapped__(tmp_path / "state"), range(40)))
    assert len(names) == 1
    [file] = (tmp_path / "state").iterdir()
    assert not file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)


def test_two_state_folders_are_two_machines(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    assert machine.machine(here) != machine.machine(there)
    assert machine.is_here(here, machine.worker(here, 12))
    assert not any(machine.is_here(there, name) for name in (machine.worker(here, 12), None, "", "x.1"))


def test_a_state_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    with pytest.raises(ReconnectError, match="state: File exists"):
        machine.machine(tmp_path / "state")
