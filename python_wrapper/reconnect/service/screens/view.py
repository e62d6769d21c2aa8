"""What the page of a run shows, ready for its template and without secrets: every decision is here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reconnect import outcomes, texts
from reconnect.reports import pages
from reconnect.reports.changes import Sign
from reconnect.reports.html import clean_view, cleaned, redaction_of
from reconnect.reports.html.view import Detail, PageView
from reconnect.reports.redaction import Redaction
from reconnect.result import PlannedRemedy, Result
from reconnect.runs.record import Record
from reconnect.runs.store import Run
from reconnect.service.contract.events import said
from reconnect.service.desk import Desk
from reconnect.service.people import Person
from reconnect.service.plans import Plan, is_fresh, plan_of
from reconnect.settings import Settings
from reconnect.text import one_line
from reconnect.texts import Language

_DETAIL = Detail(evidence=False, findings=200, pictures=5, servers=25, rows=100)
#: So many events are on the page at first; whatever comes later is added.
_EVENTS = 200

#: A step of a plan, with its server.
PlannedStep = tuple[str, PlannedRemedy]


@dataclass(frozen=True)
class Words:
    """What the user of one server's account is told, in each language; where to escalate, or nothing."""

    server: str
    told: dict[Language, str]
    level: str


@dataclass(frozen=True)
class PlanView:
    """The plan of a run: what it would do, what this person may confirm of it, and what is left to a second one."""

    digest: str
    steps: list[PlannedStep]
    confirmable: list[PlannedStep]
    left: list[PlannedStep]
    fresh: bool
    approval: dict[str, Any] | None


@dataclass(frozen=True)
class RunView:
    """One run. What was found is missing while it is under way. `happened`: as `contract.events.said` has it."""

    page: PageView | None
    words: list[Words]
    plan: PlanView | None
    happened: list[list[str]]
    last_event: int


def view_of(desk: Desk, run: Run, person: Person, language: Language) -> RunView:
    """The run as this person sees it."""
    events = run.events()
    last = events[-1]["sequence"] if events else 0
    happened = [one for event in events[-_EVENTS:] if (one := said(event, language))]
    if run.record.finished_at is None or run.record.question:
        return RunView(None, [], None, happened, last)
    redaction = _redaction(desk.settings)
    results = run.results()
    shown = clean_view(_in(run.record, language), results, {}, redaction)(_DETAIL)
    words = [found for one in cleaned(results, redaction) if (found := _words(one, language))]
    plan = plan_of(run, results)
    planned = _plan(desk, run, plan, person, redaction) if plan is not None else None
    return RunView(shown, words, planned, happened, last)


def clean_steps(steps: Sequence[PlannedStep], settings: Settings) -> list[PlannedStep]:
    """The steps without secrets."""
    return _clean(steps, _redaction(settings))


def diffed(changes: Sequence[str]) -> list[tuple[Sign, str]]:
    """Lines of a difference, each with its sign."""
    signs: dict[str, Sign] = {"-": "-", "+": "+"}
    return [(signs.get(line[:1], " "), one_line(line[1:], 300)) for line in changes]


def _plan(desk: Desk, run: Run, plan: Plan, person: Person, redaction: Redaction) -> PlanView:
    asked = desk.approvals(person, run_id=run.run_id)
    return PlanView(
        digest=plan.digest,
        steps=_clean(plan.steps, redaction),
        confirmable=_clean(plan.confirmable_by(person), redaction),
        left=_clean(plan.left_by(person), redaction),
        fresh=is_fresh(run),
        approval=next(iter(asked), None),
    )


def _words(result: Result, language: Language) -> Words | None:
    verdict = result.verdict
    if verdict is None:
        return None
    both: tuple[Language, ...] = ("en", "it")
    told = {one: outcomes.told(verdict, one) for one in both} if verdict.user_message else {}
    level = texts.text(f"level.{verdict.escalate_to.replace(' ', '_')}", language) if verdict.escalate_to else ""
    return Words(result.server, told, level) if told or level else None


def _in(record: Record, language: Language) -> Record:
    """The record, as for an incident in the reader's language."""
    return record.model_copy(update={"request": record.request.model_copy(update={"language": language})})


def _clean(steps: Sequence[PlannedStep], redaction: Redaction) -> list[PlannedStep]:
    return [
        (server, PlannedRemedy.model_validate(redaction.document(step.model_dump(mode="json"))))
        for server, step in steps
    ]


def _redaction(settings: Settings) -> Redaction:
    return redaction_of(pages.secrets_of(settings), settings.mask_numbers)
