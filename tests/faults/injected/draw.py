"""The cases of a seed: each a fault of the suite or a mutation, with a call up or without one."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from random import Random

from labkit.hosts import HOSTS
from mutations import trial as mutations
from trials import cases as suite


@dataclass(frozen=True)
class Injected:
    """A case of a seed: ``fault`` is the suite's, or the mutation's."""

    seed: int
    number: int
    fault: suite.Case | mutations.Case

    @property
    def id(self) -> str:
        name = self.fault.id if isinstance(self.fault, suite.Case) else f"{self.fault.host}/{self.fault.kind}"
        return f"{self.seed}/{self.number}/{name}"

    @property
    def server(self) -> str:
        """The server that is diagnosed."""
        return self.fault.server

    @property
    def with_call(self) -> bool:
        """Whether a call is placed before anything is wrong: in every second case that has a phone's extension."""
        return self.number % 2 == 0 and HOSTS[self.server].is_pbx


def injected(seed: int, number: int) -> Injected:
    """The case of a seed and a number: the same on every machine, as long as suite and kinds are the same."""
    rng = Random(f"injected/{seed}/{number}")
    if rng.random() < 0.5:
        return Injected(seed, number, rng.choice(faults()))
    return Injected(seed, number, mutations.case_of(seed, number))


@functools.cache
def faults() -> tuple[suite.Case, ...]:
    """The faults of the suite that end within a minute or two."""
    return tuple(case for case in suite.cases() if case.kind == "fault" and not case.idle_test)
