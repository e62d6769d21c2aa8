# SPDX-License-Identifier: GPL-3.0-or-later
"""A rule reads typed data: mypy checks this file, and fails when it takes a probe's data for anything else."""

from __future__ import annotations

from typing import assert_type

from ansible_collections.privatewave.reconnect.plugins.module_utils._host.documents import Clock, Unit
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.evidence import SCHEMA, Evidence, Probe


def test_the_data_of_a_probe_are_those_of_its_document() -> None:
    clock: Clock = {"epoch": 5.0, "synchronized": None}
    found = Evidence({"schema": SCHEMA, "host": {"clock": {"ok": True, "seconds": 0.1, "data": clock}}})
    assert_type(found.probe("host", "clock"), Probe[Clock])
    assert_type(found.probe("host", "units").data, dict[str, Unit])
    assert found.probe("host", "clock").data == clock
