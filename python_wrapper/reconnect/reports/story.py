"""A result in words, section by section. The screen and the reports only lay it out.

Each failure is told once, however many vantages saw it. Everything from a server or an incident is printable. What we
say ourselves is in `language`, with the titles of causes and the user's message; findings, next steps and names are for
engineers and stay as the judge wrote them.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from reconnect import outcomes, texts
from reconnect.reports.changes import changes
from reconnect.result import (
    UNKNOWN_CAUSE,
    UNTOUCHED,
    AppliedRemedy,
    Finding,
    Judgement,
    Result,
    RootCause,
    Verdict,
    approved_by_yes,
    ending,
)
from reconnect.text import one_line, printable
from reconnect.texts import Language

Tone = Literal["good", "bad", "warn", "neutral"]


@dataclass(frozen=True)
class Item:
    """One point of a section, and what belongs below it."""

    text: str
    tone: Tone = "neutral"
    below: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Section:
    """Points under one heading; `name` is found, done or next in every language."""

    name: Literal["found", "done", "next"]
    heading: str
    items: list[Item]


def headline(result: Result, language: Language = "en") -> tuple[Tone, str]:
    """The verdict in one sentence, with the outcome's or the state's own name first."""
    return _headline(ending(result), language)


def verdict_headline(verdict: Verdict) -> tuple[Tone, str]:
    """The outcome and what it means."""
    return _headline(verdict.outcome, "en")


def _headline(name: str, language: Language) -> tuple[Tone, str]:
    return outcomes.table()[name].tone, f"{name}: {texts.text(f'outcome.{name}', language)}"


def sections(result: Result, language: Language = "en", diff: bool = False) -> list[Section]:
    """What was found, what was done, what comes next; sections without points are left out. `diff`: what a remedy
    changed is told line by line."""
    error = [Item(one_line(result.error_message), "bad")] if result.error_message else []
    verdict = result.verdict
    return _sections(
        found=error + (_found(verdict, result.findings, language) if verdict else []),
        done=[_done(remedy, language, diff) for remedy in result.remedies],
        following=_next(verdict, language) if verdict else [],
        language=language,
    )


def judgement_sections(judgement: Judgement) -> list[Section]:
    """What was found and what comes next, where nothing was done."""
    verdict = judgement.verdict
    return _sections(_found(verdict, judgement.findings, "en"), [], _next(verdict, "en"), "en")


def _sections(found: list[Item], done: list[Item], following: list[Item], language: Language) -> list[Section]:
    told = [
        Section("found", texts.text("report.found", language), found),
        Section("done", texts.text("report.done", language), done),
        Section("next", texts.text("report.next", language), following),
    ]
    return [section for section in told if section.items]


def counts(findings: Sequence[Finding], language: Language = "en") -> str:
    """How many findings of each status there are."""
    number = dict.fromkeys(("pass", "warn", "fail", "unknown"), 0)
    for finding in findings:
        number[finding.status] += 1
    kinds = ", ".join(f"{count} {status}" for status, count in number.items() if count)
    total = len(findings)
    said = texts.text("report.one_finding" if total == 1 else "report.findings", language, number=total)
    return said + (f" ({kinds})" if kinds else "")


def fix_command(command: Sequence[str], result: Result) -> str | None:
    """The command that fixes what the run only planned; None where it planned nothing."""
    verdict = result.verdict
    waiting = [step for step in verdict.plan if step.decision in {"planned", "approval"}] if verdict else []
    if not waiting:
        return None
    asked = [word for word in command if word not in {"--check", "--apply"}]
    approved = [word for name in approved_by_yes(waiting) for word in ("--approve", name)]
    return command_line([*asked, "--apply", *approved])


def command_line(command: Sequence[str]) -> str:
    """A command as it can be typed into a shell."""
    return one_line(shlex.join(["reconnect", *command]), 4000)


def _found(verdict: Verdict, findings: Sequence[Finding], language: Language) -> list[Item]:
    explained = {cause.cause for cause in verdict.root_causes}
    explained |= {symptom.cause or symptom.code or "" for symptom in verdict.symptoms}
    # Findings without a cause follow by themselves.
    causes = [_root_cause(cause, verdict, language) for cause in verdict.root_causes if cause.cause != UNKNOWN_CAUSE]
    return causes + [_other(group, language) for group in _grouped(findings, explained)]


def _root_cause(cause: RootCause, verdict: Verdict, language: Language) -> Item:
    about = f" {one_line(cause.about, 120)}" if cause.about else ""
    seen = f", {_seen_from(cause.vantages, language)}" if cause.vantages else ""
    step = f" ({cause.runbook_step}{seen})" if cause.runbook_step else ""
    symptoms = list(dict.fromkeys(one_line(s.summary) for s in verdict.symptoms if s.explained_by == cause.cause))
    title = f"{one_line(texts.title(cause.cause, cause.title, language))}: {cause.cause}{about}{step}"
    explains = [texts.text("report.explains", language, symptom=symptom) for symptom in symptoms]
    return Item(title, "bad", [one_line(cause.summary), *explains])


def _seen_from(vantages: Sequence[str], language: Language) -> str:
    return texts.text("report.seen_from", language, vantages=", ".join(one_line(vantage, 80) for vantage in vantages))


def _grouped(findings: Sequence[Finding], explained: set[str]) -> list[list[Finding]]:
    """Failures and warnings without a cause in the verdict, one group for each statement."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        if finding.status in {"fail", "warn"} and (finding.cause or finding.code) not in explained:
            said = (finding.status, finding.code, finding.about or "", finding.cause or "")
            groups.setdefault(said, []).append(finding)
    return sorted(groups.values(), key=lambda group: group[0].status)


def _other(findings: list[Finding], language: Language) -> Item:
    first = findings[0]
    vantages = list(dict.fromkeys(finding.vantage for finding in findings if finding.vantage))
    seen = f" ({_seen_from(vantages, language)})" if vantages else ""
    tone: Tone = "bad" if first.status == "fail" else "warn"
    return Item(f"{first.status} {first.code}: {one_line(first.summary)}{seen}", tone)


def _done(remedy: AppliedRemedy, language: Language, diff: bool = False) -> Item:
    below = []
    if remedy.reason:
        below.append(one_line(remedy.reason))
    if diff and remedy.state not in UNTOUCHED:
        below += [printable(line)[:200] for line in remedy.changes]
        below += [] if remedy.changes else [f"{sign}{line}" for sign, line in changes(remedy)]
    if remedy.before is not None and not diff:
        below.append(texts.text("report.before", language, value=_value(remedy.before)))
    if remedy.after is not None and not diff:
        below.append(texts.text("report.after", language, value=_value(remedy.after)))
    if remedy.interrupted is not None:
        value = _value(remedy.interrupted.model_dump(exclude_none=True))
        below.append(texts.text("report.interrupted", language, value=value))
    if remedy.rolled_back and remedy.state != "rolled_back":
        below.append(texts.text("report.rolled_back", language))
    name = remedy.remedy
    if remedy.cause:
        name = texts.text("report.remedy", language, remedy=name, cause=remedy.cause)
    return Item(f"{name}: {remedy.state}", "good" if remedy.state == "done" else "bad", below)


def _next(verdict: Verdict, language: Language) -> list[Item]:
    items = []
    if verdict.next_step:
        items.append(Item(one_line(verdict.next_step)))
    for step in verdict.plan:
        if step.decision != "run" and step.reason:
            below = [printable(line)[:200] for line in step.changes]
            items.append(Item(f"{step.remedy}: {one_line(step.reason)}", below=below))
    if verdict.escalate_to:
        level = texts.text(f"level.{one_line(verdict.escalate_to, 80).replace(' ', '_')}", language)
        items.append(Item(texts.text("report.escalate", language, level=level)))
    if said := outcomes.told(verdict, language):
        items.append(Item(texts.text("report.tell_user", language, text=one_line(said, 1000))))
    return items


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{one_line(key, 60)} {_value(inner)}" for key, inner in value.items())
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        value = ", ".join(value)
    return one_line(value if isinstance(value, str) else json.dumps(value, default=str), 200)
