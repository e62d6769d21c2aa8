"""The screen at the end of a run: the verdict first, then what was found, what was done and what comes next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reconnect.reports import story
from reconnect.reports.redaction import command_of
from reconnect.result import Finding, Judgement, Result, rfc3339
from reconnect.runs.record import Record
from reconnect.text import one_line

if TYPE_CHECKING:
    from reconnect.ansible.judging import Cause

_STYLES: dict[story.Tone, str] = {"good": "green", "bad": "red", "warn": "yellow", "neutral": ""}
_MARKS: dict[story.Tone, str] = {"good": "✔", "bad": "✘", "warn": "!", "neutral": "•"}


def show(
    console: Console, record: Record, results: Sequence[Result], notes: Sequence[str] = (), diff: bool = False
) -> None:
    """Prints how the run ended, server by server, and the commands to go on with; see `story.sections` for `diff`."""
    for result in results:
        headline = story.headline(result)
        # Among several servers, one that is fine gets a line.
        brief = len(results) > 1 and headline[0] == "good" and not result.remedies
        _told(console, result.server, headline, [] if brief else story.sections(result, diff=diff), result.findings)
    console.print()
    for note in notes:
        console.print(Text(note, "yellow"))
    words = command_of(record.request)
    _labelled(console, "Again", story.command_line(words))
    fixes = dict.fromkeys(filter(None, (story.fix_command(words, result) for result in results)))
    for command in fixes:
        _labelled(console, "Fix", command)
    _labelled(console, "Report", f"reconnect report {record.run_id}")


def show_judgement(console: Console, server: str, judgement: Judgement) -> None:
    """Prints what judging an evidence document gave."""
    headline = story.verdict_headline(judgement.verdict)
    _told(console, server, headline, story.judgement_sections(judgement), judgement.findings)


def show_causes(console: Console, causes: Iterable[Cause]) -> None:
    """One line per cause of the catalogue."""
    rows = [(cause.name, cause.runbook_step, cause.policy, cause.title) for cause in causes]
    name, step, policy, _ = (max(map(len, column), default=0) for column in zip(*rows, strict=True))
    for row in rows:
        # Never wrapped: programs read it.
        rest = f"  {row[1]:{step}}  {row[2]:{policy}}  {row[3]}"
        console.print(Text.assemble((f"{row[0]:{name}}", "bold"), rest), soft_wrap=True)


def show_cause(console: Console, cause: Cause) -> None:
    """Everything the catalogue has about one cause."""
    console.print(Text.assemble((cause.name, "bold"), "  ", cause.title))
    facts = {
        "what": cause.sentence,
        "step": f"{cause.runbook_step} ({cause.subject})",
        "explains": ", ".join(cause.explains) or "nothing else",
        "fix": f"{cause.remedy}, policy {cause.policy}" if cause.remedy else f"none, policy {cause.policy}",
        "next": cause.next_step,
        "user": cause.user_message,
    }
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
    for name, value in facts.items():
        table.add_row(Text(name, "dim"), Text(value))
    console.print(table)


def show_runs(console: Console, records: Iterable[Record]) -> None:
    """One line per run, the newest first."""
    for record in records:
        ends = ", ".join(f"{server} {ending}" for server, ending in record.endings.items())
        started = rfc3339(record.started_at.replace(microsecond=0))
        line = Text.assemble((record.run_id, "bold"), f"  {started}  ", f"{record.request.mode:8}  ")
        otherwise = "asked its incident, executed nothing" if record.question else "under way, or killed"
        console.print(line.append(one_line(ends, 4000) or otherwise), soft_wrap=True)


def _told(
    console: Console,
    server: str,
    headline: tuple[story.Tone, str],
    sections: Sequence[story.Section],
    findings: Sequence[Finding],
) -> None:
    tone, verdict = headline
    console.print(Text.assemble((one_line(server, 80), "bold"), "  ", (verdict, f"bold {_STYLES[tone]}")))
    for section in sections:
        _indented(console, 2, Text(section.heading, "bold"))
        for item in section.items:
            _indented(console, 4, Text(item.text), Text(f"{_MARKS[item.tone]} ", _STYLES[item.tone]))
            for line in item.below:
                _indented(console, 6, Text(line, "dim"))
    _indented(console, 2, Text(story.counts(findings), "dim"))


def _indented(console: Console, columns: int, text: Text, mark: Text | None = None) -> None:
    """Prints `text` wrapped, every line `columns` from the left and further by the width of `mark`, which stands
    before the first."""
    mark = mark or Text()
    width = max(console.width - columns - mark.cell_len, 20)
    for number, line in enumerate(text.wrap(console, width)):
        line.rstrip()
        before = mark if number == 0 else Text(" " * mark.cell_len)
        console.print(Text.assemble(" " * columns, before, line), soft_wrap=True)


def _labelled(console: Console, label: str, value: str) -> None:
    # Never wrapped: people copy it.
    console.print(Text.assemble((f"{label:7}", "bold"), value), soft_wrap=True)
