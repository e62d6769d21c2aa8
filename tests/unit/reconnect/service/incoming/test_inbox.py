"""Intake: what becomes of a delivery, however its incident and its tracker answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from reconnect.errors import InputError, TrackerError
from reconnect.names import Incident
from reconnect.result import now
from reconnect.runs import tables
from reconnect.runs.database import writing
from reconnect.runs.record import Pending
from reconnect.runs.store import Run, Runs
from reconnect.service.desk import Desk
from reconnect.service.incoming.inbox import Delivery, Inbox
from reconnect.service.starting import asker_of
from reconnect.settings import Settings

from ...conftest import a_request
from .conftest import FakeIncident

INCIDENT = Incident("rt", "17")


def take_again(inbox: Inbox, desk: Desk) -> bool:
    """Takes in what is kept, as if its time had come."""
    with writing(desk.engine) as connection:
        connection.execute(sa.update(tables.deliveries).values(next_at=now()))
    return inbox.take_next()


@pytest.mark.parametrize(
    "problem",
    [TrackerError("not available (503)"), InputError("the policy is half a file"), AttributeError("'str' has no get")],
)
def test_what_fails_once_is_taken_the_next_time(
    inbox: Inbox, desk: Desk, settings: Settings, incident: FakeIncident, problem: Exception
) -> None:
    incident.problems = [problem]
    inbox.put(Delivery("rt", "rt-1", INCIDENT))
    assert inbox.take_next()
    (kept,) = inbox.newest()
    assert (kept["state"], str(problem) in kept["reason"], kept["next_at"] > now()) == ("received", True, True)
    assert take_again(inbox, desk)
    assert [one["state"] for one in inbox.newest()] == ["taken"]
    assert len(Runs(settings).newest()) == 1


def test_who_takes_so_long_that_another_one_takes_it_changes_nothing(
    inbox: Inbox, desk: Desk, incident: FakeIncident, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox.put(Delivery("rt", "rt-1", INCIDENT))

    def late(row: object) -> tuple[str, str, str | None]:
        assert take_again(Inbox(desk), desk)
        raise TrackerError("not available (503)")

    monkeypatch.setattr(inbox, "_take", late)
    assert inbox.take_next()
    (kept,) = inbox.newest()
    assert (kept["state"], kept["run_id"] is None) == ("taken", False)


@pytest.mark.parametrize(("fields", "watch"), [({}, 0), ({"Account": "1005"}, 20)])
def test_the_policy_says_how_long_an_account_is_watched(
    inbox: Inbox,
    settings: Settings,
    incident: FakeIncident,
    tmp_path: Path,
    fields: dict[str, str],
    watch: int,
) -> None:
    settings.policy = tmp_path / "policy.yml"
    settings.policy.write_text("incidents: {watch: 20}\n")
    incident.details = replace(incident.details, fields=incident.details.fields | fields)
    inbox.put(Delivery("rt", "rt-1", INCIDENT))
    assert inbox.take_next()
    assert [one.record.request.watch for one in Runs(settings).newest()] == [watch]


@pytest.mark.parametrize("problem", [InputError("no"), RuntimeError("no")])
def test_what_fails_again_and_again_is_given_up(
    inbox: Inbox, desk: Desk, incident: FakeIncident, problem: InputError | RuntimeError
) -> None:
    incident.problems = [problem] * 12
    inbox.put(Delivery("rt", "rt-1", INCIDENT))
    while take_again(inbox, desk):
        pass
    (kept,) = inbox.newest()
    assert (kept["state"], kept["attempts"]) == ("failed", 12)


def test_the_answer_to_our_question_begins_a_run(
    inbox: Inbox, desk: Desk, settings: Settings, incident: FakeIncident
) -> None:
    incident.details = replace(incident.details, fields={})
    inbox.put(Delivery("rt", "rt-1", INCIDENT))
    inbox.put(Delivery("rt", "echo of the question", INCIDENT))
    assert (inbox.take_next(), inbox.take_next()) == (True, True)
    (question,) = Runs(settings).newest()
    assert question.record.question
    incident.details = replace(incident.details, fields={"Server": "alpha"})
    inbox.put(Delivery("rt", "rt-2", INCIDENT))
    assert inbox.take_next()
    (run,) = [one for one in Runs(settings).newest() if one.run_id != question.run_id]
    assert (run.record.question, run.record.request.servers) == ([], ["alpha"])
    assert sorted(one["state"] for one in inbox.newest()) == ["ignored", "taken", "taken"]


@pytest.mark.parametrize(
    ("fields", "runs"),
    [({}, 1), ({"Server": "beta"}, 2), ({"Error message": "404"}, 2)],
)
@pytest.mark.parametrize("has_ended", [False, True])
def test_something_new_in_an_incident_is_not_answered_yet(
    inbox: Inbox,
    desk: Desk,
    settings: Settings,
    incident: FakeIncident,
    ended: Callable[..., Run],
    fields: dict[str, str],
    runs: int,
    has_ended: bool,
) -> None:
    inbox.put(Delivery("rt", "rt-1", INCIDENT))
    assert inbox.take_next()
    if has_ended:
        ended(Runs(settings).newest()[0].run_id)
    incident.details = replace(incident.details, subject="Still no calls", fields=incident.details.fields | fields)
    inbox.put(Delivery("rt", "rt-2", INCIDENT))
    assert inbox.take_next()
    if not has_ended and "Error message" in fields:
        # Of one request there is one open run.
        assert {one["delivery_id"]: one["state"] for one in inbox.newest()}["rt-2"] == "received"
        assert len(Runs(settings).newest()) == 1
        ended(Runs(settings).newest()[0].run_id)
        assert take_again(inbox, desk)
    assert len(Runs(settings).newest()) == runs


@pytest.mark.parametrize(
    ("pending", "runs"),
    [
        (None, 1),
        (Pending(since=now(), attempts=1), 1),
        (Pending(since=now(), attempts=1, final=True), 2),
        (Pending(since=now(), given_up=True), 2),
    ],
)
def test_a_report_that_no_incident_will_get_answers_nothing(
    inbox: Inbox, settings: Settings, ended: Callable[..., Run], pending: Pending | None, runs: int
) -> None:
    inbox.put(Delivery("rt", "rt-1", INCIDENT))
    assert inbox.take_next()
    run = ended(Runs(settings).newest()[0].run_id, minutes_ago=5)
    run.record.delivery, run.record.pending = "pending", pending
    run.save()
    inbox.put(Delivery("rt", "rt-2", INCIDENT))
    assert inbox.take_next()
    assert len(Runs(settings).newest()) == runs


def test_a_persons_run_answers_its_incident(inbox: Inbox, settings: Settings) -> None:
    request = a_request(named=["beta"], servers=["beta"], incident=INCIDENT)
    Runs(settings).create(request, asker=asker_of("ann", "page"))
    inbox.put(Delivery("rt", "rt-1", INCIDENT))
    assert inbox.take_next()
    assert len(Runs(settings).newest()) == 1


@pytest.mark.parametrize(("by_other", "runs"), [(False, 1), (True, 2)])
def test_who_writes_right_after_a_run_is_heard(
    inbox: Inbox, settings: Settings, ended: Callable[..., Run], by_other: bool, runs: int
) -> None:
    inbox.put(Delivery("rt", "rt-1", INCIDENT, by_other=True))
    # What came while the run was under way is answered by it, whoever wrote it.
    inbox.put(Delivery("rt", "rt-2", INCIDENT, by_other=True))
    assert inbox.take_next()
    ended(Runs(settings).newest()[0].run_id)
    assert inbox.take_next()
    assert len(Runs(settings).newest()) == 1
    inbox.put(Delivery("rt", "rt-3", INCIDENT, by_other=by_other))
    assert inbox.take_next()
    assert len(Runs(settings).newest()) == runs


@pytest.mark.attack("a wrong ignore_user: each report of ours seems to be somebody's answer", harm="outage")
def test_our_reports_begin_no_endless_row_of_runs(inbox: Inbox, settings: Settings, ended: Callable[..., Run]) -> None:
    for number in range(9):
        inbox.put(Delivery("rt", f"rt-{number}", INCIDENT, by_other=True))
        assert inbox.take_next()
        ended(Runs(settings).newest()[0].run_id)
    assert len(Runs(settings).newest()) == 3


def test_an_incident_whose_run_is_damaged_gets_another_one(inbox: Inbox, desk: Desk, settings: Settings) -> None:
    inbox.put(Delivery("rt", "rt-1", INCIDENT))
    assert inbox.take_next()
    (damaged,) = Runs(settings).newest()
    with writing(desk.engine) as connection:
        connection.exec_driver_sql("UPDATE runs SET request = '{'")
    inbox.put(Delivery("rt", "rt-2", INCIDENT))
    assert inbox.take_next()
    assert [one["state"] for one in inbox.newest()] == ["taken", "taken"]
    (run,) = Runs(settings).newest()
    assert [f"Run {damaged.run_id} " in note for note in run.record.notes] == [True]


def test_nothing_ends_the_inbox(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    takes: list[int] = []

    def take() -> None:
        takes.append(len(takes))
        inbox.stop() if len(takes) == 2 else inbox._wake.set()
        raise RuntimeError("a defect")

    monkeypatch.setattr(inbox, "take_next", take)
    inbox.run()
    assert takes == [0, 1]
