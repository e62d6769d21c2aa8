"""Whose turn it is on a server: on this machine nobody carries out a run on it meanwhile.

The queue gives runs on one server their order. It can't keep two of them apart: every place takes its own runs out of
the queue (slots.py), so two places that look at the same moment both find nobody at work, and a run on several servers
stands in another partition than a run on one of them.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from reconnect.errors import ReconnectError
from reconnect.slots import lock

_POLL = 0.05


@contextlib.contextmanager
def turn(state: Path, servers: Sequence[str], given_up: Callable[[], bool]) -> Iterator[None]:
    """Waits until it is this process's turn on all `servers`, or until that is `given_up`.

    Raises ReconnectError when the state folder can't be written.
    """
    with contextlib.ExitStack() as held:
        try:
            _wait(state / "turns", sorted(set(servers)), given_up, held)
        except OSError as error:
            raise ReconnectError(f"Runs can't be kept in {state}: {error.strerror}.") from None
        yield


def _wait(folder: Path, servers: list[str], given_up: Callable[[], bool], held: contextlib.ExitStack) -> None:
    """Everybody takes the servers in the same order: nobody waits for somebody who waits for them."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for server in servers:
        while (descriptor := lock(folder / server)) is None:
            if given_up():
                return
            time.sleep(_POLL)
        held.callback(os.close, descriptor)
