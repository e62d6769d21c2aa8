"""A healthy server is called healthy; what is broken is the matter of tests/faults/run.py."""

from __future__ import annotations

import pytest
from trials import trial
from trials.cases import SERVERS, Case


@pytest.mark.parametrize("server", SERVERS)
def test_a_healthy_server_is_healthy(lab, reconnect, tmp_path, request, server):
    lab("reset", server)
    ended = reconnect("diagnose-server", server)
    result = ended.result
    if request.config.getoption("--record"):
        healthy = Case("control", "healthy", server, "Nothing is wrong.", (), frozenset())
        trial.keep(healthy, next(tmp_path.rglob(f"evidence/{server}.json")))
    assert (ended.code, result["verdict"]["outcome"]) == (0, "healthy"), trial.told(result)
    assert len(result["findings"]) >= 60
    assert not [one for one in result["findings"] if one["status"] == "fail"]
    assert all(one["summary"] for one in result["findings"] if one["status"] == "unknown")
