"""What the command's exit code says.

With several servers the worst one counts, in the order of `WORST_FIRST`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconnect.result import Result, Verdict


class ExitCode(IntEnum):
    """Exit codes of the command, see docs/reference/outcomes.md."""

    OK = 0
    DEFECT = 1
    USAGE = 2
    NOT_FIXED = 10
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
    ExitCode.NOT_FIXED,
    ExitCode.OK,
)


def of_result(result: Result) -> ExitCode:
    """The exit code of one server's result."""
    # The table needs Pydantic; the codes alone do not.
    from reconnect import outcomes

    return ExitCode(outcomes.of(result).exit_code)


def of_verdict(verdict: Verdict) -> ExitCode:
    """The exit code of a verdict that stands for itself."""
    from reconnect import outcomes

    return ExitCode(outcomes.table()[verdict.outcome].exit_code)


def worst(codes: Iterable[ExitCode]) -> ExitCode:
    """The code that counts for all of `codes`; OK when there are none."""
    return min(codes, key=WORST_FIRST.index, default=ExitCode.OK)
