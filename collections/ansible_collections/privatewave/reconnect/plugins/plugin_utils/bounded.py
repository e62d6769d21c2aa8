# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server sends over SSH is bounded while it is read, whatever module or task asks.

Ansible's SSH connection keeps everything that ssh prints, and copies it several times: 400 MB of output took 1.7 GB,
and the control node's memory is that of every other server, too.
"""

from __future__ import annotations

import io
import os
import subprocess
from typing import Any

from ansible.errors import AnsibleError

#: Bytes of each output of one command on a server.
OUTPUT_LIMIT = 32 * 1024 * 1024


class _Bounded(io.RawIOBase):
    """An output of a process; once it is larger than the limit, the process is killed and reading fails."""

    def __init__(self, file: Any, process: subprocess.Popen[bytes]) -> None:
        super().__init__()
        self._file = file
        self._process = process
        self._left = OUTPUT_LIMIT

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        number: int = self._file.fileno()
        return number

    def readinto(self, buffer: Any) -> int | None:
        try:
            part = os.read(self.fileno(), len(buffer))
        except BlockingIOError:
            return None
        self._left -= len(part)
        if self._left < 0:
            self._process.kill()
            raise AnsibleError(f"The server sent more than {OUTPUT_LIMIT // 1024**2} MiB, and was not listened to.")
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        self._file.close()
        super().close()


class _Process(subprocess.Popen[bytes]):
    """A process whose outputs are bounded."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        for name in ("stdout", "stderr"):
            if (stream := getattr(self, name)) is not None:
                setattr(self, name, io.BufferedReader(_Bounded(stream, self)))


class _Subprocess:
    """The module `subprocess` as the connection plugin sees it."""

    Popen = _Process

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)


def bound() -> None:
    """From now on every SSH connection of this process and of those that it forks reads up to `OUTPUT_LIMIT`."""
    from ansible.plugins.connection import ssh

    ssh.subprocess = _Subprocess()
