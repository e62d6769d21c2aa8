# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How full the disks are that Asterisk and the database write to, and what fills them."""

from __future__ import annotations

import glob
import heapq
import os
import time
from typing import TYPE_CHECKING

from ansible_collections.privatewave.reconnect.plugins.module_utils._host import files
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, run_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ansible_collections.privatewave.reconnect.plugins.module_utils._host.documents import (
        Disk,
        LargeFile,
        Mount,
        Space,
    )
    from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import Settings

#: The share in use from which a disk counts as nearly full.
FULL = 0.95
#: The limit in seconds of each disk: one that does not answer (a lost network file system) hides no other.
DISK_LIMIT = 1.5
WALK_LIMIT = 1.0
WALK_FILES = 200000
LARGEST = 10

#: Where the data may be. A cluster of PostgreSQL may have its own disk.
_DATA = {
    "mysql": ("/var/lib/mariadb", "/var/lib/mysql"),
    "postgresql": ("/var/lib/postgresql/*/*", "/var/lib/pgsql/data", "/var/lib/postgresql", "/var/lib/pgsql"),
    "none": (),
}
#: Separates the mount options from the file system, see proc(5).
_SEPARATOR = " - "


def folders(settings: Settings) -> list[tuple[str, str]]:
    """``[(role, path)]`` of the folders that Asterisk and the database write to."""
    patterns = _DATA[settings.get("database_engine", "mysql")]
    data = [path for pattern in patterns for path in sorted(glob.glob(pattern), reverse=True) if os.path.isdir(path)]
    return [
        ("root", "/"),
        ("log", "/var/log/asterisk"),
        *(("database", path) for path in (data or patterns[-1:])[:1]),
        ("spool", "/var/spool/asterisk"),
        ("tmp", "/tmp"),
    ]


def disks(settings: Settings) -> list[Disk]:
    """One entry for each file system of `folders`. Raises `ProbeError` when none of them answers."""
    mounts = parse_mounts(files.read("/proc/self/mountinfo", 4 * 1024 * 1024))
    found: dict[str, Mount] = {}
    paths: dict[str, str] = {}
    roles: dict[str, list[str]] = {}
    for role, path in folders(settings):
        mount = mount_of(os.path.realpath(path), mounts)
        name = mount["mount"]
        if name in found or role == "root" or os.path.exists(path):
            found.setdefault(name, mount)
            paths.setdefault(name, path)
            roles.setdefault(name, []).append(role)

    def question(mount: str) -> tuple[Callable[[], Space], float]:
        return (lambda: _space(mount)), DISK_LIMIT

    answers = run_all({name: question(name) for name in found})
    errors = [answer for answer in answers.values() if not answer["ok"]]
    if len(errors) == len(answers):
        raise ProbeError(errors[0]["error"], errors[0]["message"])
    spaces: dict[str, Space] = {
        name: answer["data"] if answer["ok"] else {"error": answer["error"]} for name, answer in answers.items()
    }
    return [
        {**mount, **spaces[name], "path": paths[name], "role": " ".join(roles[name])} for name, mount in found.items()
    ]


def largest_files(settings: Settings) -> list[LargeFile]:
    """The largest files of the disks that are nearly full; a sparse file counts with the blocks that it takes.

    Raises `ProbeError` ``skipped`` when no disk is nearly full.
    """
    full = [one for one in disks(settings) if one.get("size") and one["available"] < one["size"] * (1 - FULL)]
    if not full:
        raise ProbeError("skipped", "no disk is {0:.0%} full".format(FULL))
    end = time.monotonic() + WALK_LIMIT
    left = [WALK_FILES]
    largest: list[tuple[int, str]] = []
    for one in full:
        largest.extend(heapq.nlargest(LARGEST, _files(one["mount"], end, left)))
    return [{"path": path, "size": size} for size, path in heapq.nlargest(LARGEST, largest)]


def parse_mounts(text: str) -> list[Mount]:
    """The mounts of ``/proc/self/mountinfo``, in the order of mounting."""
    found: list[Mount] = []
    for line in text.splitlines():
        before, separator, after = line.partition(_SEPARATOR)
        fields, rest = before.split(" "), after.split(" ")
        if separator and len(fields) > 5 and len(rest) > 2:
            options = fields[5].split(",") + rest[2].split(",")
            found.append(
                {
                    "mount": _plain(fields[4]),
                    "device": _plain(rest[1]),
                    "fstype": rest[0],
                    "read_only": "ro" in options,
                }
            )
    return found


def mount_of(path: str, mounts: Iterable[Mount]) -> Mount:
    """The mount that a path lies on: the longest that leads to it, the last of several."""
    best: Mount = {"mount": "/", "device": None, "fstype": None, "read_only": False}
    for mount in mounts:
        name = mount["mount"].rstrip("/")
        leads = path == name or path.startswith(name + "/")
        if leads and len(mount["mount"]) >= len(best["mount"]):
            best = mount
    return best


def _space(path: str) -> Space:
    found = os.statvfs(path)
    return {
        "size": found.f_blocks * found.f_frsize,
        "available": found.f_bavail * found.f_frsize,
        "inodes": found.f_files,
        "inodes_available": found.f_favail,
    }


def _files(top: str, end: float, left: list[int]) -> Iterator[tuple[int, str]]:
    """(size, path) of the files below a mount, without other file systems, until the time or ``left[0]`` is used up."""
    device = os.lstat(top).st_dev
    folders = [top]
    while folders and left[0] > 0 and time.monotonic() < end:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    left[0] -= 1
                    status = entry.stat(follow_symlinks=False)
                    if status.st_dev != device:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        yield status.st_blocks * 512, entry.path
        except OSError:
            continue


def _plain(text: str) -> str:
    """proc(5) writes blanks and backslashes of a path in octal."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
