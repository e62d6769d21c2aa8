"""What is written down of a run, and of the report that its incident gets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from reconnect.result import State, Time, rfc3339
from reconnect.runs.request import Request

#: Whether the incident knows: there is none, or it is not to be told; not all is told yet; all is told.
Delivery = Literal["none", "pending", "delivered"]


class Pending(BaseModel):
    """How the delivery of a report stands that was tried and failed.

    `rounds`: how often a person had it tried again; `final`: trying again soon changes nothing; `given_up`: it is not
    tried any more.
    """

    model_config = ConfigDict(extra="forbid")

    since: Time
    attempts: int = 0
    rounds: int = 0
    error_message: str = ""
    final: bool = False
    next_at: Time | None = None
    given_up: bool = False


class Record(BaseModel):
    """A run as the store has it. `finished_at` is missing while it is under way or waits for its turn.

    `endings` is the outcome of each server, or the state where the run did not succeed. `begun` is how often it was
    begun: more than once where its process was killed. `question` is what the incident is asked where it cannot be
    processed, a sentence each: then nothing is executed, and the question is all there is to tell.
    """

    model_config = ConfigDict(extra="forbid")

    run_id: str
    request: Request
    started_at: Time
    finished_at: Time | None = None
    exit_code: int | None = None
    endings: dict[str, str] = {}
    delivery: Delivery = "none"
    pending: Pending | None = None
    notes: list[str] = []
    begun: int = 0
    question: list[str] = []


@dataclass(frozen=True)
class Wanted:
    """What a run has to be; None wants nothing. `since` and `until` are of its start, `ending` is of `server` where
    one is wanted, `before` is the id of a run that began after it, `requester` asked for it, and it is
    of servers of `within` alone."""

    server: str | None = None
    account: str | None = None
    ending: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: str | None = None
    requester: str | None = None
    within: frozenset[str] | None = None


@dataclass(frozen=True)
class Ended:
    """How a run ended on one server, and of which run that is. `seconds` is how long it took there, `right` what people
    said is right where the verdict is wrong; `finished_at` is missing until the whole run has ended."""

    run_id: str
    started_at: datetime
    finished_at: datetime | None
    incident: str | None
    trigger: str
    delivery: str
    server: str
    ending: str
    causes: list[str]
    seconds: float
    right: str | None


@dataclass(frozen=True)
class Asker:
    """Who or what asked for a run. `requester` is missing where nobody did; `trigger` is the way in: `command`, `api`,
    `page`, `selfcheck`, `hook`, `poll`, `approval` or `schedule`."""

    requester: str | None
    trigger: str
    trace_id: str

    @property
    def is_incident(self) -> bool:
        """Whether an incident began the run by itself."""
        return self.trigger in {"hook", "poll"}


@dataclass(frozen=True)
class Kept:
    """What is kept of a run beside its record: who asked, which worker has it, the hash of the plan that it showed, and
    the state and the reason that it is to end with where it is withdrawn."""

    asker: Asker
    worker: str | None
    plan_hash: str | None
    withdrawn: tuple[State, str] | None


@dataclass(frozen=True)
class Hold:
    """A hold in force; without a `server` it is of everything."""

    server: str
    reason: str
    held_by: str
    since: datetime

    def sentence(self) -> str:
        """Who holds what, since when and why."""
        what = self.server or "Everything"
        why = f": {self.reason.rstrip('.')}" if self.reason else ""
        return f"{what} is on hold since {rfc3339(self.since)} by {self.held_by}{why}."
