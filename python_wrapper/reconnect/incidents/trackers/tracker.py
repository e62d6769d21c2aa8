"""An incident's details, and what a tracker can do with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from reconnect.errors import InputError
from reconnect.names import Incident
from reconnect.text import one_line

#: How large a file of an incident may be to be read.
MAX_FILE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Details:
    """An incident as its tracker knows it; all of it is hostile text.

    `fields` are the custom fields as text, by the name the tracker has for them. `files` are the names of what is
    attached, the oldest first, by the tracker's identifier of each. `closed` is whether the tracker counts the status
    among those at the end of an incident.
    """

    reference: str
    subject: str = ""
    status: str | None = None
    queue: str | None = None
    owner: str | None = None
    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    closed: bool = False


@dataclass(frozen=True)
class Change:
    """An incident that was made or changed; `version` differs after every change of it, `user` did the last one."""

    incident: Incident
    version: str
    user: str | None = None


#: A tracker is asked for no more changed incidents than this, the newest.
MOST_CHANGES = 100


@dataclass(frozen=True)
class Attachment:
    """A file that goes with a comment. No other file of any run has its name."""

    name: str
    content_type: str
    content: bytes


@dataclass(frozen=True)
class Comment:
    """A comment to an incident: `text` is plain; with `to_user` the person who opened the incident sees it.

    `marker` is the same whenever the same thing is told, and no other comment has it: it finds a comment that was
    accepted without an answer.
    """

    marker: str
    text: str
    to_user: bool = False
    attachments: Sequence[Attachment] = ()


def number_of(incident: Incident) -> int:
    """The id of an incident that is a number. Raises InputError where it is not."""
    if not (incident.id.isascii() and incident.id.isdigit() and len(incident.id) <= 12):
        raise InputError(f"'{one_line(incident, 40)}' is not a ticket. Give {incident.tracker}: and its number.")
    return int(incident.id)


@dataclass(frozen=True)
class Opening:
    """An incident that is to be made. Its subject holds `(marker)`, and no other incident's does; `fields` are the
    custom fields by the name that the tracker has for them."""

    marker: str
    subject: str
    text: str
    queue: str
    fields: dict[str, str]


class Tracker(Protocol):
    """One incident in its tracker. Every verb has a time limit and raises TrackerError in one sentence.

    Calling a verb again with the same arguments changes nothing.
    """

    def read(self) -> Details:
        """The incident as it is now."""

    def file(self, identifier: str) -> bytes:
        """The content of an attached file, one of `Details.files`."""

    def told(self, marker: str) -> bool:
        """Whether a comment with this marker is there. False where the tracker cannot say, and drops repeated comments
        by itself."""

    def comment(self, comment: Comment) -> None:
        """Adds a comment with its files attached, even if it is there already: ask `told` first."""

    def close(self, reason: str, marker: str) -> None:
        """Closes the incident for this reason; `marker` as in `Comment`."""

    def move(self, queue: str, marker: str) -> None:
        """Gives the incident to another queue."""

    def assign(self, owner: str, marker: str) -> None:
        """Gives the incident to a person or a group of that name."""
