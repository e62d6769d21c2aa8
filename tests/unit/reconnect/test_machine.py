from __future__ import annotations

import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from reconnect import machine, settings
from reconnect.errors import InputError, ReconnectError


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


@pytest.mark.parametrize(
    "ask",
    [lambda: machine.state_folder(None), lambda: machine.state_folder(Path("~nobody-here/x")), settings.settings_file],
)
def test_a_user_without_a_home_is_one_sentence(monkeypatch: pytest.MonkeyPatch, ask: Callable[[], object]) -> None:
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "RECONNECT_SETTINGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    with pytest.raises(InputError, match="Cannot find the home folder of '~"):
        ask()


@pytest.mark.attack("another user's folder is named by the environment that su or sudo keeps")
def test_the_runtime_folder_of_another_user_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert machine.warm_folder(Path("/state")) == tmp_path / "reconnect"
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert machine.warm_folder(Path("/state")) == Path("/state/warm")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "missing"))
    assert machine.warm_folder(Path("/state")) == Path("/state/warm")
