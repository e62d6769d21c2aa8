# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel ended for want of memory, told from what ended otherwise."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge import judge

EVIDENCE = Path(__file__).resolve().parents[5] / "evidence"


@pytest.fixture
def ended() -> dict[str, Any]:
    """Evidence of a server whose Asterisk was ended by the kernel."""
    document: dict[str, Any] = json.loads(gzip.decompress((EVIDENCE / "memory_exhausted.pbx22.json.gz").read_bytes()))
    return document


def roots(evidence: dict[str, Any]) -> list[str]:
    return [one["cause"] for one in judge(evidence)["verdict"]["root_causes"]]


def test_the_largest_processes_are_named(ended: dict[str, Any]) -> None:
    largest = ended["host"]["largest_processes"]["data"][0]["name"]
    summaries = [one["summary"] for one in judge(ended)["findings"] if one["cause"] == "memory_exhausted"]
    assert len(summaries) == 1
    assert largest in summaries[0]


@pytest.mark.parametrize(
    ("line", "result", "expected"),
    [
        ("Killed process 8671 (asterisk) total-vm:1kB", "signal", "memory_exhausted"),
        ("Killed process 8671 (python3) total-vm:1kB", "signal", "asterisk_stopped"),
        ("", "signal", "asterisk_stopped"),
        ("", "oom-kill", "memory_exhausted"),
    ],
)
def test_a_kill_is_the_kernels_only_when_somebody_says_so(
    ended: dict[str, Any], line: str, result: str, expected: str
) -> None:
    ended["host"]["kernel_log"]["data"]["oom"] = [line] if line else []
    ended["host"]["units"]["data"]["asterisk.service"]["result"] = result
    assert roots(ended) == [expected]


def test_what_runs_again_keeps_nobody_out(ended: dict[str, Any]) -> None:
    ended["host"]["units"]["data"]["asterisk.service"].update(active_state="active", result="success")
    assert "memory_exhausted" not in roots(ended)
