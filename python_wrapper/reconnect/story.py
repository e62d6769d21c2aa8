"""A result told in words, section by section; the screen and the reports only dress it.

Each failure is told once, however many vantages saw it. Everything that comes from a server or a ticket is printable.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from reconnect.result import AppliedRemedy, Finding, Judgement, Result, RootCause, Verdict
from reconnect.text import one_line, printable

UNKNOWN_CAUSE = "unknown_cause"

Tone = Literal["good", "bad", "warn", "neutral"]

_OUTCOMES: dict[str, tuple[Tone, str]] = {
    "healthy": ("good", "nothing is wrong with the way to this server"),
    "not_an_issue": ("good", "the device has no internet connection"),
    "temporary_network_problem": ("good", "a temporary network problem that is over"),
    "fixed_client_configuration": ("good", "mended: the client's configuration"),
    "fixed_account": ("good", "mended: the account"),
    "fixed_service": ("good", "mended: a service"),
    "fixed_network": ("good", "mended: the network"),
    "fault_found": ("bad", "the fault is known and not mended"),
    "escalate_second_level": ("bad", "goes to second level"),
    "escalate_third_level": ("bad", "goes to third level"),
}
_STATES: dict[str, tuple[Tone, str]] = {
    "refused": ("bad", "a guardrail refused to mend it"),
    "unreachable": ("bad", "the server could not be reached"),
    "timed_out": ("bad", "the run took too long and was ended"),
    "cancelled": ("bad", "the run was cancelled"),
    "failed": ("bad", "the run failed"),
}


@dataclass(frozen=True)
class Item:
    """One point of a section, and what belongs below it."""

    text: str
    tone: Tone = "neutral"
    below: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Section:
    """Points under one heading."""

    heading: str
    items: list[Item]


def headline(result: Result) -> tuple[Tone, str]:
    """The verdict in one sentence, with the outcome's or the state's own name first."""
    if result.state != "succeeded":
        tone, words = _STATES[result.state]
        return tone, f"{result.state}: {words}"
    if result.verdict is None:
        return "bad", "failed: there is no verdict"
    return verdict_headline(result.verdict)


def verdict_headline(verdict: Verdict) -> tuple[Tone, str]:
    """The outcome and what it means."""
    tone, words = _OUTCOMES[verdict.outcome]
    return tone, f"{verdict.outcome}: {words}"


def sections(result: Result) -> list[Section]:
    """What was found, what was done, what comes next; sections without points are left out."""
    error = [Item(one_line(result.error_message), "bad")] if result.error_message else []
    told = [
        Section("Found", error + (_found(result.verdict, result.findings) if result.verdict else [])),
        Section("Done", [_done(remedy) for remedy in result.remedies]),
        Section("Next", _next(result.verdict) if result.verdict else []),
    ]
    return [section for section in told if section.items]


def judgement_sections(judgement: Judgement) -> list[Section]:
    """What was found and what comes next, where nothing was done."""
    verdict = judgement.verdict
    told = [Section("Found", _found(verdict, judgement.findings)), Section("Next", _next(verdict))]
    return [section for section in told if section.items]


def counts(findings: Sequence[Finding]) -> str:
    """How many findings of each status there are."""
    number = dict.fromkeys(("pass", "warn", "fail", "unknown"), 0)
    for finding in findings:
        number[finding.status] += 1
    kinds = ", ".join(f"{count} {status}" for status, count in number.items() if count)
    total = len(findings)
    return f"{total} finding{'' if total == 1 else 's'}" + (f" ({kinds})" if kinds else "")


def mending_command(command: Sequence[str], result: Result) -> str | None:
    """The command that mends what this run may mend when it is told to; None where there is nothing of that kind."""
    verdict = result.verdict
    waiting = [step for step in verdict.plan if step.decision in {"planned", "approval"}] if verdict else []
    if not waiting:
        return None
    approvals = dict.fromkeys(step.remedy for step in waiting if step.decision == "approval")
    asked = [word for word in command if word not in {"--check", "--apply"}]
    return command_line([*asked, "--apply", *(word for name in approvals for word in ("--approve", name))])


def command_line(command: Sequence[str]) -> str:
    """A command as it can be typed into a shell."""
    return one_line(shlex.join(["reconnect", *command]), 4000)


def _found(verdict: Verdict, findings: Sequence[Finding]) -> list[Item]:
    explained = {cause.cause for cause in verdict.root_causes}
    explained |= {symptom.cause or symptom.code or "" for symptom in verdict.symptoms}
    # The findings that no cause stands for follow by themselves.
    causes = [_root_cause(cause, verdict) for cause in verdict.root_causes if cause.cause != UNKNOWN_CAUSE]
    return causes + [_other(group) for group in _grouped(findings, explained)]


def _root_cause(cause: RootCause, verdict: Verdict) -> Item:
    about = f" {one_line(cause.about, 120)}" if cause.about else ""
    seen = f", seen from {', '.join(one_line(vantage, 80) for vantage in cause.vantages)}" if cause.vantages else ""
    step = f" ({cause.runbook_step}{seen})" if cause.runbook_step else ""
    symptoms = list(dict.fromkeys(one_line(s.summary) for s in verdict.symptoms if s.explained_by == cause.cause))
    title = f"{one_line(cause.title)}: {cause.cause}{about}{step}"
    return Item(title, "bad", [one_line(cause.summary), *(f"explains: {symptom}" for symptom in symptoms)])


def _grouped(findings: Sequence[Finding], explained: set[str]) -> list[list[Finding]]:
    """Failures and warnings that no cause of the verdict stands for, one group for each thing said."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        if finding.status in {"fail", "warn"} and (finding.cause or finding.code) not in explained:
            said = (finding.status, finding.code, finding.about or "", finding.cause or "")
            groups.setdefault(said, []).append(finding)
    return sorted(groups.values(), key=lambda group: group[0].status)


def _other(findings: list[Finding]) -> Item:
    first = findings[0]
    vantages = list(dict.fromkeys(one_line(finding.vantage, 80) for finding in findings if finding.vantage))
    seen = f" (seen from {', '.join(vantages)})" if vantages else ""
    tone: Tone = "bad" if first.status == "fail" else "warn"
    return Item(f"{first.status} {first.code}: {one_line(first.summary)}{seen}", tone)


def _done(remedy: AppliedRemedy) -> Item:
    below = []
    if remedy.reason:
        below.append(one_line(remedy.reason))
    changes = {"before": remedy.before, "after": remedy.after}
    below += [f"{when}: {_value(value)}" for when, value in changes.items() if value is not None]
    if remedy.rolled_back and remedy.state != "rolled_back":
        below.append("rolled back")
    cause = f" for {remedy.cause}" if remedy.cause else ""
    return Item(f"{remedy.remedy}{cause}: {remedy.state}", "good" if remedy.state == "done" else "bad", below)


def _next(verdict: Verdict) -> list[Item]:
    items = []
    if verdict.next_step:
        items.append(Item(one_line(verdict.next_step)))
    for step in verdict.plan:
        if step.decision != "run" and step.reason:
            below = [printable(line)[:200] for line in step.changes]
            items.append(Item(f"{step.remedy}: {one_line(step.reason)}", below=below))
    if verdict.escalate_to:
        items.append(Item(f"escalate to {one_line(verdict.escalate_to.replace('_', ' '), 80)}"))
    if verdict.user_message:
        items.append(Item(f"tell the user: {one_line(verdict.user_message, 1000)}"))
    return items


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{one_line(key, 60)} {_value(inner)}" for key, inner in value.items())
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        value = ", ".join(value)
    return one_line(value if isinstance(value, str) else json.dumps(value, default=str), 200)
