# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one shape of every measurement, and a runner that asks many questions at the same time.

A probe is a plain dict: ``ok`` (the question was answered), ``seconds`` (how long it took) and either ``data`` (the
answer) or ``error`` (one of ``ERRORS``) with ``message`` (one sentence for a person).
"""

from __future__ import annotations

import errno
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Generic, Hashable, Literal, TypedDict, TypeVar, Union, cast, get_args

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    #: What to ask, and its limit in seconds.
    Question = tuple[Callable[[], Any], float]

Data = TypeVar("Data")
Name = TypeVar("Name", bound=Hashable)

#: Why a question has no answer. ``missing``: its subject is not installed or not configured. ``skipped``: it was not
#: asked, and the message says why.
Error = Literal["timed_out", "refused", "unreachable", "missing", "denied", "invalid", "failed", "skipped"]
ERRORS: tuple[Error, ...] = get_args(Error)

MESSAGE_LIMIT = 500


class _Repeated(TypedDict, total=False):
    #: 2: the server closed the first connection without an answer, so this is the answer on a second one.
    attempts: int


class _Details(_Repeated, total=False):
    #: The answer of a resolver other than NOERROR and NXDOMAIN (RFC 1035, 4.1.1).
    rcode: str
    #: How a TLS handshake ended, in OpenSSL's words.
    alert: str
    #: The error number or SQLSTATE of a database.
    code: str
    #: How often the run's registrations were refused before this one was left out.
    refused: int


class Failed(_Details):
    """A question without an answer. ``seconds`` is how long it took, ``message`` one sentence for a person."""

    ok: Literal[False]
    seconds: float
    error: Error
    message: str


if TYPE_CHECKING or sys.version_info >= (3, 11):

    class Answered(_Repeated, Generic[Data]):
        """A question that was answered with ``data`` after ``seconds``; the answer need not be good news."""

        ok: Literal[True]
        seconds: float
        data: Data

    Probe = Union[Answered[Data], Failed]
else:
    # A TypedDict cannot be generic before Python 3.11. A server only names these types and never evaluates them.
    Answered = Probe = dict

_BY_ERRNO: dict[int | None, Error] = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "refused",
    errno.EPIPE: "refused",
    errno.ETIMEDOUT: "timed_out",
    errno.EAGAIN: "timed_out",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTDOWN: "unreachable",
    errno.ENETDOWN: "unreachable",
    errno.EADDRNOTAVAIL: "unreachable",
    errno.EAFNOSUPPORT: "unreachable",
    errno.EACCES: "denied",
    errno.EPERM: "denied",
    errno.ENOENT: "missing",
}


class ProbeError(Exception):
    """A question without an answer. ``error`` is one of ``ERRORS``, ``extra`` holds further fields of `Failed`."""

    def __init__(self, error: Error, message: object, **extra: Any) -> None:
        super().__init__(message)
        self.error = error
        self.extra = extra


def answered(data: Data, seconds: float) -> Answered[Data]:
    """The probe of a question that was answered with ``data`` after ``seconds``."""
    return {"ok": True, "seconds": round(seconds, 4), "data": data}


def failed(error: Error, message: object, seconds: float = 0.0, **extra: Any) -> Failed:
    """The probe of a question without an answer; ``extra`` holds further fields of `Failed`."""
    found = dict(extra, ok=False, seconds=round(seconds, 4), error=error, message=str(message)[:MESSAGE_LIMIT])
    return cast("Failed", found)


def error_of(exception: BaseException) -> Error:
    """Which of ``ERRORS`` an exception of the operating system stands for."""
    if isinstance(exception, ProbeError):
        return exception.error
    if isinstance(exception, socket.timeout):
        return "timed_out"
    if type(exception).__module__ == "ssl":
        # Its errno is OpenSSL's, not the operating system's.
        return "failed"
    return _BY_ERRNO.get(getattr(exception, "errno", None), "failed")


def probe(function: Callable[[], Data]) -> Probe[Data]:
    """Call ``function`` and return what it returned or raised as a probe."""
    start = time.monotonic()
    try:
        return answered(function(), time.monotonic() - start)
    except ProbeError as error:
        return failed(error.error, error, time.monotonic() - start, **error.extra)
    except Exception as error:
        # One collector that fails in an unforeseen way must not end the others.
        message = str(error) or type(error).__name__
        if error_of(error) == "failed" and not isinstance(error, OSError):
            message = "{0}: {1}".format(type(error).__name__, error)
        return failed(error_of(error), message, time.monotonic() - start)


class Round:
    """Questions asked at the same time, each in a daemon thread with its own limit. An answer may lead to further ones.

    A question that is still busy at its limit yields ``timed_out`` and is left behind. It delays neither the others nor
    the end of the process.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._probes: dict[Hashable, Probe[Any]] = {}
        self._questions: dict[Hashable, tuple[float, float]] = {}

    def ask(self, name: Hashable, function: Callable[[], Any], limit: float) -> None:
        """Ask once: a name that was asked before is not asked again. ``limit`` is seconds from now."""
        with self._changed:
            if name in self._questions:
                return
            started = time.monotonic()
            self._questions[name] = (started, limit)
        try:
            threading.Thread(target=self._run, args=(name, function), daemon=True).start()
        except RuntimeError as error:
            self._keep(name, failed("failed", "no thread to ask with: {0}".format(error)))

    def answers(self) -> dict[Any, Probe[Any]]:
        """Wait for every answer, each no longer than its limit. Returns ``{name: probe}`` in the order of asking."""
        with self._changed:
            while True:
                now = time.monotonic()
                open_ends = [
                    started + limit
                    for name, (started, limit) in self._questions.items()
                    if name not in self._probes and started + limit > now
                ]
                if not open_ends:
                    break
                self._changed.wait(min(open_ends) - now)
            return {
                name: self._probes.get(name) or failed("timed_out", "no answer within {0:g} s".format(limit), limit)
                for name, (_started, limit) in self._questions.items()
            }

    def _run(self, name: Hashable, function: Callable[[], Any]) -> None:
        self._keep(name, probe(function))

    def _keep(self, name: Hashable, result: Probe[Any]) -> None:
        with self._changed:
            self._probes[name] = result
            self._changed.notify_all()


def run_all(questions: Mapping[Name, tuple[Callable[[], Data], float]]) -> dict[Name, Probe[Data]]:
    """Ask ``{name: (function, limit in seconds)}`` at the same time. Returns ``{name: probe}`` in the same order, at
    the largest limit at the latest."""
    asked = Round()
    for name, (function, limit) in questions.items():
        asked.ask(name, function, limit)
    return asked.answers()
