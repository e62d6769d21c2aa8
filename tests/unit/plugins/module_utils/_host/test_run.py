# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs end at their limit, and with the questions that started them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import run
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

COLLECTIONS = Path(__file__).resolve().parents[5] / "collections"
LATE = """
import sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.privatewave.reconnect.plugins.module_utils import _probe
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import run

run.end_all()
probe = _probe.probe(lambda: run.run(["touch", sys.argv[2]], 5))
print(probe.get("error"))
"""


def alive(pid: str) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_program_and_what_it_started_end_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pids = tmp_path / "pids"
    # The limit is reached as soon as both have begun.
    begun = SimpleNamespace(monotonic=lambda: 0.1 if pids.exists() and pids.read_text() else 0.0)
    monkeypatch.setattr(run, "time", begun)
    with pytest.raises(ProbeError) as failure:
        run.run(["sh", "-c", f"sleep 600 & echo $! $$ > {pids}; wait"], 0.1)
    assert failure.value.error == "timed_out"
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in pids.read_text().split()) and time.monotonic() < deadline:
        os.sched_yield()
    assert not any(alive(pid) for pid in pids.read_text().split())


def test_the_output_of_a_program_is_limited() -> None:
    with pytest.raises(ProbeError) as failure:
        run.run(["yes"], 0.3, output_limit=1000)
    assert failure.value.error == "timed_out"
    assert len(run.run(["seq", "100000"], 60, output_limit=1000)) == 1000


@pytest.mark.parametrize(
    ("command", "error"), [(["no-such-program"], "missing"), (["sh", "-c", "echo oh >&2; exit 3"], "failed")]
)
def test_a_program_that_fails(command: list[str], error: str) -> None:
    with pytest.raises(ProbeError) as failure:
        run.run(command, 60)
    assert failure.value.error == error


def test_no_program_starts_after_the_end(tmp_path: Path) -> None:
    mark = tmp_path / "started"
    done = subprocess.run(
        [sys.executable, "-c", LATE, str(COLLECTIONS), str(mark)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert (done.stdout.strip(), mark.exists()) == ("timed_out", False)
