"""The lab and the command, both as a person would call them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit import podman
from labkit.hosts import HOSTS

ROOT = Path(__file__).resolve().parents[3]
LAB = ROOT / "tests" / "lab" / "lab"
RECONNECT = ROOT / ".venv" / "bin" / "reconnect"
INVENTORY = "inventories/lab"
#: Of the hosts that are set up as others do: made of inventories/example and of what `reconnect inspect` found.
STRANGERS_INVENTORY = "tests/lab/strangers"
#: Of a PBX behind a proxy: it has the proxy's name there, under which its clients know it.
PROXIED_INVENTORY = "tests/lab/proxied"

#: Where those who share a lab keep its hosts' locks, and the order in which they are taken: nobody waits in a circle.
LOCKS = Path(os.environ.get("RECONNECT_LAB_LOCKS", ROOT / "tests" / "lab" / ".state"))
LOCK_ORDER = ("pbx22", "pbx16", "pgsql", "plain", "custom", "sbc", "edge", "phone", "tracker")


class ToolError(AssertionError):
    """The lab or the command did not do what it was called for; the message is its own words."""


class Interrupted(Exception):
    """The command was ended from outside: what it said of its case counts neither for nor against it."""


@dataclass(frozen=True)
class Ended:
    """How a call of the command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def result(self) -> dict[str, Any]:
        """The result document of ``--json``."""
        if not self.stdout:
            raise ToolError(f"the command ended with {self.code} and no document: {self.stderr[-2000:]}")
        document: dict[str, Any] = json.loads(self.stdout)
        return document


def call(*command: str | Path, limit: float = 120, env: dict[str, str] | None = None, folder: Path = ROOT) -> Ended:
    """Run a command in ``folder`` to its end, at most ``limit`` seconds."""
    try:
        done = subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit,
            cwd=folder,
            env={**os.environ, **(env or {})},
            check=False,
            # What a terminal sends to the whole group is for the caller: what has begun is brought to its end.
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise ToolError(f"no end in {limit:.0f} s: {' '.join(str(word) for word in command)}") from None
    return Ended(done.returncode, done.stdout, done.stderr)


class Lab:
    """``tests/lab/lab``; every call must succeed."""

    def __call__(self, *words: str, limit: float = 120) -> str:
        ended = call(LAB, *words, limit=limit)
        if ended.code:
            raise ToolError(f"lab {' '.join(words)} ended with {ended.code}: {ended.stderr[-2000:]}")
        return ended.stdout

    def run(self, host: str, *command: str) -> str:
        """Run a command on a host of the lab."""
        if not podman.is_root():
            return self("exec", host, "--", *command)
        # What `lab exec` calls, without the time that it takes to start: tests wait with this.
        ended = call(*podman.prefix(), "exec", "--interactive", podman.container(host), *command)
        if ended.code:
            raise ToolError(f"{' '.join(command)} on {host} ended with {ended.code}: {ended.stderr[-2000:]}")
        return ended.stdout


def ask_database(lab: Lab, server: str, statement: str) -> str:
    """What the server's database answers its administrator: rows are lines, columns are separated by tabs."""
    words: tuple[str, ...] = ("mysql", "--skip-column-names", "asterisk", "-e")
    if HOSTS[server].engine == "postgresql":
        words = ("runuser", "-u", "postgres", "--", "psql", "-XAtq", "-F", "\t", "asterisk", "-c")
    return lab.run(server, *words, statement).strip()


def password_of(server: str, account: str) -> str:
    """The password that the lab gave an account."""
    secrets = json.loads((ROOT / "tests" / "lab" / ".state" / "secrets.yml").read_text(encoding="utf-8"))
    return str(secrets["servers"][server]["accounts"][account])


def reconnect(state: Path, *words: str, json_output: bool = True, limit: float = 330) -> Ended:
    """Call the command with a state directory of its own; ``--json`` unless told otherwise. It ends by itself within
    300 s."""
    return call(RECONNECT, *asked(words, json_output), limit=limit, env=surroundings(state))


def pbx_of(server: str) -> str:
    """The host that a server's Asterisk is on: of a proxy, the one behind it."""
    return HOSTS[server].before or server


def inventory_of(server: str) -> str:
    """The inventory that a server of the lab is in."""
    if HOSTS[server].before:
        return PROXIED_INVENTORY
    return STRANGERS_INVENTORY if HOSTS[server].is_stranger else INVENTORY


def asked(words: Sequence[str], json_output: bool = True) -> list[str]:
    """The command line."""
    default = words[0] == "diagnose-server" and "--inventory" not in words
    return [*words, *(["--inventory", INVENTORY] if default else []), *(["--json"] if json_output else [])]


def surroundings(state: Path) -> dict[str, str]:
    """What the command needs in its environment; the same warm processes serve all who have none of their own."""
    needed = {"XDG_STATE_HOME": str(state), "NO_COLOR": "1"}
    if os.environ.get("RECONNECT_WARM") != "1":
        shared = ROOT / ".cache" / "run"
        shared.mkdir(mode=0o700, parents=True, exist_ok=True)
        needed |= {"RECONNECT_WARM": "1", "XDG_RUNTIME_DIR": str(shared)}
    return needed


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until the condition holds; fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@contextlib.contextmanager
def beside(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Meanwhile ``work`` goes on in a thread, until it ends or the event that it gets is set."""
    over = threading.Event()
    thread = threading.Thread(target=work, args=(over,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def locked(hosts: Collection[str]) -> Iterator[None]:
    """Hold the locks of hosts that are changed, and of the PBX behind a proxy."""
    LOCKS.mkdir(mode=0o700, exist_ok=True)
    with contextlib.ExitStack() as stack:
        for host in sorted({*hosts, *map(pbx_of, hosts)}, key=LOCK_ORDER.index):
            file = stack.enter_context((LOCKS / f"lab.{host}.lock").open("a"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
