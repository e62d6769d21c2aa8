# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process as /proc shows it: it works when the process does not answer."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

from ansible_collections.privatewave.reconnect.plugins.module_utils._host import files
from ansible_collections.privatewave.reconnect.plugins.module_utils._host.run import run
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

if TYPE_CHECKING:
    from collections.abc import Collection

    from ansible_collections.privatewave.reconnect.plugins.module_utils._host.documents import (
        LargeProcess,
        ProcessFacts,
    )


def main_pid(unit: str, pid_files: Collection[str] = (), names: Collection[str] = (), limit: float = 2.0) -> int:
    """The process of a daemon: the main process of its unit, else the one in a PID file.

    ``names`` are the names that the process of the daemon may have (empty: any), for a unit may run a wrapper;
    ``limit`` is seconds. Raises `ProbeError` ``missing`` when none runs.
    """
    candidates = []
    try:
        candidates.append(run(["systemctl", "show", "--property=MainPID", "--", unit], limit).partition("=")[2])
    except ProbeError as error:
        if error.error == "timed_out" and not pid_files:
            raise
    for path in pid_files:
        try:
            candidates.append(files.read(path, 32))
        except OSError:
            continue
    for text in candidates:
        if text.strip().isdigit() and int(text) > 0 and _is(int(text), names):
            return int(text)
    raise ProbeError("missing", "no process of {0} runs".format(unit))


def last_start(unit: str, limit: float = 2.0) -> float:
    """When systemd last started the main process of a unit, which may have ended since, in seconds since 1970.

    Raises `ProbeError`, ``missing`` where it never did.
    """
    answer = run(["systemctl", "show", "--property=ExecMainStartTimestampMonotonic", "--", unit], limit)
    text = answer.partition("=")[2].strip()
    if not text.isdigit() or not int(text):
        raise ProbeError("missing", "{0} was never started".format(unit))
    return time.time() - time.monotonic() + int(text) / 1e6


def _is(pid: int, names: Collection[str]) -> bool:
    try:
        name, fields = _stat(pid)
    except OSError:
        return False
    return fields[0] not in "ZX" and (not names or name in names)


def facts(pid: int) -> ProcessFacts:
    """What /proc says of a process. Raises `ProbeError` ``missing`` when it is gone."""
    try:
        _name, fields = _stat(pid)
        limits = files.read("/proc/{0}/limits".format(pid))
        open_files = len(os.listdir("/proc/{0}/fd".format(pid)))
    except (FileNotFoundError, ProcessLookupError):
        raise ProbeError("missing", "process {0} is gone".format(pid)) from None
    ticks = os.sysconf("SC_CLK_TCK")
    limit = re.search(r"^Max open files\s+(\d+)", limits, re.MULTILINE)
    return {
        "pid": pid,
        "state": fields[0],
        "threads": int(fields[17]),
        "open_files": open_files,
        "open_files_limit": int(limit.group(1)) if limit else None,
        "cpu_seconds": round((int(fields[11]) + int(fields[12])) / ticks, 2),
        "rss": int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
        "start_time": round(boot_time() + int(fields[19]) / ticks, 1),
    }


def started(pid: int) -> int:
    """When a process was started, in clock ticks since the boot: its id and this name one process. Raises `OSError`."""
    return int(_stat(pid)[1][19])


def _stat(pid: int | str) -> tuple[str, list[str]]:
    """The name in /proc/PID/stat and the fields after it (proc(5)); the first of them is the state."""
    name, _end, rest = files.read("/proc/{0}/stat".format(pid)).partition("(")[2].rpartition(")")
    return name, rest.split()


def boot_time() -> float:
    """When the host was started, in seconds since 1970."""
    return time.time() - float(files.read("/proc/uptime").split()[0])


def socket_inodes(pid: int) -> set[int]:
    """The inodes of the sockets that a process has open. Raises `ProbeError` ``missing`` when it is gone."""
    directory = "/proc/{0}/fd".format(pid)
    found: set[int] = set()
    try:
        names = os.listdir(directory)
    except (FileNotFoundError, ProcessLookupError):
        raise ProbeError("missing", "process {0} is gone".format(pid)) from None
    for name in names:
        try:
            target = os.readlink(os.path.join(directory, name))
        except OSError:
            continue
        if target.startswith("socket:["):
            found.add(int(target[8:-1]))
    return found


def largest(count: int) -> list[LargeProcess]:
    """The ``count`` processes that hold the most memory, the largest first."""
    page = os.sysconf("SC_PAGE_SIZE")
    found: list[LargeProcess] = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            name, fields = _stat(pid)
        except OSError:
            continue
        found.append({"pid": int(pid), "name": name, "rss": int(fields[21]) * page})
    return sorted(found, key=lambda one: -one["rss"])[:count]
