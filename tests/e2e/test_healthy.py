"""A healthy server is called healthy; what is broken is the matter of tests/faults/run.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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
