"""Runs and reports are kept in PostgreSQL where the settings say so, for every machine that uses it."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr
from reconnect import machine
from reconnect.ansible.project import Project
from reconnect.cli import terminal
from reconnect.cli.progress import Progress
from reconnect.engine import durable, locks, policy, presence, resuming
from reconnect.engine.guard import Guard
from reconnect.engine.locks import Locks
from reconnect.engine.perform import Performer, without_documents
from reconnect.engine.slots import Slot, Slots
from reconnect.errors import InputError, StoreError, TakenError
from reconnect.result import now
from reconnect.runs import backup, erasing
from reconnect.runs import database as store
from reconnect.runs.guards import Guards, Reach, Wish
from reconnect.runs.request import Request
from reconnect.runs.store import Runs
from reconnect.settings import Settings
from reconnect.settings.service import MOST_WORKERS
from sqlalchemy import event
from trials.kept import holding

from ..conftest import Workplace, a_request
from ..conftest import there as existing
from ..forking import Process
from ..postgresql import NEEDED, PASSWORD
from .test_crowd import ALONE
from .test_durable import SLOW, ended_once

pytestmark = NEEDED


@pytest.mark.attack("the command is killed")
def test_a_run_that_was_killed_is_carried_to_its_end(
    workplace: Workplace, database: str, wait: Callable[..., Any], tmp_path: Path
) -> None:
    workplace.environment["RECONNECT_DATABASE"] = database
    workplace.playbook(SLOW)
    incident = tmp_path / "incident.md"
    asked = ["diagnose-server", "alpha", "--inventory", str(workplace.inventory), "--incident", f"file:{incident}"]
    process = workplace.start(*asked)
    wait(lambda: (tmp_path / "begun").exists())
    process.kill()
    process.communicate()
    (tmp_path / "go").touch()
    resumed = workplace.reconnect("resume")
    assert resumed.code == 0, resumed.stderr
    ended_once(incident)
    assert not list((tmp_path / "state").rglob("*.sqlite"))
    assert holding(workplace.settings, PASSWORD) == []


def test_two_machines_see_each_other_s_runs(
    machines: list[Workplace], wait: Callable[..., Any], tmp_path: Path
) -> None:
    here, there = machines
    here.playbook(SLOW)
    (tmp_path / "go").touch()
    assert here.diagnose("alpha", "--json").code == 0
    [line] = there.reconnect("runs", "--json").json()
    assert there.reconnect("show", line["run_id"], "--json").json()["server"] == "alpha"
    assert there.reconnect("report", "latest").stdout.startswith("Reconnect: diagnosis of alpha")
    # What a machine has to do stays its own.
    (tmp_path / "go").unlink()
    (tmp_path / "begun").unlink()
    process = here.start("diagnose-server", "alpha", "--inventory", str(here.inventory))
    wait(lambda: (tmp_path / "begun").exists())
    process.kill()
    process.communicate()
    assert there.reconnect("resume").code == 0
    assert "interrupted" in there.reconnect("outbox").stdout
    assert "interrupted" in here.reconnect("outbox").stdout
    (tmp_path / "go").touch()
    assert here.reconnect("resume").code == 0
    assert [run["exit_code"] for run in there.reconnect("runs", "--json").json()] == [0, 0]


def begun(machine: Workplace, incident: Path, wait: Callable[..., Any]) -> Process:
    """The process of a command whose playbook has begun, and waits."""
    machine.playbook(SLOW)
    process = machine.start(
        "diagnose-server", "alpha", "--inventory", str(machine.inventory), "--incident", f"file:{incident}"
    )
    wait(lambda: (machine.folder / "begun").exists())
    return process


def test_a_run_of_a_machine_that_is_gone_ends_and_keeps_nobody_waiting(
    machines: list[Workplace], wait: Callable[..., Any], tmp_path: Path
) -> None:
    here, there = machines
    incident = tmp_path / "incident.md"
    process = begun(here, incident, wait)
    process.kill()
    process.communicate()
    assert there.reconnect("cancel", "latest").code == 0
    (tmp_path / "go").touch()
    # Whoever stood behind it in the queue of the server has its turn.
    assert there.diagnose("alpha").code == 0
    assert there.reconnect("resume").code == 0
    assert "which had this run, is gone." in incident.read_text()
    # The machine is there again.
    assert (here.reconnect("resume").code, here.reconnect("outbox").stdout) == (0, "")
    assert (tmp_path / "begun").read_text().split() == ["begun"] * 2


def test_a_command_s_run_is_cancelled_on_another_machine(
    machines: list[Workplace], wait: Callable[..., Any], tmp_path: Path
) -> None:
    here, there = machines
    incident = tmp_path / "incident.md"
    process = begun(here, incident, wait)
    assert there.reconnect("cancel", "latest").code == 0
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 13, stdout + stderr
    assert there.runs[0].record.endings == {"alpha": "cancelled"}
    assert (tmp_path / "released-alpha").exists()
    assert "was cancelled after the step" in incident.read_text()


def test_an_incident_that_two_machines_are_asked_for_is_one_run(
    machines: list[Workplace], wait: Callable[..., Any], tmp_path: Path
) -> None:
    machines[0].playbook(SLOW)
    incident = tmp_path / "incident.md"
    asked = ["diagnose-server", "alpha", "--inventory", str(machines[0].inventory), "--incident", f"file:{incident}"]
    processes = [machine.start(*asked, "--json") for machine in machines for _ in range(2)]
    wait(lambda: (tmp_path / "begun").exists())
    (tmp_path / "go").touch()
    answers = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, answers
    assert len({json.loads(stdout)["run_id"] for stdout, _ in answers}) == 1
    assert (tmp_path / "begun").read_text().split() == ["begun"]
    ended_once(incident)


def test_two_machines_never_work_on_one_server_at_once(machines: list[Workplace]) -> None:
    machines[0].playbook(ALONE)
    crowd = [
        machine.start("diagnose-server", *servers, "--inventory", str(machine.inventory), "--apply", "--json")
        for machine, servers in zip(machines, (("alpha", "beta"), ("beta",)), strict=True)
    ]
    answers = [process.communicate(timeout=300) for process in crowd]
    assert [process.returncode for process in crowd] == [0, 0], answers


def test_a_lock_between_machines_ends_with_its_holder(machines: list[Workplace]) -> None:
    first, second = (Locks(machine.settings) for machine in machines)
    assert (first.take("server", "alpha"), first.take("server", "beta")) == (True, True)
    assert second.take("server", "alpha") is False
    first.release()
    assert (second.take("server", "alpha"), second.take("server", "beta")) == (True, True)
    second.release()


def test_who_takes_a_lock_again_beats_once(machines: list[Workplace]) -> None:
    holder = Locks(machines[0].settings)
    assert holder.take("server", "alpha")
    # Its thread may be about to look whether the session is over, once that is.
    first = holder._over
    holder.release()
    assert holder.take("server", "alpha")
    assert (first.is_set(), holder._over.is_set()) == (True, False)
    holder.release()


def test_a_worker_of_as_many_runs_as_it_may_have_still_reaches_the_database(machines: list[Workplace]) -> None:
    held = [Locks(machines[0].settings) for _ in range(MOST_WORKERS)]
    assert all(one.take("begin", str(number)) for number, one in enumerate(held))
    assert Runs(machines[0].settings).waiting() == []
    for one in held:
        one.release()


def ended_sessions(address: str) -> int:
    """Ends every session that holds an advisory lock; how many there were."""
    with psycopg.connect(address) as connection:
        query = "SELECT pg_terminate_backend(pid, 9999) FROM pg_locks WHERE locktype = 'advisory'"
        return len(connection.execute(query).fetchall())


def test_a_lock_that_the_database_has_ended_is_taken_again(
    machines: list[Workplace], database: str, wait: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "BEAT_SECONDS", 0.2)
    first, second = (Locks(machine.settings) for machine in machines)
    assert first.take("server", "alpha")
    assert ended_sessions(database) == 1
    held_at = first.held_at
    wait(lambda: first.held_at > held_at + 1)
    assert second.take("server", "alpha") is False
    first.release()
    assert second.take("server", "alpha") is True
    second.release()


def test_a_worker_that_is_gone_is_replaced_once_and_one_that_is_stopped_is_not(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "BEAT_SECONDS", 60)
    here, there = (Settings(state_dir=tmp_path / name, database=SecretStr(database)) for name in ("here", "there"))
    slot = Slots(here, shared=True).empty()
    run = Runs(here).create(a_request(), worker=slot.name)
    assert resuming.lost(there) == []
    assert presence.gone(there) == set()
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE workers SET beat_at = beat_at - 60000")
    # It has its lock, and so its session: its process is stopped.
    assert (presence.gone(there), presence.take_over(there, slot.name, "there-1.1")) == (set(), False)
    assert ended_sessions(database) == 1
    assert presence.gone(there) == {slot.name}
    assert [worker for worker, _ in resuming.lost(there)] == [slot.name]
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda n: presence.take_over(there, slot.name, f"there-1.{n}"), range(4)))
    assert sorted(taken) == [False, False, False, True]
    assert existing(run.kept()).worker == f"there-1.{taken.index(True)}"
    slot.release()


def test_whoever_looks_for_workers_that_are_gone_writes_only_where_one_is_silent(database: str, tmp_path: Path) -> None:
    settings, written = Settings(state_dir=tmp_path, database=SecretStr(database)), []
    presence.here(settings, 2)
    slot = Slots(settings, shared=True).empty()

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        written.extend(statement.split()[:1])

    event.listen(engine := store.engine_of(settings), "before_cursor_execute", note)
    assert (presence.gone(settings), {"UPDATE", "DELETE"} & set(written)) == (set(), set())
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE workers SET beat_at = 0")
    assert (presence.gone(settings), {"UPDATE", "DELETE"} <= set(written)) == (set(), True)
    event.remove(engine, "before_cursor_execute", note)
    slot.release()


def test_what_a_command_left_in_a_slot_is_its_machine_s_alone(database: str, tmp_path: Path) -> None:
    here, there = (Settings(state_dir=tmp_path / name, database=SecretStr(database)) for name in ("here", "there"))
    runs, name = Runs(here), machine.worker(here.state, 1)
    assert runs.workers() == []
    with psycopg.connect(database) as connection:
        # A process of the service was killed here once its work was done, and no worker has looked since.
        connection.execute("INSERT INTO workers (name, token, takeovers, beat_at) VALUES (%s, '', 0, 0)", [name])
    slot = Slots(here).empty()
    assert slot.name == name
    runs.create(a_request(), worker=name)
    slot.release()
    assert presence.gone(there) == set()
    # The service looks for an empty slot.
    other = Slots(here, shared=True).empty()
    assert other.name != name
    other.release()
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE workers SET beat_at = beat_at - 60000")
    assert presence.gone(there) == set()
    assert [worker for worker, _ in resuming.lost(there)] == [name]


@pytest.mark.parametrize("faster", ["another machine takes it over", "its process ends it"])
def test_a_run_that_somebody_had_meanwhile_is_not_withdrawn(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faster: str
) -> None:
    here, there = (Settings(state_dir=tmp_path / name, database=SecretStr(database)) for name in ("here", "there"))
    runs, slot = Runs(there), Slots(here).empty()
    run = runs.create(a_request(), worker=slot.name)
    slot.release()
    empty, forgotten = Slots.empty, []

    def meanwhile(own: Slots) -> Slot:
        if faster == "its process ends it":
            ended = existing(runs.get(run.run_id))
            ended.record.finished_at, ended.record.delivery, ended.record.endings = now(), "pending", {"alpha": "fixed"}
            ended.finish([], "")
        else:
            assert runs.adopt(run.run_id, "elsewhere-1.1", slot.name)
        return empty(own)

    monkeypatch.setattr(Slots, "empty", meanwhile)
    monkeypatch.setattr(durable, "forget", lambda run_id, _: forgotten.append(run_id))
    performer = Performer(Project(tmp_path), there, Progress(terminal.stderr()), threading.Event())
    assert resuming.withdraw(run, performer, there) is None
    assert forgotten == []
    assert run.read().endings == ({"alpha": "fixed"} if faster == "its process ends it" else {})


@pytest.mark.attack("a command is suspended, and its run is ended meanwhile")
def test_a_command_whose_run_was_ended_elsewhere_overwrites_and_reports_nothing(
    machines: list[Workplace], database: str, wait: Callable[..., Any], tmp_path: Path
) -> None:
    here, there = machines
    incident = tmp_path / "incident.md"
    process = begun(here, incident, wait)
    os.kill(process.pid, signal.SIGSTOP)
    assert ended_sessions(database) > 0
    assert there.reconnect("cancel", "latest").code == 0
    [run] = there.runs
    events = run.events()
    (tmp_path / "go").touch()
    os.kill(process.pid, signal.SIGCONT)
    stdout, stderr = process.communicate(timeout=300)
    # The code of how it was ended.
    assert process.returncode == 13, stdout + stderr
    assert stderr.count(str(TakenError(run.run_id))) == 1, stderr
    assert there.reconnect("resume").code == 0
    assert (run.read().endings, run.events()) == ({"alpha": "cancelled"}, events)
    assert [result.state for result in run.results()] == ["cancelled"]
    assert incident.read_text().count("-report]") == 1
    assert "which had this run, is gone." in incident.read_text()


def test_nothing_is_written_of_a_run_that_somebody_else_has(database: str, tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, database=SecretStr(database))
    run, guards = Runs(settings).create(a_request(), worker="here-1.1"), Guards(settings, "here-1.1")
    wish = Wish(run.run_id, "alpha", None, "restart_database", "database_stopped", 9)
    assert guards.begin(wish, Reach(3, 10, 3600)).allowed
    assert Runs(settings).adopt(run.run_id, "there-1.1", "here-1.1")
    before = run.events()
    for write in (
        run.check,
        run.save,
        run.touch,
        lambda: run.finish([], ""),
        lambda: run.happened("ended"),
        lambda: run.keep_evidence("alpha", b"{}"),
        lambda: run.keep_packets("alpha", b""),
        lambda: run.save_result(without_documents(run, "failed", "")[0]),
        lambda: guards.begin(wish, Reach(3, 10, 3600)),
        lambda: guards.end(run.run_id, "alpha", wish.remedy, wish.cause, "failed"),
        lambda: guards.end_all(run.run_id),
        lambda: guards.escalate(run.run_id, [("alpha", "database_stopped")], 3600),
    ):
        with pytest.raises(TakenError):
            write()
    assert (run.events(), run.evidence("alpha"), run.packets("alpha")) == (before, {}, None)
    run.by("there-1.1").happened("ended")


@pytest.mark.attack("two machines begin a remedy on both nodes of a pair at the same moment")
def test_of_the_nodes_of_a_pair_one_begins_whichever_machine_asks(database: str, tmp_path: Path) -> None:
    nodes = ["pbx1", "pbx2"]
    machines = [Settings(state_dir=tmp_path / name, database=SecretStr(database)) for name in nodes]
    wanted = []
    for number, settings in enumerate(machines):
        run = Runs(settings).create(a_request(named=[nodes[number]], servers=[nodes[number]]), worker=f"{number}-1.1")
        wish = Wish(run.run_id, nodes[number], None, f"remedy_{number}", "database_stopped", 9, (nodes[1 - number],))
        wanted.append((Guards(settings, f"{number}-1.1"), wish))
    found = []
    together = threading.Barrier(2)

    def begin(guards: Guards, wish: Wish) -> None:
        together.wait()
        found.append(guards.begin(wish, Reach(3, 10, 3600)))

    threads = [threading.Thread(target=begin, args=one) for one in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((one.allowed, one.wait) for one in found) == [(False, True), (True, False)]


def test_no_remedy_begins_on_a_server_whose_lock_somebody_else_has(
    machines: list[Workplace], database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "BEAT_SECONDS", 600)
    settings = machines[0].settings
    run = Runs(settings).create(a_request(), worker="here-1.1")
    asked = {"server": "alpha", "remedy": "restart_database", "cause": "database_stopped"}
    with Locks(machines[1].settings) as other, locks.held(settings, "server", ["alpha"]) as held:
        guard = Guard(settings, policy.load(settings), run, held)
        ended_sessions(database)
        # The database was restarted, and nobody else has the server.
        assert guard.answer(asked).allowed
        ended_sessions(database)
        assert other.take("server", "alpha")
        # What undoes asks without a remedy.
        for own in ({}, {"of_account": True}, {"remedy": ""}):
            refused = guard.answer({**asked, **own})
            assert (refused.allowed, "lock" in refused.reason) == (False, True)
        other.release()
        assert Runs(settings).adopt(run.run_id, "there-1.1", "here-1.1")
        with pytest.raises(TakenError):
            guard.answer(asked)


HOLDS = """
import sys, time
from reconnect.engine import locks
from reconnect.settings import Settings
locks.BEAT_SECONDS = 0.2
print(locks.Locks(Settings(state_dir=sys.argv[1], database=sys.argv[2])).take("server", "alpha"), flush=True)
time.sleep(600)
"""


@pytest.mark.attack("a stopped process on another machine holds a lock", harm="hang")
def test_a_stopped_process_of_another_machine_is_named_and_not_waited_for(
    machines: list[Workplace], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = (machine.settings for machine in machines)
    for name, seconds in {"STOPPED_SECONDS": 0.5, "_LOOK_SECONDS": 0.1}.items():
        monkeypatch.setattr(locks, name, seconds)
    database = existing(there.database).get_secret_value()
    words = [sys.executable, "-c", HOLDS, str(there.state), database]
    beats = set()

    def has_beaten() -> bool:
        with psycopg.connect(database) as connection:
            query = "SELECT state_change FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE locktype = 'advisory'"
            beats.update(connection.execute(query).fetchall())
        return len(beats) > 5

    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert existing(process.stdout).readline() == "True\n"
        try:
            # One that works is waited for.
            with locks.held(here, "server", ["alpha"], has_beaten):
                assert has_beaten()
            process.send_signal(signal.SIGSTOP)
            monkeypatch.setattr(locks, "QUIET_SECONDS", 1.0)
            named = rf"process {process.pid} \(reconnect\) on {platform.node()} is stopped and holds the lock of"
            with pytest.raises(locks.StoppedHolderError, match=named), locks.held(here, "server", ["alpha"]):
                pass
        finally:
            process.kill()


@pytest.mark.attack("a stopped process on another machine is in the middle of a transaction", harm="hang")
def test_a_transaction_that_is_stopped_ends_and_one_that_works_is_named(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_IDLE_SECONDS", 1)
    monkeypatch.setattr(store, "_LOCK_SECONDS", 2)
    guards = Guards(Settings(state_dir=tmp_path, database=SecretStr(database)))
    locked = "LOCK TABLE holds"
    stopped = store.engine_of(Settings(state_dir=tmp_path, database=SecretStr(database))).connect()
    stopped.exec_driver_sql(locked)
    guards.hold(["alpha"], "", "alice")
    with psycopg.connect(database, application_name="psql") as person:
        person.execute(locked)
        with pytest.raises(StoreError, match=r"lock timeout\. It is held by a session of psql on 127\.0\.0\.1\."):
            guards.hold(["alpha"], "", "alice")
    stopped.invalidate()
    stopped.close()


@pytest.mark.attack("twelve runs ask for the same remedy at the same moment")
def test_of_many_at_once_one_begins(machines: list[Workplace]) -> None:
    stores = [Guards(machine.settings) for machine in machines]
    runs = Runs(machines[0].settings)
    wishes = []
    for number in range(12):
        server = f"pbx{number}"
        request = Request(
            playbook="p.yml", mode="apply", named=[server], servers=[server], inventory="i", timeout=9, command=["x"]
        )
        wishes.append(Wish(runs.create(request).run_id, server, None, "restart_database", "database_stopped", 12))
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda wish: stores[int(wish.server[3:]) % 2].begin(wish, Reach(3, 10, 3600)), wishes))
    assert sorted(one.allowed for one in found) == [False] * 11 + [True]
    assert all(one.wait for one in found if not one.allowed)


def test_a_store_moves_to_postgresql_and_its_backup_comes_back(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Settings(state_dir=tmp_path / "old")
    request = Request(
        playbook="p.yml", mode="apply", named=["a"], servers=["a"], inventory="i", timeout=9, command=["x"], account="1"
    )
    run = Runs(old).create(request)
    run.keep_packets("a", b"\x00\xff" * 9)
    run.record.finished_at, run.record.notes = now(), ["caf\u00e9 \x00"]
    run.save()
    Guards(old).hold(["a"], "night", "alice")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert backup.copy(old, database.replace(f":{PASSWORD}@", "@")) == 1
    new = Settings(state_dir=tmp_path / "new", database=SecretStr(database))
    with pytest.raises(InputError, match="The database is not empty: its table "):
        backup.copy(old, database.replace(f":{PASSWORD}@", "@"))

    def is_whole(settings: Settings) -> None:
        [found] = Runs(settings).newest()
        assert (found.record, found.packets("a")) == (run.record, b"\x00\xff" * 9)
        assert [hold.reason for hold in Guards(settings).holds()] == ["night"]

    is_whole(new)
    assert backup.backup(new, tmp_path / "backup") == 1
    again = Settings(state_dir=tmp_path / "again")
    assert backup.restore(again, tmp_path / "backup") == 1
    is_whole(again)
    Guards(new).release(["a"])
    with psycopg.connect(database, application_name="reconnect 4711 elsewhere"):
        with pytest.raises(InputError, match=r"in use by process 4711 \(reconnect\) on elsewhere"):
            backup.restore(new, tmp_path / "backup")
        assert Guards(new).holds() == []
    assert erasing.erase(new, "1", None, lambda connection, run_ids: None) == [run.run_id]
    assert Runs(new).newest() == []
    assert backup.restore(new, tmp_path / "backup") == 1
    is_whole(new)


def test_a_database_that_is_not_there_is_one_sentence(workplace: Workplace) -> None:
    workplace.environment["RECONNECT_DATABASE"] = f"postgresql://reconnect:{PASSWORD}@127.0.0.1:9/reconnect"
    ended = workplace.diagnose("alpha")
    assert ended.code == 1
    [line] = ended.stderr.splitlines()
    assert "Cannot store runs in the database" in line
    assert PASSWORD not in line


@pytest.mark.parametrize("address", [f"mysql://reconnect:{PASSWORD}@host/x", f"postgresql {PASSWORD}", "nothing"])
def test_an_address_of_something_else_is_one_sentence(workplace: Workplace, address: str) -> None:
    workplace.environment["RECONNECT_DATABASE"] = address
    ended = workplace.reconnect("runs")
    assert (ended.code, len(ended.stderr.splitlines())) == (1, 1)
    assert "RECONNECT_DATABASE is invalid" in ended.stderr
    assert PASSWORD not in ended.stderr
