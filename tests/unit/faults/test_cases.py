"""The files of tests/faults are whole, and the third that continuous integration runs is one."""

from __future__ import annotations

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge import catalogue
from reconnect.result import UNKNOWN_CAUSE
from trials.cases import KINDS, SERVERS, Case, cases, representative
from trials.schedule import queues

EVERY = cases()


@pytest.mark.parametrize("case", EVERY, ids=[case.id for case in EVERY])
def test_a_case_expects_causes_of_the_catalogue(case: Case) -> None:
    named = {*case.causes, *case.expects.get("symptoms", []), *case.expects.get("must_explain", [])}
    assert named - {UNKNOWN_CAUSE} <= set(catalogue())
    assert case.what
    if case.kind == "fault":
        assert {"remedy", "fixed"} <= set(case.expects)


def test_the_third_has_every_kind_and_every_server() -> None:
    third = representative()
    assert 0.25 <= len(third) / len(EVERY) <= 0.45
    assert {case.kind for case in third} == set(KINDS)
    assert {case.server for case in third} == set(SERVERS)
    assert len({case.id for case in third}) == len(third)


def test_what_every_server_suffers_from_is_run_alone() -> None:
    wide = Case("fault", "a", SERVERS[0], "all", ("a",), frozenset(SERVERS), wide=True)
    own = [Case("fault", name, server, "one", (name,), frozenset({server})) for name in "bc" for server in SERVERS]
    side_by_side, alone = queues([wide, *own])
    assert alone == [wide]
    assert [{case.server for case in queue} for queue in side_by_side] == [{server} for server in SERVERS]
