"""The report of a run: plain text for an incident, Markdown for a file."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reconnect import story
from reconnect.result import Result, rfc3339
from reconnect.runs import Record

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~!]|^[-+])")


def text(record: Record, results: Sequence[Result]) -> str:
    """The report as plain text."""
    lines = [_title(record), ""]
    for result in results:
        lines += [f"{result.server} — {story.headline(result)[1]}", ""]
        for section in story.sections(result):
            lines.append(f"{section.heading}:")
            for item in section.items:
                lines.append(f"  - {item.text}")
                lines += [f"      {line}" for line in item.below]
            lines.append("")
        lines += [_facts(record, result), ""]
    return "\n".join(lines)


def markdown(record: Record, results: Sequence[Result]) -> str:
    """The report as Markdown; nothing that a server or a ticket said is read as markup."""
    lines = [f"# {_escaped(_title(record))}", ""]
    for result in results:
        lines += [f"## {_escaped(result.server)} — {_escaped(story.headline(result)[1])}", ""]
        for section in story.sections(result):
            lines += [f"### {section.heading}", ""]
            for item in section.items:
                lines.append(f"- {_escaped(item.text)}")
                lines += [f"  - {_escaped(line)}" for line in item.below]
            lines.append("")
        lines += [_escaped(_facts(record, result)), ""]
    return "\n".join(lines)


def _title(record: Record) -> str:
    mode = {"diagnose": "diagnosis", "check": "diagnosis with a plan", "apply": "diagnosis and mending"}
    return f"Reconnect: {mode[record.request.mode]} of {', '.join(record.request.named)}, run {record.run_id}"


def _facts(record: Record, result: Result) -> str:
    seconds = (result.finished_at - result.started_at).total_seconds()
    account = f" for account {result.account}" if result.account else ""
    return (
        f"{story.counts(result.findings)}{account}; {rfc3339(result.started_at)}, {seconds:.1f} s; "
        f"again with: {story.command_line(record.request.command)}"
    )


def _escaped(words: str) -> str:
    return _MARKDOWN.sub(r"\\\1", words)
