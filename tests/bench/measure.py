"""How long commands take, measured in turn."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".venv" / "bin"


def once(command: list[str], expect: tuple[int, ...] = (0,)) -> float:
    """Seconds that a command takes; it must end as expected."""
    start = time.perf_counter()
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
    if ended.returncode not in expect:
        raise SystemExit(
            f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stdout[-800:]}{ended.stderr[-800:]}"
        )
    return time.perf_counter() - start


def cpu(command: list[str]) -> float:
    """CPU seconds of a command and of what it starts and waits for: they hold on a busy machine as well."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    once(command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def pairs(runs: int, first: Callable[[], float], second: Callable[[], float]) -> tuple[float, float, float]:
    """Medians of both and of their ratio, after one round that is not counted."""
    first(), second()
    taken = [(first(), second()) for _ in range(runs)]
    return (
        statistics.median(one for one, _ in taken),
        statistics.median(two for _, two in taken),
        statistics.median(one / two for one, two in taken),
    )
