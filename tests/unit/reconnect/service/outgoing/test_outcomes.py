"""What happened, for programs that follow: nothing twice, nothing left out, and nothing of another's servers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from reconnect.result import now
from reconnect.runs import erasing
from reconnect.runs.record import Pending
from reconnect.runs.store import Run
from reconnect.service.desk import Desk
from reconnect.service.outgoing import outcomes
from reconnect.service.people import Person

from ..conftest import plan_step

Token = Callable[..., dict[str, str]]
Make = Callable[..., Run]
End = Callable[..., Run]


def follow(client: TestClient, headers: dict[str, str], after: int, **more: int) -> tuple[list[tuple[str, str]], int]:
    """What happened after a number: the last word but two of its type, and its run."""
    answer = client.get("/v1/events", params={"after": after, **more}, headers=headers)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return [(one["type"].split(".")[3], one["subject"]) for one in page["events"]], page["next"]


def test_each_outcome_comes_once_and_in_order(
    client: TestClient, token: Token, desk: Desk, run_of: Make, ended: End
) -> None:
    headers = token()
    before = ended(run_of().run_id)
    assert client.get("/v1/events", headers=headers).json() == {"events": [], "next": 1}
    run = ended(run_of().run_id, plan_step("restart_asterisk", "service", "approval"))
    kept = run.kept()
    assert kept is not None
    for _ in range(2):
        desk.plans.request(run, str(kept.plan_hash), "ann", Person("ann", "first_level"), "")
        run.record.delivery = "pending"
        run.record.pending = Pending(since=now(), given_up=True)
        run.save()
    found, following = follow(client, headers, 1)
    assert (found, following) == ([("run", run.run_id), ("approval", run.run_id), ("report", run.run_id)], 4)
    assert follow(client, headers, 4) == ([], 4)
    assert follow(client, headers, 0, limit=2) == ([("run", before.run_id), ("run", run.run_id)], 2)


def test_an_outcome_is_a_cloud_event_with_its_run(client: TestClient, token: Token, run_of: Make, ended: End) -> None:
    run = ended(run_of().run_id)
    (event,) = client.get("/v1/events?after=0", headers=token()).json()["events"]
    data = event.pop("data")
    assert event.pop("time").endswith("Z")
    assert event == {
        "specversion": "1.0",
        "id": "1",
        "source": "reconnect",
        "type": "com.privatewave.reconnect.run.ended.v1",
        "subject": run.run_id,
        "datacontenttype": "application/json",
    }
    assert (data["run"]["id"], data["run"]["state"], data["run"]["results"]) == (run.run_id, "ended", None)


@pytest.mark.attack("a token for one server that follows the others", harm="leak")
def test_a_token_for_some_servers_follows_those(client: TestClient, token: Token, run_of: Make, ended: End) -> None:
    ended(run_of(servers=["beta"]).run_id)
    own = ended(run_of().run_id)
    ended(run_of(servers=["alpha", "beta"]).run_id)
    assert follow(client, token(servers=("alpha",)), 0) == ([("run", own.run_id)], 3)


def test_who_waits_is_told_of_the_next_event(
    client: TestClient, token: Token, run_of: Make, ended: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers, run, found = token(), run_of(), []
    # The time to wait is never over.
    monkeypatch.setattr(outcomes, "time", SimpleNamespace(monotonic=lambda: 0.0))
    waiting = threading.Thread(target=lambda: found.append(follow(client, headers, 0, wait=25)), daemon=True)
    waiting.start()
    ended(run.run_id)
    waiting.join(60)
    assert found == [([("run", run.run_id)], 1)]


def test_a_number_is_never_given_twice(client: TestClient, token: Token, desk: Desk, run_of: Make, ended: End) -> None:
    ended(run_of().run_id)
    erasing.erase(desk.settings, "1005", None, lambda connection, runs: None)
    second = ended(run_of().run_id)
    assert follow(client, token(), 0) == ([("run", second.run_id)], 2)
    # As after a restore: whoever was further begins again at the end, and at once.
    assert follow(client, token(), 9, wait=25) == ([], 2)
