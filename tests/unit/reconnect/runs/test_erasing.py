# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of one person is erased; nothing else is, and the audit keeps its chain."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from reconnect.errors import InputError
from reconnect.names import Incident
from reconnect.result import now
from reconnect.runs import database, erasing, tables, unsent
from reconnect.runs.store import Run, Runs
from reconnect.service import audit
from reconnect.settings import Settings

from ..conftest import a_request

WORD = "Quittenbaum"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path / "state")


def run(settings: Settings, account: str, incident: str | None = None, ended: bool = True) -> Run:
    request = a_request(account=account, incident=incident)
    made = Runs(settings).create(request, {"number": account})
    made.happened("step", "alpha", account=account)
    if ended:
        made.record.finished_at, made.record.exit_code, made.record.delivery = now(), 0, "pending"
        made.save()
    return made


def erase(settings: Settings, account: str | None = None, incident: str | None = None) -> list[str]:
    def note(connection: sa.Connection, run_ids: list[str]) -> None:
        audit.append(connection, audit.Deed("alice", "shell", "", "runs erased", data={"runs": run_ids}))

    return erasing.erase(settings, account, Incident.parse(incident) if incident else None, note)


def count(settings: Settings, table: sa.Table) -> int:
    with database.reading(database.engine_of(settings)) as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def test_an_account_is_gone_and_nothing_else(settings: Settings) -> None:
    with database.writing(database.engine_of(settings)) as connection:
        audit.append(connection, audit.Deed("alice", "shell", "", "user added", "alice"))
    gone, stays = run(settings, WORD, "rt:7"), run(settings, "1005", "rt:8")
    row = {"source": "rt", "received_at": now(), "trace_id": "", "state": "taken", "reason": "", "attempts": 1}
    answer = {"who": "token:x", "request": "", "at": now()}
    with database.writing(database.engine_of(settings)) as connection:
        for number, one in ((7, gone), (8, stays)):
            there = {"delivery_id": str(number), "tracker": "rt", "incident": str(number), "next_at": now()}
            connection.execute(tables.deliveries.insert().values(**row, **there, run_id=one.run_id))
            connection.execute(tables.answers.insert().values(**answer, key=str(number), run_id=one.run_id))
        for account in (WORD, "1005"):
            link = {"server": "alpha", "account": account, "created_by": "ann", "role": "first_level"}
            row_of = {"digest": account, "expires_at": now(), "addresses": []}
            connection.execute(tables.selfchecks.insert().values(**link, **row_of))
    unsent.keep(gone.record, [], settings)
    folder = settings.state / "runs" / gone.run_id
    folder.mkdir(parents=True)
    assert erasing.found(settings, WORD, None) == [gone.run_id]
    assert erase(settings, WORD) == [gone.run_id]
    assert [one.run_id for one in Runs(settings).newest()] == [stays.run_id]
    assert (stays.client_report(), len(stays.events())) == ({"number": "1005"}, 2)
    left = [
        count(settings, table) for table in (tables.deliveries, tables.answers, tables.documents, tables.selfchecks)
    ]
    assert left == [1, 1, 1, 1]
    assert (audit.broken(database.engine_of(settings)), count(settings, tables.audit)) == (None, 2)
    assert not folder.exists()
    assert [path for path in settings.state.rglob("*") if path.is_file() and WORD.encode() in path.read_bytes()] == []


def test_an_incident_is_gone_whoever_it_was_about(settings: Settings) -> None:
    gone = [run(settings, "1005", "rt:7").run_id, run(settings, "1006", "rt:7").run_id]
    stays = run(settings, "1005", "rt:70")
    assert erase(settings, incident="rt:7") == gone
    assert [one.run_id for one in Runs(settings).newest()] == [stays.run_id]
    assert erase(settings, incident="rt:7") == []


def test_a_run_that_is_under_way_is_not_erased(settings: Settings) -> None:
    ended, left = run(settings, "1005"), run(settings, "1005", ended=False)
    with pytest.raises(InputError, match=f"{left.run_id} is under way"):
        erase(settings, "1005")
    assert {one.run_id for one in Runs(settings).newest()} == {ended.run_id, left.run_id}
    assert count(settings, tables.audit) == 0
