"""Scheduled checks: when one begins, and when it is left out."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from reconnect import machine
from reconnect.errors import InputError
from reconnect.result import now
from reconnect.runs import tables
from reconnect.runs.database import writing
from reconnect.runs.store import Run
from reconnect.service.desk import Desk
from reconnect.service.incoming import checks as checks_module
from reconnect.service.incoming.checks import SOON, Checks
from reconnect.settings import Settings
from reconnect.settings.checks import CheckSettings

from ...conftest import a_request, there


@pytest.fixture
def check(settings: Settings) -> CheckSettings:
    settings.service.checks["all"] = CheckSettings()
    return settings.service.checks["all"]


@pytest.fixture
def checks(check: CheckSettings, desk: Desk) -> Checks:
    """Checks that have looked once."""
    made = Checks(desk)
    made.look()
    return made


def due_now(desk: Desk) -> None:
    with writing(desk.engine) as connection:
        connection.execute(sa.update(tables.checks).values(next_at=now()))


def begun(desk: Desk) -> list[Run]:
    """The runs that checks began, the oldest first."""
    return [run for run in desk.runs.newest()[::-1] if (kept := run.kept()) and kept.asker.trigger == "schedule"]


def look(desk: Desk, checks: Checks) -> list[Run]:
    due_now(desk)
    checks.look()
    return begun(desk)


def test_each_server_is_diagnosed_in_its_turn_and_nothing_is_changed(desk: Desk, checks: Checks, ended: Any) -> None:
    assert begun(desk) == []
    (first,) = look(desk, checks)
    # The other one leaves a worker to those who wait.
    checks.look()
    assert len(begun(desk)) == 1
    ended(first.run_id)
    checks.look()
    found = begun(desk)
    assert [run.record.request.servers for run in found] == [["alpha"], ["beta"]]
    for run in found:
        kept = run.kept()
        assert kept is not None
        assert (run.record.request.mode, run.record.request.incident, kept.asker.requester) == ("diagnose", None, None)


def test_the_next_check_comes_after_about_the_interval(desk: Desk, checks: Checks, check: CheckSettings) -> None:
    began = now()
    (run,) = look(desk, checks)
    with writing(desk.engine) as connection:
        next_at = connection.scalar(sa.select(tables.checks.c.next_at).where(tables.checks.c.run_id == run.run_id))
    assert next_at is not None
    assert timedelta(minutes=0.9 * check.minutes) <= next_at - began <= timedelta(minutes=1.1 * check.minutes + 1)
    checks.look()
    assert len(begun(desk)) == 1


def test_the_first_checks_are_spread_over_the_interval(desk: Desk, checks: Checks, check: CheckSettings) -> None:
    with writing(desk.engine) as connection:
        found = list(connection.scalars(sa.select(tables.checks.c.next_at)))
    assert len(set(found)) == 2
    assert max(found) <= now() + timedelta(minutes=check.minutes)


def next_of(desk: Desk, server: str) -> datetime:
    with writing(desk.engine) as connection:
        found = sa.select(tables.checks.c.next_at).where(tables.checks.c.server == server)
        at: datetime = connection.execute(found).scalar_one()
    return at


def test_a_server_on_which_somebody_works_is_checked_soon_after_that(
    desk: Desk, checks: Checks, check: CheckSettings, ended: Any
) -> None:
    check.servers = ["alpha"]
    run = desk.runs.create(a_request())
    began = now()
    assert look(desk, checks) == []
    assert began <= next_of(desk, "alpha") - SOON <= now()
    ended(run.run_id)
    assert len(look(desk, checks)) == 1


def test_a_check_that_cannot_begin_stops_no_other_one(
    desk: Desk, checks: Checks, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = desk.starter.start

    def refuse(asked: Any, *more: Any, **named: Any) -> Any:
        if asked.servers == ["alpha"]:
            raise InputError("The inventory is being edited.")
        return start(asked, *more, **named)

    monkeypatch.setattr(desk.starter, "start", refuse)
    assert [run.record.request.servers for run in look(desk, checks)] == [["beta"]]
    assert next_of(desk, "alpha") <= now() + SOON


def test_a_check_that_another_machine_has_taken_meanwhile_does_not_begin(
    desk: Desk, checks: Checks, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = desk.starter.start

    def late(*words: Any, **named: Any) -> Any:
        due_now(desk)
        return start(*words, **named)

    monkeypatch.setattr(desk.starter, "start", late)
    assert look(desk, checks) == []


def test_a_run_of_a_machine_that_is_gone_stops_no_other_check(desk: Desk, checks: Checks) -> None:
    (first,) = look(desk, checks)
    assert desk.runs.adopt(first.run_id, "elsewhere-0a1b2c3d.1")
    # While that machine may still be there, its check takes a worker.
    assert len(look(desk, checks)) == 1
    expire(desk)
    second = look(desk, checks)[-1]
    assert second.record.request.servers == ["beta"]
    assert desk.runs.adopt(second.run_id, machine.worker(desk.settings.state, 1))
    # A run of this machine keeps its lease for as long as it is open.
    expire(desk)
    checks.look()
    with writing(desk.engine) as connection:
        leased = sa.select(tables.checks.c.run_id).where(tables.checks.c.leased_until > now())
        assert list(connection.scalars(leased)) == [second.run_id]


def test_the_check_of_a_machine_that_is_gone_is_taken_over(desk: Desk, checks: Checks, check: CheckSettings) -> None:
    check.servers = ["alpha"]
    (lost,) = look(desk, checks)
    assert desk.runs.adopt(lost.run_id, "elsewhere-0a1b2c3d.1")
    assert len(look(desk, checks)) == 1
    expire(desk)
    # Its time is now, whenever its next one was.
    checks.look()
    ended, again = begun(desk)
    assert (ended.record.endings, ended.record.delivery) == ({"alpha": "failed"}, "none")
    assert "is gone" in there(ended.results()[0].error_message)
    assert (again.record.request.servers, again.record.finished_at) == (["alpha"], None)
    # Nothing stands before it: whoever has a worker takes it.
    assert [run.run_id for _, run in desk.runs.waiting()] == [again.run_id]


def expire(desk: Desk) -> None:
    with writing(desk.engine) as connection:
        connection.execute(sa.update(tables.checks).values(leased_until=now()))


@pytest.mark.parametrize("why", ["hold", "maintenance", "another run", "hours"])
def test_a_server_on_which_somebody_works_is_left_out(
    desk: Desk, checks: Checks, check: CheckSettings, settings: Settings, tmp_path: Any, monkeypatch: Any, why: str
) -> None:
    check.servers = ["alpha"]
    if why == "hold":
        desk.guards.hold(["alpha"], "a new disk", "ann")
    elif why == "maintenance":
        settings.policy = tmp_path / "policy.yml"
        settings.policy.write_text(
            f"maintenance: [{{begin: '{now() - timedelta(hours=1)}', end: '{now() + timedelta(hours=1)}'}}]"
        )
    elif why == "another run":
        desk.runs.create(a_request())
    else:
        check.hours = ["22:00-06:00"]
        monkeypatch.setattr(checks_module, "datetime", Noon)
    assert look(desk, checks) == []


class Noon(datetime):
    """It is noon."""

    @classmethod
    def now(cls, tz: Any = None) -> Noon:
        return cls(2026, 1, 1, 12)


def test_a_server_that_is_not_there_is_named(desk: Desk, check: CheckSettings) -> None:
    check.servers = ["gamma"]
    with pytest.raises(InputError, match="gamma"):
        Checks(desk)


def test_a_plan_of_a_check_waits_for_nobody(desk: Desk, checks: Checks, ended: Any) -> None:
    (run,) = look(desk, checks)
    step = {"remedy": "restart_asterisk", "role": "service", "cause": "asterisk_hung"}
    ended(run.run_id, step | {"policy": "approve", "decision": "approval"})
    desk.plans.request_for_incidents()
    assert desk.plans.approvals() == []
