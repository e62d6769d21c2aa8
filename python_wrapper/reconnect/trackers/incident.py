"""An incident and what a tracker can do with it.

An incident is named `TRACKER:ID` on the command line, for example `rt:4711` or `file:/var/tmp/incident.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

#: How large a file of an incident may be to be read.
MAX_FILE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Incident:
    """An incident as its tracker knows it; all of it is hostile text.

    `fields` are the custom fields as text, by the name the tracker has for them. `files` are the names of what is
    attached, the oldest first, by the tracker's identifier of each.
    """

    reference: str
    subject: str = ""
    status: str | None = None
    queue: str | None = None
    owner: str | None = None
    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Attachment:
    """A file that goes with a comment. Its name tells it from every other file of every run."""

    name: str
    content_type: str
    content: bytes


@dataclass(frozen=True)
class Comment:
    """What is told to an incident: `text` is plain, `to_user` lets the person see it who opened the incident.

    `marker` is the same whenever the same thing is told, and no other comment has it: by it a comment is found again
    that was accepted without an answer.
    """

    marker: str
    text: str
    to_user: bool = False
    attachments: Sequence[Attachment] = ()


class Tracker(Protocol):
    """One incident in its tracker. Every verb has a time limit and raises TrackerError in one sentence.

    Every verb may be called again with the same words, and then changes nothing.
    """

    def read(self) -> Incident:
        """The incident as it is now."""

    def file(self, identifier: str) -> bytes:
        """The content of an attached file, one of `Incident.files`."""

    def told(self, marker: str) -> bool:
        """Whether a comment with this marker is there. False where the tracker can't tell and knows by itself what it
        was told before."""

    def comment(self, comment: Comment) -> None:
        """Adds a comment with its files attached, whether or not it is there: ask `told` first."""

    def close(self, reason: str, marker: str) -> None:
        """Closes the incident, which was an incident of this kind; `marker` as in `Comment`."""

    def move(self, queue: str, marker: str) -> None:
        """Gives the incident to another queue."""

    def assign(self, owner: str, marker: str) -> None:
        """Gives the incident to a person or a group of that name."""
