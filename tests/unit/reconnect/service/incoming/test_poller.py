"""Pollers: what a tracker says has changed becomes one run, whoever told of it first."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Literal

import pytest
import sqlalchemy as sa
from reconnect.errors import InputError, TrackerError
from reconnect.incidents import trackers
from reconnect.incidents.trackers import rt
from reconnect.incidents.trackers.tracker import Change
from reconnect.names import Incident
from reconnect.result import now
from reconnect.runs import tables
from reconnect.runs.store import Runs
from reconnect.service.desk import Desk
from reconnect.service.incoming import poller as incoming_poller
from reconnect.service.incoming.inbox import Delivery, Inbox
from reconnect.service.incoming.poller import Poller
from reconnect.settings import Settings
from reconnect.settings.service import PollSettings

from ...conftest import there
from .conftest import FakeIncident

INCIDENT = Incident("rt", "17")


class Asked:
    """What the tracker answers, and the minutes that it was asked for."""

    def __init__(self) -> None:
        self.changes: list[Change] | Exception = [Change(INCIDENT, "1", "ann")]
        self.minutes: list[int] = []

    def __call__(self, tracker: object, settings: Settings, minutes: int) -> list[Change]:
        self.minutes.append(minutes)
        if isinstance(self.changes, Exception):
            raise self.changes
        return self.changes


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    made = Asked()
    monkeypatch.setattr(trackers, "changes", made)
    return made


@pytest.fixture
def poller(desk: Desk, inbox: Inbox, settings: Settings, asked: Asked) -> Poller:
    settings.service.polls["rt"] = PollSettings(ignore_user="reconnect")
    return Poller(desk, inbox, "rt")


def take_all(inbox: Inbox) -> None:
    while inbox.take_next():
        pass


def test_a_change_becomes_one_run(poller: Poller, inbox: Inbox, desk: Desk, settings: Settings, asked: Asked) -> None:
    assert (poller.poll(), poller.poll()) == (1, 0)
    # Another process finds it, too.
    assert Poller(desk, inbox, "rt").poll() == 0
    take_all(inbox)
    assert [one["by_other"] for one in inbox.newest()] == [True]
    (run,) = Runs(settings).newest()
    assert (str(run.record.request.incident), run.record.request.mode) == ("rt:17", "diagnose")
    assert (there(run.kept()).asker.requester, there(run.kept()).asker.trigger) == (None, "poll")
    asked.changes = [Change(INCIDENT, "2", "ann")]
    assert poller.poll() == 1
    take_all(inbox)
    assert [one.run_id for one in Runs(settings).newest()] == [run.run_id]


def test_what_a_hook_delivered_begins_no_second_run(poller: Poller, inbox: Inbox, settings: Settings) -> None:
    inbox.put(Delivery("rt", "rt-1", INCIDENT))
    assert poller.poll() == 1
    take_all(inbox)
    assert len(Runs(settings).newest()) == 1
    assert sorted(one["state"] for one in inbox.newest()) == ["ignored", "taken"]


def test_a_tracker_that_cannot_say_what_has_changed_is_named(
    desk: Desk, inbox: Inbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.service.polls["rt"] = PollSettings(ignore_user="reconnect")
    monkeypatch.delattr(rt, "changes")
    said = "trackers.rt has no 'changes'. Add it, or take rt out of the setting service.polls."
    with pytest.raises(InputError, match=re.escape(said)):
        Poller(desk, inbox, "rt")


def test_nothing_ends_a_poller(poller: Poller, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    asked.changes = RuntimeError("a defect")
    monkeypatch.setattr(poller, "_seconds", 0)
    polls: list[int] = []

    def poll() -> None:
        polls.append(len(polls))
        if len(polls) == 2:
            poller.stop()
        Poller.poll(poller)

    monkeypatch.setattr(poller, "poll", poll)
    poller.run()
    assert polls == [0, 1]


def test_what_we_changed_ourselves_is_ignored(poller: Poller, inbox: Inbox, asked: Asked) -> None:
    asked.changes = [Change(INCIDENT, "1", "reconnect")]
    assert poller.poll() == 0
    assert inbox.newest() == []


@pytest.mark.attack("a tracker gives invalid names of incidents", harm="breach")
def test_an_invalid_incident_is_left_out(poller: Poller, inbox: Inbox, asked: Asked) -> None:
    odd = [Change(Incident("rt", name), "1") for name in ("", "17; x", "../1", "x" * 500)]
    asked.changes = [*odd, Change(INCIDENT, "1")]
    assert poller.poll() == 1
    assert [one["incident"] for one in inbox.newest()] == ["17"]


def test_it_asks_for_what_happened_since_it_last_could(
    poller: Poller, desk: Desk, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = now()

    def poll_after(minutes: float) -> None:
        monkeypatch.setattr(incoming_poller, "now", lambda: began + timedelta(minutes=minutes))
        poller.poll()

    poll_after(0)
    asked.changes = TrackerError("Request Tracker is not available (503).")
    with pytest.raises(TrackerError):
        poll_after(10)
    asked.changes = []
    poll_after(10.1)
    poll_after(10.2)
    # Two minutes more than passed: trackers round, and commit late.
    assert asked.minutes == [2, 12, 13, 3]
    with desk.engine.connect() as connection:
        assert connection.execute(sa.select(tables.cursors.c.source)).scalars().all() == ["rt"]


@pytest.mark.parametrize(("tracker", "own"), [("rt", PollSettings()), ("jira", PollSettings(seconds=15))])
def test_a_tracker_is_polled_only_where_we_know_ourselves(
    desk: Desk,
    inbox: Inbox,
    settings: Settings,
    tracker: Literal["rt", "zammad", "jira", "servicenow", "file"],
    own: PollSettings,
) -> None:
    settings.service.polls[tracker] = own
    with pytest.raises(InputError, match=f"service.polls.{tracker} needs ignore_user"):
        Poller(desk, inbox, tracker)


@pytest.mark.parametrize("status", ["resolved", "closed (Not an issue)"])
def test_an_incident_that_is_closed_begins_nothing(
    poller: Poller, inbox: Inbox, settings: Settings, incident: FakeIncident, status: str
) -> None:
    incident.details = replace(incident.details, status=status)
    assert poller.poll() == 1
    take_all(inbox)
    assert Runs(settings).newest() == []


@pytest.mark.parametrize(("queues", "runs"), [([], 1), (["General"], 1), (["Payroll"], 0)])
def test_only_the_queues_of_the_setting_begin_a_run(
    poller: Poller, inbox: Inbox, settings: Settings, queues: list[str], runs: int
) -> None:
    settings.service.polls["rt"] = PollSettings(ignore_user="reconnect", queues=queues)
    assert poller.poll() == 1
    take_all(inbox)
    assert len(Runs(settings).newest()) == runs
