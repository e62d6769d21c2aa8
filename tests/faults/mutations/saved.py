"""What is kept of a case: its draw, what is applied at the moment, and its result."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from trials.tools import LOCK_ORDER, LOCKS, ROOT

CACHE = ROOT / ".cache" / "mutations"


def put(path: Path, document: object) -> None:
    """Write JSON so that it is there completely or not at all, for its owner alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def got(path: Path) -> Any:
    """JSON of a file, None when there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def draw_file(seed: int, number: int, host: str, kind: str) -> Path:
    """Where the draw of a case is kept."""
    return CACHE / "cases" / f"{seed}-{number}-{host}-{kind}.json"


def applied_file(host: str) -> Path:
    """Where it says what is applied to a host: beside the lab's locks, since whoever comes next has to revert it."""
    return LOCKS / f"mutation.{host}.json"


def results_file(seed: int) -> Path:
    """One JSON line per case."""
    return CACHE / f"{seed}.jsonl"


def append(path: Path, line: dict[str, Any]) -> None:
    """Add a line; several processes may do so at once."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(line, ensure_ascii=False) + "\n")


def results(path: Path) -> list[dict[str, Any]]:
    """The last line of each case, in their order."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    latest: dict[str, dict[str, Any]] = {}
    for line in lines:
        # The last line of a run that was killed may be half.
        if line.endswith("}"):
            one = json.loads(line)
            latest[one["id"]] = one
    return sorted(latest.values(), key=lambda one: (one["host"], one["case"], one["id"]))


@contextmanager
def held(changed: Iterable[str], used: Iterable[str]) -> Iterator[None]:
    """Hold the hosts that are changed for this case alone, and see that nobody changes those that it uses."""
    mine, others = set(changed), set(used)
    LOCKS.mkdir(mode=0o700, exist_ok=True)
    with ExitStack() as stack:
        for host in sorted(mine | others, key=LOCK_ORDER.index):
            file = stack.enter_context((LOCKS / f"lab.{host}.lock").open("a"))
            fcntl.flock(file, fcntl.LOCK_EX if host in mine else fcntl.LOCK_SH)
        yield
