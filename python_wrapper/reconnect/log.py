"""The log: a line of JSON for each event.

The service writes it to standard error, or to the file of RECONNECT_LOG_FILE; a command writes to that file only.
Every line about a run has its trace id, which is that of the delivery or request that began it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from typing import Protocol

from reconnect.errors import InputError
from reconnect.machine import expanded
from reconnect.result import rfc3339
from reconnect.settings import Settings
from reconnect.text import one_line

#: What a record may say beside its sentence; nothing else is written.
FIELDS = (
    *("trace_id", "run", "exit_code", "source", "delivery", "server", "step", "state"),
    *("method", "route", "status", "seconds", "who", "address"),
)


class JsonLines(logging.Formatter):
    """A record as one line of JSON. What a stranger sent is made printable."""

    def format(self, record: logging.LogRecord) -> str:
        said = {
            "at": rfc3339(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": one_line(record.getMessage(), 1000),
        }
        for name in FIELDS:
            value = getattr(record, name, None)
            if value is not None:
                said[name] = one_line(value, 400) if isinstance(value, str) else value
        if record.exc_info:
            said["error"] = self.formatException(record.exc_info)[-4000:]
        return json.dumps(said)


class _File(WatchedFileHandler):
    """A log file that only this user reads, opened again once it was rotated. What cannot be written stops nothing."""

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        return open(descriptor, "a", encoding="utf-8")

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """A disk that is full ends no run, and nothing is printed into what it prints."""


def set_up(settings: Settings) -> None:
    """Writes what the service logs, but what libraries say below a warning. Raises InputError as `to_file`."""
    _write_to(logging.StreamHandler(sys.stderr), settings)
    to_file(settings)


def to_file(settings: Settings) -> None:
    """Writes the log to the file of the settings, where there is one. Raises InputError where it cannot be opened."""
    if settings.log_file is None:
        return
    path = expanded(settings.log_file)
    try:
        _write_to(_File(path), settings)
    except OSError as error:
        raise InputError(f"Cannot write the log file '{one_line(path)}': {error.strerror}.") from None


def _write_to(handler: logging.Handler, settings: Settings) -> None:
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("reconnect").setLevel(settings.log_level.upper())


class Traced(Protocol):
    """A run, as the log names it."""

    def traced(self) -> dict[str, object]:
        """Its id and its trace id."""
        ...


def about(run: Traced, logger: logging.Logger, level: int, sentence: str, **said: object) -> None:
    """Logs what happens in a run; the store is asked for its trace id only where somebody wants the line."""
    if logger.isEnabledFor(level):
        logger.log(level, "%s", sentence, extra={**run.traced(), **said})
