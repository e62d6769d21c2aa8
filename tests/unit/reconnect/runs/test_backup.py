# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup has everything, comes back whole or not at all, and starts nothing again."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reconnect.errors import InputError, StoreError
from reconnect.result import now
from reconnect.runs import backup, database
from reconnect.runs.guards import Guards, Reach, Wish
from reconnect.runs.request import Request
from reconnect.runs.store import Run, Runs
from reconnect.settings import Settings

from ..conftest import there


def settings(folder: Path) -> Settings:
    return Settings(state_dir=folder)


def run(runs: Runs, ended: bool = True) -> Run:
    made = runs.create(
        Request(playbook="p", mode="apply", named=["alpha"], servers=["alpha"], inventory="i", timeout=9, command=["x"])
    )
    made.keep_evidence("alpha", b'{"said": "caf\\u00e9\\u0000"}')
    made.keep_packets("alpha", b"\x00\xff" * 9)
    if ended:
        made.record.finished_at, made.record.exit_code, made.record.endings = now(), 0, {"alpha": "healthy"}
        made.save()
    return made


def records(runs: Runs) -> list[dict[str, object]]:
    return [one.record.model_dump() for one in runs.newest()]


@pytest.fixture
def store(tmp_path: Path) -> Settings:
    kept = settings(tmp_path / "state")
    run(Runs(kept))
    run(Runs(kept))
    Guards(kept).hold(["alpha"], "night", "alice")
    return kept


def close(kept: Settings) -> None:
    """Ends the connections of this process, as its end would."""
    database.engine_of(kept).dispose()
    database._engine.cache_clear()


def test_a_backup_comes_back_whole(store: Settings, tmp_path: Path) -> None:
    before, file = records(Runs(store)), tmp_path / "backup"
    assert backup.backup(store, file) == 2
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("backup*")] == ["backup"]
    run(Runs(store))
    Guards(store).release(["alpha"])
    close(store)
    for target in (store, settings(tmp_path / "elsewhere")):
        assert backup.restore(target, file) == 2
        back = Runs(target)
        assert records(back) == before
        assert (back.find("latest").evidence("alpha"), back.find("latest").packets("alpha")) == (
            {"said": "café\x00"},
            b"\x00\xff" * 9,
        )
        assert [hold.reason for hold in Guards(target).holds()] == ["night"]
        with database.reading(database.engine_of(target)) as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert {path.name for path in target.state.glob("store-*")} == set()


def test_what_was_under_way_is_ended_and_not_started_again(store: Settings, tmp_path: Path) -> None:
    runs = Runs(store)
    left = run(runs, ended=False)
    Guards(store).begin(Wish(left.run_id, "alpha", None, "restart", "stopped", 9), Reach(9, 10, 3600))
    Guards(store).release(["alpha"])
    Guards(store).begin(Wish(left.run_id, "alpha", None, "restart", "stopped", 9), Reach(9, 10, 3600))
    backup.backup(store, tmp_path / "backup")
    close(store)
    backup.restore(store, tmp_path / "backup")
    record = there(Runs(store).get(left.run_id)).record
    assert (record.exit_code, record.endings, record.notes) == (13, {"alpha": "cancelled"}, [backup._NOTE])
    assert record.finished_at is not None
    assert Runs(store).waiting() == []
    wish = Wish(run(Runs(store)).run_id, "beta", None, "restart", "stopped", 9)
    assert "did not help on alpha" in Guards(store).begin(wish, Reach(9, 10, 3600)).reason


def damaged(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[4096 * 3 : 4096 * 9] = b"\xa5" * 4096 * 6
    file.write_bytes(content)


def newer(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()


def foreign(file: Path) -> None:
    file.unlink()
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE notes (text)")
    connection.close()


@pytest.mark.attack("a backup that is damaged, cut off, of a newer version, or none", harm="wrong")
@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (damaged, "is not a backup of a store"),
        (lambda file: file.write_bytes(file.read_bytes()[:9000]), "is not a backup of a store: database disk image"),
        (lambda file: file.write_text("no database"), "is not a backup of a store: file is not a database"),
        (lambda file: file.write_bytes(b""), "is not a backup of a store: no such table"),
        (Path.unlink, "is not a backup of a store: unable to open"),
        (foreign, "is not a backup of a store: no such table"),
        (newer, r"newer version of Reconnect \(revision 9999\)"),
    ],
    ids=["damaged", "cut off", "text", "empty", "missing", "foreign", "newer"],
)
def test_what_is_no_sound_backup_changes_nothing(
    store: Settings, tmp_path: Path, harm: Callable[..., Any], said: str
) -> None:
    before, file = records(Runs(store)), tmp_path / "backup"
    backup.backup(store, file)
    harm(file)
    close(store)
    with pytest.raises((InputError, StoreError), match=said):
        backup.restore(store, file)
    assert records(Runs(store)) == before


def test_a_store_that_is_in_use_is_not_replaced(store: Settings, tmp_path: Path) -> None:
    backup.backup(store, tmp_path / "backup")
    with database.reading(database.engine_of(store)) as connection:
        connection.exec_driver_sql("SELECT 1 FROM runs").all()
        with pytest.raises(InputError, match="The store is in use"):
            backup.restore(store, tmp_path / "backup")


def test_a_damaged_store_is_not_overwritten(store: Settings, tmp_path: Path) -> None:
    backup.backup(store, tmp_path / "backup")
    close(store)
    file = store.state / database.FILE
    file.write_text("not a database")
    with pytest.raises(StoreError, match=r"Move .* away"):
        backup.restore(store, tmp_path / "backup")
    file.rename(tmp_path / "away")
    assert backup.restore(store, tmp_path / "backup") == 2


def test_a_backup_of_an_older_version_is_migrated(store: Settings, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    backup.backup(store, file)
    with sqlite3.connect(file) as connection:
        of_service = ("users", "tokens", "sessions", "deliveries", "approvals", "audit", "answers", "cursors")
        for table in (*of_service, "selfchecks", "feed", "service_notifications", "checks", "faults", "workers"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("ALTER TABLE runs DROP COLUMN withdrawn")
        connection.execute("UPDATE alembic_version SET version_num = '0002'")
    connection.close()
    close(store)
    assert backup.restore(store, file) == 2
    with database.reading(database.engine_of(store)) as restored:
        assert restored.exec_driver_sql("SELECT count(*) FROM audit").scalar() == 0


def test_a_backup_that_cannot_be_written_leaves_nothing(store: Settings, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Cannot write .*: No such file or directory"):
        backup.backup(store, tmp_path / "nowhere" / "backup")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"Cannot write .*: Is a directory"):
        backup.backup(store, tmp_path / "folder")
    assert not (tmp_path / "folder.new").exists()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("sqlite:///x", "--to takes postgresql"),
        ("nothing", "--to takes postgresql"),
        ("postgresql://reconnect:secret@db/x", "Everybody on this machine can read"),
    ],
)
def test_an_address_to_copy_to_is_checked_first(store: Settings, address: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        backup.copy(store, address)
    assert "secret" not in str(refused.value)
