"""The documents of the API, as the service writes them and a client reads them."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from reconnect.result import Mode, Result, Time
from reconnect.runs.record import Delivery, Pending
from reconnect.texts import Language

#: A plan is carried out only while it is no older than this.
PLAN_EXPIRY = timedelta(minutes=30)

RunId = Annotated[str, Field(pattern=r"^[0-9a-f-]{1,32}$")]
ApprovalId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
ApprovalState = Literal["pending", "approved", "denied", "expired"]
EventType = Literal[
    "com.privatewave.reconnect.run.ended.v1",
    "com.privatewave.reconnect.approval.requested.v1",
    "com.privatewave.reconnect.report.given_up.v1",
    "com.privatewave.reconnect.fault.found.v1",
]


class Problem(BaseModel):
    """An error (RFC 9457); `detail` is one sentence for a person."""

    type: Literal["about:blank"] = "about:blank"
    title: str
    status: int
    detail: str


class RunShown(BaseModel):
    """A run: its request, how it stands, and once it has ended its results (reconnect/result/v1).

    `named`: the servers as they were given. `command`: the words of the command that asks for the same, its variables
    for Ansible without their values. `pending`: how the delivery of its report stands where it failed.
    """

    id: RunId
    state: Literal["queued", "running", "ended"]
    playbook: str
    mode: Mode
    named: list[str]
    servers: list[str]
    account: str | None
    incident: str | None
    language: Language
    command: list[str]
    requester: str | None
    trigger: str
    trace_id: str
    started_at: Time
    finished_at: Time | None
    exit_code: int | None
    endings: dict[str, str]
    report: Delivery
    pending: Pending | None
    question: list[str]
    notes: list[str]
    plan_hash: str | None
    plan_of: RunId | None
    results: list[Result] | None = None


class RunPage(BaseModel):
    """Runs, the newest first; `next` is the cursor of the next page."""

    runs: list[RunShown]
    next: RunId | None


class ApprovalShown(BaseModel):
    """A plan that waits for a second person, or did."""

    approval_id: ApprovalId
    run_id: RunId
    plan_hash: str
    requested_by: str | None
    requested_at: Time
    expires_at: Time
    state: ApprovalState
    decided_by: str | None
    decided_at: Time | None
    comment: str
    applied_run_id: RunId | None


class CaseShown(BaseModel):
    """A verdict that is wrong, as a case for the tests: its files by their names, in Base64."""

    files: dict[Annotated[str, StringConstraints(pattern=r"^[0-9a-f-]{1,32}\.[0-9]{3,5}\.(json\.gz|yml)$")], str]


class CheckLink(BaseModel):
    """The one-time link for a self-check; one browser can open it until it expires."""

    url: str
    expires_at: Time


class Requested(BaseModel):
    """The approval that a plan waits for."""

    approval_id: ApprovalId


class Decided(BaseModel):
    """The run that carries the plan out after a yes."""

    applied_run_id: RunId | None


class ServerShown(BaseModel):
    """A server of the inventory: its newest run, how that ended, and the hold on it."""

    server: str
    run: RunId | None
    ending: str | None
    at: Time | None
    hold: str | None


class HoldShown(BaseModel):
    """A hold in force; without a server it is of everything."""

    server: str | None
    reason: str
    held_by: str
    since: Time


class Outcome(BaseModel):
    """What happened: to a run; for `approval.requested` the approval that its plan waits for; for `fault.found` the
    cause, or the code of the finding that warns."""

    run: RunShown
    approval_id: ApprovalId | None = None
    fault: str | None = None


class EventShown(BaseModel):
    """An event of CloudEvents 1.0; `subject` is the run, and `id` the number after which the next one comes."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str
    type: EventType
    subject: RunId
    time: Time
    datacontenttype: Literal["application/json"] = "application/json"
    data: Outcome


class EventPage(BaseModel):
    """Events, the oldest first; `next` is what to ask for `after` this."""

    events: list[EventShown]
    next: int


class Taken(BaseModel):
    """What becomes of an event: a new one is kept, and `reason` says why another one is not."""

    result: Literal["accepted", "duplicate", "ignored"]
    reason: str | None = None


class Me(BaseModel):
    """Who you are, and what you may do; without `servers` all of them are yours."""

    name: str
    role: str
    rights: list[str]
    servers: list[str] | None
