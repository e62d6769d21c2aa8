"""The errors of the wrapper, each with a sentence for a person."""

from __future__ import annotations


class ReconnectError(Exception):
    """Something the person at the terminal must know; `str()` is one sentence."""


class StoreError(ReconnectError):
    """What is known of runs cannot be read or written: a full or read-only disk, a damaged file, no database."""


class DamagedError(StoreError):
    """What is kept cannot be read, now or later: it is damaged, or of another version."""


class TakenError(ReconnectError):
    """Somebody else has ended the run or taken it over: nothing more of it is written or told here."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"Run {run_id} was ended or taken over elsewhere. What was done here since is not kept. Diagnose again."
        )


class UnreachableError(ReconnectError):
    """A server cannot be reached."""


class InputError(ReconnectError):
    """The command line, a file or a name is invalid. Nothing was executed."""


class TrackerError(ReconnectError):
    """An incident could not be read or changed.

    `code` is the HTTP status, None where there was no answer; `retry_after` is how many seconds the tracker asked us to
    wait.
    """

    def __init__(self, sentence: str, code: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(sentence)
        self.code = code
        self.retry_after = retry_after
