# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module that goes on in the background, under Ansible's wrapper (async), and whose run is cancelled.

Standard library only, Python 3.8 and later: it runs on the server.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_JOB = re.compile(r"j[0-9]{1,12}")
_PAYLOAD = re.compile(r"(.*/ansible_[^/]+_payload_[^/]+)/[^/]+\.zip/")
#: How long the wrapper, which is ended with the module, may take to end, in seconds.
_WRAPPER_SECONDS = 2.0


def when_cancelled(remove: Callable[[], object]) -> None:
    """When this process is told to end (SIGTERM), calls ``remove`` and removes what Ansible has unpacked of the module;
    then it ends by that."""

    def end(number: int, _frame: Any) -> None:
        remove()
        if payload := _PAYLOAD.match(os.path.abspath(__file__)):
            shutil.rmtree(payload.group(1), ignore_errors=True)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, end)


def remove_job_when_cancelled() -> None:
    """Has this module remove what the wrapper has made, its notes and the module's own folder: the wrapper does so
    itself only where it is not ended. Without a wrapper nothing is removed."""
    wrapper = os.getppid()
    try:
        with open("/proc/{0}/cmdline".format(wrapper), encoding="utf-8", errors="surrogateescape") as file:
            words = file.read().split("\0")
        place = [os.path.basename(word) for word in words].index("async_wrapper.py")
        job = words[place + 1]
        # Since ansible-core 2.21 a word is before it that is no path.
        module = next(word for word in words[place + 3 :] if "/" in word)
    except (OSError, ValueError, IndexError, StopIteration):
        return
    if not _JOB.fullmatch(job):
        return
    notes = os.path.expanduser(os.environ.get("ANSIBLE_ASYNC_DIR") or "~/.ansible_async")
    folder = os.path.dirname(module)

    def remove() -> None:
        # It would write its notes again.
        until = time.monotonic() + _WRAPPER_SECONDS
        while os.getppid() == wrapper and time.monotonic() < until:
            time.sleep(0.02)
        with contextlib.suppress(OSError):
            for name in os.listdir(notes):
                if name.startswith(job + "."):
                    os.unlink(os.path.join(notes, name))
        if os.path.basename(folder).startswith("ansible-tmp-"):
            shutil.rmtree(folder, ignore_errors=True)

    when_cancelled(remove)
