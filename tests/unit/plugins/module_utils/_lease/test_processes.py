# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run left on the server, as a library."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from ansible_collections.privatewave.reconnect.plugins.module_utils._lease import processes


def spawn(run_id: str, *command: str, **options: Any) -> subprocess.Popen[str]:
    """A process that belongs to a run, running its own code by the time this returns."""
    found: subprocess.Popen[str] = subprocess.Popen(
        command,
        env={"PATH": os.environ["PATH"], processes.RUN_VARIABLE: run_id},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )
    return found


def stubborn(run_id: str) -> subprocess.Popen[str]:
    """A process that ignores SIGTERM."""
    process = spawn(
        run_id,
        sys.executable,
        "-uc",
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready'); signal.pause()",
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_processes_of_the_run_are_ended_and_no_others() -> None:
    run = f"run-{uuid.uuid4()}"
    mine = spawn(run, "sleep", "600")
    deaf = stubborn(run)
    other = spawn(f"another-{run}", "sleep", "600")
    prefix = spawn(f"{run}-and-more", "sleep", "600")
    try:
        ended = processes.end_processes(run, limit=2)
        assert {(process["pid"], process["ended_by"]) for process in ended} == {
            (mine.pid, "SIGTERM"),
            (deaf.pid, "SIGKILL"),
        }
        assert mine.wait(60) == -signal.SIGTERM
        assert deaf.wait(60) == -signal.SIGKILL
        assert other.poll() is None
        assert prefix.poll() is None
        assert processes.processes_of(run) == []
    finally:
        for process in (mine, deaf, other, prefix):
            process.kill()
            process.wait()


def test_the_one_who_cleans_up_is_spared() -> None:
    folder = str(Path(processes.__file__).parent)
    me = f"run-{uuid.uuid4()}"
    code = f"import sys; sys.path.insert(0, {folder!r}); import processes; print(processes.end_processes({me!r}))"
    asker = spawn(me, "sh", "-c", 'exec "$0" -c "$1" ', sys.executable, code)
    assert asker.communicate(timeout=20)[0] == "[]\n"
    assert asker.returncode == 0
