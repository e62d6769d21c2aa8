# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run left on the server: its processes, and a shutdown of Asterisk that waits for calls to end.

Standard library only, Python 3.8 and later: it runs on the server.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ansible_collections.privatewave.reconnect.plugins.module_utils._lease.documents import EndedProcess

#: The environment variable by which a process belongs to a run.
RUN_VARIABLE = "RECONNECT_RUN_ID"


def end_processes(run_id: str, limit: float = 5.0) -> list[EndedProcess]:
    """End what a run left on this server and return the ended processes.

    A process belongs to the run when its environment has ``RECONNECT_RUN_ID`` of the run. Each gets SIGTERM and, when
    it still runs after ``limit`` seconds, SIGKILL. This process and its ancestors are spared: they may carry the same
    variable.
    """
    spared = _ancestors()
    left = {pid: _command(pid) for pid in processes_of(run_id) if pid not in spared}
    ended: list[EndedProcess] = []
    steps: tuple[tuple[signal.Signals, Literal["SIGTERM", "SIGKILL"], float], ...] = (
        (signal.SIGTERM, "SIGTERM", limit),
        (signal.SIGKILL, "SIGKILL", 1.0),
    )
    for number, name, patience in steps:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + patience
        while left and time.monotonic() < deadline:
            for pid in [pid for pid in left if not _alive(pid)]:
                ended.append({"pid": pid, "command": left.pop(pid), "ended_by": name})
            if left:
                time.sleep(0.02)
        # What a dying process started at its end belongs to the run, too.
        left.update((pid, _command(pid)) for pid in processes_of(run_id) if pid not in spared)
    return ended


def processes_of(run_id: str) -> list[int]:
    """The ids of the processes whose environment carries the run's ``RECONNECT_RUN_ID``."""
    wanted = "{0}={1}".format(RUN_VARIABLE, run_id).encode()
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open("/proc/{0}/environ".format(name), "rb") as file:
                if wanted in file.read().split(b"\0"):
                    found.append(int(name))
    return found


def abort_shutdown(limit: float = 5.0) -> bool:
    """Abort a shutdown of Asterisk that waits for calls to end; True when Asterisk took the command.

    ``limit`` is in seconds.
    """
    try:
        asked = subprocess.run(
            ["asterisk", "-rx", "core abort shutdown"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=limit,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def _ancestors() -> set[int]:
    """This process and everything above it."""
    pids: set[int] = set()
    pid = os.getpid()
    while pid > 0 and pid not in pids:
        pids.add(pid)
        pid = _parent(pid)
    return pids


def _parent(pid: int) -> int:
    try:
        with open("/proc/{0}/stat".format(pid), encoding="utf-8", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        with open("/proc/{0}/stat".format(pid), encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (OSError, IndexError):
        return False


def _command(pid: int) -> str:
    """The program's name only: an argument may be a secret."""
    try:
        with open("/proc/{0}/comm".format(pid), encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""
