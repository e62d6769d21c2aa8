from __future__ import annotations

import signal
import stat
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from dbos._schemas.system_database import SystemSchema
from reconnect.errors import DamagedError, InputError, StoreError
from reconnect.names import Incident
from reconnect.result import now
from reconnect.runs import database, rows, store, tables
from reconnect.runs.guards import Guards
from reconnect.runs.record import Delivery, Pending, Wanted
from reconnect.runs.request import Request
from reconnect.runs.store import Run, Runs
from reconnect.settings import Settings

from ..conftest import there


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path / "state")


@pytest.fixture
def runs(settings: Settings) -> Runs:
    return Runs(settings)


def request(account: str | None = None, incident: str | None = None, servers: tuple[str, ...] = ("alpha",)) -> Request:
    return Request(
        playbook="p.yml",
        mode="diagnose",
        named=list(servers),
        servers=list(servers),
        inventory="i",
        account=account,
        incident=Incident.parse(incident) if incident else None,
        timeout=9,
        command=["x"],
    )


def test_who_waits_reads_one_value_of_a_run_each_time(settings: Settings, runs: Runs) -> None:
    run = runs.create(request())
    read: list[str] = []

    def note(connection: object, cursor: object, statement: str, *more: object) -> None:
        read.append(statement.partition("\n")[0].strip())

    sa.event.listen(database.engine_of(settings), "before_cursor_execute", note)
    assert (run.withdrawn(), run.ended()) == (None, False)
    assert read == ["SELECT runs.withdrawn", "SELECT runs.finished_at"]
    sa.event.remove(database.engine_of(settings), "before_cursor_execute", note)
    run.withdraw("cancelled", "No need.")
    assert run.withdrawn() == ("cancelled", "No need.")
    run.record.finished_at = now()
    run.save()
    assert run.ended()


def test_runs_of_one_millisecond_are_in_the_order_in_which_they_began(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = now()
    monkeypatch.setattr(store, "now", lambda: at)
    made = [runs.create(request()).run_id for _ in range(20)]
    assert [run.run_id for run in runs.newest()] == made[::-1]
    # A clock that was set back is believed.
    earlier = at - timedelta(hours=1)
    monkeypatch.setattr(store, "now", lambda: earlier)
    assert runs.create(request()).record.started_at == earlier


def ended(runs: Runs, days: float | None, account: str | None = None, delivery: Delivery = "none") -> Run:
    run = runs.create(request(account), at=None if days is None else now() - timedelta(days=days))
    run.record.endings = {"alpha": "healthy"}
    run.record.delivery = delivery
    if days is not None:
        run.record.finished_at = run.record.started_at
    run.save()
    return run


def test_old_runs_go_and_those_that_still_matter_stay(runs: Runs) -> None:
    old = ended(runs, 40)
    old.keep_evidence("alpha", b"{}")
    old.happened("begun")
    stay = {ended(runs, 1).run_id, ended(runs, 40, delivery="pending").run_id, ended(runs, None).run_id}
    assert runs.remove_old(30) == 1
    assert {run.run_id for run in runs.newest()} == stay
    assert runs.get(old.run_id) is None
    assert (old.evidence("alpha"), old.events(), old.results()) == ({}, [], [])


def test_a_run_has_its_language_and_the_digest_of_its_inventory(runs: Runs, settings: Settings) -> None:
    kept = request().model_copy(update={"language": "it", "inventory_hash": "ab12"})
    run_id = runs.create(kept).run_id
    assert there(runs.get(run_id)).record.request == kept
    with database.reading(database.engine_of(settings)) as connection:
        row = connection.execute(sa.select(tables.runs).where(tables.runs.c.run_id == run_id)).one()
    assert (row.language, row.inventory_hash) == ("it", "ab12")


def test_old_runs_go_in_steps(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "STEP", 2)
    steps: list[int] = []
    removed = rows.Rows.remove_ended

    def noted(*asked: Any) -> int:
        steps.append(removed(*asked))
        return steps[-1]

    monkeypatch.setattr(rows.Rows, "remove_ended", noted)
    for _ in range(5):
        ended(runs, 40)
    assert runs.remove_old(30) == 5
    assert steps == [2, 2, 1, 0]


def test_runs_are_found_by_account_and_time(runs: Runs) -> None:
    old, new = ended(runs, 5, "601"), ended(runs, 1, "602")
    middle = now() - timedelta(days=3)

    def found(**wanted: Any) -> set[str]:
        return {run.run_id for run in runs.newest(Wanted(**wanted))}

    assert found(account="601") == {old.run_id}
    assert found(since=middle) == {new.run_id}
    assert found(until=middle) == {old.run_id}
    assert found(since=old.record.started_at, until=old.record.started_at) == {old.run_id}
    assert found(server="alpha", ending="healthy") == {old.run_id, new.run_id}
    assert found(server="alpha", account="602") == {new.run_id}
    assert found(server="beta") == found(ending="failed") == set()


def test_a_page_is_the_newest_and_no_more(runs: Runs) -> None:
    made = [ended(runs, days) for days in (3, 2, 1)]
    assert [run.run_id for run in runs.newest(limit=2)] == [made[2].run_id, made[1].run_id]
    assert [run.run_id for run in runs.newest(Wanted(ending="healthy"), 1)] == [made[2].run_id]


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(),
        Wanted(account="601"),
        Wanted(server="alpha"),
        Wanted(ending="healthy"),
        Wanted(server="alpha", ending="healthy"),
        Wanted(since=now()),
        Wanted(until=now()),
    ],
    ids=["any", "account", "server", "ending", "ending of a server", "since", "until"],
)
def test_a_page_is_read_along_an_index(settings: Settings, wanted: Wanted) -> None:
    engine = database.engine_of(settings)
    statement = rows.page(wanted, 50).compile(engine, compile_kwargs={"literal_binds": True})
    with engine.connect() as connection:
        plan = [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")]
    assert all("USING" in step and "INDEX" in step for step in plan), plan
    assert not any("TEMP B-TREE" in step for step in plan), plan


def test_a_run_is_found_by_its_beginning(runs: Runs) -> None:
    with pytest.raises(InputError, match="There is no run yet"):
        runs.find("latest")
    first, second = ended(runs, 2), ended(runs, 1)
    assert runs.find(first.run_id).run_id == runs.find(first.run_id[:-2]).run_id == first.run_id
    assert runs.find("latest").run_id == second.run_id
    with pytest.raises(InputError, match="Several runs begin with '2'"):
        runs.find("2")
    for nothing in ("", "%", "0", "2' OR 1=1", "\u0661"):
        with pytest.raises(InputError, match="There is no run"):
            runs.find(nothing)


def test_a_record_comes_back_as_it_was_kept(runs: Runs) -> None:
    run = runs.create(request("601", "rt:7", ("beta", "alpha")), {"internet": True})
    record = run.record
    record.begun, record.delivery, record.exit_code, record.finished_at = 2, "pending", 14, now()
    record.endings = {"beta": "unreachable", "alpha": "healthy"}
    record.notes = ["Told\x00 \U0001f600"]
    record.pending = Pending(since=now(), attempts=3, error_message="no answer", next_at=now(), final=True)
    run.save()
    assert run.read() == record
    assert list(run.read().endings) == ["beta", "alpha"]
    record.pending = None
    run.save()
    assert run.read() == record


def test_a_document_that_was_changed_is_none(runs: Runs, settings: Settings) -> None:
    run = ended(runs, 1)
    run.keep_evidence("alpha", b'{"name": "alpha"}')
    run.keep_packets("alpha", b"\x00\xff" * 9)
    assert (run.evidence("alpha"), run.packets("alpha")) == ({"name": "alpha"}, b"\x00\xff" * 9)
    assert (run.evidence("alpha", after=True), run.packets("beta")) == ({}, None)
    with database.writing(database.engine_of(settings)) as connection:
        connection.execute(tables.documents.update().values(content=rows.packed(b'{"name": "beta"}')))
    assert (run.evidence("alpha"), run.packets("alpha")) == ({}, None)


def test_events_are_numbered_on(runs: Runs) -> None:
    run = ended(runs, 1)
    run.happened("step", "alpha", state="ok")
    run.happened("ended")
    assert [(one["sequence"], one["kind"], one["server"]) for one in run.events()] == [
        (1, "asked", None),
        (2, "step", "alpha"),
        (3, "ended", None),
    ]
    assert [one["data"] for one in run.events(after=1)] == [{"state": "ok"}, {}]


def test_one_request_of_an_incident_is_one_open_run(runs: Runs) -> None:
    asked, started = request(incident="rt:7"), now() - timedelta(seconds=1)

    def claim(what: Request, ended_after: datetime = started, question: tuple[str, ...] = ()) -> tuple[str, bool]:
        run, ours = runs.claim(
            what, None, worker="w.1", within=lambda *_: None, ended_after=ended_after, question=question
        )
        return run.run_id, ours

    first, ours = claim(asked)
    assert ours
    assert claim(asked) == (first, False)
    assert claim(request(incident="rt:8"))[1]
    run = there(runs.get(first))
    run.record.finished_at = now()
    run.save()
    # Who asked while it was under way gets its answer, who asks later a new one.
    assert claim(asked) == (first, False)
    assert claim(asked, ended_after=now())[1]
    # A question is asked once, however long ago.
    question, ours = claim(asked, question=("The server is missing.",))
    assert ours
    assert claim(asked, now() + timedelta(days=1), ("The server is missing.",)) == (question, False)
    assert claim(asked, question=("The account is missing.",))[1]


def test_a_run_that_is_damaged_hides_no_other_one(
    settings: Settings, runs: Runs, caplog: pytest.LogCaptureFixture
) -> None:
    first, damaged, last = (runs.create(request(), at=now() - timedelta(minutes=ago)).run_id for ago in (3, 2, 1))
    with database.writing(database.engine_of(settings)) as connection:
        connection.exec_driver_sql("UPDATE runs SET request = '{' WHERE run_id = ?", (damaged,))
    for _ in range(2):
        assert [run.run_id for run in runs.newest(limit=2)] == [last, first]
        assert [run.run_id for _, run in runs.waiting()] == [first, last]
    assert [run.run_id for run in runs.readable([damaged, last])] == [last]
    (said,) = caplog.records
    assert said.getMessage().startswith(f"run {damaged} is unreadable and left out: ")
    with pytest.raises(DamagedError):
        runs.get(damaged)


@pytest.mark.parametrize("question", [(), ("The server is missing.",)])
@pytest.mark.parametrize("ended", [False, True])
def test_a_damaged_run_answers_nothing_and_the_next_one_names_it(
    settings: Settings, runs: Runs, question: tuple[str, ...], ended: bool
) -> None:
    asked, long_ago = request(incident="rt:7"), now() - timedelta(days=1)
    damaged, _ = runs.claim(asked, None, ended_after=long_ago, question=question)
    damaged.record.finished_at = now() if ended else None
    damaged.save()
    with database.writing(database.engine_of(settings)) as connection:
        connection.exec_driver_sql("UPDATE runs SET request = '{'")
    assert runs.answering(asked, long_ago, question) is None
    run, new = runs.claim(asked, None, ended_after=long_ago, question=question)
    assert new
    named = [] if ended and not question else [f"Run {damaged.run_id} of the same incident is unreadable; "]
    assert [note[: len(one)] for note, one in zip(run.read().notes, named, strict=True)] == named
    assert runs.claim(asked, None, ended_after=long_ago, question=question)[0].run_id == run.run_id


def test_the_database_is_private(settings: Settings, runs: Runs) -> None:
    assert runs.newest() == []
    for file in settings.state.rglob("*"):
        assert not file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO), file


def test_the_newest_revision_makes_the_tables_as_they_are_declared(settings: Settings) -> None:
    engine = database.engine_of(settings)
    scripts = ScriptDirectory(str(rows.__file__).replace("rows.py", "migrations"))
    assert scripts.get_current_head() == tables.HEAD
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, tables.metadata) == []
        assert sa.inspect(connection).get_columns("runs")[0]["name"] == "run_id"


def test_alembic_is_loaded_only_where_the_tables_are_behind(settings: Settings, runs: Runs) -> None:
    assert runs.newest() == []
    read = (
        "import sys; from pathlib import Path; from reconnect.runs.store import Runs; "
        "from reconnect.settings import Settings; print(Runs(Settings(state_dir=Path(sys.argv[1]))).newest()); "
        "print('alembic' in sys.modules)"
    )
    words = [sys.executable, "-c", read, str(settings.state)]
    assert subprocess.check_output(words, text=True) == "[]\nFalse\n"


def test_what_is_not_done_is_read_along_its_index(settings: Settings) -> None:
    engine = database.engine_of(settings)
    waiting = sa.select(tables.runs.c.run_id).where(tables.WAITING, tables.runs.c.worker == "w.1")
    statement = waiting.compile(engine, compile_kwargs={"literal_binds": True})
    with engine.connect() as connection:
        plan = [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")]
    assert all("INDEX runs_waiting" in step for step in plan), plan


@pytest.mark.attack("a stopped process is in the middle of a transaction", harm="hang")
def test_whoever_writes_for_too_long_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.2)
    runs = Runs(Settings(state_dir=tmp_path))
    runs.newest()
    writes = (
        "import sqlite3, sys, time; database = sqlite3.connect(sys.argv[1]); database.execute('BEGIN IMMEDIATE'); "
        "print('writes', flush=True); time.sleep(600)"
    )
    words = [sys.executable, "-c", writes, str(tmp_path / database.FILE)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert there(process.stdout).readline() == "writes\n"
        process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(StoreError, match=rf"locked\. It is held by process {process.pid} \(.*kill -CONT"):
                Guards(Settings(state_dir=tmp_path)).hold(["alpha"], "", "alice")
        finally:
            process.kill()


def test_no_table_has_the_name_of_one_of_dbos() -> None:
    # In SQLite both are in one database, without schemas.
    theirs = {table.name for table in SystemSchema.metadata_obj.tables.values()}
    assert "notifications" in theirs
    assert theirs & set(tables.metadata.tables) == set()
