"""The worker: what is begun, cancelled and resumed, and that nothing ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from reconnect import log
from reconnect import settings as loading
from reconnect.ansible import project
from reconnect.engine import resuming
from reconnect.engine.locks import Locks
from reconnect.engine.perform import Performer
from reconnect.engine.slots import Slots
from reconnect.names import Incident
from reconnect.result import now
from reconnect.runs.store import Run, Runs
from reconnect.service import work
from reconnect.service.desk import Desk
from reconnect.service.people import Person
from reconnect.service.starting import asker_of
from reconnect.service.work import Worker
from reconnect.settings import Settings

from ..conftest import Workplace, a_request, there
from .conftest import plan_step

APPROVABLE = plan_step("restart_asterisk", "service", "approval")
ANN = Person("ann", "second_level")


@pytest.fixture
def worker(desk: Desk, settings: Settings) -> Worker:
    return Worker(desk.project, settings, desk.starter.wake, desk.plans.request_for_incidents)


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What would be begun as a process."""
    begun = []
    monkeypatch.setattr(work, "_process", lambda here, loaded, *words: begun.append(words))
    return begun


@pytest.fixture
def create(settings: Settings) -> Callable[..., Run]:
    """A run that waits, of nobody where no name is given."""

    def made(name: str | None = None, worker: str | None = None, incident: Incident | None = None) -> Run:
        request = a_request(incident=incident)
        return Runs(settings).create(request, worker=worker, asker=asker_of(name, "api" if name else "hook"))

    return made


def test_nothing_ends_the_worker(worker: Worker, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def look() -> None:
        looks.append(threading.current_thread())
        worker.stop() if len(looks) == 2 else desk.starter.wake.set()
        raise OSError("no process can be made")

    monkeypatch.setattr(worker, "look", look)
    worker.run()
    assert len(looks) == 2


@pytest.mark.attack("the process of a run is killed before it has taken the run")
@pytest.mark.parametrize(("ends", "seconds"), [("kill -9 $$", work._KILLED_SECONDS), ("exit 1", work._AGAIN_SECONDS)])
def test_a_run_whose_process_failed_waits_longer_than_one_whose_process_was_killed(
    worker: Worker, create: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, ends: str, seconds: float
) -> None:
    begun: list[subprocess.Popen[bytes]] = []

    def begin(*_given: object) -> subprocess.Popen[bytes]:
        begun.append(subprocess.Popen(["sh", "-c", ends]))
        return begun[-1]

    monkeypatch.setattr(work, "_process", begin)
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    run = create()
    worker.look()
    begun[0].wait()
    worker.look()
    assert worker._not_before == {run.run_id: 1000.0 + seconds}


@pytest.mark.parametrize(("incident", "begun"), [(None, []), (Incident("rt", "17"), [()])])
def test_a_run_that_waits_is_cancelled_at_once(
    desk: Desk,
    settings: Settings,
    create: Callable[..., Run],
    processes: list[tuple[Any, ...]],
    incident: Incident | None,
    begun: list[tuple[Any, ...]],
) -> None:
    run = create("ann", incident=incident)
    assert desk.cancel(run, ANN, "")
    assert run.read().endings == {"alpha": "cancelled"}
    # A process that was begun for it comes too late, and another process reports.
    assert not Runs(settings).adopt(run.run_id, "elsewhere-12345678.1")
    assert processes == begun
    assert not desk.cancel(there(Runs(settings).get(run.run_id)), ANN, "")


LOST = "elsewhere-12345678.1"


@pytest.mark.parametrize("incident", [None, Incident("rt", "17")])
def test_a_run_of_a_machine_that_is_gone_is_seen_and_ended(
    desk: Desk,
    settings: Settings,
    create: Callable[..., Run],
    processes: list[tuple[Any, ...]],
    incident: Incident | None,
) -> None:
    run = create("ann", LOST, incident)
    assert [one.run_id for one in desk.outbox(ANN)] == [run.run_id]
    assert f"on elsewhere-12345678; 'reconnect cancel {run.run_id}' ends it" in resuming.told(run, settings)
    with Locks(settings) as carrier:
        # Somebody there carries it out.
        assert carrier.take("carrier", LOST)
        assert desk.outbox(ANN) == []
    assert desk.cancel(run, ANN, "")
    (result,) = run.results()
    assert (run.read().endings, processes) == ({"alpha": "cancelled"}, [()] if incident else [])
    assert there(result.error_message).startswith("The machine elsewhere-12345678, which had this run, is gone.")
    # That machine is there again, and has nothing to do.
    assert LOST not in Runs(settings).workers()
    assert not Performer(desk.project, settings, work._Log(), threading.Event(), resumes=True).perform(run)
    assert run.read().begun == 0


def test_the_service_ends_what_another_machine_has_left_for_long(
    worker: Worker, create: Callable[..., Run], processes: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, waits = create("ann", LOST), create("ann")
    worker.look()
    assert (lost.read().finished_at, processes) == (None, [])
    monkeypatch.setattr(work, "_GONE_SECONDS", 0.0)
    worker._resume_at = 0.0
    worker.look()
    assert lost.read().endings == {"alpha": "failed"}
    worker.look()
    assert processes == [(waits.run_id,)]


def test_what_is_taken_over_is_ended_only_where_that_failed(
    worker: Worker, create: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = create("ann", LOST)
    monkeypatch.setattr(work, "_GONE_SECONDS", 0.0)
    worker._end_lost({LOST})
    assert lost.read().finished_at is None
    worker._not_before[lost.run_id] = float("inf")
    worker._end_lost({LOST})
    assert lost.read().endings == {"alpha": "failed"}


@pytest.mark.parametrize("elsewhere", [False, True])
def test_whoever_carries_out_the_run_is_to_end_it(
    desk: Desk, settings: Settings, create: Callable[..., Run], processes: list[tuple[Any, ...]], elsewhere: bool
) -> None:
    slot = Slots(settings).empty()
    run, other = (create("ann", LOST if elsewhere else slot.name) for _ in range(2))
    with Locks(settings) as carrier:
        assert carrier.take("carrier", LOST)
        assert desk.cancel(run, ANN, "")
        assert desk.cancel(run, ANN, "")
    assert (run.withdrawn(), other.withdrawn()) == (("cancelled", "The run was cancelled."), None)
    assert (run.read().finished_at, processes) == (None, [])
    slot.release()


def test_a_run_that_ended_meanwhile_is_not_cancelled(
    desk: Desk, settings: Settings, create: Callable[..., Run]
) -> None:
    run = create("ann", LOST)
    ended = there(Runs(settings).get(run.run_id))
    ended.record.finished_at = now()
    ended.finish([], "")
    assert not desk.cancel(run, ANN, "")
    assert run.withdrawn() is None


def test_a_run_that_is_resumed_can_be_cancelled_and_no_other_with_it(
    desk: Desk, settings: Settings, create: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    slots = [Slots(settings).empty(), Slots(settings).empty()]
    runs = [create(worker=slot.name).run_id for slot in slots]
    for slot in slots:
        slot.release()
    seen = []

    def resumed(
        slot: object, run_ids: list[str], performer: Performer, settings: Settings, cancelled: threading.Event
    ) -> None:
        assert performer._cancelled is cancelled
        seen.append((run_ids, cancelled.is_set()))
        os.kill(os.getpid(), signal.SIGTERM)

    def ended(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(resuming, "_work", resumed)
    monkeypatch.setattr(loading, "load", lambda: settings)
    monkeypatch.setattr(project, "find", lambda settings: desk.project)
    monkeypatch.setattr(log, "set_up", lambda loaded: None)
    monkeypatch.setattr(os, "_exit", ended)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        with pytest.raises(SystemExit) as exit:
            work.main([])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert (exit.value.code, seen) == (0, [([run], False) for run in runs])


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        (["20260101"], {}, "There is no run '20260101'."),
        (["--help"], {}, "There is no run '--help'."),
        ([], {"RECONNECT_STOP_SECONDS": "x"}, "The setting RECONNECT_STOP_SECONDS is invalid"),
    ],
)
def test_a_person_who_carries_out_nothing_reads_why(
    workplace: Workplace, words: list[str], environment: dict[str, str], said: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "reconnect", "carry-out", *words],
        cwd=workplace.folder,
        env={**workplace.environment, **environment},
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, "Traceback" in ended.stderr) == (1, False)
    assert said in ended.stderr


def test_what_an_incident_needs_approved_waits_whoever_ended_the_run(
    worker: Worker, desk: Desk, create: Callable[..., Run], ended: Callable[..., Run], processes: list[tuple[Any, ...]]
) -> None:
    due, late, theirs = create(), create(), create("ann")
    ended(due.run_id, APPROVABLE)
    ended(late.run_id, APPROVABLE, minutes_ago=31)
    ended(theirs.run_id, APPROVABLE)
    worker.look()
    assert [one["run_id"] for one in desk.plans.approvals()] == [due.run_id]
    # Another service was there when this one ended.
    later = create()
    ended(later.run_id, APPROVABLE, minutes_ago=20)
    other = Desk(desk.project, desk.settings)
    other.plans.request_for_incidents()
    other.plans.request_for_incidents()
    assert {one["run_id"] for one in desk.plans.approvals()} == {due.run_id, later.run_id}


def test_an_approval_is_asked_for_as_soon_as_the_run_ended(
    worker: Worker, desk: Desk, create: Callable[..., Run], ended: Callable[..., Run], processes: list[tuple[Any, ...]]
) -> None:
    worker._resume_at += 600
    run = create()
    ended(run.run_id, APPROVABLE)
    worker.look()
    assert desk.plans.approvals() == []
    process = subprocess.Popen(["true"])
    process.wait()
    worker._processes[run.run_id] = work._Begun(process, frozenset({"alpha"}), Locks(worker._settings))
    worker.look()
    assert [one["run_id"] for one in desk.plans.approvals()] == [run.run_id]
