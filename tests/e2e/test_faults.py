"""The cases of tests/faults, injected for real, diagnosed, mended where policy says so, as `make faults` does it.

``--every-case`` runs all of them, ``--record`` saves the evidence of each, redacted as it was taken.
"""

from __future__ import annotations

import pytest
from trials import trial
from trials.cases import SERVERS, Case


def test_a_case_gets_the_verdict_that_its_file_expects(lab, tmp_path, request, case):
    outcome = trial.run(case, tmp_path, record=request.config.getoption("--record"))
    assert not outcome.misses, f"{outcome.misses}\n{outcome.details}"


@pytest.mark.parametrize("server", SERVERS)
def test_a_healthy_server_is_healthy(lab, reconnect, tmp_path, request, server):
    lab("reset")
    ended = reconnect("diagnose-server", server)
    result = ended.result
    if request.config.getoption("--record"):
        healthy = Case("control", "healthy", server, "Nothing is wrong.", (), frozenset())
        trial.keep(healthy, next(tmp_path.rglob(f"evidence/{server}.json")))
    assert (ended.code, result["verdict"]["outcome"]) == (0, "healthy"), trial.told(result)
    assert len(result["findings"]) >= 60
    assert not [one for one in result["findings"] if one["status"] == "fail"]
    assert all(one["summary"] for one in result["findings"] if one["status"] == "unknown")
