"""What the service does again and again, each in a thread of its own."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping

from reconnect.errors import ReconnectError


class Loop(ABC):
    """Looks once in so many `seconds`, and whenever it is woken, until it is told to stop.

    Nothing that goes wrong ends it: the service would answer and do nothing any more. The log gets `failure` with the
    reason, and the fields `said`; what is no defect has `level` there.
    """

    def __init__(
        self,
        log: logging.Logger,
        failure: str,
        seconds: float,
        *,
        wake: threading.Event | None = None,
        level: int = logging.ERROR,
        said: Mapping[str, object] | None = None,
    ) -> None:
        self._log = log
        self._failure = failure
        self._seconds = seconds
        self._wake = wake or threading.Event()
        self._level = level
        self._said = said
        self._stopped = threading.Event()

    def run(self) -> None:
        """Looks until `stop` is called."""
        while not self._stopped.is_set():
            try:
                self.look()
            except ReconnectError as error:
                self._log.log(self._level, "%s: %s", self._failure, error, extra=self._said)
            except Exception:
                self._log.exception("%s: a defect of Reconnect", self._failure, extra=self._said)
            self._wake.wait(self._seconds)
            self._wake.clear()

    def stop(self) -> None:
        """Looks no more. What is under way then goes on by itself."""
        self._stopped.set()
        self._wake.set()

    @abstractmethod
    def look(self) -> None:
        """Does what is due. Raises ReconnectError."""
