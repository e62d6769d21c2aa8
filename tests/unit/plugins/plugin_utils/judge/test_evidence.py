# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of evidence that is of another shape than its schema says."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.schemas import MISFIT

HEALTHY = Path(__file__).resolve().parents[4] / "evidence" / "healthy.pbx22.json.gz"


@pytest.fixture
def evidence() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(gzip.decompress(HEALTHY.read_bytes()))
    return document


def test_what_fits_stays_as_it_is(evidence: dict[str, Any]) -> None:
    assert judge.fitted(evidence) == evidence


def test_a_probe_of_another_shape_is_unknown_and_says_where(evidence: dict[str, Any]) -> None:
    unit = evidence["settings"]["asterisk_unit"]
    evidence["host"]["units"]["data"][unit]["active_state"] = ["active"]
    found = judge.fitted(evidence)
    said = f"{MISFIT}: data.{unit}.active_state must be of the type string"
    assert found["host"]["units"] == {"ok": False, "seconds": 0.0, "error": "invalid", "message": said}
    judgement = judge.judge(found)
    assert (judgement["verdict"]["outcome"], judgement["verdict"]["root_causes"]) == ("escalate_third_level", [])
    assert said in judgement["verdict"]["next_step"]


def test_the_smallest_probe_is_unknown_and_not_the_whole_path(evidence: dict[str, Any]) -> None:
    evidence["paths"]["phone"]["data"]["icmp"] = dict.fromkeys(evidence["paths"]["phone"]["data"]["icmp"], "x")
    found = judge.fitted(evidence)["paths"]["phone"]
    assert {one["error"] for one in found["data"]["icmp"].values()} == {"invalid"}
    assert found["data"]["tcp"] == evidence["paths"]["phone"]["data"]["tcp"]


def test_fields_that_nobody_knows_are_left_out(evidence: dict[str, Any]) -> None:
    evidence["host"]["spoofed"] = {"ok": True, "seconds": 0, "data": {}}
    assert "spoofed" not in judge.fitted(evidence)["host"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"settings": []}, "settings must be a mapping"),
        ({"schema": "reconnect/evidence/v2"}, "its schema should be reconnect/evidence/v1"),
        ({"seconds": float("nan")}, "seconds must be a number of at most 64 bits"),
        ({"seconds": True}, "seconds must be of the type number"),
        ({"client_report": {"log": [1]}}, "client_report"),
    ],
)
def test_what_is_no_probe_makes_it_no_evidence(evidence: dict[str, Any], change: dict[str, Any], said: str) -> None:
    with pytest.raises(judge.EvidenceError, match=said):
        judge.fitted({**evidence, **change})
