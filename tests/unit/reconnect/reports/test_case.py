from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import yaml
from reconnect.reports.case import case_of
from reconnect.result import Result, Verdict
from reconnect.runs.request import Request
from reconnect.runs.store import Run, Runs
from reconnect.settings import Settings

CANARY = "Kanarienvogel7"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    request = Request(
        playbook="diagnose-server.yml",
        mode="diagnose",
        named=["servers"],
        servers=["alpha", "beta"],
        inventory="inventory",
        timeout=300,
        command=["diagnose-server", "servers"],
    )
    return Runs(Settings(state_dir=tmp_path)).create(request)


def result(run: Run, *causes: str) -> Result:
    roots = [{"cause": c, "subject": "host", "title": "t", "summary": "s", "policy": "human"} for c in causes]
    return Result(
        run_id=run.run_id,
        state="succeeded",
        playbook="diagnose-server.yml",
        mode="diagnose",
        server="beta",
        started_at=run.record.started_at,
        finished_at=run.record.started_at,
        verdict=Verdict.model_validate({"outcome": "fault_found", "root_causes": roots}),
    )


@pytest.mark.parametrize(("right", "expected"), [("disk_full", ["disk_full"]), ("none", []), ("unknown", None)])
def test_a_case_says_what_was_said_and_what_is_right(run: Run, right: str, expected: list[str] | None) -> None:
    files = case_of(run, result(run, "route_down", "clock_skew"), {"host": {}}, right, Settings())
    assert files.keys() == {f"{run.run_id}.002.json.gz", f"{run.run_id}.002.yml"}
    case = yaml.safe_load(files[f"{run.run_id}.002.yml"])
    assert case["said"] == ["clock_skew", "route_down"]
    assert case["expects"] == {"root_causes": expected}
    assert json.loads(gzip.decompress(files[f"{run.run_id}.002.json.gz"])) == {"host": {}}


@pytest.mark.attack("secrets in a case", harm="leak")
def test_secrets_are_not_in_the_evidence(run: Run, forms: list[str]) -> None:
    evidence = {"settings": {"secret": CANARY}, "asterisk": {"log": {"data": {"matches": forms}}}}
    files = case_of(run, result(run), evidence, "unknown", Settings())
    assert CANARY.encode() not in gzip.decompress(files[f"{run.run_id}.002.json.gz"])
