# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs end with the questions that started them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

COLLECTIONS = Path(__file__).resolve().parents[3] / "collections"
LATE = """
import sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.privatewave.reconnect.plugins.module_utils import _probe, _run

_run.end_all()
probe = _probe.probe(lambda: _run.run(["touch", sys.argv[2]], 5))
print(probe.get("error"))
"""


def test_no_program_starts_after_the_end(tmp_path):
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
