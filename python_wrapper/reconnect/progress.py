"""Tells on standard error how a run gets on: one line for each step as it ends."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from reconnect.playbook import StepEnd
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


class Progress:
    """Writes lines to `console`; safe to call from several threads."""

    def __init__(self, console: Console, verbose: bool = False) -> None:
        self._console = console
        self._verbose = verbose

    def step(self, step: StepEnd) -> None:
        """`server ➜ step: state  0.8 s`; with `--verbose` Ansible's own lines say it."""
        if self._verbose:
            return
        line = Text.assemble(
            (one_line(step.server, 80), "bold"),
            " ➜ ",
            one_line(step.step, 120),
            ": ",
            (step.state, STATE_STYLES.get(step.state, "")),
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
