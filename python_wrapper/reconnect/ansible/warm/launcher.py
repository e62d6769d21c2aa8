"""`python -I -S launcher.py SCRIPT FOLDER WORD…`: runs a script of Python's in a process that the warm process forks.

It stands for that process: signals, terminal, and how it ended. Without a warm process, or in any doubt, it becomes the
script itself. Nothing but the standard library is loaded. The command `reconnect` does the same in its own process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import signal
import socket
import sys
import termios
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from reconnect.ansible.warm import protocol

#: How long the warm process may take to answer, in seconds.
ANSWER_SECONDS = 5.0
#: How long whoever looked after a run may take to be gone after it has said how that ended, in seconds.
_GONE_SECONDS = 1.0
_NOT_PASSED_ON = {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGTTIN, signal.SIGTTOU}
_FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSYS, signal.SIGTRAP, signal.SIGABRT}


def stand_for(script: str, folder: str, words: Sequence[str], in_a_shell: bool = False) -> None:
    """Has the warm process run the script, and ends as that run ends; comes back where it cannot have it run.

    A run `in_a_shell` may have a terminal that belongs to others, too: it uses it without controlling it.
    """
    with contextlib.suppress(protocol.Refused, OSError):
        connection, terminal = _agreed(script, folder, words, in_a_shell)
        _stand_for(connection, terminal, script)


def _agreed(script: str, folder: str, words: Sequence[str], in_a_shell: bool) -> tuple[socket.socket, int | None]:
    """A process that waits for the word to begin, and the terminal that it gets. Raises Refused, and OSError."""
    environment = dict(os.environ)
    inherited = _inherited()
    terminal = _terminal(in_a_shell)
    found = protocol.surroundings(environment, script)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(ANSWER_SECONDS)
    with protocol.private_folder(folder) as path:
        connection.connect(f"{path}/{protocol.name_of(found)}")
    pid = protocol.peer(connection)
    while pid > 1:
        # Whoever started this run ends everything below it at the end.
        if pid == os.getppid():
            raise protocol.Refused("the warm process would end with this run")
        pid = protocol.parent_of(pid)
    here = os.open(".", os.O_PATH | os.O_DIRECTORY)
    umask = os.umask(0o077)
    os.umask(umask)
    limits = {number: resource.getrlimit(number) for number in _limits()}
    protocol.send(
        connection,
        {
            "surroundings": found,
            "words": [script, *words],
            "environment": environment,
            "umask": umask,
            "limits": sorted(limits.items()),
            "ignored": [n for n in signal.valid_signals() if signal.getsignal(n) is signal.SIG_IGN],
            "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
            "terminal": terminal,
            "numbers": inherited,
        },
        [here, *inherited],
    )
    os.close(here)
    if protocol.receive(connection) != {"ready": True}:
        raise protocol.Refused("the warm process does not begin the run")
    return connection, terminal


def _inherited() -> list[int]:
    """The descriptors that whoever started this process left open. Raises Refused without a standard one, and where
    they are too many to be passed on."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        # That of the listing is closed by now.
        with contextlib.suppress(OSError):
            if os.get_inheritable(int(name)):
                found.append(int(name))
    if not {0, 1, 2}.issubset(found) or len(found) >= protocol.MAX_DESCRIPTORS or max(found) >= protocol.MAX_NUMBER:
        raise protocol.Refused("the descriptors cannot be passed on")
    return sorted(found)


def _limits() -> set[int]:
    return {getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}


def _terminal(in_a_shell: bool) -> int | None:
    """The standard descriptor of the controlling terminal, None where the run gets none. Raises Refused where it cannot
    be given to another process."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return None
    for number in range(3):
        with contextlib.suppress(OSError):
            os.tcgetpgrp(number)
            if os.getsid(0) == os.getpid():
                return number
    if in_a_shell and _in_the_foreground():
        return None
    raise protocol.Refused("the terminal belongs to others, too")


def _stand_for(connection: socket.socket, terminal: int | None, script: str) -> NoReturn:
    """Has the process begin, passes on every signal, and ends as it ends."""
    signals, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    for number in signal.valid_signals() - _NOT_PASSED_ON - _FAULTS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    if terminal is not None:
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        fcntl.ioctl(terminal, termios.TIOCNOTTY)
        signal.signal(signal.SIGHUP, before)
    ended = _wait(connection, signals)
    if ended is None:
        os.write(2, protocol.not_begun(script, "the process that was to carry it out is gone"))
        os._exit(1)
    if died_of := ended.get("signal"):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if died_of != signal.SIGKILL:
            signal.signal(died_of, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [died_of])
        os.kill(os.getpid(), died_of)
    os._exit(ended.get("code", 1))


def _wait(connection: socket.socket, signals: socket.socket) -> dict[str, int] | None:
    """How the process ended: its `code`, or the `signal` that ended it; None where it never began."""
    import select

    poll = select.poll()
    poll.register(connection, select.POLLIN)
    poll.register(signals, select.POLLIN)
    connection.settimeout(None)
    begun = reads = False
    try:
        protocol.send(connection, {"begin": True})
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if signals.fileno() in ready:
                numbers = signals.recv(256)
                if reads and set(numbers) == {signal.SIGCONT}:
                    _wait_for_the_foreground(signals)
                for number in numbers:
                    # A run without a controlling terminal is never stopped by one.
                    stops = number == signal.SIGTSTP and os.getsid(0) != os.getpid()
                    # Where the run has just ended, its end is still to be read.
                    with contextlib.suppress(BrokenPipeError):
                        protocol.send(connection, {"signal": signal.SIGSTOP if stops else number})
            if connection.fileno() in ready:
                if (said := protocol.receive(connection)) is None:
                    break
                if "reads" in said:
                    if reads := said["reads"]:
                        protocol.send(connection, {"read": _wait_for_the_foreground(signals)})
                elif "stopped" in said:
                    os.kill(os.getpid(), signal.SIGSTOP)
                elif "begun" in said:
                    begun = True
                else:
                    # Whoever looked after the run is gone, too, when the connection ends, a moment later.
                    connection.settimeout(_GONE_SECONDS)
                    with contextlib.suppress(OSError):
                        connection.recv(1)
                    return said
    except (protocol.Refused, OSError):
        pass
    # Whoever kept the process was killed, and the process with it.
    return {"signal": signal.SIGKILL} if begun else None


def _wait_for_the_foreground(signals: socket.socket) -> bool:
    """Stops as a process does that reads its terminal in the background, until it may; whether it may. No where a
    signal ends it there, or where nobody could ever continue it: the kernel does not stop it then."""
    while not _in_the_foreground():
        os.kill(os.getpid(), signal.SIGTTIN)
        came = b""
        with contextlib.suppress(BlockingIOError):
            came = signals.recv(256, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        if set(came) != {signal.SIGCONT}:
            return False
        signals.recv(len(came))
    return True


def _in_the_foreground() -> bool:
    """Whether no terminal controls this process, or it may read it."""
    try:
        descriptor = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return True
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    stand_for(sys.argv[1], sys.argv[2], sys.argv[3:])
    os.execv(sys.argv[1], [sys.argv[1], *sys.argv[3:]])
