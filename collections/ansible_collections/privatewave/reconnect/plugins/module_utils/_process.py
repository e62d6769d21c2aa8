# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A daemon as /proc shows it, which works however silent the daemon is."""

from __future__ import annotations

import os
import re
import time

from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._run import run


def main_pid(unit, pid_files=(), names=(), limit=2.0):
    """The process of a daemon: the main process of its unit, else one that a PID file names.

    ``names`` are the names a process may have to be the daemon (any, when empty): a unit may run a wrapper.
    Raises `ProbeError` ``missing`` when none runs.
    """
    candidates = []
    try:
        candidates.append(run(["systemctl", "show", "--property=MainPID", "--", unit], limit).partition("=")[2])
    except ProbeError as error:
        if error.error == "timed_out" and not pid_files:
            raise
    for path in pid_files:
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                candidates.append(file.read(32))
        except OSError:
            continue
    for text in candidates:
        if text.strip().isdigit() and int(text) > 0 and _is(int(text), names):
            return int(text)
    raise ProbeError("missing", "no process of {0} runs".format(unit))


def _is(pid, names):
    try:
        name, fields = _stat(pid)
    except OSError:
        return False
    return fields[0] not in "ZX" and (not names or name in names)


def facts(pid):
    """``{pid, state, threads, open_files, open_files_limit, cpu_seconds, rss, start_time}`` of a process.

    ``state`` is the letter of /proc, ``rss`` bytes, ``start_time`` seconds since 1970. Raises `ProbeError` ``missing``
    when it is gone.
    """
    try:
        _name, fields = _stat(pid)
        with open("/proc/{0}/limits".format(pid), encoding="ascii", errors="replace") as file:
            limits = file.read()
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
        "start_time": round(_since_boot(int(fields[19]) / ticks), 1),
    }


def _stat(pid):
    """The name and the fields after it of /proc/PID/stat (proc(5): the state is the first of them)."""
    with open("/proc/{0}/stat".format(pid), encoding="utf-8", errors="replace") as file:
        text = file.read()
    name, _end, rest = text.partition("(")[2].rpartition(")")
    return name, rest.split()


def _since_boot(seconds):
    with open("/proc/uptime", encoding="ascii") as file:
        uptime = float(file.read().split()[0])
    return time.time() - uptime + seconds


def socket_inodes(pid):
    """The inodes of the sockets that a process has open."""
    directory = "/proc/{0}/fd".format(pid)
    found = set()
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


def largest(count):
    """The processes that hold the most memory, ``[{pid, name, rss}]`` with ``rss`` in bytes, the largest first."""
    page = os.sysconf("SC_PAGE_SIZE")
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            name, fields = _stat(pid)
        except OSError:
            continue
        found.append({"pid": int(pid), "name": name, "rss": int(fields[21]) * page})
    return sorted(found, key=lambda one: -one["rss"])[:count]
