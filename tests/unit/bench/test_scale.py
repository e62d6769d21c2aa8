# SPDX-License-Identifier: GPL-3.0-or-later
"""The model of docs/explanation/scale.md agrees with its simulation, and both with what is known of queues."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import scale


def test_the_model_is_erlangs() -> None:
    """M/D/1 by Pollaczek and Khinchine: a wait of half a service at half load; M/M/c has twice that of M/D/c."""
    assert scale.Site(1800, 9, 1, 1, [1.0], 0).wait() == pytest.approx(0.5)
    # Erlang C of two servers at 50 % is 1/3: the wait of M/M/2 is 1/3 s, and of constant times half of it.
    assert scale.Site(3600, 9, 1, 2, [1.0], 0).wait() == pytest.approx(1 / 6)
    assert scale.Site(3600, 9, 1, 1, [1.0], 0).wait() == float("inf")


@pytest.mark.parametrize(("workers", "busy"), [(1, 0.7), (2, 0.8), (4, 0.85)])
def test_the_simulation_waits_as_long_as_the_model(workers: int, busy: float) -> None:
    seconds = [2.0, 3.0, 4.0, 5.0, 8.0, 20.0]
    slots = 2
    rate = busy * workers * slots / (sum(seconds) / len(seconds)) * 3600
    site = scale.Site(rate, 10_000, workers, slots, seconds, 0)
    assert site.busy == pytest.approx(busy)
    seen = scale.simulate(site, number=12_000, first=1_000)
    assert seen.mean == pytest.approx(site.wait(), rel=0.25)
    assert seen.throughput == pytest.approx(rate, rel=0.05)


def test_twice_the_workers_do_twice_as_much_until_the_database_is_full() -> None:
    assert scale.efficiency(4, 2, [2.0, 4.0], 0.0) == pytest.approx(1, abs=0.05)
    # A run keeps its slot for 3.8 s: two slots do 0.53 a second, eight could do 2.1, the database 1.25.
    assert scale.efficiency(4, 2, [2.0, 4.0], 0.8) == pytest.approx(1.25 / 2.1, rel=0.05)
    assert scale.Site(1, 9, 4, 2, [2.0, 4.0], 0.8).capacity == 4500


def test_one_server_has_one_run_at_a_time() -> None:
    site = scale.Site(1800, 1, 4, 4, [1.0], 0)
    assert scale.simulate(site, number=4_000, first=500).mean == pytest.approx(0.5, rel=0.25)


def test_times_are_those_of_the_runs_that_have_ended(tmp_path: Path) -> None:
    file = tmp_path / "runs.json"
    ended = {"started_at": "2026-11-27T03:00:00Z", "finished_at": "2026-11-27T03:00:04.5Z"}
    file.write_text(json.dumps([ended, {"started_at": "2026-11-27T03:00:00Z", "finished_at": None}]))
    assert scale.times(file) == [4.5]
