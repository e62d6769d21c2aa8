"""Runs of earlier versions had a folder each; the store has them after the first command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from reconnect.engine.slots import Slots
from reconnect.result import Result, Verdict, now, rfc3339, to_json
from reconnect.runs.folders import MARK
from reconnect.runs.store import Runs
from reconnect.settings import Settings

from ..conftest import there

ENDED, OPEN = "20260131-030000-123abcd", "20260131-040000-123abcd"


def record(run_id: str, **more: object) -> dict[str, Any]:
    """What run.json had."""
    request = {
        "playbook": "diagnose-server.yml",
        "mode": "diagnose",
        "named": ["alpha"],
        "servers": ["alpha"],
        "inventory": "i",
        "timeout": 9,
        "command": ["diagnose-server", "alpha"],
    }
    return {"run_id": run_id, "request": request, "started_at": rfc3339(now()), **more}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    state = tmp_path / "state"
    for run_id in (ENDED, OPEN, "20260131-050000-123abcd"):
        (state / "runs" / run_id / "evidence").mkdir(parents=True)
        (state / "runs" / run_id / "results").mkdir()
    ended = state / "runs" / ENDED
    finished = {"finished_at": rfc3339(now()), "exit_code": 0, "endings": {"alpha": "healthy"}}
    (ended / "run.json").write_text(json.dumps(record(ENDED, **finished)))
    result = Result(
        run_id=ENDED,
        state="succeeded",
        playbook="diagnose-server.yml",
        mode="diagnose",
        server="alpha",
        started_at=now(),
        finished_at=now(),
        verdict=Verdict.model_validate({"outcome": "healthy"}),
    )
    (ended / "results" / "alpha.json").write_text(json.dumps(to_json(result)))
    (ended / "evidence" / "alpha.json").write_text('{"name": "alpha"}')
    (ended / "evidence" / "alpha.after.json").write_text('{"name": "after"}')
    (ended / "evidence" / "alpha.pcap").write_bytes(b"\xa1\xb2")
    (ended / "report.md").write_text("# Reconnect")
    (state / "runs" / OPEN / "run.json").write_text(json.dumps(record(OPEN, begun=1)))
    (state / "runs" / "20260131-050000-123abcd" / "run.json").write_text("{damaged")
    return Settings(state_dir=state)


def test_they_are_in_the_store_after_the_first_command(settings: Settings) -> None:
    runs = Runs(settings)
    assert [run.run_id for run in runs.newest()] == [OPEN, ENDED]
    ended = runs.find(ENDED)
    assert (ended.record.exit_code, ended.record.endings) == (0, {"alpha": "healthy"})
    assert [there(result.verdict).outcome for result in ended.results()] == ["healthy"]
    assert (ended.evidence("alpha"), ended.evidence("alpha", after=True)) == ({"name": "alpha"}, {"name": "after"})
    assert (ended.packets("alpha"), ended.report()) == (b"\xa1\xb2", "# Reconnect")
    # What had not ended is somebody's to resume.
    assert Slots(settings).abandoned() == [OPEN]


def test_it_is_done_once(settings: Settings) -> None:
    assert len(Runs(settings).newest()) == 2
    assert (settings.state / "runs" / MARK).exists()
    (settings.state / "runs" / "20260131-060000-123abcd").mkdir()
    (settings.state / "runs" / "20260131-060000-123abcd" / "run.json").write_text(
        json.dumps(record("20260131-060000-123abcd"))
    )
    assert len(Runs(settings).newest()) == 2


def test_it_goes_on_where_it_was_interrupted(settings: Settings) -> None:
    assert len(Runs(settings).newest()) == 2
    (settings.state / "runs" / MARK).unlink()
    assert len(Runs(settings).newest()) == 2
