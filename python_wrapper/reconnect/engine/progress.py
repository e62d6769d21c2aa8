"""Who is told how a run gets on: a terminal, a page, nobody."""

from __future__ import annotations

from typing import Protocol

from reconnect.ansible.playbook import StepEnd


class Progress(Protocol):
    """Is told while a run is under way; its calls come from several threads."""

    def step(self, end: StepEnd) -> None:
        """A step of a playbook ended."""

    def note(self, sentence: str) -> None:
        """A sentence about the run itself."""

    def output(self, line: str) -> None:
        """A line that Ansible printed."""
