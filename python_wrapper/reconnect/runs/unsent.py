"""Reports that neither the store nor the tracker took: a file each, until the store takes them."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from reconnect.errors import StoreError
from reconnect.machine import make_private
from reconnect.result import Result
from reconnect.runs.record import Record
from reconnect.runs.store import write_bytes
from reconnect.settings import Settings

#: A file that is larger than this is none of ours, in bytes.
MAX_BYTES = 64 * 1024**2


class Unsent(BaseModel):
    """A run that ended, and its results."""

    model_config = ConfigDict(extra="forbid")

    record: Record
    results: list[Result]


def keep(record: Record, results: Sequence[Result], settings: Settings) -> Path:
    """Keeps how a run ended, beside the store or, where the disk refuses that too, among temporary files. Raises
    StoreError."""
    content = Unsent(record=record, results=list(results)).model_dump_json(by_alias=True).encode()
    said = ""
    for folder in _folders(settings):
        try:
            make_private(folder)
            if not _is_private(folder):
                said = f"{folder} belongs to somebody else"
                continue
            file = folder / f"{record.run_id}.json"
            write_bytes(file, content)
        except OSError as error:
            said = f"{folder}: {error.strerror}"
        else:
            return file
    raise StoreError(f"Cannot keep the report of run {record.run_id} as a file: {said}.")


def kept(settings: Settings) -> Iterator[tuple[Path, Unsent]]:
    """What is kept, the oldest first. A file that is damaged is left out."""
    for folder in _folders(settings):
        with contextlib.suppress(OSError):
            if not _is_private(folder):
                continue
            for file in sorted(folder.glob("*.json")):
                if file.lstat().st_size <= MAX_BYTES:
                    with contextlib.suppress(ValidationError):
                        yield file, Unsent.model_validate_json(file.read_bytes())


def _folders(settings: Settings) -> list[Path]:
    return [settings.state / "unsent", Path(tempfile.gettempdir()) / f"reconnect-unsent-{os.getuid()}"]


def _is_private(folder: Path) -> bool:
    """Whether it is this user's own: anybody makes folders among temporary files."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
