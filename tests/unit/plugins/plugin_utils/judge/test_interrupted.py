"""What a run that was interrupted says of what it had begun: fixed where it is gone, handed on where it is not."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.documents import Carried, Conclusion, TakenUp

EVIDENCE = Path(__file__).resolve().parents[4] / "evidence"
RUN = "20260131-030000-0000000"


def evidence(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(gzip.decompress((EVIDENCE / f"{name}.pbx22.json.gz").read_bytes()))
    return document


def begun(
    remedy: str,
    cause: str,
    seconds: float = -5,
    state: str = "failed",
    run_id: str = RUN,
    service: str = "database",
    **more: object,
) -> dict[str, Any]:
    """An entry of the journal; it began so many seconds before the healthy service's process did, or after."""
    at = evidence("healthy")[service]["process"]["data"]["start_time"] + seconds
    when = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "remedy": remedy,
        "cause": cause,
        "run_id": run_id,
        "state": state,
        "began_at": when,
        "ended_at": when,
        "rungs": [],
        **more,
    }


def taken(
    found: str,
    *journal: dict[str, Any],
    level: Literal["first", "second"] = "second",
    known: Sequence[Carried] = (),
) -> TakenUp:
    document = evidence(found)
    judgement = judge.judge(document, apply=True, level=level)
    return judge.take_up(judgement, journal, RUN, judge.Evidence(document), level, known)


def concluded(one: TakenUp, level: Literal["first", "second"] = "second") -> Conclusion:
    return judge.conclude(one["judgement"], one["later"], one["remedies"], level)


RESTART = ("restart_database", "database_stopped")


def test_a_cause_that_is_gone_was_fixed_as_the_start_of_the_service_verifies() -> None:
    one = taken("healthy", begun(*RESTART))
    (remedy,) = one["remedies"]
    assert remedy["state"] == "done"
    assert "mariadb.service was started at " in (remedy["reason"] or "")
    assert "after that. A second check finds database_stopped gone." in (remedy["reason"] or "")
    last = concluded(one)
    assert (last["state"], last["verdict"]["outcome"]) == ("succeeded", "fixed_service")
    assert [cause["cause"] for cause in last["verdict"]["root_causes"]] == ["database_stopped"]


def test_what_the_service_never_was_started_for_is_not_claimed() -> None:
    one = taken("healthy", begun(*RESTART, seconds=600))
    (remedy,) = one["remedies"]
    assert remedy["state"] == "not_needed"
    assert "gone by itself" in (remedy["reason"] or "")
    assert concluded(one)["verdict"]["outcome"] == "healthy"


def test_what_is_still_there_is_not_done_twice_and_goes_to_third_level() -> None:
    one = taken("database_stopped", begun(*RESTART))
    (remedy,) = one["remedies"]
    assert (remedy["state"], remedy["started_at"]) == ("failed", begun(*RESTART)["began_at"])
    last = concluded(one)
    assert (last["state"], last["verdict"]["outcome"]) == ("succeeded", "escalate_third_level")
    assert "the remedy is not done twice" in last["verdict"]["next_step"]
    assert "--apply" not in last["verdict"]["next_step"]


@pytest.mark.parametrize(
    "entry",
    [
        begun(*RESTART, run_id="20260131-030000-1111111"),
        begun(*RESTART, state="refused"),
        begun(*RESTART, state="not_needed"),
        # The same remedy for what was wrong before: it may have left the server as it is now.
        begun("restart_database", "database_hung"),
        begun("restart_database", "a_cause_of_the_site"),
    ],
)
def test_everything_else_is_fixed_as_ever(entry: dict[str, Any]) -> None:
    one = taken("database_stopped", entry)
    assert (one["later"], one["remedies"]) == (None, [])
    assert one["judgement"] == judge.judge(evidence("database_stopped"), apply=True)


def test_an_account_is_made_whole_again() -> None:
    assert taken("account_missing", begun("fix_account", "account_missing"), level="first")["remedies"] == []


def test_an_account_that_was_made_whole_is_fixed() -> None:
    last = concluded(taken("healthy", begun("fix_account", "account_missing", state="done"), level="first"), "first")
    assert last["verdict"]["outcome"] == "fixed_account"


def test_first_level_leaves_to_second_what_is_second_levels() -> None:
    assert taken("database_stopped", begun(*RESTART), level="first")["remedies"] == []


def test_what_was_told_already_is_told_once() -> None:
    known: tuple[Carried] = ({"remedy": "restart_database", "state": "done"},)
    one = taken("healthy", begun(*RESTART), known=known)
    assert (one["later"], one["remedies"]) == (None, list(known))


def test_a_ladder_that_only_loaded_modules_again_started_nothing() -> None:
    rungs = [{"rung": "reload", "calls": 0}]
    entry = begun("restart_asterisk", "transport_not_bound", seconds=600, service="asterisk", rungs=rungs)
    (remedy,) = taken("healthy", entry)["remedies"]
    assert remedy["state"] == "done"
    assert remedy["reason"] is not None
    assert "started at" not in remedy["reason"]
