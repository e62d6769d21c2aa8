"""What the command's exit code says.

With several servers the worst one counts, in the order of `WORST_FIRST`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from reconnect.result import Result, Verdict


class ExitCode(IntEnum):
    """Exit codes of the command, see docs/command-line.md."""

    OK = 0
    DEFECT = 1
    USAGE = 2
    NOT_MENDED = 10
    REFUSED = 11
    UNREACHABLE = 12
    STOPPED = 13
    REPORT_PENDING = 14


WORST_FIRST = (
    ExitCode.DEFECT,
    ExitCode.STOPPED,
    ExitCode.UNREACHABLE,
    ExitCode.REFUSED,
    ExitCode.REPORT_PENDING,
    ExitCode.NOT_MENDED,
    ExitCode.OK,
)

_BY_STATE = {
    "failed": ExitCode.DEFECT,
    "timed_out": ExitCode.STOPPED,
    "cancelled": ExitCode.STOPPED,
    "unreachable": ExitCode.UNREACHABLE,
    "refused": ExitCode.REFUSED,
}
_NOT_MENDED = {"fault_found", "escalate_second_level", "escalate_third_level"}


def of_result(result: Result) -> ExitCode:
    """The exit code of one server's result."""
    if result.state in _BY_STATE:
        return _BY_STATE[result.state]
    return of_verdict(result.verdict) if result.verdict else ExitCode.DEFECT


def of_verdict(verdict: Verdict) -> ExitCode:
    """The exit code of a verdict that stands for itself."""
    return ExitCode.NOT_MENDED if verdict.outcome in _NOT_MENDED else ExitCode.OK


def worst(codes: Iterable[ExitCode]) -> ExitCode:
    """The code that counts for all of `codes`; OK when there are none."""
    return min(codes, key=WORST_FIRST.index, default=ExitCode.OK)
