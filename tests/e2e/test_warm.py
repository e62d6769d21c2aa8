"""A run in a process that the warm process forks finds what one finds that is started."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from trials.tools import INVENTORY, RECONNECT, ROOT, Ended, Lab, surroundings, until


def residents(folder: Path) -> list[psutil.Process]:
    """The warm processes whose sockets are in a folder, once both listen: for the command, and for its playbook."""
    if sum(file.is_socket() for file in folder.glob("*")) < 2:
        return []
    shown = [process for process in psutil.process_iter(["cmdline"]) if str(folder) in (process.info["cmdline"] or [])]
    return [process for process in shown if process.ppid() == 1]


@pytest.mark.hosts("pbx22")
def test_a_warm_run_finds_what_another_finds(
    lab: Lab, reconnect: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECONNECT_WARM", "1")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    started = reconnect("diagnose-server", "pbx22")
    folder = tmp_path / "reconnect"
    try:
        until(lambda: len(residents(folder)) == 2)
        warm = residents(folder)
        with subprocess.Popen(
            [RECONNECT, "diagnose-server", "pbx22", "--inventory", INVENTORY, "--json"],
            cwd=ROOT,
            env={**os.environ, **surroundings(tmp_path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as command:
            # The keepers of the command and of its playbook.
            until(lambda: all(process.children() for process in warm))
        assert command.returncode == started.code
        until(lambda: not any(process.children() for process in warm))
        found, expected = reconnect("show", "latest").result, started.result
    finally:
        for process in residents(folder):
            process.kill()
    assert found["run_id"] != expected["run_id"]
    assert found["verdict"]["outcome"] == expected["verdict"]["outcome"]
    assert len(found["findings"]) >= 60
