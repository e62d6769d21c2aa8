"""What the user or the device reports, read from a file.

A `.json`, `.yml` or `.yaml` file has the fields of `ClientReport`. Any other file is the client's log as plain text, of
any length: it is read once, in bounded memory; its last lines are kept, and earlier lines about errors. The content is
hostile: never templated, and handed on as data in a file.
"""

from __future__ import annotations

import codecs
import ipaddress
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from reconnect import invalid
from reconnect.common import plain_json
from reconnect.errors import InputError
from reconnect.incidents import spelling
from reconnect.incidents.spelling import Scalar
from reconnect.text import encoding_of, one_line, printable, printable_document

MAX_BYTES = 1024 * 1024
MAX_LOG_LINES, MAX_SETTINGS = 5000, 100
#: Of a log: how many earlier lines about errors are kept, and the most characters of a line.
MAX_ERROR_LINES = 200
MAX_LINE = 1000
#: Of a self-check: characters of what a proxy added, and seconds between two clocks.
MAX_PROXY, MAX_OFFSET = 200, 1e11
#: The largest log, in bytes.
MAX_LOG_BYTES = 2 * 1024**3
_CHUNK = 256 * 1024
_ERROR = re.compile(r"(?i)error|fail|refus|timed? ?out|denied|alert|expired|unauthori|unreachable|\b[456]\d\d\b")


def _address(text: str) -> str:
    """An IP address in its one spelling; that of IPv4 where it is one in the form of IPv6."""
    address = ipaddress.ip_address(text)
    return str(getattr(address, "ipv4_mapped", None) or address)


class Browser(BaseModel):
    """What the self-check of a browser on the user's device came to, see docs/reference/documents.md."""

    model_config = ConfigDict(extra="forbid", strict=True)

    addresses: list[Annotated[str, Field(max_length=45), AfterValidator(_address)]] = Field(max_length=4)
    ipv4: bool | None = None
    ipv6: bool | None = None
    provisioning: bool | None = None
    proxy: list[Annotated[str, Field(max_length=MAX_PROXY)]] = Field(default=[], max_length=8)
    clock_offset: float | None = Field(default=None, ge=-MAX_OFFSET, le=MAX_OFFSET)


class ClientReport(BaseModel):
    """The client report as the evidence carries it, see docs/reference/documents.md: printable, with finite numbers."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    internet: bool | None = None
    reconnected: bool | None = None
    error_message: str | None = Field(default=None, max_length=4000)
    settings: dict[str, Scalar] = Field(default={}, max_length=MAX_SETTINGS)
    log: list[str] = []
    browser: Browser | None = None

    _printable = field_validator("error_message", "settings", "log", mode="before")(printable_document)


class _PlainLoader(yaml.SafeLoader):
    """Safe YAML without aliases: a few lines of nested aliases would otherwise grow to gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        return super().compose_node(parent, index)


def read(path: Path) -> ClientReport:
    """The client report in the file `path`. Raises InputError when it is invalid."""
    try:
        with path.open("rb") as file:
            return read_from(file, path)
    except OSError as error:
        raise InputError(f"Cannot read the client report {one_line(path)}: {error.strerror}.") from None


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
        said = f"{invalid.where(first)}: {invalid.in_a_sentence(first)}"
        known = ", ".join(ClientReport.model_fields)
        raise InputError(f"The client report {one_line(path)} is invalid: {said} (its fields are {known}).") from None
    report.log = report.log[-MAX_LOG_LINES:]
    report.settings = _named(report.settings)
    return report


def _named(settings: dict[str, Scalar]) -> dict[str, Scalar]:
    """The settings by the names that are compared; text alone may say more than one."""
    named: dict[str, Scalar] = {}
    for name, value in settings.items():
        spelling.put(named, name, value)
    return named


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
    block = file.read(4)
    decode = codecs.getincrementaldecoder(encoding_of(block))("replace").decode
    seen, kept = 0, ""
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
    return printable(content.decode(encoding_of(content), errors="replace").replace("\r\n", "\n"))


def _structured(path: Path, text: str) -> dict[str, Any]:
    try:
        fields = plain_json(text) if path.suffix.lower() == ".json" else _yaml(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        problem = getattr(error, "problem", None) or error
        raise InputError(f"Cannot parse the client report {one_line(path)}: {one_line(problem, 160)}.") from None
    if not isinstance(fields, dict):
        raise InputError(f"The client report {one_line(path)} has no fields.")
    return fields


def _yaml(text: str) -> Any:
    return yaml.load(text, Loader=_PlainLoader)  # noqa: S506 - a SafeLoader that takes less


def _lines(text: str) -> list[str]:
    return text.splitlines()[-MAX_LOG_LINES:]
