"""A run in a process that the warm process forks finds what one finds that is started."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from trials.tools import INVENTORY, RECONNECT, ROOT, Ended, Lab, surroundings, until


def resident(folder: Path) -> psutil.Process | None:
    """The warm process whose socket is in a folder, once it listens."""
    if not any(file.is_socket() for file in folder.glob("*")):
        return None
    shown = [process for process in psutil.process_iter(["cmdline"]) if str(folder) in (process.info["cmdline"] or [])]
    return next((process for process in shown if process.ppid() == 1), None)


@pytest.mark.hosts("pbx22")
def test_a_warm_run_finds_what_another_finds(
    lab: Lab, reconnect: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECONNECT_WARM", "1")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    started = reconnect("diagnose-server", "pbx22")
    folder = tmp_path / "reconnect"
    until(lambda: resident(folder) is not None)
    warm = resident(folder)
    assert warm is not None
    try:
        with subprocess.Popen(
            [RECONNECT, "diagnose-server", "pbx22", "--inventory", INVENTORY, "--json"],
            cwd=ROOT,
            env={**os.environ, **surroundings(tmp_path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as command:
            # The keeper of the run.
            until(lambda: bool(warm.children()))
        assert command.returncode == started.code
        until(lambda: not warm.children())
    finally:
        warm.kill()
    found, expected = reconnect("show", "latest").result, started.result
    assert found["run_id"] != expected["run_id"]
    assert found["verdict"]["outcome"] == expected["verdict"]["outcome"]
    assert len(found["findings"]) >= 60
