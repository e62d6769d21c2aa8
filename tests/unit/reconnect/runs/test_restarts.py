"""A PostgreSQL that is restarted in the middle of whatever is under way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from pydantic import SecretStr
from reconnect.ansible.project import Project
from reconnect.engine.perform import Performer
from reconnect.errors import StoreError
from reconnect.incidents import escalation
from reconnect.names import Incident
from reconnect.result import Result, now
from reconnect.runs import database
from reconnect.runs.store import Run, Runs
from reconnect.settings import Settings

from ..conftest import a_request, wait_for
from ..postgresql import NEEDED, Server, a_name

pytestmark = NEEDED


@pytest.fixture
def settings(postgresql: Server, tmp_path: Path) -> Iterator[Settings]:
    """A store at a server that runs again afterwards."""
    yield Settings(state_dir=tmp_path, database=SecretStr(f"{postgresql.address}/{a_name()}"))
    if not postgresql.answers():
        postgresql.start()
        wait_for(postgresql.answers)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when a connection was refused."""
    refused = threading.Event()
    sleep = time.sleep

    def wait(seconds: float) -> None:
        refused.set()
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", wait)
    return refused


@pytest.mark.attack("the database is restarted while a run begins or ends")
def test_what_needs_the_database_waits_until_it_has_restarted(
    settings: Settings, postgresql: Server, refused: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "RESTART_SECONDS", 120.0)
    runs = Runs(settings)
    run = runs.create(a_request())
    postgresql.stop()

    def start() -> None:
        refused.wait()
        postgresql.start()

    again = threading.Thread(target=start)
    again.start()
    run.record.begun += 1
    run.save()
    again.join()
    assert run.read().begun == 1


def test_a_database_that_stays_away_is_waited_for_once(
    settings: Settings, postgresql: Server, refused: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "RESTART_SECONDS", 0.5)
    runs = Runs(settings)
    runs.create(a_request())
    postgresql.stop()
    waited = []
    for _ in range(2):
        refused.clear()
        with pytest.raises(StoreError):
            runs.newest()
        waited.append(refused.is_set())
    assert waited == [True, False]


@pytest.mark.parametrize("known", [True, False])
def test_only_who_knows_that_it_was_there_waits_for_the_first_answer(
    settings: Settings, postgresql: Server, refused: threading.Event, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    monkeypatch.setattr(database, "RESTART_SECONDS", 0.5)
    monkeypatch.setattr(database.Restarts, "known", known)
    postgresql.stop()
    with pytest.raises(StoreError):
        Runs(settings).newest()
    assert refused.is_set() == known


@pytest.mark.attack("the database is restarted in the middle of what begins or ends a run")
@pytest.mark.parametrize("write", ["save", "finish", "decide"])
@pytest.mark.parametrize("kept", [True, False])
def test_a_run_begins_and_ends_once_where_the_database_broke_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: str, kept: bool
) -> None:
    settings = Settings(state_dir=tmp_path)
    run = Runs(settings).create(a_request(incident=Incident("rt", "17")))
    performer = Performer(Project(tmp_path), settings, MagicMock(), threading.Event())
    result = {"run_id": run.run_id, "state": "succeeded", "playbook": "p", "mode": "diagnose", "server": "alpha"}
    found = {"started_at": now(), "finished_at": now(), "verdict": {"outcome": "healthy"}}
    ended = Result.model_validate(result | found)
    monkeypatch.setattr(performer, "_perform", lambda run, held: performer._finish(run, [ended], []))
    place: Any = escalation if write == "decide" else Run
    writes, real = [], getattr(place, write)

    def broken_off(*given: Any) -> None:
        writes.append(write)
        if len(writes) > 1 or kept:
            real(*given)
        if len(writes) == 1:
            raise StoreError("terminating connection")

    monkeypatch.setattr(place, write, broken_off)
    performer.perform(run)

    assert (run.read().exit_code, run.read().endings) == (0, {"alpha": "healthy"})
    assert [event["kind"] for event in run.events()].count("ended") == len(run.results()) == 1
    assert run.read().begun == 1 + (write == "save" and kept)
