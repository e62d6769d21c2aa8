"""Standard output and standard error. Their reader may go away during a run."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, TextIO

import typer
from rich.console import Console
from rich.text import Text

from reconnect.ansible.warm import protocol
from reconnect.errors import InputError
from reconnect.text import one_line


class Terminal(Console):
    """A console that reads no markup, and prints nothing any more once its reader is gone.

    A run is ended, cleaned up and reported even if its terminal is closed.
    """

    def __init__(self, stream: TextIO) -> None:
        # With NO_COLOR rich itself still prints bold.
        plain = bool(os.environ.get("NO_COLOR"))
        super().__init__(
            file=stream, highlight=False, markup=False, emoji=False, color_system=None if plain else "auto"
        )

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

    def say(self, sentence: object) -> None:
        """Writes `sentence` as one printable line, however narrow the terminal is."""
        self.print(Text(one_line(sentence, 1000)), soft_wrap=True)

    def json(self, document: object) -> None:
        """Writes `document` as JSON."""
        self.write(json.dumps(document, indent=2))

    def on_broken_pipe(self) -> None:
        """Drops further output; rich would end the process."""
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
    """Opens the standard streams that the caller closed, and replaces characters that the terminal's encoding does not
    have, instead of ending the command."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            # Else the next file that is opened, the database for example, is what a child writes its output to.
            # The lowest number that is free is the one that is missing.
            os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  (it stays open)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def confirm(question: str, yes: bool, otherwise: str) -> None:
    """Asks, unless the answer is `yes` already. Raises Abort for a no, InputError with `otherwise` without a
    terminal."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError(otherwise)
    if not ask(question):
        raise typer.Abort


def ask(question: str) -> bool:
    """Asks a person; True for a yes. Raises Abort where nobody answers."""
    try:
        with protocol.reading_the_terminal():
            return typer.confirm(question, err=True)
    except EOFError:
        raise typer.Abort from None


def secret_file(secret: str, option: str) -> str:
    """Asks for a secret without showing it; the path of a file that has it. The file is in memory, for processes of
    this user only, and gone with this process. Raises InputError without a terminal: `option` takes a file instead."""
    if not sys.stdin.isatty():
        raise InputError(f"Cannot ask for {secret}: no terminal. Give {option}.")
    typed = getpass.getpass(f"{secret[0].upper()}{secret[1:]}: ")
    descriptor = os.memfd_create("reconnect", os.MFD_CLOEXEC)
    # Ansible runs a file that may be executed.
    os.fchmod(descriptor, 0o400)
    os.write(descriptor, typed.encode())
    return f"/proc/{os.getpid()}/fd/{descriptor}"


def write_in_signal_handler(sentence: str) -> None:
    """Writes to standard error without its buffer, which may be in use by what the signal interrupted."""
    with contextlib.suppress(OSError):
        os.write(2, f"{sentence}\n".encode())


@contextlib.contextmanager
def signals_cancel(cancelled: threading.Event, elsewhere: bool = False) -> Iterator[None]:
    """While it lasts, Ctrl-C, SIGTERM and SIGHUP cancel the run. The clean-up cannot be skipped; where that is done
    `elsewhere`, a second signal raises KeyboardInterrupt."""

    def cancel(number: int, frame: FrameType | None) -> None:
        again = cancelled.is_set()
        cancelled.set()
        if again and elsewhere:
            raise KeyboardInterrupt
        still = "Still cleaning up. This ends by itself and cannot be skipped."
        write_in_signal_handler(still if again else "Ending the run …")

    before = {number: signal.signal(number, cancel) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
