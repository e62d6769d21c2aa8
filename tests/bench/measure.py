"""How long commands take, measured in turn."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from reconnect.ansible.processes import wait_until

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".venv" / "bin"
STATE = ROOT / "tests" / "lab" / ".state"


class Failed(SystemExit):
    """A command did not end as expected. It ends the benchmark, unless that goes on without it."""


def timed(command: list[str], expect: tuple[int, ...] = (0,)) -> tuple[float, str]:
    """Seconds that a command takes, and what it prints; it must end as expected. Raises `Failed`."""
    start = time.perf_counter()
    try:
        ended = subprocess.run(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(str(error)) from None
    seconds = time.perf_counter() - start
    if ended.returncode not in expect:
        raise Failed(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stdout[-800:]}{ended.stderr[-800:]}")
    return seconds, ended.stdout


def once(command: list[str], expect: tuple[int, ...] = (0,)) -> float:
    """Seconds that a command takes; it must end as expected. Raises `Failed`."""
    return timed(command, expect)[0]


def cpu(command: list[str]) -> float:
    """CPU seconds of a command and of what it starts and waits for: they hold on a busy machine as well."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    once(command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def turns(rounds: int, *calls: Callable[[], float]) -> list[tuple[float, ...]]:
    """What each takes in so many rounds, in turn, after one round that is not counted."""
    return [tuple(call() for call in calls) for _ in range(rounds + 1)][1:]


def pairs(runs: int, first: Callable[[], float], second: Callable[[], float]) -> tuple[float, float, float]:
    """Medians of both and of their ratio, after one round that is not counted."""
    taken = turns(runs, first, second)
    return (
        statistics.median(one for one, _ in taken),
        statistics.median(two for _, two in taken),
        statistics.median(one / two for one, two in taken),
    )


@contextlib.contextmanager
def place() -> Iterator[Path]:
    """A folder for what Reconnect keeps, and what else is needed; what stays resident for it ends with it."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        os.environ["RECONNECT_STATE_DIR"] = folder
        os.environ.pop("XDG_RUNTIME_DIR", None)
        try:
            yield Path(folder)
        finally:
            for process in psutil.process_iter(["cmdline"]):
                if any(folder in word for word in process.info["cmdline"] or ()):
                    process.terminate()


def begin_warm(command: Sequence[str]) -> None:
    """Calls a command of Reconnect, until the warm processes listen that it leaves behind in the `place`. Raises
    `Failed`."""
    once([*command])
    sockets = Path(os.environ["RECONNECT_STATE_DIR"], "warm")
    if not wait_until(lambda: sum(file.is_socket() for file in sockets.glob("*")) == 2, 60):
        raise Failed("the warm processes do not listen")


def machine() -> dict[str, str]:
    """What the figures hold for."""
    found = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": found[0].partition(": ")[2] if found else platform.machine(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("ansible-core", "sqlalchemy", "reconnect")},
    }


def inventory(server: str) -> dict[str, Any]:
    """The variables of a server of the lab."""
    command = [str(BIN / "ansible-inventory"), "-i", "inventories/lab", "--host", server]
    found: dict[str, Any] = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    return found


def ssh(address: str) -> list[str]:
    """How a server of the lab is reached, as Ansible reaches it."""
    known = [f"UserKnownHostsFile={STATE / 'known_hosts'}", "HostKeyAlgorithms=ssh-ed25519"]
    return ["ssh", "-i", str(STATE / "id_ed25519"), *(word for one in known for word in ("-o", one)), f"root@{address}"]
