"""An incident kept in a file, or in a folder with a file per comment: `file:PATH`.

What it is about stands in lines `Name: value` at the beginning of the file, or of `incident.md` in the folder, whose
other files are what is attached to the incident.
"""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path

from reconnect.errors import InputError, TrackerError
from reconnect.result import now
from reconnect.settings import Settings
from reconnect.text import one_line
from reconnect.trackers.incident import MAX_FILE_BYTES, Attachment, Comment, Incident

_CHANGE = re.compile(r"^(Status|Queue|Owner): (.+)$", re.MULTILINE)
_FIELD = re.compile(r"([A-Za-z][A-Za-z _-]{0,60}): (.*)")
_OWN = re.compile(r"(comment-.*|status|incident)\.md|reconnect-.*")


class FileTracker:
    """`path` is a folder that exists, which gets a file per comment and attachment, or a file that is appended to."""

    def __init__(self, path: str, settings: Settings) -> None:
        self._path = Path(path).expanduser().absolute()
        if not self._path.parent.is_dir():
            raise InputError(f"The incident can't be kept in {one_line(self._path)}: its folder doesn't exist.")
        if self._path.exists() and not (self._path.is_file() or self._path.is_dir()):
            # A pipe, for example, that nobody reads would hold the run for ever.
            raise InputError(f"The incident can't be kept in {one_line(self._path)}: it is neither file nor folder.")

    def read(self) -> Incident:
        """The subject is the path; status, queue and owner are the last ones written."""
        changes = dict(_CHANGE.findall(self._text(self._status_file)))
        return Incident(
            f"file:{self._path}",
            str(self._path),
            changes.get("Status"),
            changes.get("Queue"),
            changes.get("Owner"),
            _fields(self._text(self._path / "incident.md" if self._path.is_dir() else self._path)),
            {
                path.name: path.name
                for path in (sorted(self._path.iterdir()) if self._path.is_dir() else [])
                if path.is_file() and not _OWN.fullmatch(path.name)
            },
        )

    def file(self, identifier: str) -> bytes:
        """The content of one of the folder's files."""
        path = self._path / Path(identifier).name
        try:
            with path.open("rb") as stream:
                return stream.read(MAX_FILE_BYTES)
        except OSError as error:
            raise TrackerError(f"The incident's file {one_line(path)} can't be read: {_reason(error)}.") from None

    def told(self, marker: str) -> bool:
        """Whether the comment's file is there, or the marker ends a comment of the single file."""
        if self._path.is_dir():
            return (self._path / f"comment-{marker}.md").exists()
        return f"\n[{marker}]\n" in self._text(self._path)

    def comment(self, comment: Comment) -> None:
        """Adds the comment; in a single file the attachments follow it as fenced blocks."""
        if self._path.is_dir():
            for attachment in comment.attachments:
                self._write(self._path / Path(attachment.name).name, attachment.content)
            self._write(self._path / f"comment-{comment.marker}.md", _bytes(comment.text.strip() + "\n"))
            return
        parts = [comment.text.strip(), *(_fenced(attachment) for attachment in comment.attachments)]
        self._append(self._path, "\n\n".join(parts) + f"\n\n[{comment.marker}]\n\n")

    def close(self, reason: str, marker: str) -> None:
        """Writes the status `closed` and the reason."""
        self._change("Status", f"closed ({reason})")

    def move(self, queue: str, marker: str) -> None:
        """Writes the new queue."""
        self._change("Queue", queue)

    def assign(self, owner: str, marker: str) -> None:
        """Writes the new owner."""
        self._change("Owner", owner)

    def _change(self, name: str, value: str) -> None:
        line = f"{name}: {one_line(value, 120)}"
        latest = dict(_CHANGE.findall(self._text(self._status_file))).get(name)
        if latest != one_line(value, 120):
            self._append(self._status_file, f"{line}\n\n")

    @property
    def _status_file(self) -> Path:
        return self._path / "status.md" if self._path.is_dir() else self._path

    def _text(self, file: Path) -> str:
        try:
            return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
        except OSError as error:
            raise TrackerError(f"The incident file {one_line(file)} can't be read: {_reason(error)}.") from None

    def _append(self, file: Path, text: str) -> None:
        try:
            with file.open("ab", buffering=0) as stream:
                # Two runs may report to one incident at the same time.
                fcntl.flock(stream, fcntl.LOCK_EX)
                stream.write(_bytes(text))
        except OSError as error:
            raise TrackerError(f"The incident file {one_line(file)} can't be written: {_reason(error)}.") from None

    def _write(self, file: Path, content: bytes) -> None:
        """At once or not at all: a comment that is there is whole."""
        temporary = file.with_name(f".{file.name}.{os.getpid()}.{now():%f}")
        try:
            temporary.write_bytes(content)
            temporary.replace(file)
        except OSError as error:
            raise TrackerError(f"The incident file {one_line(file)} can't be written: {_reason(error)}.") from None


def _fields(text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in text.splitlines():
        match = _FIELD.fullmatch(line)
        if not match:
            break
        fields[match[1]] = match[2].strip()
    return fields


def _fenced(attachment: Attachment) -> str:
    kind = "json" if attachment.content_type == "application/json" else "text"
    return f"{attachment.name}:\n\n```{kind}\n{attachment.content.decode(errors='replace').strip()}\n```"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", errors="backslashreplace")


def _reason(error: Exception) -> str:
    return one_line(getattr(error, "strerror", None) or error, 120)
