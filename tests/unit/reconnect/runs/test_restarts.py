"""A PostgreSQL that is restarted in the middle of whatever is under way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from reconnect.errors import StoreError
from reconnect.runs import database
from reconnect.runs.store import Runs
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

    monkeypatch.setattr(database.time, "sleep", wait)
    return refused


@pytest.mark.attack("the database is restarted while a run begins or ends")
def test_what_needs_the_database_waits_until_it_has_restarted(
    settings: Settings, postgresql: Server, refused: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "RESTART_SECONDS", 120.0)
    runs = Runs(settings)
    run = runs.create(a_request())
    postgresql.stop()
    again = threading.Thread(target=lambda: refused.wait() and postgresql.start())
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
