"""What a run has to tell its incident, and telling it so that saying it again changes nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from reconnect import bundle, outcomes, pages, reading, reports
from reconnect.redaction import Redaction
from reconnect.result import Result, to_json
from reconnect.runs import Run
from reconnect.settings import Settings
from reconnect.text import one_line
from reconnect.trackers.incident import Attachment, Comment, Tracker

#: No comment is longer, in characters; everything is in the attached documents.
MAX_TEXT = 60_000


@dataclass(frozen=True)
class Change:
    """A change of the incident itself: `value` is the reason, the queue or the owner."""

    verb: Literal["close", "move", "assign"]
    value: str
    marker: str


Telling = Comment | Change


def tellings(run: Run, results: Sequence[Result], settings: Settings) -> list[Telling]:
    """Everything the incident is told of a run, in this order: the report for the staff, the message for the user, the
    change that its ending asks for; or the question, where it can't be worked on. The same run always gives the
    same."""
    if run.record.question:
        return [reading.question(run.record.question)]
    answer = outcomes.answer(results, settings.answers)
    redaction = Redaction(pages.secrets_of(settings))
    tracker = settings.tracker(run.record.request.incident or "")
    told: list[Telling] = [
        Comment(
            marker=marker(run, "report"),
            text=_bounded(redaction.text(reports.text(run.record, results))),
            attachments=attachments(run, results, settings, redaction, answer.do == "move"),
        )
    ]
    messages = dict.fromkeys(r.verdict.user_message for r in results if r.verdict and r.verdict.user_message)
    if answer.tell_user and messages:
        told.append(
            Comment(
                marker(run, "user"),
                redaction.text("\n\n".join(one_line(words, 2000) for words in messages)),
                to_user=True,
            )
        )
    if answer.do == "close":
        told.append(Change("close", answer.reason, marker(run, "close")))
    if answer.do == "move":
        second = answer.level == "second_level"
        owner = tracker.second_level_owner if second else tracker.third_level_owner
        told.append(Change("move", tracker.second_level if second else tracker.third_level, marker(run, "move")))
        if owner:
            told.append(Change("assign", owner, marker(run, "assign")))
    return told


def tell(tracker: Tracker, telling: Telling) -> None:
    """Tells it, unless the incident knows it already. Raises TrackerError."""
    if isinstance(telling, Comment):
        if not tracker.told(telling.marker):
            tracker.comment(telling)
    elif telling.verb == "close":
        tracker.close(telling.value, telling.marker)
    elif telling.verb == "move":
        tracker.move(telling.value, telling.marker)
    else:
        tracker.assign(telling.value, telling.marker)


def marker(run: Run, kind: str) -> str:
    """What no other run and no other thing told by this run is marked with."""
    return f"reconnect-{run.run_id}-{kind}"


def attachments(
    run: Run, results: Sequence[Result], settings: Settings, redaction: Redaction, escalated: bool
) -> list[Attachment]:
    """The files that go with the report: the page, the result document of every server, and the bundle for those it is
    escalated to."""
    page = pages.page_of(run, results, settings).encode()
    files = [Attachment(f"reconnect-{run.run_id}.html", "text/html", page)]
    files += [
        Attachment(
            name=f"reconnect-{run.run_id}-{result.server}.json",
            content_type="application/json",
            content=json.dumps(redaction.document(to_json(result)), indent=2).encode(),
        )
        for result in results
    ]
    if escalated:
        made = bundle.bundle_of(run, results, settings)
        files.append(Attachment(made.name, "application/gzip", made.content))
    return files


def _bounded(text: str) -> str:
    if len(text) <= MAX_TEXT:
        return text
    return text[:MAX_TEXT] + "\n… the rest is in the attached documents.\n"
