"""The progress of a run on standard error: one line for each step as it ends."""

from __future__ import annotations

from typing import Protocol

from rich.console import Console
from rich.text import Text

from reconnect.text import one_line, printable

STATE_STYLES = {
    "ok": "green",
    "failed": "red",
    "unreachable": "red",
    "waiting": "yellow",
    "ignored": "yellow",
    "timed_out": "red",
    "cancelled": "yellow",
}


class Ended(Protocol):
    """A step that ended on a server; `seconds` is how long it took."""

    @property
    def server(self) -> str: ...
    @property
    def step(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def seconds(self) -> float | None: ...


class Progress:
    """Writes lines to `console`; safe to call from several threads."""

    def __init__(self, console: Console, verbose: bool = False) -> None:
        self._console = console
        self._verbose = verbose

    def step(self, step: Ended) -> None:
        """`server ➜ step: state  0.8 s`; with `--verbose` Ansible's own lines replace it."""
        if self._verbose:
            return
        line = Text.assemble(
            (one_line(step.server, 80), "bold"),
            " ➜ ",
            one_line(step.step, 120),
            ": ",
            (one_line(step.state, 40), STATE_STYLES.get(step.state, "")),
        )
        if step.seconds is not None:
            line.append(f"  {step.seconds:.1f} s", "dim")
        self._console.print(line, soft_wrap=True)

    def note(self, sentence: str) -> None:
        """A sentence about the run itself."""
        self._console.print(Text(one_line(sentence)), soft_wrap=True)

    def output(self, line: str) -> None:
        """A line that Ansible printed; shown with `--verbose` only."""
        if self._verbose and line.strip():
            self._console.print(Text(printable(line)[:2000], "dim"), soft_wrap=True)
