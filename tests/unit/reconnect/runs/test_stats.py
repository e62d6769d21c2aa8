from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from reconnect import outcomes
from reconnect.names import Incident
from reconnect.result import Result, Verdict
from reconnect.runs.record import Asker, Delivery
from reconnect.runs.stats import Line, figures, stats
from reconnect.runs.store import Run, Runs
from reconnect.settings import Settings

from ..conftest import Workplace, a_request


def test_shares_and_medians(tmp_path: Path) -> None:
    runs = Runs(Settings(state_dir=tmp_path))
    for seconds, outcome, causes in [(1, "healthy", []), (2, "fault_found", ["dns_no_record"]), (9, "healthy", [])]:
        request = a_request()
        run = runs.create(request)
        roots = [{"cause": c, "subject": "network", "title": "t", "summary": "s", "policy": "human"} for c in causes]
        run.save_result(
            Result(
                run_id=run.run_id,
                state="succeeded",
                playbook="p.yml",
                mode="diagnose",
                server="alpha",
                started_at=run.record.started_at,
                finished_at=run.record.started_at + timedelta(seconds=seconds),
                verdict=Verdict.model_validate({"outcome": outcome, "root_causes": roots}),
            )
        )
    assert stats(runs) == [
        Line("outcome", "healthy", 2, 2 / 3, 5),
        Line("outcome", "fault_found", 1, 1 / 3, 2),
        Line("server", "alpha", 3, 1, 2),
        Line("cause", "dns_no_record", 1, 1 / 3, 2),
        Line("verdict", "all", 3, 1, 2),
    ]
    # The last of them is healthy for 9 s.
    run.mark_wrong("alpha", "unknown")
    run.mark_wrong("alpha", "route_down")
    assert stats(runs) == [
        Line("outcome", "healthy", 2, 2 / 3, 5, wrong=1, accuracy=0.5),
        Line("outcome", "fault_found", 1, 1 / 3, 2),
        Line("server", "alpha", 3, 1, 2, wrong=1, accuracy=1 - 1 / 3),
        Line("cause", "dns_no_record", 1, 1 / 3, 2),
        Line("verdict", "all", 3, 1, 2, wrong=1, accuracy=1 - 1 / 3),
        Line("right", "route_down", 1, 1 / 3, 9, wrong=1, accuracy=None),
    ]


Kept = tuple[Runs, Callable[..., Run]]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """Keeps a run that ended; gives back the runs and the function that does it."""
    runs = Runs(Settings(state_dir=tmp_path))

    def keep(
        at: datetime,
        incident: str | None,
        outcome: str,
        minutes: int,
        trigger: str = "hook",
        delivery: Delivery = "delivered",
        **verdict: object,
    ) -> Run:
        request = a_request(incident=Incident("rt", incident) if incident else None)
        run = runs.create(request, at=at, asker=Asker(None if trigger == "hook" else "ann", trigger, "0" * 32))
        ended = at + timedelta(minutes=minutes)
        result: dict[str, Any] = {
            "run_id": run.run_id,
            "state": "succeeded",
            "playbook": "p.yml",
            "mode": "apply",
            "server": "alpha",
        }
        result |= {"started_at": at, "finished_at": ended, "verdict": {"outcome": outcome} | verdict}
        run.record.finished_at, run.record.delivery = ended, delivery
        run.finish([Result.model_validate(result)], "report")
        return run

    return runs, keep


def test_figures_of_incidents_weeks_and_wrong_verdicts(kept: Kept) -> None:
    runs, keep = kept
    monday = datetime(2026, 3, 2, tzinfo=UTC)
    root = {"cause": "peer_stale", "subject": "account", "title": "t", "summary": "s", "policy": "auto"}
    keep(monday - timedelta(days=1), "1", "fixed_account", 5)  # too old
    keep(monday, "2", "fault_found", 1, root_causes=[root])
    # The second run of an incident closes it, nine minutes after the first began.
    keep(monday + timedelta(minutes=4), "2", "fixed_account", 5)
    keep(monday + timedelta(days=6, hours=23), "3", "fixed_account", 2, trigger="approval")
    keep(monday + timedelta(days=7), "4", "fixed_account", 3, delivery="pending")
    wrong = keep(monday + timedelta(days=7), "5", "not_an_issue", 1)
    wrong.mark_wrong("alpha", "none")
    keep(monday + timedelta(days=8), None, "healthy", 1)
    found = figures(runs, monday, outcomes.answers({}))
    assert found.weeks == {
        date(2026, 3, 2): {"fault_found": 1, "fixed_account": 2},
        date(2026, 3, 9): {"fixed_account": 1, "not_an_issue": 1, "healthy": 1},
    }
    assert found.outcomes == {"fixed_account": 3, "fault_found": 1, "not_an_issue": 1, "healthy": 1}
    assert (found.causes, found.wrong) == ({"peer_stale": 1}, {"none": 1})
    assert (found.incidents, found.closed, found.alone) == (4, [60, 120, 540], 2)
    assert [found.closed_within(share) for share in (0.5, 0.95, 1 / 3)] == [120, 540, 60]


def test_an_incident_that_a_person_had_a_hand_in_is_not_closed_without_one(kept: Kept) -> None:
    runs, keep = kept
    at = datetime(2026, 3, 2, tzinfo=UTC)
    keep(at, "2", "fault_found", 1, trigger="page")
    keep(at + timedelta(hours=1), "2", "fixed_account", 1)
    found = figures(runs, at, outcomes.answers({}))
    assert (len(found.closed), found.alone) == (1, 0)
    assert figures(runs, at + timedelta(days=9), outcomes.answers({})).closed_within(0.5) is None


def test_without_runs_there_is_nothing_to_count(tmp_path: Path) -> None:
    assert stats(Runs(Settings(state_dir=tmp_path))) == []


def test_the_command_counts(workplace: Workplace) -> None:
    workplace.diagnose("servers")
    ended = workplace.reconnect("stats", "--json")
    assert ended.code == 0, ended.stderr
    assert {"by": "outcome", "name": "healthy", "number": 2, "share": 1.0}.items() <= ended.json()[0].items()
    shown = workplace.reconnect("stats").stdout
    assert "█" in shown
    assert "…" not in shown, "a name is cut"
