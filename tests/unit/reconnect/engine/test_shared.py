"""A storm of incidents of one server: one diagnosis, and every other incident points to it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from reconnect.ansible.playbook import StepEnd
from reconnect.ansible.project import Project
from reconnect.engine.perform import Performer
from reconnect.engine.progress import Progress
from reconnect.incidents import delivery
from reconnect.incidents.trackers.tracker import Comment
from reconnect.result import Result, now
from reconnect.runs.record import Asker
from reconnect.runs.store import Run, Runs

from ..conftest import Workplace, a_request, there

HOOK = Asker(None, "hook", "0" * 32)
ROOT = {"cause": "asterisk_stopped", "subject": "asterisk", "title": "Stopped", "summary": "s", "policy": "auto"}
STEP = {"remedy": "start_asterisk", "cause": "asterisk_stopped", "policy": "approve", "decision": "approval"}

Make = Callable[..., Run]


@pytest.fixture
def first(workplace: Workplace) -> Make:
    """Ends the run of an incident with a verdict, some minutes ago."""

    def make(
        outcome: str = "fixed_service", minutes_ago: float = 0, root: dict[str, Any] = ROOT, **request: Any
    ) -> Run:
        given = {"incident": "rt:1", "servers": ["alpha"], **request}
        at = now() - timedelta(minutes=minutes_ago)
        run = Runs(workplace.settings).create(a_request(**given), asker=HOOK, at=at - timedelta(minutes=1))
        result = {
            "run_id": run.run_id,
            "state": "succeeded",
            "playbook": "p",
            "mode": "diagnose",
            "server": "alpha",
            "started_at": at,
            "finished_at": at,
            "incident": "rt:1",
            "account": "1001",
            "verdict": {"outcome": outcome, "root_causes": [root], "plan": [STEP], "next_step": "Look at it."},
            "remedies": [{"remedy": "start_asterisk", "state": "done"}],
        }
        run.record.begun, run.record.finished_at, run.record.exit_code = 1, at, 0
        run.finish([Result.model_validate(result)], "report")
        return run

    return make


@pytest.fixture
def performed(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Performs a run, but for its playbook; the runs whose playbook would have begun."""
    began: list[str] = []

    def perform(performer: Performer, run: Run, held: object) -> bool:
        began.append(run.run_id)
        return False

    monkeypatch.setattr(Performer, "_perform", perform)

    def of(run: Run) -> list[str]:
        performer = Performer(Project(workplace.folder), workplace.settings, Quiet(), threading.Event())
        performer.perform(run)
        return began

    return of


class Quiet(Progress):
    """Says nothing."""

    def step(self, end: StepEnd) -> None:
        return None

    def note(self, sentence: str) -> None:
        return None

    def output(self, line: str) -> None:
        return None


def asked(workplace: Workplace, minutes_ago: float = 0, trigger: str = "hook", **request: Any) -> Run:
    """A run that another incident began."""
    given = {"incident": "rt:2", "account": "1002", **request}
    asker, at = Asker(None, trigger, "0" * 32), now() - timedelta(minutes=minutes_ago)
    return Runs(workplace.settings).create(a_request(**given), asker=asker, at=at)


def test_of_a_storm_one_run_is_carried_out_and_the_others_point_to_it(
    workplace: Workplace, first: Make, performed: Callable[..., list[str]]
) -> None:
    one = first()
    others = [asked(workplace, 0.5, incident=f"rt:{number}") for number in range(2, 5)]
    for run in others:
        assert performed(run) == []
        kept = there(Runs(workplace.settings).get(run.run_id))
        assert (kept.record.endings, kept.record.delivery) == ({"alpha": "fixed_service"}, "pending")
        # Nothing to approve, and nothing to undo: that is the first run's.
        assert there(kept.kept()).plan_hash is None
        (result,) = kept.results()
        assert (result.run_id, result.incident, result.account) == (
            run.run_id,
            str(run.record.request.incident),
            "1002",
        )
        assert result.remedies == []
        report = delivery.tellings(kept, [result], workplace.settings)[0]
        assert isinstance(report, Comment)
        assert f"Run {one.run_id} has found this on alpha, for rt:1. It was not diagnosed again." in report.text


@pytest.mark.parametrize(
    ("verdict", "request_", "minutes_ago"),
    [
        # The service was fixed before anybody wrote this, or a person has fixed it since.
        ({}, {}, 0),
        ({"outcome": "fault_found"}, {}, 0),
        ({"outcome": "fault_found", "minutes_ago": 9}, {}, 0),
        ({"root": ROOT | {"subject": "account"}}, {}, 0.5),
        ({"root": ROOT | {"cause": "unknown_cause"}}, {}, 0.5),
        ({"mode": "apply"}, {}, 0.5),
        ({"incident": "rt:2"}, {}, 0.5),
        ({"incident": None}, {}, 0.5),
        ({"servers": ["alpha", "beta"]}, {}, 0.5),
        ({}, {"servers": ["beta"]}, 0.5),
        ({}, {"trigger": "page"}, 0.5),
        ({}, {"plan_of": "1"}, 0.5),
    ],
)
def test_what_says_nothing_of_this_incident_is_found_out(
    workplace: Workplace,
    first: Make,
    performed: Callable[..., list[str]],
    verdict: dict[str, Any],
    request_: dict[str, Any],
    minutes_ago: float,
) -> None:
    first(**verdict)
    run = asked(workplace, minutes_ago, **request_)
    assert performed(run) == [run.run_id]


def test_in_a_storm_a_fault_that_is_not_fixed_answers_who_asks_a_little_later(
    workplace: Workplace, first: Make, performed: Callable[..., list[str]]
) -> None:
    first("escalate_third_level", minutes_ago=4)
    assert performed(asked(workplace, 4.5, incident="rt:2")) == []
    assert performed(asked(workplace, incident="rt:3")) == []


def test_after_a_single_incident_the_next_one_may_have_another_reason(
    workplace: Workplace, first: Make, performed: Callable[..., list[str]]
) -> None:
    first("escalate_third_level", minutes_ago=0.1)
    run = asked(workplace, incident="rt:2")
    assert performed(run) == [run.run_id]


def test_a_device_without_internet_is_not_answered_by_the_server(
    workplace: Workplace, first: Make, performed: Callable[..., list[str]]
) -> None:
    first("fault_found")
    request = a_request(incident="rt:2", client_report=True)
    run = Runs(workplace.settings).create(request, {"internet": False}, asker=HOOK)
    assert performed(run) == [run.run_id]
