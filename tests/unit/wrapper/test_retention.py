from __future__ import annotations

from datetime import timedelta

import pytest
from reconnect.result import now
from reconnect.retention import Wanted, chosen, remove_old
from reconnect.runs import Request, Run, Runs


@pytest.fixture
def runs(tmp_path) -> Runs:
    return Runs(tmp_path)


def ended(runs: Runs, days: float | None, account: str | None = None, delivery: str = "none") -> Run:
    request = Request(
        playbook="p.yml",
        mode="diagnose",
        named=["alpha"],
        servers=["alpha"],
        inventory="i",
        account=account,
        timeout=9,
        command=["x"],
    )
    run = runs.create(request)
    run.record.endings = {"alpha": "healthy"}
    run.record.delivery = delivery
    if days is not None:
        run.record.started_at = run.record.finished_at = now() - timedelta(days=days)
    run.save()
    return run


def test_old_runs_go_and_those_that_still_matter_stay(runs):
    old = ended(runs, 40)
    stay = {ended(runs, 1).run_id, ended(runs, 40, delivery="pending").run_id, ended(runs, None).run_id}
    assert remove_old(runs, 30) == 1
    assert {run.run_id for run in runs} == stay
    assert not old.folder.exists()


def test_runs_are_found_by_account_and_time(runs):
    old, new = ended(runs, 5, "601"), ended(runs, 1, "602")
    middle = now() - timedelta(days=3)

    def found(**wanted: object) -> set[str]:
        return {run.run_id for run in chosen(runs, Wanted(**wanted))}

    assert found(account="601") == {old.run_id}
    assert found(since=middle) == {new.run_id}
    assert found(until=middle) == {old.run_id}
    assert found(server="alpha", ending="healthy") == {old.run_id, new.run_id}
    assert found(server="beta") == found(ending="failed") == set()
