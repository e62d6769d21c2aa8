# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a program with a limit: neither it nor what it started outlives the question."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from typing import IO, TYPE_CHECKING

from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, error_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    Child = subprocess.Popen[bytes]

OUTPUT_LIMIT = 1024 * 1024
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_running: dict[int, Child] = {}
_starting = threading.Lock()
_ended = threading.Event()


def run(
    argv: Sequence[str], limit: float, output_limit: int = OUTPUT_LIMIT, accept: Collection[int] | None = (0,)
) -> str:
    """The standard output of a program as text, its first ``output_limit`` bytes.

    The program runs in English and UTC and in its own process group, reads nothing and is killed after ``limit``
    seconds. Raises `ProbeError`: ``missing`` when there is no such program, ``timed_out``, or ``failed`` with the last
    line of its standard error when its exit code is not among ``accept`` (None: any is accepted).
    """
    environment = dict(os.environ, PATH=PATH, LC_ALL="C", TZ="UTC", SYSTEMD_PAGER="", SYSTEMD_COLORS="0")
    deadline = time.monotonic() + limit
    with _starting:
        # A question that was left behind continues in its thread: a program that it starts now would outlive us.
        if _ended.is_set():
            raise ProbeError("timed_out", "{0} was not started: the time is over".format(argv[0]))
        try:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise ProbeError(error_of(error), "{0}: {1}".format(argv[0], error.strerror)) from None
        _running[child.pid] = child
    try:
        output, errors = _collect(child, deadline, output_limit)
        code = child.wait(max(0.0, deadline - time.monotonic()))
    except (subprocess.TimeoutExpired, TimeoutError):
        raise ProbeError("timed_out", "{0} did not end within {1:g} s".format(argv[0], limit)) from None
    finally:
        _end(child)
    if accept is not None and code not in accept:
        said = (errors.strip() or output.strip()).decode("utf-8", "replace").splitlines()[-1:]
        raise ProbeError("failed", "{0} ended with {1}: {2}".format(argv[0], code, " ".join(said)))
    return output.decode("utf-8", "replace")


def end_all() -> None:
    """Kill the programs that still run and start no more: nobody waits for their answers."""
    with _starting:
        _ended.set()
    for child in list(_running.values()):
        _kill(child)


def _collect(child: Child, deadline: float, output_limit: int) -> tuple[bytes, bytes]:
    """Read both outputs to their end and keep the first bytes of each."""
    output, errors = (stream.fileno() for stream in _streams(child))
    kept = {output: b"", errors: b""}
    poller = select.poll()
    for number in kept:
        poller.register(number, select.POLLIN | select.POLLHUP)
    still_open = set(kept)
    while still_open:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        for number, _event in poller.poll(left * 1000):
            part = os.read(number, 65536)
            if not part:
                poller.unregister(number)
                still_open.discard(number)
            elif len(kept[number]) < output_limit:
                kept[number] = (kept[number] + part)[:output_limit]
    return kept[output], kept[errors]


def _streams(child: Child) -> list[IO[bytes]]:
    return [stream for stream in (child.stdout, child.stderr) if stream]


def _end(child: Child) -> None:
    _kill(child)
    for stream in _streams(child):
        stream.close()
    # The kernel cannot always end a process that waits for a disk: do not wait for that one.
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(0.5)
    _running.pop(child.pid, None)


def _kill(child: Child) -> None:
    with contextlib.suppress(OSError):
        os.killpg(child.pid, signal.SIGKILL)
