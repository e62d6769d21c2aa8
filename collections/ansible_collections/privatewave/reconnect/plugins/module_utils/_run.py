# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a program with a limit, so that neither it nor what it started outlives the question."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time

from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, error_of

OUTPUT_LIMIT = 1024 * 1024
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_running = {}
_starting = threading.Lock()
_ended = threading.Event()


def run(argv, limit, output_limit=OUTPUT_LIMIT, accept=(0,)):
    """The standard output of a program, as text; what is more than ``output_limit`` bytes is left out.

    The program speaks English and UTC, runs in a process group of its own, reads nothing and is killed after ``limit``
    seconds. Raises `ProbeError`: ``missing`` when there is no such program, ``timed_out``, or ``failed`` with the last
    line of its standard error when it ends with a code that is not among ``accept`` (None: any will do).
    """
    environment = dict(os.environ, PATH=PATH, LC_ALL="C", TZ="UTC", SYSTEMD_PAGER="", SYSTEMD_COLORS="0")
    deadline = time.monotonic() + limit
    with _starting:
        # A question left behind goes on in its thread: what it starts after the end would outlive us.
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


def end_all():
    """Kill the programs that are still running, and start none after: nobody waits for their answers any more."""
    with _starting:
        _ended.set()
    for child in list(_running.values()):
        _kill(child)


def _collect(child, deadline, output_limit):
    """Read both outputs to their end, keeping the first bytes of each."""
    kept = {child.stdout.fileno(): b"", child.stderr.fileno(): b""}
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
    return kept[child.stdout.fileno()], kept[child.stderr.fileno()]


def _end(child):
    _kill(child)
    child.stdout.close()
    child.stderr.close()
    # The kernel may be unable to end a process that waits for a disk: it is not waited for.
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(0.5)
    _running.pop(child.pid, None)


def _kill(child):
    with contextlib.suppress(OSError):
        os.killpg(child.pid, signal.SIGKILL)
