"""The workers of this machine, from which runs are carried out.

A process that carries out runs holds the slot of one worker, by a lock that ends with the process however it ends. The
store knows the worker of every run. So a slot that is free, with runs that are not done, was left by a process that was
killed, or that ended with a report pending; whoever takes the slot takes the work.

Where machines share the store, they see who is there (presence.py), and take over the work of a slot of the service.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reconnect import machine
from reconnect.engine.locks import Locks, file_of
from reconnect.runs.store import Run, Runs
from reconnect.settings import Settings

if TYPE_CHECKING:
    from reconnect.engine.presence import Presence
    from reconnect.engine.progress import Progress


class Slot:
    """A worker that this process is until it ends or `release` is called."""

    def __init__(self, name: str, number: int, locks: Locks, runs: Runs, presence: Presence) -> None:
        self.name = name
        self.number = number
        self._locks = locks
        self._runs = runs
        self._presence = presence

    def take(self) -> bool:
        """Whether no other process is the worker now. Raises StoreError."""
        return self._locks.take("worker", str(self.number)) and self._presence.take()

    def begin(self, shared: bool) -> bool:
        """Whether no work is left here; other machines take over what this process leaves in a slot that is `shared`,
        and in no other one. Raises StoreError."""
        if self.work():
            return False
        self._presence.say(shared)
        return True

    def work(self) -> list[str]:
        """The runs that are still to be done here."""
        return self._runs.worked_at(self.name)

    def watch(self, run_ids: Sequence[str], progress: Progress) -> None:
        """From now on these runs are under way here. Raises StoreError."""
        self._presence.watch(run_ids, progress)

    def release(self) -> None:
        """Gives the slot back."""
        self._presence.release()
        self._locks.release()


class Slots:
    """All slots of this machine; those that are taken for the service are `shared` with other machines."""

    def __init__(self, settings: Settings, *, shared: bool = False) -> None:
        self._settings = settings
        self._shared = shared
        self._runs = Runs(settings)

    def empty(self) -> Slot:
        """The first free slot without work. Raises ReconnectError."""
        number = 1
        while (slot := self._take(number, empty=True)) is None:
            number += 1
        return slot

    def left(self) -> Iterator[Slot]:
        """Every free slot with work, taken while the caller looks at it; release it."""
        for number in self._numbers():
            if (slot := self._take(number)) is not None:
                if slot.work():
                    yield slot
                else:
                    slot.release()

    def abandoned(self) -> list[str]:
        """The runs in free slots: what nobody does at the moment."""
        found = []
        for slot in self.left():
            found += slot.work()
            slot.release()
        return found

    def files_before(self, run: Run) -> list[Path]:
        """The locks of the workers on this machine whose runs `run` may have to wait for."""
        state, own = self._settings.state, set(run.record.request.servers)
        return [
            file_of(state, "worker", machine.number_of(worker))
            for worker, other in self._runs.waiting()
            if worker is not None
            and other.run_id <= run.run_id
            and other.record.finished_at is None
            and own.intersection(other.record.request.servers)
            and machine.is_here(state, worker)
        ]

    def _numbers(self) -> list[int]:
        state = self._settings.state
        own = (worker for worker in self._runs.workers() if machine.is_here(state, worker))
        return sorted(int(machine.number_of(worker)) for worker in own)

    def _take(self, number: int, empty: bool = False) -> Slot | None:
        from reconnect.engine.presence import Presence

        name = machine.worker(self._settings.state, number)
        slot = Slot(name, number, Locks(self._settings), self._runs, Presence(self._settings, name))
        taken = False
        try:
            taken = slot.take() and (not empty or slot.begin(self._shared))
        finally:
            if not taken:
                slot.release()
        return slot if taken else None
