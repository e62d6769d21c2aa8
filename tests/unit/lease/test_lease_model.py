# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease against a model of it: whatever happens in whatever order, one run holds it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils import _lease
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

RUNS = st.sampled_from(["a", "b", "c"])


class Clock(_lease.Clock):
    """Turned by the model; ``true`` is the time that really passed."""

    def __init__(self):
        self.true = 0.0
        self.offset = 1_800_000_000.0

    def wall(self):
        return self.true + self.offset

    def since_boot(self):
        return self.true

    def boot_id(self):
        return "boot"


class LeaseMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = str(Path(self.folder.name) / "state.json")
        self.clock = Clock()
        self.owner = None
        self.until = 0.0
        self.begun = []

    def teardown(self):
        self.folder.cleanup()

    def held_by(self):
        return self.owner if self.clock.true < self.until else None

    def allowed(self, run, action, expected):
        """Do ``action`` on the state from disk; it must be refused exactly when not ``expected``."""
        with _lease.locked(self.path, clock=self.clock) as state:
            if expected:
                action(state)
                state.save()
            else:
                with pytest.raises(_lease.Refused):
                    action(state)

    @rule(run=RUNS, ttl=st.integers(1, 100))
    def acquire(self, run, ttl):
        free = self.held_by() in (None, run)
        self.allowed(run, lambda state: state.acquire(run, run, "here", ttl), free)
        if free:
            self.owner, self.until = run, self.clock.true + ttl

    @rule(run=RUNS, ttl=st.integers(1, 100))
    def renew(self, run, ttl):
        own = self.held_by() == run
        self.allowed(run, lambda state: state.renew(run, ttl), own)
        if own:
            self.until = self.clock.true + ttl

    @rule(run=RUNS)
    def remedy(self, run):
        recent = [at for at in self.begun if self.clock.true - at < 200]
        fine = self.held_by() == run and len(recent) < 3

        def mend(state):
            state.begin(run, "restart_database", "", 3, 200)
            state.close(run, "done")

        self.allowed(run, mend, fine)
        if fine:
            self.begun.append(self.clock.true)

    @rule(run=RUNS)
    def release(self, run):
        self.allowed(run, lambda state: state.release(run), True)
        if self.owner == run:
            self.owner = None

    @rule(seconds=st.integers(1, 150))
    def time_passes(self, seconds):
        self.clock.true += seconds

    @rule(seconds=st.integers(-(10**6), 10**6))
    def wall_clock_is_stepped(self, seconds):
        self.clock.offset += seconds

    @invariant()
    def the_file_says_what_the_model_says(self):
        with _lease.locked(self.path, clock=self.clock) as state:
            holder = state.holder()
            assert (holder and holder["run_id"]) == self.held_by()


TestLeaseMachine = LeaseMachine.TestCase
TestLeaseMachine.settings = settings(max_examples=60, stateful_step_count=25)
