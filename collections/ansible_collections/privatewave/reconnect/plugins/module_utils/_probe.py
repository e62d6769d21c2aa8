# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one shape of everything measured, and a runner that asks many questions at the same time.

A probe is a plain dict: ``ok`` (the question was answered), ``seconds`` (how long it took) and either ``data`` (the
answer) or ``error`` (one of ``ERRORS``) with ``message`` (one sentence for a person).
"""

from __future__ import annotations

import errno
import socket
import threading
import time

ERRORS = ("timed_out", "refused", "unreachable", "missing", "denied", "invalid", "failed", "skipped")

MESSAGE_LIMIT = 500

_BY_ERRNO = {
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
    """A question that got no answer. ``error`` is one of ``ERRORS``, ``extra`` holds further fields of the probe."""

    def __init__(self, error, message, **extra):
        super().__init__(message)
        self.error = error
        self.extra = extra


def answered(data, seconds):
    """The probe of a question that was answered with ``data`` after ``seconds``."""
    return {"ok": True, "seconds": round(seconds, 4), "data": data}


def failed(error, message, seconds=0.0, **extra):
    """The probe of a question that was not answered; ``error`` is one of ``ERRORS``."""
    return dict(extra, ok=False, seconds=round(seconds, 4), error=error, message=str(message)[:MESSAGE_LIMIT])


def error_of(exception):
    """Which of ``ERRORS`` an exception of the operating system stands for."""
    if isinstance(exception, ProbeError):
        return exception.error
    if isinstance(exception, socket.timeout):
        return "timed_out"
    if type(exception).__module__ == "ssl":
        # Its errno is OpenSSL's, not the operating system's.
        return "failed"
    return _BY_ERRNO.get(getattr(exception, "errno", None), "failed")


def probe(function):
    """Call ``function`` and return its answer, or whatever it raised, as a probe."""
    start = time.monotonic()
    try:
        return answered(function(), time.monotonic() - start)
    except ProbeError as error:
        return failed(error.error, error, time.monotonic() - start, **error.extra)
    except Exception as error:
        # A collector that meets something it never saw must not take the others with it.
        message = str(error) or type(error).__name__
        if error_of(error) == "failed" and not isinstance(error, OSError):
            message = "{0}: {1}".format(type(error).__name__, error)
        return failed(error_of(error), message, time.monotonic() - start)


class Round:
    """Questions asked at the same time, each in a daemon thread with its own limit; an answer may lead to further ones.

    A question that is still busy at its limit yields ``timed_out`` and is left behind: it can't hold up the others,
    nor the end of the process.
    """

    def __init__(self):
        self._changed = threading.Condition()
        self._probes = {}
        self._questions = {}

    def ask(self, name, function, limit):
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

    def answers(self):
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

    def _run(self, name, function):
        self._keep(name, probe(function))

    def _keep(self, name, result):
        with self._changed:
            self._probes[name] = result
            self._changed.notify_all()


def run_all(questions):
    """Ask ``{name: (function, limit in seconds)}`` at the same time. Returns ``{name: probe}`` in the same order, not
    later than the largest limit."""
    asked = Round()
    for name, (function, limit) in questions.items():
        asked.ask(name, function, limit)
    return asked.answers()
