"""The places from which runs are carried out on this machine.

A process that carries out runs holds one place, by a lock that ends with the process however it ends. What it still has
to do is written down there; so a place that is free and not empty was left by a process that was killed, or that ended
with a report pending, and whoever takes the place takes the work.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from reconnect.errors import ReconnectError


class Slot:
    """A place that this process holds until it ends or `release` is called."""

    def __init__(self, file: Path, descriptor: int) -> None:
        self._descriptor = descriptor
        self.file = file

    @property
    def name(self) -> str:
        """The same for whoever holds this place, on this machine and on no other."""
        return f"{os.uname().nodename}-{self.file.stem}"

    @property
    def number(self) -> int:
        """The how-manieth place it is, from 1."""
        return int(self.file.name)

    def keep(self, run_ids: list[str]) -> None:
        """Writes down what is still to be done from here, in one write that no kill can split."""
        content = "".join(f"{run_id}\n" for run_id in run_ids).encode()
        os.pwrite(self._descriptor, content, 0)
        os.ftruncate(self._descriptor, len(content))
        os.fsync(self._descriptor)

    def work(self) -> list[str]:
        """The runs that are still to be done from here."""
        return _runs(self.file)

    def release(self) -> None:
        """Gives the place up."""
        os.close(self._descriptor)


class Slots:
    """All places of a state folder."""

    def __init__(self, state: Path) -> None:
        self._folder = state / "slots"

    def empty(self) -> Slot:
        """The first free place without work, a new one where there is none. Raises ReconnectError."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            number = 1
            while True:
                file = self._folder / str(number)
                if slot := _take(file):
                    if not slot.work():
                        return slot
                    slot.release()
                number += 1
        except OSError as error:
            raise ReconnectError(f"Runs can't be kept in {self._folder}: {error.strerror}.") from None

    def left(self) -> Iterator[Slot]:
        """Every free place with work, taken while the caller looks at it; release it."""
        for file in self._files():
            if _runs(file) and (slot := _take(file)):
                if slot.work():
                    yield slot
                else:
                    slot.release()

    def abandoned(self) -> list[str]:
        """The runs in free places: what nobody does at the moment."""
        found = []
        for slot in self.left():
            found += slot.work()
            slot.release()
        return found

    def _files(self) -> list[Path]:
        files = self._folder.iterdir() if self._folder.is_dir() else ()
        return sorted((file for file in files if file.name.isdigit()), key=lambda file: int(file.name))


def lock(file: Path) -> int | None:
    """The descriptor by which this process holds `file` until it is closed; None where another one does."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _take(file: Path) -> Slot | None:
    descriptor = lock(file)
    return None if descriptor is None else Slot(file, descriptor)


def _runs(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii", errors="replace").split()
    except OSError:
        return []
