"""An incident kept in a file, or in a folder with a file per comment: `file:PATH`.

Its fields are lines `Name: value` at the beginning of the file, or of `incident.md` in the folder. The folder's other
files are the attachments. Whoever wrote them is a stranger: only regular files are opened, up to a limit, and no link
is followed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from reconnect import files
from reconnect.errors import InputError, TrackerError
from reconnect.incidents.trackers.tracker import MAX_FILE_BYTES, MOST_CHANGES, Attachment, Change, Comment, Details
from reconnect.machine import expanded
from reconnect.names import Incident
from reconnect.settings.trackers import FileSettings
from reconnect.text import encoding_of, one_line

#: How large the incident itself may be, in bytes, and how long another run may write to it, in seconds.
MAX_INCIDENT_BYTES = 16 * 1024 * 1024
LOCK_SECONDS = 10.0
# Opening a pipe or a device never waits, and a link is an error.
_CAREFUL = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHANGE = re.compile(r"^(Status|Queue|Owner): (.+)$", re.MULTILINE)
_FIELD = re.compile(r"([A-Za-z][A-Za-z _-]{0,60}): (.*)")
_INCIDENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_OWN = re.compile(r"(comment-.*|status|incident)\.md|reconnect-.*")


class FileTracker:
    """`incident.id` is a path: a folder that exists gets a file per comment and attachment, a file is appended to."""

    def __init__(self, incident: Incident, settings: FileSettings) -> None:
        self._path = expanded(Path(incident.id)).absolute()
        if files.kind(self._path.parent) != "folder":
            raise InputError(f"Cannot write the incident to {one_line(self._path)}: its folder does not exist.")
        if files.kind(self._path) == "other":
            # A pipe without a reader, for example, would block the run for ever.
            raise InputError(f"Cannot write the incident to {one_line(self._path)}: it is neither file nor folder.")

    def read(self) -> Details:
        """Status, queue and owner are the last ones written."""
        changes = dict(_CHANGE.findall(self._text(self._status_file)))
        fields = _fields(self._text(self._path / "incident.md" if self._path.is_dir() else self._path))
        return Details(
            f"file:{self._path}",
            fields.get("Subject", ""),
            changes.get("Status"),
            changes.get("Queue"),
            changes.get("Owner"),
            fields,
            {name: name for name in self._attached() if not _OWN.fullmatch(name)},
        )

    def _attached(self) -> list[str]:
        """The names of the folder's files."""
        if not self._path.is_dir():
            return []
        try:
            return sorted(path.name for path in self._path.iterdir() if not path.is_dir())
        except OSError as error:
            raise TrackerError(f"Cannot read the incident folder {one_line(self._path)}: {_reason(error)}.") from None

    def file(self, identifier: str) -> bytes:
        """The content of one of the folder's files."""
        path = self._path / Path(identifier).name
        try:
            return _content(path, MAX_FILE_BYTES)
        except OSError as error:
            raise TrackerError(f"Cannot read the incident's file {one_line(path)}: {_reason(error)}.") from None

    def told(self, marker: str) -> bool:
        """Whether the comment's file is there, or the marker ends a comment of the single file."""
        if self._path.is_dir():
            return f"comment-{marker}.md" in self._attached()
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
            content = _content(file, MAX_INCIDENT_BYTES)
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise TrackerError(f"Cannot read the incident file {one_line(file)}: {_reason(error)}.") from None
        if (encoding := encoding_of(content)).startswith("utf-16"):
            # What is appended to it would not be read back.
            raise TrackerError(f"Cannot read the incident file {one_line(file)}: it is UTF-16. Save it as UTF-8.")
        return content.decode(encoding, errors="replace")

    def _append(self, file: Path, text: str) -> None:
        try:
            with _opened(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT) as stream:
                _lock(stream)
                stream.write(_bytes(text))
        except OSError as error:
            raise TrackerError(f"Cannot write the incident file {one_line(file)}: {_reason(error)}.") from None

    def _write(self, file: Path, content: bytes) -> None:
        """Atomically: a comment that is there is complete."""
        temporary = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
        try:
            with _opened(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as stream:
                stream.write(content)
            temporary.replace(file)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise TrackerError(f"Cannot write the incident file {one_line(file)}: {_reason(error)}.") from None


def changes(settings: FileSettings, minutes: int) -> list[Change]:
    """The incidents of the folder `incoming` that were made or changed lately; see `trackers.changes`.

    An incident is a folder with an `incident.md`, or a file `NAME.md`. Its version is a digest of its fields, so what
    Reconnect adds to it is no change.
    """
    if settings.incoming is None:
        raise InputError("Incidents in files need their folder in RECONNECT_FILE_INCOMING.")
    since = time.time() - minutes * 60
    found = []
    try:
        for path in sorted(expanded(settings.incoming).absolute().iterdir()):
            said = path / "incident.md" if path.is_dir() and not path.is_symlink() else path
            if not _INCIDENT.fullmatch(path.name) or (said == path and path.suffix != ".md"):
                continue
            with contextlib.suppress(OSError):
                if said.lstat().st_mtime >= since:
                    fields = sorted(_fields(_content(said, MAX_INCIDENT_BYTES).decode(errors="replace")).items())
                    digest = hashlib.sha256(repr((path.name, fields)).encode()).hexdigest()
                    found.append(Change(Incident("file", str(path)), digest))
    except OSError as error:
        raise TrackerError(f"Cannot read {one_line(settings.incoming)}: {_reason(error)}.") from None
    return found[:MOST_CHANGES]


@contextlib.contextmanager
def _opened(file: Path, flags: int) -> Iterator[BinaryIO]:
    """A regular file, opened. Raises OSError where it is anything else."""
    handle = os.open(file, flags | _CAREFUL, 0o666)
    with os.fdopen(handle, "rb" if flags & os.O_ACCMODE == os.O_RDONLY else "wb") as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError("it is not a regular file")
        yield stream


def _content(file: Path, limit: int) -> bytes:
    """What a regular file holds. Raises OSError where it is larger than `limit` bytes."""
    with _opened(file, os.O_RDONLY) as stream:
        content = stream.read(limit + 1) if os.fstat(stream.fileno()).st_size <= limit else None
    if content is None or len(content) > limit:
        raise OSError(f"it is larger than {limit // 1024**2} MiB")
    return content


def _lock(stream: BinaryIO) -> None:
    """Two runs may report to one incident at the same time. Raises OSError where another one does not end."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise OSError(f"another process has locked it for {LOCK_SECONDS:g} s") from None
        time.sleep(0.02)


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


def _reason(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "it is a symbolic link"
    return one_line(getattr(error, "strerror", None) or error, 120)


TRACKER = FileTracker
