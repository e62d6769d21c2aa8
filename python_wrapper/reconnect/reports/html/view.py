"""What the page shows, ready for its templates: every decision is here, none in a template."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconnect import texts
from reconnect.reports import story
from reconnect.reports.changes import Sign
from reconnect.reports.html import picture
from reconnect.reports.path import WORST_FIRST, Condition, Station, condition_of, stations_of
from reconnect.reports.redaction import Redaction, command_of
from reconnect.reports.secret_forms import MASK, is_secret_name
from reconnect.result import Finding, Result, ending, rfc3339
from reconnect.runs.record import Record
from reconnect.text import one_line
from reconnect.texts import Language

_STRING_CHARACTERS = 2_000


@dataclass(frozen=True)
class Detail:
    """How much a page shows. One that is too large is made again with less; `left_out` is the id of its note."""

    packed: bool = False
    evidence: bool = True
    characters: int = 60_000
    passes: bool = True
    standing: bool = True
    well: bool = True
    findings: int = 400
    proofs: int = 8
    pictures: int = 1000
    servers: int = 1000
    rows: int = 1000
    left_out: str = ""


@dataclass(frozen=True)
class FindingView:
    status: str
    condition: Condition
    code: str
    about: str
    summary: str
    cause: str
    vantage: str
    step: str
    proofs: list[tuple[str, str]]


@dataclass(frozen=True)
class StepView:
    """A step of the timeline; `begin` and `width` are hundredths of the whole."""

    name: str
    state: str
    good: bool
    at: str
    seconds: str
    begin: float
    width: float


@dataclass(frozen=True)
class RemedyView:
    text: str
    tone: story.Tone
    reason: str
    lines: list[tuple[Sign, str]]


@dataclass(frozen=True)
class ServerView:
    """One server's part of the page."""

    number: int
    name: str
    tone: story.Tone
    mark: Condition
    code: str
    headline: str
    facts: list[tuple[str, str]]
    found: list[story.Item]
    next: list[story.Item]
    remedies: list[RemedyView]
    stations: list[Station]
    lying: picture.Picture | None
    standing: picture.Picture | None
    description: str
    findings: list[FindingView]
    unwell: int
    counts: str
    passes_left_out: int
    steps: list[StepView]
    seconds: str
    evidence: list[tuple[str, str]]
    again: list[tuple[str, str]]


@dataclass(frozen=True)
class RowView:
    """One server's line of the overview of a group; `number` is 0 where the page has no part of its own for it."""

    number: int
    name: str
    tone: story.Tone
    mark: Condition
    code: str
    cause: str
    stations: list[Station]


@dataclass(frozen=True)
class PageView:
    """The whole page."""

    title: str
    run_id: str
    when: str
    tone: story.Tone
    mark: Condition
    headline: str
    servers: list[ServerView]
    rows: list[RowView]
    rows_left_out: int
    tallies: list[tuple[Condition, str, int]]
    left_out: str
    facts: list[tuple[str, str]]


def page_view(
    record: Record,
    results: Sequence[Result],
    changed: Mapping[str, Sequence[list[tuple[Sign, str]]]],
    evidence: Mapping[str, list[tuple[str, str]]],
    detail: Detail,
) -> PageView:
    """The page of a run. `results` have no secrets; by server, `changed` has the lines of each remedy, `evidence` the
    texts of `evidence_texts`."""
    language = record.request.language
    paths = {result.server: stations_of(result) for result in results}
    worst_first = sorted(results, key=lambda result: (story.headline(result)[0] == "good", _order(result)))
    chosen = [result for result in worst_first if detail.well or story.headline(result)[0] != "good"][: detail.servers]
    numbers = {result.server: number for number, result in enumerate(chosen, 1)}
    servers = [
        _server(
            record,
            result,
            paths[result.server],
            numbers[result.server],
            changed[result.server],
            _evidence(evidence.get(result.server, []), detail),
            detail,
        )
        for result in chosen
    ]
    rows = [_row(result, paths[result.server], numbers.get(result.server, 0), language) for result in worst_first]
    tone, headline = _headline(results, language)
    mark = mark_of(results[0]) if len(results) == 1 else ("broken" if tone == "bad" else "fine")
    return PageView(
        title=f"{', '.join(record.request.named)}: {headline}",
        run_id=record.run_id,
        when=rfc3339(record.started_at.replace(microsecond=0)),
        tone=tone,
        mark=mark,
        headline=headline,
        servers=servers,
        rows=rows[: detail.rows],
        rows_left_out=max(len(rows) - detail.rows, 0),
        tallies=_tallies(results),
        left_out=texts.text(detail.left_out, language) if detail.left_out else "",
        facts=_facts(record),
    )


def mark_of(result: Result) -> Condition:
    """The sign for how a run on a server ended."""
    tone, _ = story.headline(result)
    if tone == "good":
        return "fixed" if ending(result).startswith("fixed_") else "fine"
    return "unknown" if result.state in {"unreachable", "timed_out", "cancelled"} else "broken"


def _server(
    record: Record,
    result: Result,
    stations: list[Station],
    number: int,
    changed: Sequence[list[tuple[Sign, str]]],
    evidence: list[tuple[str, str]],
    detail: Detail,
) -> ServerView:
    language = record.request.language
    tone, headline = story.headline(result, language)
    code, _, words = headline.partition(": ")
    told = {section.name: section.items for section in story.sections(result, language)}
    findings = _findings(result, detail)
    passes = sum(finding.status == "pass" for finding in result.findings)
    return ServerView(
        number=number,
        name=one_line(result.server, 80),
        tone=tone,
        mark=mark_of(result),
        code=code,
        headline=words[:1].upper() + words[1:],
        facts=_server_facts(result, language),
        found=told.get("found", []),
        next=told.get("next", []),
        remedies=[
            RemedyView(item.text, item.tone, one_line(remedy.reason or ""), lines)
            for item, remedy, lines in zip(told.get("done", []), result.remedies, changed, strict=True)
        ],
        stations=stations,
        lying=picture.lying(stations, language) if number <= detail.pictures else None,
        standing=picture.standing(stations, language) if detail.standing else None,
        description=picture.description(stations, language),
        findings=findings,
        unwell=sum(finding.status != "pass" for finding in result.findings),
        counts=story.counts(result.findings, language),
        passes_left_out=0 if detail.passes else passes,
        steps=_steps(result, language),
        seconds=_seconds((result.finished_at - result.started_at).total_seconds()),
        evidence=evidence,
        again=_again(record, result),
    )


def _findings(result: Result, detail: Detail) -> list[FindingView]:
    roots = {cause.cause for cause in result.verdict.root_causes} if result.verdict else set()
    views = []
    for finding in result.findings:
        if finding.status == "pass" and not detail.passes:
            continue
        views.append(_finding(finding, condition_of(finding, roots), detail))
    return sorted(views, key=lambda view: WORST_FIRST.index(view.condition))[: detail.findings]


def _finding(finding: Finding, condition: Condition, detail: Detail) -> FindingView:
    proofs = []
    if detail.evidence or finding.status != "pass":
        for proof in finding.evidence[: detail.proofs]:
            value = MASK if is_secret_name(proof.path) and isinstance(proof.value, str) else proof.value
            words = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            proofs.append((one_line(proof.path, 120), cut(words, 400)))
    return FindingView(
        status=finding.status,
        condition=condition,
        code=finding.code,
        about=one_line(finding.about or "", 120),
        summary=cut(finding.summary, 600),
        cause=finding.cause or "",
        vantage=one_line(finding.vantage or "", 60),
        step=finding.runbook_step or "",
        proofs=proofs,
    )


def _steps(result: Result, language: Language) -> list[StepView]:
    whole = max((result.finished_at - result.started_at).total_seconds(), 0.001)
    views = []
    for step in result.timeline[:200]:
        begin = min(max((step.at - result.started_at).total_seconds(), 0), whole)
        seconds = step.seconds or 0.0
        width = max(min(seconds, whole - begin) / whole, 0.004)
        views.append(
            StepView(
                name=one_line(texts.sentence(step.step, language), 80),
                state=one_line(texts.state(step.state, language), 20),
                good=step.state in {"ok", "changed", "skipped"},
                at=_seconds(begin),
                seconds=_seconds(step.seconds) if step.seconds is not None else "",
                begin=round(min(begin / whole, 0.996) * 100, 2),
                width=round(width * 100, 2),
            )
        )
    return views


def _evidence(texts: list[tuple[str, str]], detail: Detail) -> list[tuple[str, str]]:
    """As much of the evidence as the page tells."""
    return [(name, cut(text, detail.characters)) for name, text in texts] if detail.evidence else []


def evidence_texts(document: Mapping[str, Any], redaction: Redaction) -> list[tuple[str, str]]:
    """The parts of the evidence as indented JSON, free of secrets."""
    parts = []
    for name, part in document.items():
        if isinstance(part, dict | list) and part:
            text = json.dumps(_shortened(redaction.document(part)), indent=1, ensure_ascii=False, default=str)
            parts.append((one_line(name, 40), text))
    return parts


def _shortened(value: Any) -> Any:
    if isinstance(value, str):
        return cut(value, _STRING_CHARACTERS)
    if isinstance(value, dict):
        return {cut(str(name), 200): _shortened(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_shortened(inner) for inner in value]
    return value


def cut(text: str, limit: int) -> str:
    """`text`, and a note of how long it was where it was longer than `limit` characters."""
    return text if len(text) <= limit else f"{text[:limit]} … [cut: {len(text):,} characters]"


def _again(record: Record, result: Result) -> list[tuple[str, str]]:
    words = command_of(record.request)
    commands = {
        "page.again": story.command_line(words),
        "page.fix": story.fix_command(words, result),
        "page.show_run": story.command_line(["show", record.run_id]),
    }
    return [(texts.text(name, record.request.language), line) for name, line in commands.items() if line]


def _row(result: Result, stations: list[Station], number: int, language: Language) -> RowView:
    causes = result.verdict.root_causes if result.verdict else []
    titles = [one_line(texts.title(cause.cause, cause.title, language), 80) for cause in causes]
    cause = ", ".join(dict.fromkeys(titles)) or one_line(result.error_message or "", 120)
    tone = story.headline(result)[0]
    return RowView(number, one_line(result.server, 80), tone, mark_of(result), ending(result), cause, stations)


def _headline(results: Sequence[Result], language: Language) -> tuple[story.Tone, str]:
    if len(results) == 1:
        tone, words = story.headline(results[0], language)
        words = words.partition(": ")[2]
        return tone, words[:1].upper() + words[1:]
    bad = sum(story.headline(result)[0] == "bad" for result in results)
    fixed = sum(ending(result).startswith("fixed_") for result in results)
    if bad:
        said = texts.text("page.one_needs" if bad == 1 else "page.some_need", language, number=bad, all=len(results))
        return "bad", said
    return "good", texts.text(
        "page.all_fine_fixed" if fixed else "page.all_fine", language, number=fixed, all=len(results)
    )


def _tallies(results: Sequence[Result]) -> list[tuple[Condition, str, int]]:
    endings = [ending(result) for result in results]
    marks = {ending(result): mark_of(result) for result in results}
    counted = [(marks[name], name.replace("_", " "), endings.count(name)) for name in dict.fromkeys(endings)]
    return sorted(counted, key=lambda tally: (WORST_FIRST.index(tally[0]), -tally[2]))


def _order(result: Result) -> int:
    return WORST_FIRST.index(mark_of(result))


def _facts(record: Record) -> list[tuple[str, str]]:
    request = record.request
    facts = {
        "page.run_fact": record.run_id,
        "page.started": rfc3339(record.started_at.replace(microsecond=0)),
        "page.mode": texts.text(f"mode.{request.mode}", request.language),
        "page.playbook": one_line(request.playbook, 80),
        "page.account": one_line(request.account or "", 80),
        "page.incident": one_line(request.incident or "", 120),
        "page.approved": ", ".join(one_line(approval, 60) for approval in request.approvals),
    }
    return _named(facts, request.language)


def _server_facts(result: Result, language: Language) -> list[tuple[str, str]]:
    facts = {
        "page.account": one_line(result.account or "", 80),
        "page.incident": one_line(result.incident or "", 120),
        "page.started": rfc3339(result.started_at.replace(microsecond=0)),
        "page.took": _seconds((result.finished_at - result.started_at).total_seconds()),
        "page.checked": story.counts(result.findings, language),
    }
    return _named(facts, language)


def _named(facts: Mapping[str, str], language: Language) -> list[tuple[str, str]]:
    return [(texts.text(name, language), value) for name, value in facts.items() if value]


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"
