"""The result document, `reconnect/result/v1`: what a run found, did and leaves to do on one server.

docs/reference/documents.md and docs/reference/schemas/result.json are made from these models.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

SCHEMA: Literal["reconnect/result/v1"] = "reconnect/result/v1"

State = Literal["succeeded", "refused", "unreachable", "timed_out", "cancelled", "failed"]
Mode = Literal["diagnose", "check", "apply"]
Outcome = Literal[
    "healthy",
    "not_an_issue",
    "unverified",
    "temporary_network_problem",
    "fixed_client_configuration",
    "fixed_account",
    "fixed_service",
    "fixed_network",
    "undone",
    "fault_found",
    "escalate_second_level",
    "escalate_third_level",
]
#: The root cause of a failure that the catalogue has no name for.
UNKNOWN_CAUSE = "unknown_cause"

Status = Literal["pass", "warn", "fail", "unknown"]
Policy = Literal["auto", "approve", "human"]
Decision = Literal["run", "planned", "approval", "human"]
RemedyState = Literal["done", "not_needed", "refused", "failed", "rolled_back"]
#: States of a remedy that changed nothing.
UNTOUCHED: frozenset[str] = frozenset({"refused", "not_needed"})

Time = Annotated[
    AwareDatetime,
    PlainSerializer(lambda at: rfc3339(at), return_type=str, when_used="json"),
]


def now() -> datetime:
    """The present moment, in UTC and whole milliseconds."""
    present = datetime.now(UTC)
    return present.replace(microsecond=present.microsecond // 1000 * 1000)


def rfc3339(at: datetime) -> str:
    """`at` as RFC 3339 in UTC, with milliseconds only where there are any."""
    utc = at.astimezone(UTC)
    precision = "milliseconds" if utc.microsecond else "seconds"
    return utc.replace(tzinfo=None).isoformat(timespec=precision) + "Z"


class Document(BaseModel):
    """A part of the result: its fields and no others. What else is read is left out and never written."""

    model_config = ConfigDict(extra="ignore", json_schema_extra={"additionalProperties": False})


class Proof(Document):
    """Where in the evidence a finding comes from."""

    path: str
    value: Any = None


class Finding(Document):
    """One judged fact."""

    code: str
    status: Status
    subject: str
    about: str | None = None
    summary: str
    cause: str | None = None
    evidence: list[Proof] = []
    vantage: str | None = None
    runbook_step: str | None = None


class RootCause(Document):
    """A failing cause that no other failing cause explains."""

    cause: str
    subject: str
    about: str | None = None
    title: str
    summary: str
    runbook_step: str | None = None
    remedy: str | None = None
    policy: Policy
    vantages: list[str] = []


class Symptom(Document):
    """A failure that a root cause explains; `cause` is missing where the catalogue has no name for it, `times` is how
    many findings say so."""

    cause: str | None
    code: str | None = None
    explained_by: str
    summary: str
    times: int = 1


class Interruption(Document):
    """What a remedy may interrupt, or did: how many calls and registrations, and for how many seconds. A number that is
    not known, or that the remedy does not touch, is missing."""

    calls: int | None = None
    registrations: int | None = None
    seconds: float | None = None


class PlannedRemedy(Document):
    """A remedy the verdict asks for, and whether this run may carry it out."""

    remedy: str
    role: str | None = None
    entry: str | None = None
    cause: str
    about: str | None = None
    policy: Policy
    decision: Decision
    reason: str | None = None
    arguments: dict[str, Any] = {}
    #: Whether it does no harm when it is done twice, and whether it can be rolled back.
    repeatable: bool = False
    reversible: bool = False
    #: What it would change, a line each: gone (`-`), come (`+`) or left as it is; secrets masked.
    changes: list[str] = []
    #: What it may interrupt; missing: nothing.
    interrupts: Interruption | None = None


def approved_by_yes(steps: Iterable[PlannedRemedy]) -> list[str]:
    """The remedies that a yes to these steps approves: those that wait for it, and those that need it although the yes
    to the plan that is shown is enough, as a message to one user."""
    return sorted({step.remedy for step in steps if step.decision == "approval" or step.policy == "approve"})


class Message(Document):
    """A text for the user of the phone, by its id in the catalogue (reconnect/locale)."""

    id: str
    arguments: dict[str, str] = {}


class Verdict(Document):
    """What the evidence amounts to."""

    outcome: Outcome
    root_causes: list[RootCause] = []
    symptoms: list[Symptom] = []
    plan: list[PlannedRemedy] = []
    next_step: str | None = None
    user_message: Message | str | None = None
    escalate_to: str | None = None


class Judgement(Document):
    """What judging one evidence document gives."""

    verdict: Verdict
    findings: list[Finding]


class AppliedRemedy(Document):
    """A remedy that was tried, and how the server was before and after. `escalate`: refused because it was done too
    often lately."""

    remedy: str
    cause: str | None = None
    state: RemedyState
    reason: str | None = None
    #: What it changed, as its plan showed it: a line each, secrets masked.
    changes: list[str] = []
    before: Any = None
    after: Any = None
    #: What it did interrupt.
    interrupted: Interruption | None = None
    rolled_back: bool = False
    escalate: bool = False
    started_at: Time | None = None
    finished_at: Time | None = None


class Step(Document):
    """One step of the run as it ended; `seconds` is how long it took."""

    at: Time
    step: str
    state: str
    seconds: float | None = None


class Result(Document):
    """What one run found, did and leaves to do on one server. `server_id` says which server it is, however it is
    called; it is missing where the run took no lease on it."""

    document_schema: Literal["reconnect/result/v1"] = Field(default=SCHEMA, alias="schema")
    run_id: str
    state: State
    playbook: str
    mode: Mode
    server: str
    server_id: str | None = Field(default=None, pattern=r"^[0-9a-f]{32}$")
    account: str | None = None
    incident: str | None = None
    started_at: Time
    finished_at: Time
    error_message: str | None = None
    verdict: Verdict | None = None
    findings: list[Finding] = []
    remedies: list[AppliedRemedy] = []
    timeline: list[Step] = []

    model_config = ConfigDict(populate_by_name=True)


def steps(results: Iterable[Result], decision: Decision | None = None) -> list[tuple[str, PlannedRemedy]]:
    """The steps of their plans, each with its server: all, or those with this `decision`."""
    plans = [(result.server, result.verdict.plan) for result in results if result.verdict]
    return [(server, step) for server, plan in plans for step in plan if decision in {None, step.decision}]


def ending(result: Result) -> str:
    """The outcome where the run succeeded, else the state it ended in; without a verdict no run succeeded."""
    if result.state != "succeeded":
        return result.state
    return result.verdict.outcome if result.verdict else "failed"


def to_json(result: Result) -> dict[str, Any]:
    """`result` as the JSON object that is written, printed and attached."""
    return result.model_dump(mode="json", by_alias=True)


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the result document."""
    schema = Result.model_json_schema(by_alias=True, mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Result of a run of Reconnect",
        **{key: value for key, value in schema.items() if key != "title"},
    }
