# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents that the judge gives back, as plain data: playbooks carry them from step to step as facts."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from .outcomes import Outcome

Status = Literal["pass", "warn", "fail", "unknown"]
Policy = Literal["auto", "approve", "human"]
Decision = Literal["run", "planned", "approval"]
Level = Literal["first", "second"]
RemedyState = Literal["done", "not_needed", "refused", "failed", "rolled_back"]


class Source(TypedDict):
    """Where in the evidence a finding comes from: a dotted path, and what stands there."""

    path: str
    value: Any


class FindingDocument(TypedDict):
    """One judged fact. ``cause`` is null where the catalogue has no name for it."""

    code: str
    status: Status
    subject: str
    about: str
    summary: str
    cause: str | None
    evidence: list[Source]
    vantage: str
    runbook_step: str


class RootCause(TypedDict):
    """A failing cause that no other failing cause explains. ``remedy`` is null where a person decides."""

    cause: str
    subject: str
    about: str
    title: str
    summary: str
    runbook_step: str
    remedy: str | None
    policy: Policy
    vantages: list[str]


class Symptom(TypedDict):
    """A failure that a root cause explains; ``times`` is how many findings say so."""

    cause: str | None
    code: str
    explained_by: str
    summary: str
    times: int


class Interruption(TypedDict, total=False):
    """What a remedy may interrupt, or did: how many calls and registrations, and for how many seconds.

    A number is null where it is not known, and missing where the remedy does not touch it.
    """

    calls: int | None
    registrations: int | None
    seconds: float


class Step(TypedDict):
    """A remedy that the verdict asks for: what its role gets, and whether this run carries it out.

    ``arguments`` are the inputs of the entry point, with ``about``: what the findings are about. ``changes`` is what
    the remedy would change, a line each: gone (``-``), come (``+``) or left as it is, without secrets. ``interrupts``
    is what it may interrupt, null: nothing.
    """

    remedy: str
    role: str
    entry: str
    cause: str
    about: str
    policy: Policy
    decision: Decision
    reason: str
    arguments: dict[str, Any]
    repeatable: bool
    reversible: bool
    changes: list[str]
    interrupts: Interruption | None


class Message(TypedDict):
    """A text for the user of the phone: its id in the wrapper's catalogue of texts, and what stands in its braces."""

    id: str
    arguments: dict[str, str]


class Verdict(TypedDict):
    """What the evidence amounts to. ``escalate_to`` is the level that takes over, or null."""

    outcome: Outcome
    root_causes: list[RootCause]
    symptoms: list[Symptom]
    plan: list[Step]
    next_step: str
    user_message: Message | None
    escalate_to: str | None


class Judgement(TypedDict):
    """What judging one evidence document gives."""

    verdict: Verdict
    findings: list[FindingDocument]


class Conclusion(TypedDict):
    """The last word of a run: a judgement, and the state that the run ends in."""

    verdict: Verdict
    findings: list[FindingDocument]
    state: Literal["succeeded", "refused"]


class Carried(TypedDict, total=False):
    """What became of a remedy: carried out, or refused. Times are RFC 3339 in UTC.

    ``changes`` are those of its step in the plan. ``interrupted`` is what it did interrupt, as its role measured it.
    """

    remedy: str
    cause: str
    state: RemedyState
    reason: str | None
    changes: list[str]
    before: Any
    after: Any
    interrupted: Interruption | None
    rolled_back: bool
    escalate: bool
    started_at: str
    finished_at: str | None


class TakenUp(TypedDict):
    """What a run that starts again makes of what it had begun before.

    ``later`` is the judgement after those remedies, or null where there is none of them.
    """

    judgement: Judgement
    later: Judgement | None
    remedies: list[Carried]
