"""A run and its report come to their end once, whatever ends the process that carries them out."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from reconnect.ansible import inventory
from reconnect.ansible.project import Project
from reconnect.cli import terminal
from reconnect.cli.progress import Progress
from reconnect.engine import durable, resuming
from reconnect.engine.locks import Locks
from reconnect.engine.slots import Slots
from reconnect.errors import InputError, StoreError
from reconnect.names import Incident
from reconnect.result import now
from reconnect.runs.database import refusals
from reconnect.runs.request import Request
from reconnect.runs.store import Runs
from trials import disk

from ..conftest import Workplace, a_request

if TYPE_CHECKING:
    from reconnect.engine.perform import Performer
    from reconnect.engine.slots import Slot

#: At how many random moments the command is killed.
MOMENTS = int(os.environ.get("RECONNECT_MOMENTS", "4"))

SLOW = """
- hosts: servers
  gather_facts: false
  tasks:
    - name: Begin
      ansible.builtin.raw: echo begun >> {{ playbook_dir }}/../begun
    - name: Be busy
      ansible.builtin.raw: for _ in $(seq 600); do test -e {{ playbook_dir }}/../go && exit; sleep 0.1; done; exit 1
    - name: Judge
      ansible.builtin.set_fact:
        reconnect_judgement: {verdict: {outcome: not_an_issue, user_message: "Ask your provider."}, findings: []}
"""


def request_of(workplace: Workplace, incident: str | None = None) -> Request:
    """A diagnosis of alpha."""
    return Request(
        playbook="diagnose-server.yml",
        mode="diagnose",
        named=["alpha"],
        servers=["alpha"],
        inventory=str(workplace.inventory),
        incident=Incident.parse(incident) if incident else None,
        timeout=60,
        command=["diagnose-server", "alpha"],
    )


def ended_once(incident: Path) -> None:
    """One report, one message to the user, closed once."""
    text = incident.read_text()
    assert text.count("-report]") == 1
    assert text.count("-user]") == 1
    assert text.count("Status: closed (Not an issue)") == 1


@pytest.mark.attack("the command is killed")
def test_a_run_that_was_killed_is_restarted_and_reported_once(
    workplace: Workplace, wait: Callable[..., Any], tmp_path: Path
) -> None:
    workplace.playbook(SLOW)
    incident = tmp_path / "incident.md"
    asked = ["diagnose-server", "alpha", "--inventory", str(workplace.inventory), "--incident", f"file:{incident}"]
    process = workplace.start(*asked)
    wait(lambda: (tmp_path / "begun").exists())
    process.kill()
    process.communicate()
    assert "interrupted" in workplace.reconnect("outbox").stdout
    (tmp_path / "go").touch()
    resumed = workplace.reconnect("resume")
    assert resumed.code == 0, resumed.stderr
    ended_once(incident)
    [run] = workplace.runs
    assert (run.record.begun, run.record.delivery) == (2, "delivered")
    assert (tmp_path / "released-alpha").read_text() == run.run_id
    assert workplace.reconnect("outbox").stdout == ""


@contextlib.contextmanager
def moved_away(folder: Path) -> Iterator[None]:
    """The tracker is down meanwhile."""
    folder.rename(folder.with_name("away"))
    try:
        yield
    finally:
        folder.with_name("away").rename(folder)


@pytest.mark.attack("the command is killed at a random moment, then tracker or disk fail")
@pytest.mark.parametrize("seed", range(MOMENTS))
def test_killed_at_any_moment(workplace: Workplace, tmp_path: Path, seed: int) -> None:
    workplace.playbook(SLOW)
    (tmp_path / "go").touch()
    incident = tmp_path / "tracker" / "incident.md"
    incident.parent.mkdir()
    asked = ["diagnose-server", "alpha", "--inventory", str(workplace.inventory), "--incident", f"file:{incident}"]
    with disk.small(workplace.settings.state, "4m") if seed % 4 == 3 else contextlib.nullcontext():
        workplace.killed_after(random.Random(seed).uniform(0.2, 2.5), *asked)
        if seed % 4 > 1:
            with moved_away(incident.parent) if seed % 4 == 2 else disk.full(workplace.settings.state):
                assert "Traceback" not in workplace.reconnect("resume").stderr
        resumed = workplace.reconnect("resume")
        assert resumed.code == 0, resumed.stdout + resumed.stderr
        assert workplace.reconnect("outbox").stdout == ""
        if workplace.runs:
            ended_once(incident)


def test_the_same_incident_asked_at_once_is_one_run(
    workplace: Workplace, wait: Callable[..., Any], tmp_path: Path
) -> None:
    workplace.playbook(SLOW)
    incident = tmp_path / "incident.md"
    asked = ["diagnose-server", "alpha", "--inventory", str(workplace.inventory), "--incident", f"file:{incident}"]
    processes = [workplace.start(*asked, "--json") for _ in range(5)]
    wait(lambda: (tmp_path / "begun").exists())
    (tmp_path / "go").touch()
    answers = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0] * 5, answers
    assert len({json.loads(stdout)["run_id"] for stdout, _ in answers}) == 1
    assert len(workplace.runs) == 1
    ended_once(incident)


def test_a_run_that_another_worker_took_over_is_not_carried_out(workplace: Workplace) -> None:
    run = Runs(workplace.settings).create(request_of(workplace), worker="here-12345678.1")
    first, second = (durable._Process(workplace.settings, None, f"{name}-12345678.1") for name in ("here", "there"))
    found = durable._own(run.run_id, first)
    assert found is not None
    assert found.run_id == run.run_id
    # DBOS recovers what it still has of the worker's.
    assert durable._own(run.run_id, second) is None


@pytest.mark.parametrize("same", [True, False])
def test_a_run_is_not_taken_over_where_the_inventory_is_another_one(workplace: Workplace, same: bool) -> None:
    settings, here = workplace.settings, Project(workplace.folder)
    digest = inventory.load(workplace.inventory, here).digest if same else "0" * 64
    request = request_of(workplace).model_copy(update={"inventory_hash": digest})
    run = Runs(settings).create(request, worker="elsewhere-12345678.1")
    refused = contextlib.nullcontext() if same else pytest.raises(InputError, match="has another inventory")
    with refused:
        resuming.adopt(run.run_id, here, settings, Progress(terminal.stderr(), False), threading.Event())
    # Without a shared store nobody takes it over.
    assert [worker for worker, _ in Runs(settings).waiting()] == ["elsewhere-12345678.1"]


def test_a_run_that_no_database_knows_yet_is_carried_out(workplace: Workplace, tmp_path: Path) -> None:
    workplace.playbook(SLOW)
    (tmp_path / "go").touch()
    incident = tmp_path / "incident.md"
    slot = Slots(workplace.settings).empty()
    request = request_of(workplace, f"file:{incident}")
    # One of an earlier version is known by its worker alone.
    Runs(workplace.settings).create(request, worker=slot.name)
    slot.release()
    assert "interrupted" in workplace.reconnect("outbox").stdout
    assert workplace.reconnect("resume").code == 0
    ended_once(incident)


WITHDRAWS = """
import os, signal
from reconnect import settings
from reconnect.ansible import project
from reconnect.engine.perform import Performer
from reconnect.runs.store import Runs
from reconnect.service import work
Performer.close = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
loaded = settings.load()
work.cancel(Runs(loaded).find("latest"), project.find(loaded), loaded)
"""


@pytest.mark.attack("whoever ends a run is killed")
@pytest.mark.parametrize(("worker", "begun"), [(None, 0), ("elsewhere-12345678.1", 1)])
def test_a_run_whose_end_was_interrupted_is_ended_and_never_begun(
    workplace: Workplace, tmp_path: Path, worker: str | None, begun: int
) -> None:
    workplace.playbook(SLOW)
    incident = tmp_path / "incident.md"
    run = Runs(workplace.settings).create(request_of(workplace, f"file:{incident}"), worker=worker)
    run.record.begun = begun
    run.save()
    killed = subprocess.run([sys.executable, "-c", WITHDRAWS], cwd=tmp_path, env=workplace.environment)
    assert killed.returncode == -signal.SIGKILL
    assert run.read().finished_at is None
    assert "'reconnect resume' ends it" in workplace.reconnect("outbox").stdout
    assert workplace.reconnect("resume").code == 0
    assert (run.read().endings, run.read().begun) == ({"alpha": "cancelled"}, begun)
    assert (tmp_path / "begun").exists() is False
    # What the other machine had begun there may go on.
    assert (tmp_path / "released-alpha").exists() is bool(begun)
    assert incident.read_text().count("-report]") == 1


DIES = """
import os, signal
from reconnect.cli.commands import main
from reconnect.engine.perform import Performer
Performer.close = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
main(["resume"])
"""


@pytest.mark.attack("whoever gives up a run that waits for its turn is killed")
def test_a_run_that_was_out_of_the_queue_before_its_end_was_kept_is_ended(workplace: Workplace, tmp_path: Path) -> None:
    workplace.playbook(SLOW)
    slot = Slots(workplace.settings).empty()
    run = Runs(workplace.settings).create(request_of(workplace), worker=slot.name)
    slot.release()
    # Nobody carries it out.
    assert "'reconnect resume' ends it" in workplace.reconnect("cancel", "latest").stdout
    with Locks(workplace.settings) as locks:
        # It has no turn meanwhile.
        assert locks.take("server", "alpha")
        killed = subprocess.run([sys.executable, "-c", DIES], cwd=tmp_path, env=workplace.environment, timeout=60)
    assert (killed.returncode, run.read().finished_at) == (-signal.SIGKILL, None)
    assert workplace.reconnect("resume").code == 0
    assert (run.read().endings, run.read().begun) == ({"alpha": "cancelled"}, 0)


@pytest.mark.parametrize("cancelled", [0, 1])
def test_of_runs_that_are_resumed_together_one_is_cancelled_alone(
    workplace: Workplace, wait: Callable[..., Any], tmp_path: Path, cancelled: int
) -> None:
    workplace.playbook(SLOW)
    slot = Slots(workplace.settings).empty()
    runs = [Runs(workplace.settings).create(request_of(workplace), worker=slot.name) for _ in range(3)]
    slot.release()
    process = workplace.start("resume")
    wait(lambda: (tmp_path / "begun").exists())
    assert workplace.reconnect("cancel", runs[cancelled].run_id).code == 0
    if cancelled == 0:
        wait(lambda: runs[0].read().finished_at)
    (tmp_path / "go").touch()
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stdout + stderr
    endings = [run.read().endings["alpha"] for run in runs]
    assert endings == ["cancelled" if number == cancelled else "not_an_issue" for number in range(3)]
    assert len((tmp_path / "begun").read_text().split()) == 3 - (cancelled > 0)


@pytest.mark.attack("the command is killed")
def test_a_cancelled_run_whose_process_is_killed_is_not_begun_again(
    workplace: Workplace, wait: Callable[..., Any], tmp_path: Path
) -> None:
    workplace.playbook(SLOW)
    process = workplace.start("diagnose-server", "alpha", "--inventory", str(workplace.inventory))
    wait(lambda: (tmp_path / "begun").exists())
    os.kill(process.pid, signal.SIGSTOP)
    assert workplace.reconnect("cancel", "latest").code == 0
    process.kill()
    process.communicate()
    assert workplace.reconnect("resume").code == 0
    [run] = workplace.runs
    assert (run.record.endings, run.record.begun) == ({"alpha": "cancelled"}, 1)
    assert (tmp_path / "begun").read_text().split() == ["begun"]
    assert (tmp_path / "released-alpha").read_text() == run.run_id


def test_a_slot_whose_run_was_never_made_is_free_again(workplace: Workplace) -> None:
    slots = Slots(workplace.settings)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    slot = slots.empty()
    with contextlib.suppress(KeyboardInterrupt):
        Runs(workplace.settings).create(request_of(workplace), worker=slot.name, within=killed)
    slot.release()
    assert workplace.runs == []
    assert workplace.reconnect("resume").code == 0
    assert slots.abandoned() == []


@pytest.mark.parametrize("is_kept", [True, False])
def test_what_the_store_refused_for_a_moment_ends_no_run_whose_end_it_has(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, is_kept: bool
) -> None:
    settings = workplace.settings
    run = Runs(settings).create(a_request())
    if is_kept:
        run.record.finished_at = now()
        run.save()
    performer = SimpleNamespace(began={run.run_id}, performed={run.run_id: None}, is_over=lambda run: True)
    engine = durable.Engine(settings, cast("Slot", None), cast("Performer", performer))
    looks = iter([False, False, True])
    monkeypatch.setattr(durable.Engine, "ended", lambda *_: next(looks))
    monkeypatch.setattr(durable, "REFUSED_SECONDS", 0.0)
    monkeypatch.setattr(refusals, "first", "The database is restarted.")
    if is_kept:
        engine.carry_out(run, threading.Event())
        assert refusals.first is None
    else:
        with pytest.raises(StoreError, match=r"The database is restarted\."):
            engine.carry_out(run, threading.Event())
