# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease against a model of it: whatever happens in whatever order, one run holds it, and one process of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._lease import state as lease_state
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

RUNS = st.sampled_from(["a", "b", "c"])
#: Which of a run's processes acts: 0 is the latest to acquire, 1 the one before it.
PROCESSES = st.integers(0, 3)


class Clock(lease_state.Clock):
    """Turned by the model; ``true`` is the time that really passed."""

    def __init__(self) -> None:
        self.true = 0.0
        self.offset = 1_800_000_000.0

    def wall(self) -> float:
        return self.true + self.offset

    def since_boot(self) -> float:
        return self.true

    def boot_id(self) -> str:
        return "boot"


class LeaseMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = str(Path(self.folder.name) / "state.json")
        self.clock = Clock()
        self.owner: str | None = None
        self.until = 0.0
        self.begun: list[float] = []
        #: The newest number that was given out, and the one that each run's processes got.
        self.newest = 0
        self.given: dict[str, list[int]] = {run: [] for run in "abc"}

    def teardown(self) -> None:
        self.folder.cleanup()

    def held_by(self) -> str | None:
        return self.owner if self.clock.true < self.until else None

    def allowed(self, run: str, action: Callable[..., Any], expected: bool, fence: int | None = None) -> bool:
        """Do ``action`` on the state from disk, as the process that got the number ``fence``.

        It must be refused exactly when not ``expected``, or when a newer number was given out.
        """

        def step(state: lease_state.State) -> None:
            state.check_fence(run, fence)
            action(state)

        expected = expected and fence in (None, self.newest)
        with lease_state.locked(self.path, clock=self.clock) as state:
            if expected:
                step(state)
                state.save()
            else:
                with pytest.raises(lease_state.Refused):
                    step(state)
        return expected

    def number_of(self, run: str, process: int) -> int | None:
        """The number that a process of a run got: its latest, an earlier one or, without any, none."""
        return self.given[run][-1 - process % len(self.given[run])] if self.given[run] else None

    @rule(run=RUNS, ttl=st.integers(1, 100))
    def acquire(self, run: str, ttl: int) -> None:
        free = self.held_by() in (None, run)
        self.allowed(run, lambda state: state.acquire(run, run, "here", ttl), free)
        if free:
            self.owner, self.until = run, self.clock.true + ttl
            self.newest += 1
            self.given[run].append(self.newest)

    @rule(run=RUNS, ttl=st.integers(1, 100), process=PROCESSES)
    def renew(self, run: str, ttl: int, process: int) -> None:
        own = self.held_by() == run
        if self.allowed(run, lambda state: state.renew(run, ttl), own, self.number_of(run, process)):
            self.until = self.clock.true + ttl

    @rule(run=RUNS, process=PROCESSES)
    def remedy(self, run: str, process: int) -> None:
        recent = [at for at in self.begun if self.clock.true - at < 200]
        fine = self.held_by() == run and len(recent) < 3

        def fix(state: lease_state.State) -> None:
            state.begin(run, "restart_database", "", 3, 200)
            state.close(run, "done")

        if self.allowed(run, fix, fine, self.number_of(run, process)):
            self.begun.append(self.clock.true)

    @rule(run=RUNS, process=PROCESSES)
    def release(self, run: str, process: int) -> None:
        done = self.allowed(run, lambda state: state.release(run), True, self.number_of(run, process))
        if done and self.owner == run:
            self.owner = None

    @rule(seconds=st.integers(1, 150))
    def time_passes(self, seconds: int) -> None:
        self.clock.true += seconds

    @rule(seconds=st.integers(-(10**6), 10**6))
    def wall_clock_is_stepped(self, seconds: int) -> None:
        self.clock.offset += seconds

    @invariant()
    def the_file_says_what_the_model_says(self) -> None:
        with lease_state.locked(self.path, clock=self.clock) as state:
            holder = state.holder()
            assert (holder and holder["run_id"]) == self.held_by()
            assert state.fence == self.newest


TestLeaseMachine = LeaseMachine.TestCase
TestLeaseMachine.settings = settings(max_examples=60, stateful_step_count=25)
