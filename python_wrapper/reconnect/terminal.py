"""Standard output and standard error, whose reader may go away while a run goes on."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, TextIO

from rich.console import Console


class Terminal(Console):
    """A console that reads no markup and turns quiet when nobody listens any more.

    A run has to be ended, cleaned up after and reported even if the terminal it was started from is closed.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(file=stream, highlight=False, markup=False, emoji=False)

    def print(self, *objects: Any, **options: Any) -> None:
        """Like Console.print; never raises because of the stream."""
        try:
            super().print(*objects, **options)
        except OSError:
            self.on_broken_pipe()

    def write(self, text: str) -> None:
        """Writes `text` and a line break as they are."""
        try:
            self.out(text, highlight=False)
        except OSError:
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        """Drops what is still to be shown; rich would end the process."""
        self.quiet = True
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


def stdout() -> Terminal:
    """Standard output."""
    return Terminal(sys.stdout)


def stderr() -> Terminal:
    """Standard error."""
    return Terminal(sys.stderr)


def prepare() -> None:
    """Characters that the terminal's encoding doesn't have are replaced instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def write_in_signal_handler(sentence: str) -> None:
    """Writes to standard error without its buffer, which may be in use by what the signal interrupted."""
    with contextlib.suppress(OSError):
        os.write(2, f"{sentence}\n".encode())
