"""What the launcher, the warm process and a run's keeper know of each other. Standard library only: it starts fast.

A message is its length (4 bytes, big endian) and JSON; the first one carries descriptors (SCM_RIGHTS).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import stat
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

VERSION = 2
#: More than the environment and the words of any run, in bytes.
MAX_MESSAGE = 1024 * 1024
#: How many descriptors a run may have from its start, and below which number.
MAX_DESCRIPTORS, MAX_NUMBER = 64, 1024

#: Variables that an interpreter and its C libraries read when they start.
_READ_AT_START = ("PYTHON", "LD_", "GLIBC_", "MALLOC_", "OPENSSL_", "GCONV_PATH", "LOCPATH")
_STATUS = ("Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp", "Cpus_allowed_list", "Mems_allowed_list")
#: What a login session, a service or a container has of its own.
_FILES = ("cgroup", "loginuid", "sessionid", "attr/current", "oom_score_adj", "personality")
#: The folder and the name of the warm process that forked this one, for a run of the command.
forked_by: tuple[str, str] | None = None
#: Who keeps this process, for such a run.
keeper: socket.socket | None = None

_PEER = struct.Struct("3i")
_LENGTH = struct.Struct("!I")


class Refused(Exception):
    """Why a playbook is started without the warm process."""


def surroundings(environment: Mapping[str, str], script: str) -> dict[str, Any]:
    """What a process has from the one that forked it and cannot be given later: a run finds it as its own start had.
    Raises Refused where it depends on the working folder."""
    if not all(map(os.path.isabs, (environment.get("PYTHONPATH") or "/").split(os.pathsep))):
        raise Refused("PYTHONPATH is relative to the working folder")
    found: dict[str, Any] = {"version": VERSION, "python": sys.version, "script": script}
    found["start"] = sorted(one for one in environment.items() if one[0].startswith(_READ_AT_START))
    found["locale"] = next((environment[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(name)), "")
    found["nice"] = os.getpriority(os.PRIO_PROCESS, 0)
    found["scheduler"] = os.sched_getscheduler(0)
    found["root"] = os.stat("/")[:3]
    found["spaces"] = {name: os.readlink(f"/proc/self/ns/{name}") for name in sorted(os.listdir("/proc/self/ns"))}
    with open("/proc/self/status", encoding="utf-8") as file:
        found["status"] = [line.split() for line in file if line.startswith(_STATUS)]
    for name in _FILES:
        found[name] = ""
        # Not every kernel has each of them.
        with contextlib.suppress(OSError), open(f"/proc/self/{name}", encoding="utf-8") as file:
            found[name] = file.read()
    # As the other side of a socket reads it.
    return dict(json.loads(json.dumps(found)))


def name_of(found: Mapping[str, Any]) -> str:
    """The name of the warm process for these surroundings."""
    return f"warm-{hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]}"


@contextlib.contextmanager
def private_folder(folder: str) -> Iterator[str]:
    """A path to `folder`, short enough for a socket, that goes on to mean the folder that was looked at. Raises Refused
    where somebody else owns it or may write to it, and OSError."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise Refused(f"{folder} is not private")
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def peer(connection: socket.socket) -> int:
    """The process at the other end. Raises Refused where it is another user's."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    pid, uid, _ = _PEER.unpack(credentials)
    if uid != os.geteuid():
        raise Refused(f"the other end belongs to the user {uid}")
    return int(pid)


def send(connection: socket.socket, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Sends a message. Raises OSError, and Refused where it is too long."""
    content = json.dumps(message).encode()
    if len(content) > MAX_MESSAGE:
        raise Refused("the message is too long")
    whole = _LENGTH.pack(len(content)) + content
    if descriptors:
        whole = whole[socket.send_fds(connection, [whole], descriptors) :]
    connection.sendall(whole)


def receive(connection: socket.socket, descriptors: list[int] | None = None) -> dict[str, Any] | None:
    """The next message, None at the end; what it carries is added to `descriptors`. Raises OSError, and Refused."""
    if descriptors is None:
        head = connection.recv(_LENGTH.size)
    else:
        head, carried, *_ = socket.recv_fds(connection, _LENGTH.size, MAX_DESCRIPTORS)
        descriptors += carried
    if not head:
        return None
    (length,) = _LENGTH.unpack(head + _exactly(connection, _LENGTH.size - len(head)))
    if length > MAX_MESSAGE:
        raise Refused("the message is too long")
    try:
        return dict(json.loads(_exactly(connection, length)))
    except ValueError:
        raise Refused("the message is not JSON") from None


def _exactly(connection: socket.socket, length: int) -> bytes:
    content = b""
    while len(content) < length:
        more = connection.recv(length - len(content))
        if not more:
            raise Refused("the message is cut off")
        content += more
    return content


@contextlib.contextmanager
def reading_the_terminal() -> Iterator[None]:
    """While a person is asked. A run of the warm process is in another session than its terminal, so the kernel does
    not stop it there: its launcher does, as long as it is in the background. Raises EOFError where it would be for
    ever, and OSError."""
    if keeper is None:
        yield
        return
    send(keeper, {"reads": True})
    if receive(keeper) != {"read": True}:
        raise EOFError
    try:
        yield
    finally:
        send(keeper, {"reads": False})


def not_begun(script: str, why: object) -> bytes:
    """What a person reads of a run that did not begin, as the command says it, or as Ansible does."""
    who = "reconnect:" if os.path.basename(script) == "reconnect" else "[ERROR]:"
    return f"{who} Cannot begin: {why}. Try again.\n".encode(errors="backslashreplace")


def parent_of(pid: int) -> int:
    """The parent of a process, 0 where there is none (any more)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            # The name of a program may have spaces and brackets.
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0
