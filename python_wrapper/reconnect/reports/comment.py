"""The report of a run, in the incident's language: plain text for an incident, Markdown for a file."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reconnect import texts
from reconnect.reports import story
from reconnect.reports.redaction import command_of
from reconnect.result import Result, rfc3339
from reconnect.runs.record import Record

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~!]|^[-+])")


def text(record: Record, results: Sequence[Result]) -> str:
    """The report as plain text."""
    language = record.request.language
    lines = [_title(record), ""]
    for result in results:
        lines += [f"{result.server} — {story.headline(result, language)[1]}", ""]
        for section in story.sections(result, language):
            lines.append(f"{section.heading}:")
            for item in section.items:
                lines.append(f"  - {item.text}")
                lines += [f"      {line}" for line in item.below]
            lines.append("")
        lines += [_facts(record, result), ""]
    return "\n".join(lines)


def markdown(record: Record, results: Sequence[Result]) -> str:
    """The report as Markdown; nothing that a server or an incident said is read as markup."""
    language = record.request.language
    lines = [f"# {_escaped(_title(record))}", ""]
    for result in results:
        lines += [f"## {_escaped(result.server)} — {_escaped(story.headline(result, language)[1])}", ""]
        for section in story.sections(result, language):
            lines += [f"### {section.heading}", ""]
            for item in section.items:
                lines.append(f"- {_escaped(item.text)}")
                lines += [f"  - {_escaped(line)}" for line in item.below]
            lines.append("")
        lines += [_escaped(_facts(record, result)), ""]
    return "\n".join(lines)


def _title(record: Record) -> str:
    language = record.request.language
    mode = texts.text(f"mode.{record.request.mode}", language)
    servers = ", ".join(record.request.named)
    return texts.text("report.title", language, mode=mode, servers=servers, run=record.run_id)


def _facts(record: Record, result: Result) -> str:
    language = record.request.language
    return texts.text(
        "report.facts_account" if result.account else "report.facts",
        language,
        counts=story.counts(result.findings, language),
        account=result.account,
        started=rfc3339(result.started_at),
        seconds=f"{(result.finished_at - result.started_at).total_seconds():.1f}",
        command=story.command_line(command_of(record.request)),
    )


def _escaped(words: str) -> str:
    return _MARKDOWN.sub(r"\\\1", words)
