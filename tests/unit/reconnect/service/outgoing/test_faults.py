"""What checks find: one incident for a fault, and a comment when it is gone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from reconnect.errors import TrackerError
from reconnect.incidents import trackers
from reconnect.incidents.trackers.tracker import Comment, Details, Opening
from reconnect.names import Incident
from reconnect.result import Result, now
from reconnect.runs import tables
from reconnect.runs.database import writing
from reconnect.service.desk import Desk
from reconnect.service.incoming.checks import SOON
from reconnect.service.outgoing.channels import Message
from reconnect.service.outgoing.faults import Faults
from reconnect.service.outgoing.notifier import Notifier
from reconnect.service.starting import asker_of
from reconnect.settings import Settings
from reconnect.settings.checks import CheckSettings

from ...conftest import a_request
from ...incidents.conftest import Recorder

DISK = {"code": "host.disk", "status": "fail", "subject": "host", "summary": "full", "cause": "disk_full"}
EXPIRES = {"code": "tls.validity", "status": "warn", "subject": "network", "summary": "It expires in 9 days."}
ROOT = {"cause": "disk_full", "subject": "host", "title": "A disk is full", "summary": "s", "policy": "human"}


class FakeTracker:
    """Incidents in memory: what each was opened with, and its comments."""

    def __init__(self) -> None:
        self.opened: list[Opening] = []
        self.comments: list[tuple[str, Comment]] = []
        self.closed: set[str] = set()
        self.problems: list[Exception] = []
        self.away = False

    def create(self, tracker: str, opening: Opening, settings: Settings) -> Incident:
        """The incident with the marker of `opening`."""
        if self.away:
            raise TrackerError("the tracker is away")
        if opening.marker not in [one.marker for one in self.opened]:
            self.opened.append(opening)
        self.raise_problem()
        found = self.find(tracker, opening.marker, settings)
        assert found is not None
        return found

    def raise_problem(self) -> None:
        """It answers nothing, though it did what it was asked for."""
        if self.problems:
            raise self.problems.pop()

    def find(self, tracker: str, marker: str, settings: Settings) -> Incident | None:
        """The incident with that marker."""
        markers = [one.marker for one in self.opened]
        return Incident(tracker, str(markers.index(marker) + 1)) if marker in markers else None

    def open_incident(self, incident: Incident, settings: Settings) -> Any:
        """One of them."""
        return FakeIncident(self, incident)


class FakeIncident:
    def __init__(self, tracker: FakeTracker, incident: Incident) -> None:
        self._tracker, self._incident = tracker, incident

    def read(self) -> Details:
        status = "resolved" if self._incident.id in self._tracker.closed else "open"
        return Details(str(self._incident), status=status)

    def told(self, marker: str) -> bool:
        return (self._incident.id, marker) in [(number, one.marker) for number, one in self._tracker.comments]

    def comment(self, comment: Comment) -> None:
        self._tracker.comments.append((self._incident.id, comment))
        self._tracker.raise_problem()


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> FakeTracker:
    made = FakeTracker()
    monkeypatch.setattr(trackers, "create", made.create)
    monkeypatch.setattr(trackers, "find", made.find)
    monkeypatch.setattr(trackers, "open_incident", made.open_incident)
    return made


@pytest.fixture
def check(settings: Settings) -> CheckSettings:
    settings.service.checks["all"] = CheckSettings(tracker="rt", queue="Servers", warnings=["tls.validity"])
    return settings.service.checks["all"]


@pytest.fixture
def faults(check: CheckSettings, desk: Desk) -> Faults:
    made = Faults(desk)
    made.look()
    return made


@pytest.fixture
def checked(desk: Desk, faults: Faults) -> Callable[..., str]:
    """Ends a check of a server with these findings, and tells what is due; the run's id."""

    def end(
        *findings: dict[str, Any],
        outcome: str = "fault_found",
        state: str = "succeeded",
        server: str = "alpha",
        **verdict: Any,
    ) -> str:
        run = desk.runs.create(a_request(servers=[server]), asker=asker_of(None, "schedule"))
        begun = {"run_id": run.run_id, "next_at": now() + timedelta(hours=1)}
        with writing(desk.engine) as connection:
            known = sa.update(tables.checks).where(tables.checks.c.server == server)
            if not connection.execute(known.values(**begun)).rowcount:
                connection.execute(sa.insert(tables.checks).values(name="all", server=server, **begun))
        roots = [ROOT] if DISK in findings else []
        judged = {"outcome": outcome, "root_causes": roots} | verdict if state == "succeeded" or verdict else None
        common = {"run_id": run.run_id, "playbook": "p", "mode": "diagnose", "server": server, "state": state}
        times = {"started_at": run.record.started_at, "finished_at": now()}
        result = Result.model_validate({**common, **times, "verdict": judged, "findings": list(findings)})
        run.record.finished_at, run.record.exit_code = now(), 10
        run.finish([result], "report")
        faults.look()
        return run.run_id

    return end


def test_one_incident_is_opened_for_a_cause(tracker: FakeTracker, checked: Callable[..., str]) -> None:
    first = checked(DISK)
    for _ in range(2):
        checked(DISK)
    (opened,) = tracker.opened
    assert opened.subject == f"alpha: A disk is full (disk_full {first})"
    assert (opened.queue, opened.fields, opened.marker in opened.subject) == ("Servers", {"Server": "alpha"}, True)
    assert opened.text.startswith("The check all of alpha found this before anybody reported it.")
    assert "disk_full" in opened.text
    assert tracker.comments == []


def test_the_incident_is_told_once_that_the_cause_is_gone_and_that_it_is_back(
    tracker: FakeTracker, checked: Callable[..., str]
) -> None:
    checked(DISK)
    gone = checked(DISK | {"status": "pass", "cause": None}, outcome="healthy")
    checked(outcome="healthy")
    back = checked(DISK)
    assert [(number, comment.text) for number, comment in tracker.comments] == [
        ("1", f"disk_full is gone on alpha, as run {gone} saw."),
        ("1", f"disk_full is back on alpha, as run {back} saw."),
    ]
    assert [comment.to_user for _, comment in tracker.comments] == [False, False]
    assert len(tracker.opened) == 1


@pytest.mark.parametrize(
    ("findings", "how"),
    [
        ([DISK | {"status": "unknown", "cause": None}], {"outcome": "unverified"}),
        ([], {"outcome": "unverified"}),
        ([DISK | {"summary": "explained"}], {"root_causes": []}),
        ([DISK | {"code": "host.inodes", "status": "pass", "cause": None}], {"outcome": "unverified"}),
        ([], {"state": "failed"}),
        ([], {"state": "unreachable"}),
    ],
)
def test_a_check_that_could_not_see_the_cause_does_not_say_that_it_is_gone(
    tracker: FakeTracker, checked: Callable[..., str], findings: list[dict[str, Any]], how: dict[str, Any]
) -> None:
    checked(DISK)
    checked(*findings, **how)
    assert tracker.comments == []


def test_an_incident_that_people_closed_is_left_alone(tracker: FakeTracker, checked: Callable[..., str]) -> None:
    checked(DISK)
    tracker.closed.add("1")
    second = checked(DISK)
    checked(DISK)
    assert [one.marker for one in tracker.opened][1:] == [f"disk_full {second}"]
    tracker.closed.add("2")
    checked(DISK | {"status": "pass", "cause": None}, outcome="healthy")
    assert tracker.comments == []


def test_a_warning_counts_where_the_setting_names_it(tracker: FakeTracker, checked: Callable[..., str]) -> None:
    checked(EXPIRES, EXPIRES | {"code": "host.disk"}, outcome="healthy")
    (opened,) = tracker.opened
    assert opened.subject.startswith("alpha: It expires in 9 days. (tls.validity ")
    checked(EXPIRES | {"status": "fail"}, outcome="fault_found")
    assert tracker.comments == []
    checked(EXPIRES | {"status": "pass"}, outcome="healthy")
    assert [comment.text.split()[0] for _, comment in tracker.comments] == ["tls.validity"]


def test_a_server_is_unreachable_once_a_second_check_says_so(
    tracker: FakeTracker, checked: Callable[..., str], desk: Desk
) -> None:
    checked(state="unreachable")
    checked(outcome="healthy")
    checked(state="unreachable")
    assert tracker.opened == []
    with writing(desk.engine) as connection:
        # It comes soon.
        assert connection.execute(sa.select(tables.checks.c.next_at)).scalar_one() <= now() + SOON
    checked(state="timed_out")
    # What was seen from here is no cause of the server's.
    checked(state="unreachable", root_causes=[ROOT | {"cause": "unknown_cause"}])
    assert tracker.opened[0].subject.startswith("alpha: the server could not be reached (unreachable ")
    checked(DISK)
    assert [comment.text.split()[0] for _, comment in tracker.comments] == ["unreachable"]
    assert len(tracker.opened) == 2


def unreachable(checked: Callable[..., str], *servers: str) -> None:
    """Two checks of each cannot log in."""
    for server in servers * 2:
        checked(state="unreachable", server=server)


def test_servers_that_become_unreachable_at_once_have_one_incident(
    tracker: FakeTracker, checked: Callable[..., str], faults: Faults, desk: Desk
) -> None:
    # The tracker is away, too, while the first two are found.
    tracker.away = True
    unreachable(checked, "alpha", "beta")
    tracker.away = False
    tell_now(desk, faults)
    (opened,) = tracker.opened
    assert opened.subject.startswith("alpha, beta: the server could not be reached (unreachable ")
    assert "These servers became unreachable at once: alpha, beta." in opened.text
    assert opened.fields == {}
    unreachable(checked, "gamma")
    checked(outcome="healthy", server="beta")
    checked(state="unreachable", server="gamma")
    assert [(number, comment.text.split(",")[0]) for number, comment in tracker.comments] == [
        ("1", "gamma is unreachable"),
        ("1", "unreachable is gone on beta"),
    ]
    assert len(tracker.opened) == 1
    # People closed it, and two are still unreachable.
    tracker.closed.add("1")
    for server in ("alpha", "gamma"):
        checked(state="unreachable", server=server)
    assert [one.subject.split(" ")[0] for one in tracker.opened] == ["alpha,", "alpha:"]
    assert tracker.comments[-1][0] == "2"


def test_two_processes_open_one_incident(
    tracker: FakeTracker,
    checked: Callable[..., str],
    faults: Faults,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracker.away = True
    unreachable(checked, "alpha", "beta")
    tracker.away = False
    other, asked = Faults(desk), list[str]()

    def create(name: str, opening: Opening, settings: Settings) -> Incident:
        asked.append(opening.marker)
        # The other process looks while the tracker is asked; it finds nothing there yet.
        other.look()
        return tracker.create(name, opening, settings)

    monkeypatch.setattr(trackers, "create", create)
    tell_now(desk, faults)
    assert (len(asked), len(tracker.opened)) == (1, 1)
    tell_now(desk, other)
    assert (len(asked), tracker.comments) == (1, [])
    with writing(desk.engine) as connection:
        assert list(connection.scalars(sa.select(tables.faults.c.incident))) == ["rt:1"] * 2


def test_the_first_of_those_that_share_an_incident_opens_it_though_another_began(
    tracker: FakeTracker, checked: Callable[..., str], faults: Faults, desk: Desk
) -> None:
    tracker.away = True
    unreachable(checked, "beta")
    unreachable(checked, "alpha")
    tracker.away = False
    for _ in range(3):
        tell_now(desk, faults)
    (opened,) = tracker.opened
    assert opened.subject.startswith("alpha, beta: ")
    with writing(desk.engine) as connection:
        assert list(connection.scalars(sa.select(tables.faults.c.incident))) == ["rt:1"] * 2


def test_a_server_that_becomes_unreachable_long_after_another_one_has_its_own_incident(
    tracker: FakeTracker, checked: Callable[..., str], desk: Desk
) -> None:
    unreachable(checked, "alpha")
    with writing(desk.engine) as connection:
        connection.execute(sa.update(tables.faults).values(since=now() - timedelta(hours=3)))
    unreachable(checked, "beta")
    assert [one.subject.split(":")[0] for one in tracker.opened] == ["alpha", "beta"]


def tell_now(desk: Desk, faults: Faults) -> None:
    """Tries again what could not be told."""
    with writing(desk.engine) as connection:
        connection.execute(sa.update(tables.faults).values(next_at=now()))
    faults.look()


def test_an_incident_is_opened_once_though_the_next_check_comes_before_the_retry(
    tracker: FakeTracker, checked: Callable[..., str], faults: Faults, desk: Desk
) -> None:
    tracker.problems.append(TrackerError("the answer was lost"))
    checked(DISK)
    checked(DISK)
    tell_now(desk, faults)
    checked(DISK)
    assert len(tracker.opened) == 1
    checked(DISK | {"status": "pass", "cause": None}, outcome="healthy")
    tracker.problems.append(TrackerError("the answer was lost"))
    checked(DISK)
    checked(DISK)
    tell_now(desk, faults)
    assert [comment.text.split()[2] for _, comment in tracker.comments] == ["gone", "back"]


def test_an_incident_that_was_opened_unnoticed_is_told_that_the_cause_is_gone(
    tracker: FakeTracker, checked: Callable[..., str], faults: Faults, desk: Desk
) -> None:
    tracker.problems.append(TrackerError("the answer was lost"))
    checked(DISK)
    checked(DISK | {"status": "pass", "cause": None}, outcome="healthy")
    tell_now(desk, faults)
    assert [(number, comment.text.split()[2]) for number, comment in tracker.comments] == [("1", "gone")]


def test_a_long_subject_still_has_its_marker(tracker: FakeTracker, checked: Callable[..., str]) -> None:
    long = [ROOT | {"title": "a long title " * 20}]
    checked(DISK, server="server-" + "x" * 100, root_causes=long)
    (opened,) = tracker.opened
    assert opened.subject.endswith(f" ({opened.marker})")
    assert len(opened.subject) <= 200


@pytest.mark.parametrize("problem", [TrackerError("the answer was lost"), RuntimeError("a defect")])
def test_an_incident_whose_answer_is_lost_is_not_opened_again(
    tracker: FakeTracker, checked: Callable[..., str], faults: Faults, desk: Desk, problem: Exception
) -> None:
    tracker.problems.append(problem)
    checked(DISK)
    tell_now(desk, faults)
    with writing(desk.engine) as connection:
        assert list(connection.scalars(sa.select(tables.faults.c.incident))) == ["rt:1"]
    assert len(tracker.opened) == 1


def test_without_a_tracker_a_notification_says_it_once(
    tracker: FakeTracker,
    notifier: Notifier,
    check: CheckSettings,
    checked: Callable[..., str],
    server: Recorder,
) -> None:
    check.tracker = None
    first = checked(DISK)
    notifier.look()
    checked(DISK)
    notifier.look()
    (asked,) = server.asked
    assert asked.json["text"].splitlines()[0] == "A check found on alpha: A disk is full (disk_full)."
    assert asked.json["text"].splitlines()[2] == f"https://reconnect.example.org/runs/{first}"
    assert tracker.opened == []


def test_unreachable_servers_are_named_by_one_message_an_hour(
    notifier: Notifier,
    check: CheckSettings,
    checked: Callable[..., str],
    server: Recorder,
    desk: Desk,
    faults: Faults,
) -> None:
    check.tracker = None
    unreachable(checked, "alpha", "beta")
    notifier.look()
    (asked,) = server.asked
    assert asked.json["text"].splitlines()[1].startswith("These servers became unreachable at once: alpha, beta.")
    unreachable(checked, "gamma", "delta")
    notifier.look()
    assert len(server.asked) == 1
    with writing(desk.engine) as connection:
        sent = tables.notifications.c.state == "sent"
        connection.execute(sa.update(tables.notifications).values(next_at=now()))
        connection.execute(sa.update(tables.notifications).where(sent).values(next_at=now() - timedelta(hours=1)))
    notifier.look()
    (_, asked) = server.asked
    assert "at once: alpha, beta, delta, gamma." in asked.json["text"]


def test_a_server_found_before_the_message_and_kept_after_it_is_named_by_the_next_one(
    notifier: Notifier,
    check: CheckSettings,
    checked: Callable[..., str],
    server: Recorder,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check.tracker = None
    unreachable(checked, "alpha")
    chat = notifier._channels["chat"]
    send = chat.send

    def sends(said: Message) -> None:
        send(said)
        if len(server.asked) == 1:
            unreachable(checked, "beta")
            with writing(desk.engine) as connection:
                connection.execute(sa.update(tables.feed).values(at=now() - timedelta(minutes=1)))

    monkeypatch.setattr(chat, "send", sends)
    for _ in range(2):
        notifier.look()
    assert len(server.asked) == 1
    with writing(desk.engine) as connection:
        connection.execute(sa.update(tables.notifications).values(next_at=now() - timedelta(hours=1)))
    notifier.look()
    (_, asked) = server.asked
    assert "at once: alpha, beta." in asked.json["text"]


def test_two_processes_send_one_message(
    notifier: Notifier,
    check: CheckSettings,
    checked: Callable[..., str],
    server: Recorder,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check.tracker = None
    unreachable(checked, "alpha", "beta")
    other, chat = Notifier(desk), notifier._channels["chat"]
    send = chat.send

    def sends(said: Message) -> None:
        other.look()
        send(said)

    monkeypatch.setattr(chat, "send", sends)
    notifier.look()
    assert len(server.asked) == 1


def test_with_a_tracker_only_the_incident_says_it(
    tracker: FakeTracker, notifier: Notifier, checked: Callable[..., str], server: Recorder
) -> None:
    checked(DISK)
    notifier.look()
    assert (len(tracker.opened), server.asked) == (1, [])


def test_what_ended_before_the_first_look_opens_nothing(
    tracker: FakeTracker, check: CheckSettings, desk: Desk, ended: Any
) -> None:
    run = ended(desk.runs.create(a_request(), asker=asker_of(None, "schedule")).run_id)
    started = Faults(desk)
    assert (started.take(), started.take()) == (False, False)
    with writing(desk.engine) as connection:
        position = connection.scalar(sa.select(tables.cursors.c.position).where(tables.cursors.c.source == "faults"))
    assert (run.record.finished_at is not None, position) == (True, "1")


def test_other_runs_open_nothing(tracker: FakeTracker, faults: Faults, desk: Desk, ended: Any) -> None:
    ended(desk.runs.create(a_request()).run_id)
    faults.look()
    with writing(desk.engine) as connection:
        assert list(connection.scalars(sa.select(tables.faults.c.fault))) == []
