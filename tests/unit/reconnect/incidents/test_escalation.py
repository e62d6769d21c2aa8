"""Many incidents with one cause that a person has to fix: one escalation, and the others point to it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from reconnect.incidents import delivery, escalation
from reconnect.names import Incident
from reconnect.result import Result, Verdict, now
from reconnect.runs import tables
from reconnect.runs.database import engine_of, writing
from reconnect.runs.request import Request
from reconnect.runs.store import Runs
from reconnect.settings import Settings

from ..conftest import Workplace, there

WINDOW = 3600
FULL = """
- hosts: servers
  gather_facts: false
  tasks:
    - name: Judge
      ansible.builtin.set_fact:
        reconnect_judgement:
          findings: []
          verdict:
            outcome: escalate_third_level
            root_causes: [{cause: disk_full, subject: host, policy: human, title: Full, summary: Full.}]
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path / "state")


@pytest.fixture
def incident(settings: Settings, tmp_path: Path) -> Callable[..., str]:
    """What an incident was told by a run that ended; each has a name of its own."""

    def told(name: str, server: str = "pbx1", **cause: str) -> str:
        file = tmp_path / name
        request = Request(
            playbook="diagnose-server.yml",
            mode="diagnose",
            named=[server],
            servers=[server],
            inventory="i",
            incident=Incident("file", str(file)),
            command=["x"],
        )
        run = Runs(settings).create(request)
        root = {
            "cause": "disk_full",
            "subject": "host",
            "policy": "human",
            "title": "Full",
            "summary": "Full.",
            **cause,
        }
        result = Result(
            run_id=run.run_id,
            state="succeeded",
            playbook="diagnose-server.yml",
            mode="diagnose",
            server=server,
            started_at=run.record.started_at,
            finished_at=run.record.started_at,
            verdict=Verdict.model_validate({"outcome": "escalate_third_level", "root_causes": [root]}),
        )
        # A run that is interrupted decides twice, and a report is tried until it is there.
        for _ in range(2):
            escalation.decide(run, [result], settings, WINDOW)
            delivery.report(run, [result], settings)
        return file.read_text()

    return told


def moved(words: str) -> bool:
    return "\nQueue: Third level\n" in words


@pytest.mark.attack("many incidents with one cause that a person has to fix")
def test_one_is_escalated_and_the_others_point_to_it(incident: Callable[..., str], tmp_path: Path) -> None:
    first = tmp_path / "first"
    assert moved(incident("first"))
    others = [incident("second"), incident("third", "pbx2"), incident("fourth", "pbx2")]
    assert [moved(one) for one in others] == [False] * 3
    for one in others:
        assert one.count(f"has escalated disk_full for pbx1 already, in file:{first}.") == 1
        assert one.count("-report]") == 1
    # Who works on it is told of a server that is new.
    assert [line for line in first.read_text().splitlines() if "Also on" in line] == [
        f"Also on pbx2: run {run_of(tmp_path / 'third')} found disk_full, for file:{tmp_path / 'third'}."
    ]


def run_of(file: Path) -> str:
    return there(re.search(r"\[reconnect-(\S+)-report\]", file.read_text()))[1]


def test_the_same_incident_is_escalated_again(incident: Callable[..., str]) -> None:
    assert moved(incident("first"))
    assert "has escalated" not in incident("first")


@pytest.mark.parametrize(
    "cause",
    [
        {"cause": "inodes_exhausted"},
        {"cause": "unknown_cause"},
        {"subject": "account"},
        {"subject": "client"},
        {"policy": "approve"},
    ],
)
def test_another_cause_is_another_escalation(incident: Callable[..., str], cause: dict[str, str]) -> None:
    incident("first", **{name: value for name, value in cause.items() if value != "inodes_exhausted"})
    assert moved(incident("second", **cause))


def test_after_the_window_it_is_escalated_again(incident: Callable[..., str], settings: Settings) -> None:
    incident("first")
    with writing(engine_of(settings)) as connection:
        connection.execute(sa.update(tables.remedies).values(began_at=now() - timedelta(seconds=WINDOW + 1)))
    assert moved(incident("second"))


def test_a_store_that_refuses_is_no_reason_not_to_escalate(
    settings: Settings, tmp_path: Path, incident: Callable[..., str]
) -> None:
    incident("first")
    incident("second")
    run = Runs(settings).newest()[0]
    other = Settings(state_dir=tmp_path / "second" / "state")
    assert escalation.joined(run, settings) is not None
    assert escalation.joined(run, other) is None


def test_a_run_that_ends_decides(workplace: Workplace, tmp_path: Path) -> None:
    workplace.playbook(FULL)
    for name in ("first", "second"):
        ended = workplace.diagnose("alpha", "--incident", f"file:{tmp_path / name}")
        assert ended.code == 10, ended.stderr
    assert [moved((tmp_path / name).read_text()) for name in ("first", "second")] == [True, False]
