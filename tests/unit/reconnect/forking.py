"""The command, in processes that are forked from one that has loaded it: tests that call it wait for no import.

`python forking.py DESCRIPTOR` is that process. Nothing in it is configured and no thread is begun. A command has a
process of its own, with its own folder, environment and standard streams, and ends as any other.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TextIO

_NUMBER = struct.Struct("i")
#: Room for a request, in bytes.
_ROOM = 256 * 1024
#: What an interpreter reads when it starts.
_READ_AT_START = ("PYTHON", "LC_", "LANG", "MALLOC_", "LD_")
#: What a command loads when it is needed.
_LOADED = ("alembic.command", "dbos._sys_db_sqlite", "reconnect.engine.resuming", "reconnect.runs.store")


class Command:
    """A call of the command in a process of its own; it is used as a `subprocess.Popen`."""

    def __init__(self, arguments: tuple[str, ...], folder: Path, environment: dict[str, str]) -> None:
        self.args = ["reconnect", *arguments]
        self.returncode: int | None = None
        self._status, theirs = socket.socketpair()
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        self.stdout, self.stderr = open(out), open(err)  # noqa: SIM115
        request = json.dumps({"arguments": arguments, "folder": str(folder), "environment": environment}).encode()
        socket.send_fds(_server(), [request], [out_end, err_end, theirs.fileno()])
        os.close(out_end)
        os.close(err_end)
        theirs.close()
        self.pid = self._number()
        self._said = ["", ""]
        self._readers: list[threading.Thread] = []

    def _number(self) -> int:
        number: int = _NUMBER.unpack(self._status.recv(_NUMBER.size, socket.MSG_WAITALL))[0]
        return number

    def poll(self) -> int | None:
        """How the process ended; None while it runs."""
        if self.returncode is None and self._told(0):
            self.returncode = os.waitstatus_to_exitcode(self._number())
            self._status.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            self._told(timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def _told(self, timeout: float | None) -> bool:
        """Whether its end is known within so many seconds; any number of files may be open."""
        waiting = select.poll()
        waiting.register(self._status, select.POLLIN)
        return bool(waiting.poll(None if timeout is None else timeout * 1000))

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Waits for its end; what it wrote. Raises subprocess.TimeoutExpired, and may be called again then."""
        until = None if timeout is None else time.monotonic() + timeout
        if not self._readers:
            self._readers = [
                threading.Thread(target=self._read, args=one, daemon=True)
                for one in enumerate((self.stdout, self.stderr))
            ]
            for reader in self._readers:
                reader.start()
        for reader in self._readers:
            reader.join(None if until is None else max(0.0, until - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
        self.wait(None if until is None else max(0.0, until - time.monotonic()))
        return self._said[0], self._said[1]

    def _read(self, number: int, stream: TextIO) -> None:
        with stream:
            self._said[number] = stream.read()

    def send_signal(self, number: int) -> None:
        """Sends it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Asks it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kills it, unless it has ended."""
        self.send_signal(signal.SIGKILL)


Process = Command | subprocess.Popen[str]


def starts_alike(environment: dict[str, str]) -> bool:
    """Whether an interpreter with `environment` starts as this one did."""
    return _at_start(environment) == _at_start(dict(os.environ))


def _at_start(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_READ_AT_START)}


@functools.cache
def _server() -> socket.socket:
    """The socket of the process that forks; it ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
    subprocess.Popen(
        [sys.executable, "-P", __file__, str(theirs.fileno())],
        stdin=subprocess.DEVNULL,
        # No files: the streams that are made for them are those that pipes get.
        stdout=theirs.fileno(),
        stderr=theirs.fileno(),
        pass_fds=[theirs.fileno()],
    )
    theirs.close()
    return ours


def _forked(listening: socket.socket) -> list[str] | None:
    """In the process of a command: its arguments. None where there will be no other."""
    while True:
        request, descriptors, _, _ = socket.recv_fds(listening, _ROOM, 3)
        if not request:
            return None
        if (keeper := os.fork()) == 0:
            break
        for one in descriptors:
            os.close(one)
        os.waitpid(keeper, 0)
    # The keeper waits for the command; nobody waits for the keeper.
    if os.fork():
        os._exit(0)
    out, err, status = descriptors
    if (pid := os.fork()) != 0:
        listening.close()
        os.close(out)
        os.close(err)
        os.write(status, _NUMBER.pack(pid))
        os.write(status, _NUMBER.pack(os.waitpid(pid, 0)[1]))
        os._exit(0)
    listening.close()
    os.dup2(out, 1)
    os.dup2(err, 2)
    for one in descriptors:
        os.close(one)
    asked = json.loads(request)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    sys.path.insert(0, asked["folder"])
    return list(asked["arguments"])


def main(descriptor: int) -> None:
    """See the head of this module."""
    from reconnect.cli import commands

    modules = {module for module, _ in commands.COMMANDS.values()}
    for name in [*(f"reconnect.cli.commands.{module}" for module in sorted(modules)), *_LOADED]:
        importlib.import_module(name)
    assert threading.active_count() == 1
    if (arguments := _forked(socket.socket(fileno=descriptor))) is not None:
        commands.main(arguments)


if __name__ == "__main__":
    main(int(sys.argv[1]))
