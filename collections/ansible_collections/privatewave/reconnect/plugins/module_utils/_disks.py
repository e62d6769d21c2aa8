# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How full the disks are that Asterisk and the database write to, and what fills them."""

from __future__ import annotations

import glob
import heapq
import os
import time

from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, run_all

#: The share in use from which the largest files are looked for.
FULL = 0.95
#: A disk that does not answer (a lost network file system) costs this long and hides no other.
DISK_LIMIT = 1.5
WALK_LIMIT = 1.0
WALK_FILES = 200000
LARGEST = 10

#: Where the data may be; a cluster of PostgreSQL may have a disk of its own.
_DATA = {
    "mysql": ("/var/lib/mariadb", "/var/lib/mysql"),
    "postgresql": ("/var/lib/postgresql/*/*", "/var/lib/pgsql/data", "/var/lib/postgresql", "/var/lib/pgsql"),
}
#: Mount options and file systems are told apart by the field " - " of proc(5).
_SEPARATOR = " - "


def places(settings):
    """``[(role, path)]`` of what is looked at."""
    patterns = _DATA[settings.get("database_engine", "mysql")]
    data = [path for pattern in patterns for path in sorted(glob.glob(pattern), reverse=True) if os.path.isdir(path)]
    return [
        ("root", "/"),
        ("log", "/var/log/asterisk"),
        ("database", data[0] if data else patterns[-1]),
        ("spool", "/var/spool/asterisk"),
        ("tmp", "/tmp"),
    ]


def disks(settings):
    """One entry for each file system among `places`; ``role`` names all its roles. Raises `ProbeError` when none of
    them answers."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        mounts = parse_mounts(file.read(4 * 1024 * 1024))
    found = {}
    for role, path in places(settings):
        mount = mount_of(os.path.realpath(path), mounts)
        if mount["mount"] in found:
            found[mount["mount"]]["role"] += " " + role
        elif role == "root" or os.path.exists(path):
            found[mount["mount"]] = dict(mount, path=path, role=role)
    answers = run_all({name: (lambda name=name: _space(name), DISK_LIMIT) for name in found})
    if not any(answer["ok"] for answer in answers.values()):
        first = next(iter(answers.values()))
        raise ProbeError(first["error"], first["message"])
    spaces = {name: answer.get("data") or {"error": answer["error"]} for name, answer in answers.items()}
    return [dict(one, **spaces[name]) for name, one in found.items()]


def largest_files(settings):
    """The largest files of the file systems that are nearly full: ``[{path, size}]``, size as it counts on the disk.

    Raises `ProbeError` ``skipped`` when none is nearly full.
    """
    full = [one for one in disks(settings) if one.get("size") and one["available"] < one["size"] * (1 - FULL)]
    if not full:
        raise ProbeError("skipped", "no disk is {0:.0%} full".format(FULL))
    end = time.monotonic() + WALK_LIMIT
    left = [WALK_FILES]
    largest = []
    for one in full:
        largest.extend(heapq.nlargest(LARGEST, _files(one["mount"], end, left)))
    return [{"path": path, "size": size} for size, path in heapq.nlargest(LARGEST, largest)]


def parse_mounts(text):
    """``[{mount, device, fstype, read_only}]`` of ``/proc/self/mountinfo``, in the order of mounting."""
    found = []
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


def mount_of(path, mounts):
    """The mount that a path lies on: the longest that leads to it, and of several the last."""
    best = {"mount": "/", "device": None, "fstype": None, "read_only": False}
    for mount in mounts:
        name = mount["mount"].rstrip("/")
        leads = path == name or path.startswith(name + "/")
        if leads and len(mount["mount"]) >= len(best["mount"]):
            best = mount
    return best


def _space(path):
    """Sizes are those that a service can use: what is reserved for root is not available to it."""
    found = os.statvfs(path)
    return {
        "size": found.f_blocks * found.f_frsize,
        "available": found.f_bavail * found.f_frsize,
        "inodes": found.f_files,
        "inodes_available": found.f_favail,
    }


def _files(top, end, left):
    """(size, path) of the files below a mount, without other file systems, until time or ``left[0]`` is used up."""
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


def _plain(text):
    """proc(5) writes blanks and backslashes of a path in octal."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
