"""A site for tests: machines that share a store, the processes of their service, and what keeps them from it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import psutil
from reconnect.names import Incident
from reconnect.runs.store import Run, Runs
from reconnect.service.starting import asker_of

from .conftest import Workplace, a_request
from .postgresql import Server


@dataclass
class Site:
    """Machines with one store, and what was begun and ended on their servers."""

    machines: list[Workplace]
    processes: contextlib.ExitStack

    @property
    def folder(self) -> Path:
        return self.machines[0].folder

    @property
    def runs(self) -> Runs:
        return Runs(self.machines[0].settings)

    def start(self, machine: Workplace, *words: str) -> subprocess.Popen[bytes]:
        """A process of the service, which ends with the test, and its runs with it."""
        log = self.processes.enter_context((self.folder / f"log-{len(self.logs())}").open("wb"))
        environment = {**machine.environment, "RECONNECT_INVENTORY": str(machine.inventory)}
        command = [sys.executable, "-m", "reconnect", *words]
        process = subprocess.Popen(
            command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        self.processes.callback(lambda: kill(process))
        return process

    def logs(self) -> list[Path]:
        return sorted(self.folder.glob("log-*"))

    def ask(self, server: str = "alpha") -> Run:
        """A run that waits, as that of an incident."""
        incident = Incident("file", str(self.folder / f"incident-{server}.md"))
        request = a_request(servers=[server], incident=incident, inventory=str(self.machines[0].inventory), timeout=300)
        return self.runs.create(request, asker=asker_of(None, "hook"))

    def incident(self, server: str = "alpha") -> Path:
        return self.folder / f"incident-{server}.md"

    def noted(self, name: str) -> list[str]:
        """The runs that `begun` or `ended`."""
        file = self.folder / name
        return file.read_text().split() if file.exists() else []

    def go(self) -> None:
        (self.folder / "go").touch()

    def worker_of(self, run: Run) -> str:
        """The name of the machine that has the run."""
        kept = run.kept()
        return (kept.worker or "") if kept else ""

    def is_done(self, run: Run) -> bool:
        record = run.read()
        return record.finished_at is not None and record.delivery == "delivered"

    def said(self) -> str:
        """What the processes logged, for an assertion."""
        return "\n".join(log.read_text() for log in self.logs())


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kills a process and all that it began, as the end of its machine does."""
    if process.poll() is not None:
        # Its number may be another one's by now.
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        for one in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
    process.wait()


class Wire:
    """The network between a worker and the database. While it is cut, nothing goes through it, and no end is told."""

    def __init__(self, server: Server) -> None:
        self._to = server.port
        self._whole = threading.Event()
        self._whole.set()
        #: The sockets of each connection, and whether it has been cut.
        self._connections: dict[tuple[socket.socket, socket.socket], threading.Event] = {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                theirs, _ = self._listener.accept()
                self._whole.wait()
                try:
                    ours = socket.create_connection(("127.0.0.1", self._to))
                except OSError:
                    theirs.close()
                    continue
                self._connections[theirs, ours] = threading.Event()
                threading.Thread(target=self._carry, args=(theirs, ours), daemon=True).start()

    def _carry(self, theirs: socket.socket, ours: socket.socket) -> None:
        cut = self._connections[theirs, ours]
        back = threading.Thread(target=self._pass, args=(ours, theirs, cut), daemon=True)
        back.start()
        self._pass(theirs, ours, cut)
        back.join()
        if not cut.is_set():
            self._end((theirs, ours))

    def _pass(self, one: socket.socket, other: socket.socket, cut: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while (said := one.recv(65536)) and not cut.is_set():
                other.sendall(said)
        if not cut.is_set():
            with contextlib.suppress(OSError):
                other.shutdown(socket.SHUT_WR)

    def _end(self, connection: tuple[socket.socket, socket.socket]) -> None:
        self._connections.pop(connection, None)
        for one in connection:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def cut(self) -> None:
        """The database finds its sessions dead, as by their keepalives; the other side hears nothing."""
        self._whole.clear()
        for (_, ours), cut in list(self._connections.items()):
            cut.set()
            with contextlib.suppress(OSError):
                ours.shutdown(socket.SHUT_RDWR)

    def heal(self) -> None:
        """It is whole again; the other side hears that what was cut is no connection any more."""
        for connection, cut in list(self._connections.items()):
            if cut.is_set():
                self._end(connection)
        self._whole.set()

    def close(self) -> None:
        """Nobody needs it any more."""
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.heal()
