"""Holds and the blast radius: what stands against a remedy, counted over all runs of a store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from reconnect.result import now
from reconnect.runs import tables
from reconnect.runs.database import engine_of, writing
from reconnect.runs.guards import EVERYTHING, Guards, Permission, Reach, Wish
from reconnect.runs.request import Request
from reconnect.runs.store import Runs
from reconnect.settings import Settings

from ..conftest import there

REACH = Reach(servers=3, percent=10, window=3600)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path / "state")


@pytest.fixture
def guards(settings: Settings) -> Guards:
    return Guards(settings)


@pytest.fixture
def wish(settings: Settings) -> Callable[..., Wish]:
    """What a run of its own wants on a server; the same run where it is asked for the same server again."""
    known: dict[str, str] = {}

    def make(
        server: str, cause: str = "database_stopped", inventory: int = 12, partners: Sequence[str] = (), **more: str
    ) -> Wish:
        request = Request(
            playbook="p.yml", mode="apply", named=[server], servers=[server], inventory="i", timeout=9, command=["x"]
        )
        run_id = known.setdefault(server, Runs(settings).create(request).run_id)
        remedy = more.pop("remedy", "restart_database")
        undoes = remedy.startswith("undo_")
        return Wish(run_id, server, more.pop("server_id", None), remedy, cause, inventory, tuple(partners), undoes)

    return make


@pytest.fixture
def fix(guards: Guards, wish: Callable[..., Wish]) -> Callable[..., Permission]:
    """A remedy that begins and ends; whether it was allowed."""

    def run(server: str, state: str = "done", **more: Any) -> Permission:
        wanted = wish(server, **more)
        found = guards.begin(wanted, REACH)
        if found.allowed:
            guards.end(wanted.run_id, server, wanted.remedy, wanted.cause, state)
        return found

    return run


def test_one_canary_then_twice_as_many_as_are_verified(guards: Guards, wish: Callable[..., Wish]) -> None:
    reach = replace(REACH, servers=100)
    wanted = [wish(f"pbx{number}") for number in range(12)]

    def begun() -> list[str]:
        return [one.server for one in wanted if guards.begin(one, reach).allowed]

    def verified(*servers: str) -> None:
        for one in wanted:
            if one.server in servers:
                guards.end(one.run_id, one.server, one.remedy, one.cause, "done")
        wanted[:] = [one for one in wanted if one.server not in servers]

    assert begun() == ["pbx0"]
    waits = guards.begin(wanted[1], reach)
    assert (waits.allowed, waits.wait, waits.escalate) == (False, True, False)
    assert "is under way on pbx0" in waits.reason
    verified("pbx0")
    assert begun() == ["pbx1", "pbx2"]
    verified("pbx1", "pbx2")
    assert begun() == [f"pbx{number}" for number in range(3, 9)]


def test_none_follows_the_first_that_was_not_fixed(fix: Callable[..., Permission]) -> None:
    assert fix("pbx1", "rolled_back").allowed
    refused = fix("pbx2")
    assert (refused.allowed, refused.wait) == (False, False)
    assert "did not help on pbx1" in refused.reason
    # The server itself has a budget of its own, and once it is fixed there, the others follow.
    assert fix("pbx1").allowed
    assert fix("pbx2").allowed


def test_another_cause_has_a_canary_of_its_own(fix: Callable[..., Permission]) -> None:
    fix("pbx1", "failed")
    assert fix("pbx2", cause="database_hung").allowed


def test_so_many_servers_within_the_window_and_one_escalation(
    fix: Callable[..., Permission], guards: Guards, wish: Callable[..., Wish]
) -> None:
    assert [fix(f"pbx{number}").allowed for number in range(3)] == [True] * 3
    first, second = fix("pbx3"), fix("pbx4")
    assert (first.allowed, first.wait, first.escalate) == (False, False, True)
    assert "begun on 3 servers within 60 minutes" in first.reason
    assert (second.allowed, second.escalate) == (False, False)
    assert f"Run {wish('pbx3').run_id} escalated it for pbx3." in second.reason
    # Another cause is another escalation; a server that was fixed already is none more.
    assert fix("pbx5", cause="database_hung").escalate
    assert fix("pbx0").allowed
    assert fix("pbx5", remedy="restart_asterisk").allowed


def test_a_share_of_the_inventory_where_that_is_more(fix: Callable[..., Permission]) -> None:
    allowed = [fix(f"pbx{number}", inventory=50).allowed for number in range(6)]
    assert allowed == [True] * 5 + [False]


def test_after_the_window_it_counts_from_nothing(fix: Callable[..., Permission], settings: Settings) -> None:
    fix("pbx1", "failed")
    with writing(engine_of(settings)) as connection:
        connection.execute(sa.update(tables.remedies).values(began_at=now() - timedelta(seconds=3601)))
    assert fix("pbx2").allowed


@pytest.mark.parametrize("state", ["refused", "not_needed"])
def test_what_changed_nothing_is_not_counted(fix: Callable[..., Permission], state: str) -> None:
    assert all(fix(f"pbx{number}", state).allowed for number in range(6))


def test_a_run_that_was_interrupted_asks_again(guards: Guards, wish: Callable[..., Wish]) -> None:
    assert guards.begin(wish("pbx1"), REACH).allowed
    assert guards.begin(wish("pbx1"), REACH).allowed
    assert guards.begin(wish("pbx2"), REACH).wait


def test_what_was_never_verified_counts_as_failed(guards: Guards, wish: Callable[..., Wish]) -> None:
    guards.begin(wish("pbx1"), REACH)
    guards.end_all(wish("pbx1").run_id)
    assert "did not help on pbx1" in guards.begin(wish("pbx2"), REACH).reason


@pytest.mark.attack("a run is killed while a remedy is under way, and never says how that ended")
def test_no_run_waits_for_a_remedy_of_a_run_that_has_ended(
    guards: Guards, wish: Callable[..., Wish], settings: Settings
) -> None:
    guards.begin(wish("pbx1"), REACH)
    run = Runs(settings).find(wish("pbx1").run_id)
    run.save()
    assert guards.begin(wish("pbx2"), REACH).wait
    run.record.finished_at = now()
    run.finish([], "report")
    found = guards.begin(wish("pbx2"), REACH)
    assert (found.wait, "did not help on pbx1" in found.reason) == (False, True)


def allowed_at_once(guards: Guards, wanted: list[Wish]) -> list[bool]:
    """Which wishes of the same moment may begin, those first that may not."""
    found: list[Permission] = []
    threads = [threading.Thread(target=lambda one=one: found.append(guards.begin(one, REACH))) for one in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(one.allowed for one in found)


@pytest.mark.attack("twelve runs ask for the same remedy at the same moment")
def test_of_many_at_once_one_begins(guards: Guards, wish: Callable[..., Wish]) -> None:
    wanted = [wish(f"pbx{number}") for number in range(12)]
    assert allowed_at_once(guards, wanted) == [False] * 11 + [True]


def test_hold_of_a_server_and_of_everything(guards: Guards, wish: Callable[..., Wish]) -> None:
    guards.hold(["pbx1"], "we move\x1b[2J the rack.", "alice")
    refused = guards.begin(wish("pbx1"), REACH)
    assert (refused.allowed, refused.wait, refused.escalate) == (False, False, False)
    (hold,) = guards.holds()
    assert hold.sentence() == (f"pbx1 is on hold since {refused.reason.split()[5]} by alice: we move\\x1b[2J the rack.")
    assert "'reconnect release pbx1' ends it." in refused.reason
    assert guards.begin(wish("pbx2"), REACH).allowed
    guards.hold([EVERYTHING], "", "bob")
    assert "Everything is on hold since" in guards.begin(wish("pbx3"), REACH).reason
    assert guards.release([EVERYTHING, "pbx9"]) == [EVERYTHING]
    assert guards.release(["pbx1"]) == ["pbx1"]
    assert guards.holds() == []
    assert guards.held("pbx1") is None


def test_hold_is_of_the_machine_however_it_is_called(guards: Guards, wish: Callable[..., Wish]) -> None:
    guards.begin(wish("pbx1", server_id="a" * 32), REACH)
    guards.hold(["pbx1"], "", "alice")
    assert there(guards.held("other", "a" * 32)).server == "pbx1"
    assert guards.held("other", "b" * 32) is None
    assert guards.identities(["pbx1", "other"]) == ["a" * 32, "other"]


def test_nothing_begins_on_a_node_while_a_partner_is_changed(guards: Guards, wish: Callable[..., Wish]) -> None:
    first = wish("pbx1", partners=["pbx2"])
    second = wish("pbx2", partners=["pbx1"], remedy="restart_asterisk", cause="asterisk_stopped")
    assert guards.begin(first, REACH).allowed
    waits = guards.begin(second, REACH)
    assert (waits.allowed, waits.wait, waits.escalate) == (False, True, False)
    assert waits.reason == (
        f"restart_database is under way on pbx1, a partner of pbx2 (run {first.run_id}). One node at a time is changed."
    )
    assert guards.begin(wish("pbx3", partners=["pbx4"], remedy="restart_asterisk"), REACH).allowed
    guards.end(first.run_id, "pbx1", first.remedy, first.cause, "done")
    assert guards.begin(second, REACH).allowed


@pytest.mark.attack("a node of a pair by its second name, while its partner is changed")
def test_a_node_is_known_by_any_of_its_names(
    guards: Guards, wish: Callable[..., Wish], fix: Callable[..., Permission]
) -> None:
    assert fix("pbx1", server_id="a" * 32).allowed
    first = wish("other", server_id="a" * 32, remedy="free_sip_port")
    assert guards.begin(first, REACH).allowed
    assert guards.names("other", None) == {"pbx1", "other"}
    waits = guards.begin(wish("pbx2", partners=["pbx1"]), REACH)
    assert (waits.wait, "free_sip_port is under way on other, a partner of pbx2" in waits.reason) == (True, True)
    guards.end(first.run_id, "other", first.remedy, first.cause, "done")
    assert guards.begin(wish("pbx2", partners=["pbx1"]), REACH).allowed
    # The name has gone to another machine.
    assert fix("pbx1", server_id="b" * 32, remedy="load_modules").allowed
    assert guards.names("other", "a" * 32) == {"other"}
    assert guards.names("pbx9", None) == {"pbx9"}


def test_an_undo_and_a_partner_wait_for_each_other_and_for_nothing_else(
    guards: Guards, wish: Callable[..., Wish], fix: Callable[..., Permission]
) -> None:
    first, second = (wish(*nodes, partners=[other]) for nodes, other in ((["pbx1"], "pbx2"), (["pbx2"], "pbx1")))
    undo = replace(first, remedy="undo_restart_database", undoes=True)
    assert guards.begin(second, REACH).allowed
    found = guards.begin(undo, REACH)
    assert (found.allowed, found.wait, "restart_database is under way on pbx2" in found.reason) == (False, True, True)
    guards.end(second.run_id, "pbx2", second.remedy, second.cause, "failed")
    assert guards.begin(undo, REACH).allowed
    assert guards.begin(replace(second, remedy="free_sip_port"), REACH).wait
    guards.end(undo.run_id, "pbx1", undo.remedy, undo.cause, "failed")
    # No radius, no canary, and no remedy that did not help elsewhere stands against what a person undoes.
    undone = [fix(f"pbx{number}", "failed", remedy="undo_restart_database").allowed for number in range(2, 9)]
    assert undone == [True] * 7
    assert fix("pbx2", partners=["pbx1"], remedy="undo_restart_database").allowed


def test_a_partner_that_is_changed_for_longer_than_the_window_is_waited_for(
    guards: Guards, wish: Callable[..., Wish], settings: Settings
) -> None:
    guards.begin(wish("pbx1", partners=["pbx2"]), REACH)
    with writing(engine_of(settings)) as connection:
        connection.execute(sa.update(tables.remedies).values(began_at=now() - timedelta(seconds=REACH.window + 1)))
    assert guards.begin(wish("pbx2", partners=["pbx1"]), REACH).wait


@pytest.mark.parametrize("state", ["failed", "rolled_back", "begun"])
def test_what_did_not_help_on_a_partner_is_escalated_once(
    guards: Guards, wish: Callable[..., Wish], settings: Settings, state: str
) -> None:
    first, second = wish("pbx1", partners=["pbx2"]), wish("pbx2", partners=["pbx1"], cause="database_hung")
    guards.begin(first, REACH)
    if state == "begun":
        # Its run ended, and the store did not take how the remedy did.
        run = there(Runs(settings).get(first.run_id))
        run.record.finished_at = now()
        run.save()
    else:
        guards.end(first.run_id, "pbx1", first.remedy, first.cause, state)
    refused, again = guards.begin(second, REACH), guards.begin(second, REACH)
    assert (refused.allowed, refused.wait, refused.escalate, again.escalate) == (False, False, True, False)
    assert refused.reason.startswith(
        f"restart_database did not help on pbx1, a partner of pbx2 (run {first.run_id}). It does not begin here before "
    )
    assert again.reason == f"{refused.reason} Run {second.run_id} escalated it for pbx2."
    assert guards.begin(replace(second, remedy="restart_asterisk"), REACH).allowed
    guards.end(second.run_id, "pbx2", "restart_asterisk", second.cause, "done")
    # Another pair, the node itself, and the window.
    assert guards.begin(wish("pbx3", partners=["pbx4"], cause="database_hung"), REACH).allowed
    with writing(engine_of(settings)) as connection:
        connection.execute(sa.update(tables.remedies).values(began_at=now() - timedelta(seconds=REACH.window + 1)))
    assert guards.begin(second, REACH).allowed


def test_a_partner_that_was_fixed_after_all_stops_nobody(fix: Callable[..., Permission]) -> None:
    fix("pbx1", "failed", partners=["pbx2"])
    assert fix("pbx1", partners=["pbx2"]).allowed
    assert fix("pbx2", partners=["pbx1"]).allowed


@pytest.mark.attack("the nodes of a cluster ask for different remedies at the same moment")
def test_of_the_nodes_of_a_cluster_one_begins(guards: Guards, wish: Callable[..., Wish]) -> None:
    nodes = [f"pbx{number}" for number in range(6)]
    wanted = [
        wish(node, partners=[one for one in nodes if one != node], remedy=f"remedy_{number}")
        for number, node in enumerate(nodes)
    ]
    assert allowed_at_once(guards, wanted) == [False] * 5 + [True]
