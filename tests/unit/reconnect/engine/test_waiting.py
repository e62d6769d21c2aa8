# SPDX-License-Identifier: GPL-3.0-or-later
"""Who waits for a run is told, and does not ask the store meanwhile."""

from __future__ import annotations

import inspect
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from dbos._dbos import DBOS
from reconnect.ansible.playbook import PlayEnd, PlayRunner
from reconnect.ansible.project import Project
from reconnect.cli import terminal
from reconnect.cli.progress import Progress
from reconnect.engine import durable, shared
from reconnect.engine.perform import Performer
from reconnect.engine.slots import Slots
from reconnect.engine.wait import Waiter
from reconnect.exit_codes import ExitCode
from reconnect.runs.database import engine_of
from reconnect.runs.store import Run, Runs

from ..conftest import Workplace
from .test_durable import request_of


@pytest.fixture
def performer(workplace: Workplace) -> Performer:
    progress = Progress(terminal.stderr())
    return Performer(Project(workplace.folder), workplace.settings, progress, threading.Event())


def test_the_store_is_not_asked_while_a_run_is_performed(
    workplace: Workplace, performer: Performer, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [Runs(workplace.settings).create(request_of(workplace)) for _ in range(2)]
    asked: list[str] = []
    during: list[int] = []

    def perform(run: Run, held: object) -> bool:
        before = len(asked)
        threading.Event().wait(0.1)
        during.append(len(asked) - before)
        return False

    def ended(run_id: str) -> bool:
        asked.append(run_id)
        return any(run.run_id == run_id and performer.is_over(run) for run in runs)

    engine = durable.Engine(workplace.settings, Slots(workplace.settings).empty(), performer)
    monkeypatch.setattr(durable, "_PAUSE", 0.001)
    monkeypatch.setattr(performer, "_perform", perform)
    monkeypatch.setattr(engine, "ended", ended)
    # The second one is waited for in the same way: the first that ended says nothing of it.
    for run in runs:
        thread = threading.Thread(target=performer.perform, args=(run,))
        thread.start()
        engine.carry_out(run, threading.Event())
        thread.join()
    # One question may have been under way.
    assert [number <= 1 for number in during] == [True, True], during


def test_who_waits_asks_for_the_runs_before_its_own_once_a_second(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiter = Waiter(Project(workplace.folder), workplace.settings, Progress(terminal.stderr()))
    run = Runs(workplace.settings).create(request_of(workplace))
    asked: list[Run] = []

    def files_before(run: Run) -> list[Path]:
        asked.append(run)
        return []

    monkeypatch.setattr(waiter._slots, "files_before", files_before)
    look = waiter._in_the_queue(run)
    for _ in range(10):
        look()
    assert asked == [run]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (KeyError("servers"), "A defect of Reconnect: KeyError: 'servers'"),
        (OSError(24, "Too many open files"), "The run stopped: [Errno 24] Too many open files."),
    ],
)
def test_what_fails_before_the_first_step_is_the_end_of_the_run(
    workplace: Workplace, performer: Performer, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    run = Runs(workplace.settings).create(request_of(workplace))

    def fail(*words: object) -> None:
        raise error

    monkeypatch.setattr(shared, "results", fail)
    performer.perform(run)
    assert run.read().exit_code == ExitCode.DEFECT
    assert sentence in workplace.reconnect("show", run.run_id).stdout


def test_the_first_run_of_a_site_finds_its_queue_at_the_start(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, launch = [], DBOS.launch
    database = engine_of(workplace.settings)

    def launched() -> None:
        with database.connect() as connection:
            queues = "queues" in sa.inspect(database).get_table_names()
            known.append(set(connection.scalars(sa.text("SELECT name FROM queues"))) if queues else set())
        launch()

    monkeypatch.setattr(DBOS, "launch", launched)
    for _ in range(2):
        slot = Slots(workplace.settings).empty()
        with durable.Engine(workplace.settings, slot, empty=True):
            pass
        slot.release()
    assert known == [set(), {"runs", "reports"}, {"runs", "reports"}]


def test_who_waits_for_a_report_is_told_of_each_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    looked = threading.Event()
    monkeypatch.setattr(durable, "_PAUSE", 60)
    monkeypatch.setattr(durable, "_attempt", lambda run_id, number: told.append(run_id))

    def condition() -> bool:
        looked.set()
        return bool(told)

    waiting = threading.Thread(target=durable.wait_until, args=(condition,), daemon=True)
    waiting.start()
    assert looked.wait(60)
    inspect.unwrap(durable._report)("run")
    waiting.join(60)
    assert not waiting.is_alive()


@pytest.mark.attack("another user leaves a Python module in the folder in which a command is typed", harm="execution")
def test_what_stands_before_a_run_is_resumed_without_modules_of_the_working_folder(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slot = Slots(workplace.settings).empty()
    run = Runs(workplace.settings).create(request_of(workplace), worker=slot.name)
    slot.release()
    (tmp_path / "typer.py").write_text("open('executed', 'w')")
    monkeypatch.chdir(tmp_path)
    waiter = Waiter(Project(workplace.folder), workplace.settings, Progress(terminal.stderr()))
    monkeypatch.setenv("RECONNECT_STOP_SECONDS", "nothing is resumed")
    waiter._resume_abandoned(run)
    assert (tmp_path / "executed").exists() is False


def test_a_run_that_waited_has_the_policy_of_its_turn(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    # After a play whatever this process has started is ended.
    monkeypatch.setattr(PlayRunner, "run", lambda *_: PlayEnd("finished", 0, True, [], []))
    own = workplace.folder / "policy.yml"
    own.write_text("pairs: []\n")
    settings = workplace.settings.model_copy(update={"policy": own})
    performer = Performer(Project(workplace.folder), settings, Progress(terminal.stderr()), threading.Event())
    run = Runs(settings).create(request_of(workplace))
    own.write_text("pairs: [\n")
    performer.perform(run)
    assert [note.partition(" is not YAML")[0] for note in run.read().notes] == [f"The policy {own}"]
