"""A healthy server is called healthy; what is broken is the matter of tests/faults/run.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trials import kept, tools, trial
from trials.cases import SERVERS, Case
from trials.tools import Ended, Lab


@pytest.mark.parametrize("server", SERVERS)
def test_a_healthy_server_is_healthy(
    lab: Lab, reconnect: Callable[..., Ended], tmp_path: Path, request: pytest.FixtureRequest, server: str
) -> None:
    lab("reset", server)
    ended = reconnect("diagnose-server", server, "--inventory", tools.inventory_of(server))
    result = ended.result
    if request.config.getoption("--record"):
        healthy = Case("control", "healthy", server, "Nothing is wrong.", (), frozenset())
        trial.keep(healthy, kept.runs(tmp_path)[0].evidence(server))
    assert (ended.code, result["verdict"]["outcome"]) == (0, "healthy"), trial.told(result)
    assert len(result["findings"]) >= 60
    assert not [one for one in result["findings"] if one["status"] == "fail"]
    assert all(one["summary"] for one in result["findings"] if one["status"] == "unknown")


def statuses(result: dict[str, Any]) -> set[tuple[str, ...]]:
    """What the findings of a result are about, and their statuses."""
    names = ("code", "subject", "about", "vantage", "status")
    return {tuple(str(one.get(name)) for name in names) for one in result["findings"]}


@pytest.mark.hosts(*SERVERS)
@pytest.mark.parametrize("fleet", [("pbx22", "pbx16", "pgsql"), ("plain", "custom")], ids="+".join)
def test_servers_that_one_task_looks_at_get_what_each_gets_alone(
    lab: Lab, reconnect: Callable[..., Ended], fleet: tuple[str, ...]
) -> None:
    alone = {}
    for server in fleet:
        lab("reset", server)
        alone[server] = statuses(reconnect("diagnose-server", server, "--inventory", tools.inventory_of(server)).result)
    ended = reconnect("diagnose-server", *fleet, "--inventory", tools.inventory_of(fleet[0]))
    results = json.loads(ended.stdout)
    assert (ended.code, [one["verdict"]["outcome"] for one in results]) == (0, ["healthy"] * len(fleet)), ended.stderr
    for one in results:
        assert statuses(one) == alone[one["server"]]
        # The task is a step of each.
        assert [step["step"] for step in one["timeline"]] == ["Gather evidence"]
