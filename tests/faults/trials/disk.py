"""A disk that is full to its last byte."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from reconnect.runs.database import FILE

from .tools import beside


@contextlib.contextmanager
def small(folder: Path, size: str) -> Iterator[Path]:
    """Meanwhile the folder is a file system of its own of this size."""
    folder.mkdir(mode=0o700, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "none", folder], check=True, timeout=30)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True, timeout=30)


@contextlib.contextmanager
def full(folder: Path) -> Iterator[None]:
    """The file system of a state folder is full meanwhile, also where somebody removes a file."""
    if (folder / FILE).exists():
        with contextlib.closing(sqlite3.connect(folder / FILE, timeout=30)) as database:
            # The database finds no room of its own either.
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def fill(over: threading.Event) -> None:
        with (folder / "filler").open("wb", buffering=0) as stream:
            while True:
                try:
                    stream.write(b"x" * 4096)
                except OSError:
                    if over.wait(0.01):
                        return

    try:
        with beside(fill):
            yield
    finally:
        (folder / "filler").unlink()
