"""The state folder is full, read-only or damaged: the incident is told from memory, and nothing waits for ever."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from reconnect import machine
from reconnect.engine import resuming, unkept
from reconnect.engine.perform import Performed, without_documents
from reconnect.errors import StoreError, TakenError
from reconnect.names import Incident
from reconnect.result import now
from reconnect.runs import unsent
from reconnect.runs.database import FILE
from reconnect.runs.request import Request
from reconnect.runs.store import Runs
from trials import disk
from trials.disk import full

from ..conftest import Workplace, a_request
from ..forking import Process
from .test_durable import SLOW


@pytest.fixture
def small(workplace: Workplace) -> Iterator[Path]:
    """The state folder, a file system of its own of 4 MiB."""
    with disk.small(workplace.settings.state, "4m") as folder:
        yield folder


def remount(folder: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", folder], check=True, timeout=30)


def asked(workplace: Workplace, incident: Path) -> list[str]:
    return ["diagnose-server", "alpha", "--inventory", str(workplace.inventory), "--incident", f"file:{incident}"]


def reports(incident: Path) -> int:
    return incident.read_text().count("-report]") if incident.exists() else 0


def in_mid_run(workplace: Workplace, wait: Callable[..., object], incident: Path) -> Process:
    workplace.playbook(SLOW)
    process = workplace.start(*asked(workplace, incident))
    wait(lambda: (workplace.folder / "begun").exists())
    return process


@pytest.mark.attack("the disk is full in mid-run", harm="hang")
def test_full_in_mid_run_the_incident_is_told_once(
    workplace: Workplace, small: Path, wait: Callable[..., Any], tmp_path: Path
) -> None:
    incident = tmp_path / "incident.md"
    process = in_mid_run(workplace, wait, incident)
    with full(small):
        (tmp_path / "go").touch()
        stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 1, stdout + stderr
    assert "full" in stdout + stderr
    assert "Traceback" not in stderr
    assert reports(incident) == 1
    # What Ansible could not write it handed over: the incident is told how the run ended.
    assert "not_an_issue" in incident.read_text()
    resumed = workplace.reconnect("resume")
    assert resumed.code == 0, resumed.stdout + resumed.stderr
    assert reports(incident) == 1
    assert workplace.reconnect("outbox").stdout == ""
    # What was told is not performed again.
    assert (tmp_path / "begun").read_text() == "begun\n"


@pytest.mark.attack("the disk is full in mid-run", harm="hang")
def test_full_in_mid_run_sigterm_ends_it(
    workplace: Workplace, small: Path, wait: Callable[..., Any], tmp_path: Path
) -> None:
    incident = tmp_path / "incident.md"
    process = in_mid_run(workplace, wait, incident)
    with full(small):
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=300)
    assert process.returncode in {1, 13}, stdout + stderr
    assert reports(incident) == 1


@pytest.mark.attack("the state is full, read-only or damaged")
@pytest.mark.parametrize("harm", ["full", "read-only", "damaged"])
def test_before_a_run_nothing_is_executed_and_the_incident_is_told(
    workplace: Workplace, small: Path, tmp_path: Path, harm: str
) -> None:
    if harm == "damaged":
        (small / FILE).write_bytes(b"no database " * 2000)
    if harm == "read-only":
        remount(small, "ro")
    workplace.playbook(SLOW)
    incident = tmp_path / "incident.md"
    with full(small) if harm == "full" else contextlib.nullcontext():
        ended = workplace.reconnect(*asked(workplace, incident))
    assert ended.code == 1, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    assert incident.exists(), ended.stdout + ended.stderr
    assert "Nothing was executed" in incident.read_text()
    assert reports(incident) == 1
    assert not (tmp_path / "begun").exists()


def test_a_question_is_asked_from_memory(workplace: Workplace, small: Path, tmp_path: Path) -> None:
    incident = tmp_path / "incident.md"
    incident.write_text("Subject: no server\n\n")
    remount(small, "ro")
    ended = workplace.reconnect(
        "diagnose-server", "--inventory", str(workplace.inventory), "--incident", f"file:{incident}"
    )
    assert ended.code == 2, ended.stderr
    assert "comment added to the incident" in ended.stderr
    assert "The server is missing" in incident.read_text()


@pytest.mark.attack("neither the store nor the tracker answers")
@pytest.mark.parametrize("known", [True, False])
def test_a_report_that_nobody_takes_is_a_file_and_resume_sends_it_once(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    def refuse(*_: object) -> None:
        raise StoreError("The database is gone.")

    settings = workplace.settings.model_copy(update={"report_seconds": 0.0})
    incident = tmp_path / "away" / "incident.md"
    request = Request(
        playbook="diagnose-server.yml",
        mode="diagnose",
        named=["alpha"],
        servers=["alpha"],
        inventory=str(workplace.inventory),
        incident=Incident("file", str(incident)),
        command=["x"],
    )
    run = Runs(settings, in_memory=not known).create(request, worker=machine.worker(settings.state, 1))
    if known:
        monkeypatch.setattr(run, "finish", refuse)
    performed = Performed(run.record, without_documents(run, "failed", "The run stopped."), False)
    told = unkept.finish(run, performed, StoreError("The database is gone."), settings)
    [file] = (settings.state / "unsent").iterdir()
    assert told.notes[-1] == f"The report is kept in {file}. 'reconnect resume' sends it."
    incident.parent.mkdir()
    for _ in range(2):
        resumed = workplace.reconnect("resume")
        assert (resumed.code, reports(incident), file.exists()) == (0, 1, False), resumed.stdout + resumed.stderr
    assert "The run stopped." in incident.read_text()


def test_a_report_in_a_file_is_not_that_of_a_run_that_another_machine_has_by_now(workplace: Workplace) -> None:
    settings = workplace.settings
    own = machine.worker(settings.state, 1)
    run = Runs(settings).create(a_request(incident=Incident("file", "/nowhere/incident.md")), worker=own)
    ended = run.record.model_copy(update={"finished_at": now(), "delivery": "pending"})
    file = unsent.keep(ended, without_documents(run, "failed", "The run stopped."), settings)
    assert Runs(settings).adopt(run.run_id, "elsewhere-1.1", own)
    resuming.waiting(settings)
    assert (file.exists(), run.read().finished_at, run.results()) == (False, None, [])


def test_a_run_that_was_ended_elsewhere_is_not_told_from_memory(workplace: Workplace, tmp_path: Path) -> None:
    settings, incident = workplace.settings, tmp_path / "incident.md"
    own = machine.worker(settings.state, 1)
    run = Runs(settings).create(a_request(incident=Incident("file", str(incident))), worker=own)
    performed = Performed(run.record, without_documents(run, "failed", "The run stopped."), False)
    assert Runs(settings).adopt(run.run_id, "elsewhere-1.1", own)
    with pytest.raises(TakenError):
        unkept.finish(run, performed, StoreError("The database was away."), settings)
    assert not incident.exists()
