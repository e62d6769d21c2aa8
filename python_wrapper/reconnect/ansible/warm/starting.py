"""Has a playbook run by the warm process, and starts one where there is none."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconnect.ansible.processes import MARK, adopt_orphans, adopts_orphans
from reconnect.ansible.warm import protocol
from reconnect.machine import make_private

#: The warm process ends when nobody asked for a run for so long, in seconds.
IDLE_SECONDS = 15 * 60
#: It ends after so many runs, and the next one starts another.
RUNS = 200
#: So many of one user may there be: each login session needs its own, and a scheduler may log in every minute.
MOST = 8
#: Room for the words and for the environment of a run, in bytes.
ROOM = 96 * 1024
#: How long a start may take until it goes on in the background, in seconds.
START_SECONDS = 5.0

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Warm:
    """The warm process of this user, whose socket is in `folder`, for the collection at `collection`."""

    folder: Path
    collection: Path
    programs: Path = Path(sys.executable).parent
    idle: float = IDLE_SECONDS
    runs: int = RUNS

    def command(self, words: Sequence[str]) -> list[str]:
        """The command that runs `words`, a program of `programs`, in the warm process where there is one."""
        script = self.programs / words[0]
        if (python := _interpreter(script)) is None:
            return list(words)
        return [python, "-I", "-S", str(_HERE / "launcher.py"), str(script), str(self.folder), *words[1:]]

    def begin(self, program: str, environment: Mapping[str, str]) -> None:
        """Starts the warm process for runs of `program` with such an environment, unless there is one.

        It is slower without one, and nothing else: whatever fails here is no error.
        """
        script = self.programs / program
        if (python := _interpreter(script)) is None:
            return
        with contextlib.suppress(OSError, protocol.Refused):
            make_private(self.folder)
            if not self._exists(protocol.name_of(protocol.surroundings(environment, str(script)))):
                known = [file.stem for file in self.folder.glob("*.lock")]
                if sum(map(self._exists, known)) < MOST:
                    self._start(python, str(script), environment)

    def _exists(self, name: str) -> bool:
        with protocol.private_folder(str(self.folder)) as path:
            lock = os.open(f"{path}/{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
            finally:
                os.close(lock)
        return False

    def _start(self, python: str, script: str, environment: Mapping[str, str]) -> None:
        resident, room = str(_HERE / "resident.py"), "-" * ROOM
        words = [script, str(self.folder), str(self.collection), str(self.idle), str(self.runs), room]
        kept = {name: value for name, value in environment.items() if name != MARK} | {"RECONNECT_WARM_ROOM": room}
        if protocol.forked_by is not None:
            # Whatever this process starts ends with it.
            _have_started(protocol.forked_by, words, kept)
            return
        # It must not end with this process, which ends everything that it adopted.
        adopts = adopts_orphans()
        adopt_orphans(False)
        try:
            subprocess.run(
                [python, resident, *words],
                env=kept,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
                timeout=START_SECONDS,
            )
        except subprocess.TimeoutExpired:
            pass
        finally:
            adopt_orphans(adopts)


def _have_started(warm: tuple[str, str], words: Sequence[str], environment: Mapping[str, str]) -> None:
    """Has the warm process that forked this one start another. Raises OSError, and Refused."""
    folder, name = warm
    with protocol.private_folder(folder) as path, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(START_SECONDS)
        connection.connect(f"{path}/{name}")
        protocol.peer(connection)
        protocol.send(connection, {"start": words, "environment": environment})
        # It closes the connection when the other one begins.
        protocol.receive(connection)


def _interpreter(script: Path) -> str | None:
    """The interpreter that a program names in its first line; None where that is another one than this."""
    with contextlib.suppress(OSError), script.open("rb") as content:
        named = os.fsdecode(content.readline(4096).removeprefix(b"#!").strip())
        if Path(named).parent.samefile(script.parent) and Path(named).samefile(sys.executable):
            return named
    return None
