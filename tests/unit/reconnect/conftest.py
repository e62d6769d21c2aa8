"""A project of its own for every test: real playbooks, run by the real ansible-runner, with the product's callback."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from reconnect.runs.request import Request
from reconnect.runs.store import Run, Runs
from reconnect.settings import Settings

from .forking import Command, Process, starts_alike
from .postgresql import Server, a_folder, a_name

ROOT = Path(__file__).resolve().parents[3]
# Tests of its own start a warm process.
os.environ.setdefault("RECONNECT_WARM", "0")

HEALTHY = """
- hosts: servers
  gather_facts: false
  tasks:
    - name: Judge
      ansible.builtin.set_fact:
        reconnect_judgement: {verdict: {outcome: healthy}, findings: []}
"""
CLEANUP = """
- hosts: servers
  gather_facts: false
  tasks:
    - name: Release
      ansible.builtin.raw: printf %s {{ reconnect_run_id }} > {{ playbook_dir }}/../released-{{ inventory_hostname }}
"""


Value = TypeVar("Value")


def there(value: Value | None) -> Value:
    """What has to be there."""
    assert value is not None
    return value


def a_request(**own: Any) -> Request:
    """A request for a diagnosis of alpha, with `own` options."""
    given: dict[str, Any] = {"playbook": "diagnose-server.yml", "mode": "diagnose", "inventory": "i", "timeout": 9}
    given |= {"named": ["alpha"], "servers": ["alpha"], "command": ["x"]}
    return Request(**given | own)


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Closes the connections of every store that the test opened: the product keeps them for as long as it runs."""
    engines: set[sa.Engine] = set()

    def note(connection: sa.Connection) -> None:
        engines.add(connection.engine)

    sa.event.listen(sa.Engine, "engine_connect", note)
    yield
    sa.event.remove(sa.Engine, "engine_connect", note)
    for engine in engines:
        engine.dispose()


@dataclass
class Ended:
    """How a call of the command ended."""

    code: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        return json.loads(self.stdout)


@dataclass
class Workplace:
    """A project, its inventory and where its runs go."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory"

    @property
    def settings(self) -> Settings:
        """The settings of its command."""
        database = self.environment.get("RECONNECT_DATABASE")
        return Settings(
            warm=False,
            state_dir=self.folder / "state" / "reconnect",
            database=SecretStr(database) if database else None,
        )

    @property
    def runs(self) -> list[Run]:
        """The runs that are kept, the oldest first."""
        return Runs(self.settings).newest()[::-1]

    def playbook(self, content: str, name: str = "diagnose-server.yml") -> None:
        (self.folder / "playbooks" / name).write_text(content)

    def start(self, *arguments: str) -> Process:
        if starts_alike(self.environment):
            return Command(arguments, self.folder, self.environment)
        return subprocess.Popen(
            [sys.executable, "-m", "reconnect", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def reconnect(self, *arguments: str) -> Ended:
        process = self.start(*arguments)
        try:
            stdout, stderr = process.communicate(timeout=300)
        finally:
            process.kill()
        return Ended(there(process.returncode), stdout, stderr)

    def killed_after(self, seconds: float, *arguments: str) -> None:
        """A command that is killed after so long, unless it has ended before."""
        process = self.start(*arguments)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=seconds)
        process.kill()
        process.communicate()

    def diagnose(self, *arguments: str) -> Ended:
        return self.reconnect("diagnose-server", *arguments, "--inventory", str(self.inventory))


def a_workplace(folder: Path, servers: Sequence[str] = ("alpha", "beta")) -> Workplace:
    """A project in an empty folder, and an inventory of servers that are this machine."""
    for name in ("playbooks", "inventory", "state"):
        (folder / name).mkdir()
    (folder / "collections").symlink_to(ROOT / "collections")
    (folder / "plugins").mkdir()
    (folder / "plugins" / "callback").symlink_to(ROOT / "plugins" / "callback")
    (folder / "ansible.cfg").write_text("[defaults]\ngathering = explicit\ncallback_plugins = plugins/callback\n")
    (folder / "inventory" / "hosts").write_text(
        "[servers]\n" + "\n".join(servers) + "\n[phones]\nphone\n[all:vars]\nansible_connection=local\n"
        f"ansible_python_interpreter={sys.executable}\n"
    )
    place = Workplace(folder)
    place.environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("RECONNECT_", "ANSIBLE_"))},
        "RECONNECT_PROJECT": str(folder),
        "XDG_STATE_HOME": str(folder / "state"),
        "RECONNECT_WARM": "0",
        "NO_COLOR": "1",
        "COLUMNS": "100",
    }
    place.playbook(HEALTHY)
    place.playbook(CLEANUP, "cleanup.yml")
    return place


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return a_workplace(tmp_path)


@pytest.fixture
def processes_named() -> Iterator[Callable[[str], list[psutil.Process]]]:
    """Finds running processes by a word of their command line; what a failing test leaves is killed."""
    asked: set[str] = set()

    def find(word: str) -> list[psutil.Process]:
        asked.add(word)
        return [process for process in psutil.process_iter() if word in _command(process)]

    yield find
    for word in asked:
        for process in find(word):
            process.kill()


def _command(process: psutil.Process) -> Sequence[str]:
    try:
        return [] if process.status() == psutil.STATUS_ZOMBIE else process.cmdline()
    except psutil.Error:
        return []


def wait_for(condition: Callable[[], Any], seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition did not come true"
        # A look at every process of the machine is dear.
        time.sleep(0.1)
    return value


@pytest.fixture
def wait() -> Callable[..., Any]:
    return wait_for


def on_a_terminal(words: Sequence[str], environment: dict[str, str]) -> tuple[subprocess.Popen[bytes], int]:
    """A program on a terminal of its own, which does not end it, and the side of that at which a person sits.

    `pty.fork` would copy this process in the middle of whatever its threads do.
    """
    ours, theirs = pty.openpty()
    start = ["env", "--ignore-signal=HUP", "setsid", "--ctty", *words]
    process = subprocess.Popen(start, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    return process, ours


@contextlib.contextmanager
def kept_port() -> Iterator[int]:
    """A port of loopback for a server that the test starts; no other program gets it before or meanwhile."""
    with socket.socket() as keeper:
        # Servers set this, too: they may listen where nobody else listens.
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))
        yield int(keeper.getsockname()[1])


class _QuietServer(HTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that turns away is what the test is about."""


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[str]:
    """The address of an HTTPS server whose certificate nobody vouches for."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "certificate.pem"),
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=30,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    server = _QuietServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server of its own."""
    with a_folder() as folder, kept_port() as port:
        server = Server(folder, port)
        try:
            wait_for(server.answers)
            yield server
        finally:
            server.stop()


@pytest.fixture
def database(postgresql: Server) -> str:
    """The address of a database that is not there yet."""
    return f"{postgresql.address}/{a_name()}"


@pytest.fixture
def machines(workplace: Workplace, database: str, tmp_path: Path) -> list[Workplace]:
    """Two machines with one database, each with a state folder of its own."""
    made = []
    for name in ("here", "there"):
        environment = {"RECONNECT_DATABASE": database, "XDG_STATE_HOME": str(tmp_path / name / "state")}
        made.append(Workplace(tmp_path, {**workplace.environment, **environment}))
    return made
