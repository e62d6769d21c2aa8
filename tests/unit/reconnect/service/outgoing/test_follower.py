"""Whoever follows the feed: an entry that cannot be read is passed over, one that cannot be read now is not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from reconnect.errors import ReconnectError, StoreError
from reconnect.result import now
from reconnect.runs import tables
from reconnect.runs.database import reading, writing
from reconnect.runs.store import Run, Runs
from reconnect.service.desk import Desk
from reconnect.service.outgoing.faults import Faults
from reconnect.service.outgoing.follower import Row
from reconnect.service.outgoing.notifier import Notifier

from ...incidents.conftest import Recorder
from .test_faults import DISK, FakeTracker, check, checked, faults, tracker
from .test_notifier import escalated

__all__ = ["check", "checked", "faults", "tracker"]

Token = Callable[..., dict[str, str]]
Make = Callable[..., Run]
End = Callable[..., Run]


def damage(desk: Desk, run_id: str) -> None:
    """What is kept of a run is no JSON any more."""
    with writing(desk.engine) as connection:
        connection.exec_driver_sql("UPDATE runs SET request = '{' WHERE run_id = ?", (run_id,))


def unreadable(desk: Desk) -> list[int]:
    """The numbers of the entries that are known to be unreadable."""
    found = sa.select(tables.feed.c.sequence).where(tables.feed.c.unreadable_at.is_not(None))
    with reading(desk.engine) as connection:
        return list(connection.scalars(found))


def test_a_run_that_cannot_be_read_stops_nobody(
    client: TestClient,
    token: Token,
    desk: Desk,
    notifier: Notifier,
    tracker: FakeTracker,
    checked: Callable[..., str],
    server: Recorder,
    run_of: Make,
    ended: End,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    damage(desk, ended(run_of().run_id).run_id)
    escalated(desk, run_of, ended)
    checked(DISK)
    notifier.look()
    assert (len(tracker.opened), len(server.asked)) == (1, 1)
    for _ in range(2):
        answer = client.get("/v1/events?after=0", headers=token()).json()
    assert ([event["id"] for event in answer["events"]], answer["next"]) == (["2", "3", "4"], 4)
    assert unreadable(desk) == [1]
    (said,) = [record for record in caplog.records if "unreadable" in record.getMessage()]
    assert said.getMessage().startswith("entry 1 (ended) of the feed is unreadable and passed over: ")


def test_who_takes_longer_than_the_lease_changes_nothing(
    desk: Desk, notifier: Notifier, server: Recorder, run_of: Make, ended: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    escalated(desk, run_of, ended)
    tell = notifier.tell

    def late(row: Row) -> dict[str, Any]:
        monkeypatch.setattr(notifier, "tell", tell)
        with writing(desk.engine) as connection:
            connection.execute(sa.update(tables.notifications).values(next_at=now()))
        while notifier.tell_next():
            pass
        raise ReconnectError("The chat does not answer.")

    monkeypatch.setattr(notifier, "tell", late)
    notifier.look()
    with reading(desk.engine) as connection:
        assert list(connection.scalars(sa.select(tables.notifications.c.state))) == ["sent", "sent"]
    assert len(server.asked) == 1


def test_a_row_that_cannot_be_kept_stops_no_other_one(
    desk: Desk, tracker: FakeTracker, checked: Callable[..., str]
) -> None:
    checked(DISK)
    with writing(desk.engine) as connection:
        connection.exec_driver_sql("UPDATE faults SET codes = '{', told_run_id = run_id")
    checked(DISK)
    checked(DISK, server="beta")
    assert [one.subject.split(":")[0] for one in tracker.opened] == ["alpha", "beta"]
    assert len(unreadable(desk)) == 1


def test_a_store_that_is_away_for_a_moment_loses_nothing(
    desk: Desk,
    faults: Faults,
    notifier: Notifier,
    tracker: FakeTracker,
    checked: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    get = Runs.get

    def refuse(self: Runs, run_id: str) -> Any:
        raise StoreError("The database is away.")

    monkeypatch.setattr(Runs, "get", refuse)
    with pytest.raises(StoreError, match="away"):
        checked(DISK)
    with pytest.raises(StoreError, match="away"):
        notifier.look()
    monkeypatch.setattr(Runs, "get", get)
    faults.look()
    assert (len(tracker.opened), unreadable(desk)) == (1, [])
