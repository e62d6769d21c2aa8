"""What the user or the device says, read from a file.

A `.json`, `.yml` or `.yaml` file holds the fields of `ClientReport`; any other file is the client's log as plain text,
of any length: it is read once, in bounded memory, and what is kept of it are its last lines and those before them that
speak of errors. The content comes from a ticket and is hostile: never templated, and handed on as data in a file.
"""

from __future__ import annotations

import codecs
import json
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reconnect.errors import InputError
from reconnect.text import one_line, printable

MAX_BYTES = 1024 * 1024
MAX_LOG_LINES = 5000
#: Of a log of its own: lines about errors that are kept from before the last lines, and what a line is cut to.
MAX_ERROR_LINES = 200
MAX_LINE = 1000
#: A log is no longer than this, in bytes.
MAX_LOG_BYTES = 2 * 1024**3
_CHUNK = 256 * 1024
_ERROR = re.compile(r"(?i)error|fail|refus|timed? ?out|denied|alert|expired|unauthori|unreachable|\b[456]\d\d\b")

Scalar = str | int | float | bool | None


class ClientReport(BaseModel):
    """The client report as the evidence carries it, see docs/documents.md."""

    model_config = ConfigDict(extra="forbid", strict=True)

    internet: bool | None = None
    reconnected: bool | None = None
    error_message: str | None = Field(default=None, max_length=4000)
    settings: dict[str, Scalar] = Field(default={}, max_length=100)
    log: list[str] = []


class _PlainLoader(yaml.SafeLoader):
    """Safe YAML without aliases: a few lines of nested aliases would otherwise grow to gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        return super().compose_node(parent, index)


def read(path: Path) -> ClientReport:
    """The client report in the file `path`. Raises InputError when it can't be used."""
    try:
        with path.open("rb") as file:
            return read_from(file, path)
    except OSError as error:
        raise InputError(f"The client report {one_line(path)} can't be read: {error.strerror}.") from None


def read_from(file: BinaryIO, path: Path) -> ClientReport:
    """The same, from a file that is open already; `path` is only its name."""
    if path.suffix.lower() not in {".json", ".yml", ".yaml"}:
        return ClientReport(log=_log(file, path))
    fields = _structured(path, _text(file, path))
    if isinstance(fields.get("log"), str):
        fields["log"] = _lines(fields["log"])
    try:
        report = ClientReport.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        known = ", ".join(ClientReport.model_fields)
        raise InputError(
            f"The client report {one_line(path)} can't be used: {one_line(where, 80)}: {first['msg'].lower()} "
            f"(its fields are {known})."
        ) from None
    report.log = report.log[-MAX_LOG_LINES:]
    return report


def _log(file: BinaryIO, path: Path) -> list[str]:
    errors: deque[str] = deque(maxlen=MAX_ERROR_LINES)
    last: deque[str] = deque()
    length = 0
    for line in _log_lines(file, path):
        last.append(line)
        length += len(line)
        while len(last) > MAX_LOG_LINES or length > MAX_BYTES // 4:
            gone = last.popleft()
            length -= len(gone)
            if _ERROR.search(gone):
                errors.append(gone)
    return [printable(line) for line in (*errors, *last)]


def _log_lines(file: BinaryIO, path: Path) -> Iterator[str]:
    """The lines of a log, each cut to MAX_LINE characters; a line that never ends costs no more than that."""
    head = file.read(2)
    encoding = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}.get(head, "utf-8")
    decode = codecs.getincrementaldecoder(encoding)("replace").decode
    seen, kept = 0, ""
    block = b"" if encoding != "utf-8" else head
    while True:
        chunk = file.read(_CHUNK)
        seen += len(chunk)
        if seen > MAX_LOG_BYTES:
            raise InputError(f"The client report {one_line(path)} is larger than {MAX_LOG_BYTES // 1024**3} GiB.")
        *lines, rest = (kept + decode(block + chunk, final=not chunk)).split("\n")
        yield from (line[:MAX_LINE].rstrip("\r") for line in lines)
        # What is beyond the limit of a line is dropped up to its end.
        kept, block = rest[:MAX_LINE], b""
        if not chunk:
            if kept:
                yield kept.rstrip("\r")
            return


def _text(file: BinaryIO, path: Path) -> str:
    content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise InputError(f"The client report {one_line(path)} is larger than {MAX_BYTES // 1024} KiB.")
    return printable(content.decode("utf-8", errors="replace").replace("\r\n", "\n"))


def _structured(path: Path, text: str) -> dict[str, Any]:
    try:
        fields = json.loads(text) if path.suffix.lower() == ".json" else _yaml(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        problem = getattr(error, "problem", None) or error
        raise InputError(f"The client report {one_line(path)} can't be parsed: {one_line(problem, 160)}.") from None
    if not isinstance(fields, dict):
        raise InputError(f"The client report {one_line(path)} holds no fields.")
    return fields


def _yaml(text: str) -> Any:
    return yaml.load(text, Loader=_PlainLoader)  # noqa: S506 - a SafeLoader that takes less


def _lines(text: str) -> list[str]:
    return text.splitlines()[-MAX_LOG_LINES:]
