"""The lab and the command, both as a person would call them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
LAB = ROOT / "tests" / "lab" / "lab"
RECONNECT = ROOT / ".venv" / "bin" / "reconnect"
INVENTORY = "inventories/lab"

#: Where those who share a lab keep its hosts' locks, and the order in which they are taken: nobody waits in a circle.
LOCKS = Path(os.environ.get("RECONNECT_LAB_LOCKS", ROOT / "tests" / "lab" / ".state"))
LOCK_ORDER = ("pbx22", "pbx16", "pgsql", "edge", "phone", "tracker")


class ToolError(AssertionError):
    """The lab or the command did not do what it was called for; the message is its own words."""


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
        return json.loads(self.stdout)


def call(*command: str | Path, limit: float = 120, env: dict[str, str] | None = None) -> Ended:
    """Run a command to its end, at most ``limit`` seconds."""
    try:
        done = subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            check=False,
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
        return self("exec", host, "--", *command)


def reconnect(state: Path, *words: str, json_output: bool = True, limit: float = 180) -> Ended:
    """Call the command with a state directory of its own; ``--json`` unless told otherwise."""
    default = words[0] == "diagnose-server" and "--inventory" not in words
    return call(
        RECONNECT,
        *words,
        *(["--inventory", INVENTORY] if default else []),
        *(["--json"] if json_output else []),
        limit=limit,
        env={"XDG_STATE_HOME": str(state), "NO_COLOR": "1"},
    )


@contextlib.contextmanager
def locked(hosts: Iterable[str]) -> Iterator[None]:
    """Hold the locks of hosts that are changed."""
    LOCKS.mkdir(mode=0o700, exist_ok=True)
    with contextlib.ExitStack() as stack:
        for host in sorted(hosts, key=LOCK_ORDER.index):
            file = stack.enter_context((LOCKS / f"lab.{host}.lock").open("a"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
