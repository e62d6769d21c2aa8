"""Who holds a lock on a file, as Linux lists it in /proc/locks; nobody is known elsewhere."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path

from reconnect.text import one_line

_LOCKS = Path("/proc/locks")


@dataclass(frozen=True)
class Holder:
    """A process that holds a lock. `machine` is empty where it is this one, `pid` is 0 where it is not known."""

    pid: int
    command: str
    stopped: bool
    machine: str = ""

    def __str__(self) -> str:
        what = f"process {self.pid} ({self.command})" if self.pid else self.command
        return f"{what} on {self.machine}" if self.machine else what


def holder_of(file: Path, byte: int | None = None) -> Holder | None:
    """The process that holds a lock on `file`; one that is stopped before others. With `byte`: which other process has
    locked that byte alone, to write."""
    try:
        inode = file.stat().st_ino
        listed = [line.split() for line in _LOCKS.read_text(encoding="ascii").splitlines()]
    except (OSError, ValueError):
        return None
    # `1: FLOCK ADVISORY WRITE 4711 fd:01:12345 0 EOF`. File systems name another device there than stat(2) does.
    locks = [words for words in listed if len(words) == 8 and words[-3].rpartition(":")[2] == str(inode)]
    if byte is not None:
        locks = [words for words in locks if words[3] == "WRITE" and words[-2:] == [str(byte)] * 2]
    pids = {int(words[-4]) for words in locks} - ({os.getpid()} if byte is not None else set())
    found = [holder for pid in sorted(pids) if (holder := _holder(pid, file))]
    return max(found, key=lambda holder: holder.stopped, default=None)


def _holder(pid: int, file: Path) -> Holder | None:
    import psutil  # only who has to wait pays for it

    stopped = {psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP}
    try:
        process = psutil.Process(pid)
        if not any(Path(opened.path).samefile(file) for opened in process.open_files()):
            return None
        # Its options may have values that are for nobody else.
        words = itertools.takewhile(lambda word: not word.startswith("-"), process.cmdline())
        return Holder(pid, one_line(" ".join(words), 120), process.status() in stopped)
    except (psutil.Error, OSError, ValueError):
        return None
