"""What a run tells its incident, so that telling it again changes nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from reconnect import outcomes, texts
from reconnect.errors import ReconnectError
from reconnect.incidents import escalation
from reconnect.incidents.questions import question
from reconnect.incidents.trackers import open_incident
from reconnect.incidents.trackers.tracker import Attachment, Comment, Tracker
from reconnect.reports import bundle, comment, pages
from reconnect.reports.redaction import Redaction
from reconnect.result import Result, to_json
from reconnect.runs.store import Run
from reconnect.settings import Settings
from reconnect.settings.trackers import TrackerSettings
from reconnect.text import one_line
from reconnect.texts import Language

#: The longest comment, in characters; the attached documents have everything.
MAX_TEXT = 60_000
#: Answers of a tracker (HTTP) that trying again a moment later does not change.
FINAL = frozenset({400, 401, 403, 404})

# Two threads that tell the same would both find that it is not told yet.
_telling = threading.Lock()


@dataclass(frozen=True)
class Change:
    """A change of the incident itself: `value` is the reason, the queue or the owner."""

    verb: Literal["close", "move", "assign"]
    value: str
    marker: str


Telling = Comment | Change


def report(run: Run, results: Sequence[Result], settings: Settings) -> None:
    """Tells the incident of `run` what it does not know yet.

    Raises TrackerError, TakenError, and StoreError where the store does not give back what belongs to the report.
    """
    incident = run.record.request.incident
    if incident is None:
        return
    with _telling:
        tracker = open_incident(incident, settings)
        joined = escalation.joined(run, settings)
        for telling in tellings(run, results, settings, joined):
            run.check()
            tell(tracker, telling)
        if joined is not None and joined.there is not None:
            tell(open_incident(joined.incident, settings), Comment(marker(run, "joined"), joined.there))


def is_reported(run: Run, settings: Settings) -> bool:
    """Whether the incident has the report of `run`; no where it cannot be asked."""
    incident = run.record.request.incident
    try:
        return incident is not None and open_incident(incident, settings).told(marker(run, "report"))
    except ReconnectError:
        return False


def tellings(
    run: Run, results: Sequence[Result], settings: Settings, joined: escalation.Joined | None = None
) -> list[Telling]:
    """What the incident is told of a run, in this order: the report for the staff, the message for the user, the change
    that its ending asks for; or the question, where its input is missing or invalid. The same run gives the same.

    An incident that has `joined` the escalation of another one stays open and is told of that instead. One with an open
    question is not closed."""
    request = run.record.request
    language = request.language
    if run.record.question:
        return [question(run.record.question, language)]
    answer = outcomes.answer(results, settings.answers)
    redaction = Redaction(pages.secrets_of(settings))
    tracker = settings.tracker(request.incident) if request.incident else TrackerSettings()
    told: list[Telling] = [
        Comment(
            marker=marker(run, "report"),
            text=bounded(redaction.text(comment.text(run.record, results)), language),
            attachments=attachments(run, results, settings, redaction, answer.do == "move"),
        )
    ]
    said = [outcomes.told(result.verdict, language) for result in results if result.verdict]
    messages = dict.fromkeys(filter(None, said))
    if answer.tell_user and messages:
        told.append(
            Comment(
                marker(run, "user"),
                redaction.text("\n\n".join(one_line(words, 2000) for words in messages)),
                to_user=True,
            )
        )
    if request.questions:
        told.append(question(request.questions, language, executed=True))
    if answer.do == "move" and joined is not None:
        told.append(Comment(marker(run, "move"), redaction.text(joined.here)))
        return told
    if answer.do == "close" and not request.questions:
        told.append(Change("close", answer.reason, marker(run, "close")))
    if answer.do == "move":
        second = answer.level == "second_level"
        owner = tracker.second_level_owner if second else tracker.third_level_owner
        told.append(Change("move", tracker.second_level if second else tracker.third_level, marker(run, "move")))
        if owner:
            told.append(Change("assign", owner, marker(run, "assign")))
    return told


def tell(tracker: Tracker, telling: Telling) -> None:
    """Tells it, unless the incident has it already. Raises TrackerError."""
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
    """The mark of one comment or change of this run; no other has it."""
    return f"reconnect-{run.run_id}-{kind}"


def attachments(
    run: Run, results: Sequence[Result], settings: Settings, redaction: Redaction, escalated: bool
) -> list[Attachment]:
    """The files of the report: the page, the result document of every server, and the bundle where it is escalated."""
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


def bounded(text: str, language: Language) -> str:
    """The text as a comment may have it, with a sentence where it is cut."""
    if len(text) <= MAX_TEXT:
        return text
    return f"{text[:MAX_TEXT]}\n{texts.text('report.cut', language)}\n"
