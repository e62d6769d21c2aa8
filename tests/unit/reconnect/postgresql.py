"""A PostgreSQL server of its own for tests, and machines that share its databases. conftest.py has the fixtures."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

PROGRAMS = [shutil.which(name) for name in ("initdb", "postgres", "runuser")]
PASSWORD = "Kanarienvogel7"
NEEDED = pytest.mark.skipif(None in PROGRAMS or os.getuid() != 0, reason="PostgreSQL's server and root are needed")
_AS_POSTGRES = ("runuser", "-u", "postgres", "--")


class Server:
    """A server; it does not run as root."""

    def __init__(self, folder: Path, port: int, connections: int = 100) -> None:
        self.port = port
        self._connections = connections
        self.address = f"postgresql://reconnect:{PASSWORD}@127.0.0.1:{port}"
        self._folder = folder
        shutil.chown(folder, "postgres")
        (folder / "password").write_text(PASSWORD)
        shutil.chown(folder / "password", "postgres")
        options = ["-U", "reconnect", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}", "--no-sync"]
        words = [*_AS_POSTGRES, "initdb", "-D", str(folder / "data"), *options]
        subprocess.run(words, check=True, capture_output=True, timeout=120)
        self.start()

    def start(self) -> None:
        """Begins it; see `answers`."""
        folder = str(self._folder)
        words = [*_AS_POSTGRES, "postgres", "-D", f"{folder}/data", "-k", folder, "-h", "127.0.0.1"]
        words += ["-p", str(self.port), "-N", str(self._connections)]
        self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        """Ends it, and every session."""
        pid = int((self._folder / "data" / "postmaster.pid").read_text().split()[0])
        # SIGINT: it waits for nobody.
        os.kill(pid, 2)
        self._process.wait()

    def answers(self) -> bool:
        """Whether one can connect."""
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(f"{self.address}/postgres"):
            return True
        return False


@contextlib.contextmanager
def a_folder() -> Iterator[Path]:
    """A folder that the server's user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="reconnect-pg-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def a_name() -> str:
    """The name of a database that is not there yet."""
    return f"reconnect_{secrets.token_hex(4)}"
