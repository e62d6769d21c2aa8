"""What can go wrong in the wrapper, each a sentence for a person."""

from __future__ import annotations


class ReconnectError(Exception):
    """Something the person at the terminal has to know; `str()` is one sentence."""


class InputError(ReconnectError):
    """The command line, a file or a name that was given cannot be used. Nothing was executed."""


class TrackerError(ReconnectError):
    """An incident could not be read or changed.

    `code` is the HTTP status, None where there was no answer to judge; `retry_after` is how many seconds the tracker
    asked us to wait.
    """

    def __init__(self, sentence: str, code: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(sentence)
        self.code = code
        self.retry_after = retry_after
