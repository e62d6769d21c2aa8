"""Plans that are carried out: confirmed by whoever asked, or approved by a second person.

A yes is for the plan that was shown, by its hash. It begins another run, which gathers and judges again; a remedy that
the plan did not have is refused there (engine/guard.py).
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from reconnect import texts
from reconnect.result import PlannedRemedy, Result, approved_by_yes, now, steps
from reconnect.runs import feed, tables
from reconnect.runs.database import engine_of, reading, writing
from reconnect.runs.record import Asker, Record
from reconnect.runs.request import Step
from reconnect.runs.store import Run, Runs
from reconnect.service import audit
from reconnect.service.contract.documents import PLAN_EXPIRY
from reconnect.service.people import Person
from reconnect.service.problems import Problem
from reconnect.service.starting import asker_of
from reconnect.settings import Settings
from reconnect.text import one_line

if TYPE_CHECKING:
    from reconnect.runs.rows import Within

#: A run is kept no later than this after its end: its incident may be asked before.
_KEPT_LATE = timedelta(minutes=5)
_APPROVALS = tables.approvals
#: Remedies of these roles reach one account; first level may confirm them.
_OF_ACCOUNT = frozenset({"account", "client"})

State = Literal["pending", "approved", "denied"]


@dataclass(frozen=True)
class Plan:
    """What a run would do: its steps by server, and their hash."""

    digest: str
    steps: tuple[tuple[str, PlannedRemedy], ...]

    @property
    def confirmable(self) -> list[tuple[str, PlannedRemedy]]:
        """The steps that need no second person."""
        return [(server, step) for server, step in self.steps if step.decision == "planned"]

    @property
    def approvable(self) -> list[tuple[str, PlannedRemedy]]:
        """The steps that need one."""
        return [(server, step) for server, step in self.steps if step.decision == "approval"]

    def meant(self, approvals: Collection[str]) -> Plan:
        """What needs no second person, of the remedies that a yes approves these alone."""
        wanted = (one for one in self.confirmable if not approved_by_yes([one[1]]) or one[1].remedy in approvals)
        return replace(self, steps=tuple(wanted))

    def confirmable_by(self, person: Person) -> list[tuple[str, PlannedRemedy]]:
        """The steps of them that this person may confirm: first level only what reaches one account."""
        if not person.may("confirm"):
            return []
        return [one for one in self.confirmable if one[1].role in _OF_ACCOUNT or person.may("approve")]

    def left_by(self, person: Person | None) -> list[tuple[str, PlannedRemedy]]:
        """The steps that need a second person, or that this one may not confirm; nobody asks for an incident."""
        own = self.confirmable_by(person) if person is not None else self.confirmable
        return [one for one in self.steps if one[1].decision in {"planned", "approval"} and one not in own]


def plan_of(run: Run, results: Sequence[Result]) -> Plan | None:
    """The plan that an ended run shows; None where it has none."""
    kept = run.kept()
    found = tuple(steps(results))
    if kept is None or kept.plan_hash is None or not found or run.record.finished_at is None:
        return None
    return Plan(kept.plan_hash, found)


def is_fresh(run: Run) -> bool:
    """Whether the plan of an ended run may still be carried out."""
    return now() <= _end(run)


class Plans:
    """Confirms and approves plans of one store."""

    def __init__(self, settings: Settings) -> None:
        self._engine = engine_of(settings)
        self._runs = Runs(settings)
        self._seen_until = now() - PLAN_EXPIRY

    def confirm(
        self,
        run: Run,
        person: Person,
        plan_hash: str,
        address: str,
        within: Within | None = None,
        approvals: Collection[str] | None = None,
    ) -> Run:
        """The run that carries out what needs no second person; see `Plan.meant` for `approvals`. `within` writes into
        the transaction that makes it."""
        shown = self._current(run, plan_hash)
        plan = shown if approvals is None else shown.meant(approvals)
        if not plan.confirmable:
            raise Problem(409, "No step of this plan can be confirmed. Request an approval.")
        own = plan.confirmable_by(person)
        if not own:
            raise Problem(403, "Only second level may confirm a fix that affects a whole server. Request an approval.")
        deed = _deed(person, address, "plan confirmed", run.run_id, replace(plan, steps=tuple(own)))
        asker, notes = asker_of(person.name, "api", _trace(run)), []
        others = [one for one in plan.confirmable if one not in own]
        if others:
            steps = ", ".join(sorted({f"{step.remedy} ({server})" for server, step in others}))
            said = {"steps": steps, **self._denied(run, shown)}
            key = "screen.left_denied" if "who" in said else "screen.left_to_second"
            notes.append(texts.text(key, run.record.request.language, **said))

        def noted(connection: sa.Connection, record: Record) -> None:
            if others:
                self._request(connection, run, shown, person.name, person, address)
            if within is not None:
                within(connection, record)

        return self._apply(run, own, asker, deed, within=noted, notes=notes)

    def _denied(self, run: Run, plan: Plan) -> dict[str, str]:
        """Who has denied this plan, and why; empty where nobody has."""
        denied = (one for one in self.approvals("denied", run_id=run.run_id) if one["plan_hash"] == plan.digest)
        return next(({"who": one["decided_by"], "why": one["comment"]} for one in denied), {})

    def request(self, run: Run, plan_hash: str, asker: str | None, person: Person | None, address: str) -> str:
        """The id of the approval that this plan now waits for, the same for the same plan."""
        plan = self._current(run, plan_hash)
        if not plan.left_by(person):
            raise Problem(409, "No step of this plan needs an approval.")
        with writing(self._engine) as connection:
            return self._request(connection, run, plan, asker, person, address)

    def _request(
        self, connection: sa.Connection, run: Run, plan: Plan, asker: str | None, person: Person | None, address: str
    ) -> str:
        known = sa.select(_APPROVALS.c.approval_id).where(
            _APPROVALS.c.run_id == run.run_id, _APPROVALS.c.plan_hash == plan.digest
        )
        if (found := connection.scalar(known)) is not None:
            return str(found)
        approval_id = secrets.token_hex(8)
        connection.execute(
            _APPROVALS.insert().values(
                approval_id=approval_id,
                run_id=run.run_id,
                plan_hash=plan.digest,
                requested_by=asker,
                requested_at=now(),
                expires_at=_end(run),
                state="pending",
                comment="",
            )
        )
        feed.add(connection, "approval", run.run_id, now(), approval_id)
        who = person or Person("hook", "")
        audit.append(connection, _deed(who, address, "approval requested", approval_id, plan))
        return approval_id

    def request_for_incidents(self) -> None:
        """Has the plans of incidents wait for a second person where they need one, whatever process ended their runs:
        nobody is there who asks. A run that this has seen is looked at for some minutes, since it may be kept late."""
        began, runs = now(), tables.runs
        found = sa.select(runs.c.run_id).where(
            runs.c.requester.is_(None),
            # A check only says what it finds, again and again.
            runs.c.trigger != "schedule",
            runs.c.plan_hash.is_not(None),
            runs.c.finished_at > max(self._seen_until, began - PLAN_EXPIRY),
            ~sa.exists().where(_APPROVALS.c.run_id == runs.c.run_id),
        )
        with reading(self._engine) as connection:
            run_ids = list(connection.scalars(found))
        for run in self._runs.readable(run_ids):
            plan = plan_of(run, run.results())
            if plan and plan.approvable and is_fresh(run):
                self.request(run, plan.digest, None, None, "")
        self._seen_until = began - _KEPT_LATE

    def approvals(
        self,
        state: State | None = None,
        limit: int = 100,
        run_id: str | None = None,
        servers: Collection[str] | None = None,
    ) -> list[dict[str, Any]]:
        """The approvals, or those of one run, or of runs of these servers alone, the newest first."""
        newest = _APPROVALS.c.requested_at.desc(), _APPROVALS.c.run_id.desc()
        found = sa.select(_APPROVALS).order_by(*newest).limit(limit)
        if state is not None:
            found = found.where(_APPROVALS.c.state == state)
        if run_id is not None:
            found = found.where(_APPROVALS.c.run_id == run_id)
        if servers is not None:
            found = found.where(tables.only_of(_APPROVALS.c.run_id, servers))
        with reading(self._engine) as connection:
            return [_shown(row) for row in connection.execute(found).mappings()]

    def decide(
        self, approval_id: str, person: Person, yes: bool, plan_hash: str, comment: str, address: str
    ) -> Run | None:
        """Decides for a second person; the run that carries the plan out after a yes."""
        if not person.may("approve"):
            raise Problem(403, "Only second level may approve or deny a plan.")
        if not yes and not comment.strip():
            raise Problem(422, "A denial needs a reason. Add a comment.")
        row = self._row(approval_id)
        run = self._runs.get(row["run_id"]) if row else None
        kept = run.kept() if run else None
        if row is None or run is None or kept is None or not person.sees(run.record.request.servers):
            raise Problem(404, "There is no such approval.")
        if row["state"] != "pending":
            raise Problem(409, f"{row['decided_by']} already {row['state']} it.")
        if now() > row["expires_at"]:
            raise Problem(410, f"The approval expired after {PLAN_EXPIRY.seconds // 60} minutes. Diagnose again.")
        if person.is_among({row["requested_by"], kept.asker.requester}):
            raise Problem(403, "You cannot approve your own request. Ask a colleague.")
        plan = self._current(run, plan_hash, expired=410)
        if not compare_digest(plan.digest, row["plan_hash"]):
            raise Problem(409, "The plan has changed. Read that of the newer run.")
        deed = _deed(person, address, "plan approved" if yes else "plan denied", approval_id, plan)
        decided = {
            "state": "approved" if yes else "denied",
            "decided_by": person.name,
            "decided_at": now(),
            "comment": one_line(comment, 1000),
        }
        if not yes:
            with writing(self._engine) as connection:
                self._decide(connection, approval_id, decided)
                audit.append(connection, deed)
            return None
        asker = asker_of(kept.asker.requester, "approval", kept.asker.trace_id)
        agreed = [*plan.confirmable, *plan.approvable]
        return self._apply(run, agreed, asker, deed, (approval_id, decided))

    def _current(self, run: Run, plan_hash: str, expired: int = 409) -> Plan:
        """The plan that was shown, if it may still be carried out."""
        plan = plan_of(run, run.results())
        if plan is None:
            raise Problem(409, "This run has no open plan.")
        if not compare_digest(plan.digest.encode(), plan_hash.encode()):
            raise Problem(409, "The plan has changed. Read it again.")
        if not is_fresh(run):
            raise Problem(expired, f"The plan is older than {PLAN_EXPIRY.seconds // 60} minutes. Diagnose again.")
        return plan

    def _row(self, approval_id: str) -> Mapping[str, Any] | None:
        found = sa.select(_APPROVALS).where(_APPROVALS.c.approval_id == approval_id)
        with reading(self._engine) as connection:
            row = connection.execute(found).mappings().first()
        return None if row is None else dict(row)

    def _decide(self, connection: sa.Connection, approval_id: str, values: dict[str, Any]) -> None:
        pending = sa.and_(_APPROVALS.c.approval_id == approval_id, _APPROVALS.c.state == "pending")
        if connection.execute(_APPROVALS.update().where(pending).values(**values)).rowcount != 1:
            raise Problem(409, "Somebody else has just decided. Read the approval again.")

    def _apply(
        self,
        run: Run,
        agreed: Sequence[tuple[str, PlannedRemedy]],
        asker: Asker,
        deed: audit.Deed,
        decision: tuple[str, dict[str, Any]] | None = None,
        within: Within | None = None,
        notes: Sequence[str] = (),
    ) -> Run:
        """A run that carries out these steps, all agreed to, and no others, each once for each plan that was shown."""
        if run.record.request.extra_vars:
            # They may name files and programs, and belong to whoever typed them on their machine.
            raise Problem(409, "The run has extra variables. Apply its plan on the command line.")
        begun = self._begun(run)
        left = [(server, step) for server, step in agreed if (server, step.remedy, step.cause) not in begun]
        if not left:
            raise Problem(409, f"Run {min(begun.values())} already carries out this plan.")
        wanted = {
            "mode": "apply",
            "approvals": approved_by_yes(step for _, step in left),
            "watch": 0,
            "plan": Step.confirmed(left),
            "plan_of": run.run_id,
        }
        request = run.record.request.model_copy(update=wanted)

        def noted(connection: sa.Connection, record: Record) -> None:
            if decision is not None:
                self._decide(connection, decision[0], {**decision[1], "applied_run_id": record.run_id})
            audit.append(connection, deed)
            if within is not None:
                within(connection, record)

        applied, new = self._runs.claim(
            request, run.client_report(), within=noted, ended_after=run.record.started_at, asker=asker, notes=notes
        )
        if not new:
            raise Problem(409, f"Run {applied.run_id} already carries out this plan.")
        return applied

    def _begun(self, run: Run) -> dict[tuple[str, str, str], str]:
        """The steps of this plan that runs were begun with: the run of each server, remedy and cause."""
        runs = tables.runs
        later = sa.and_(runs.c.mode == "apply", runs.c.started_at >= run.record.started_at)
        with reading(self._engine) as connection:
            found = connection.execute(sa.select(runs.c.run_id, runs.c.request).where(later)).all()
        return {
            (step["server"], step["remedy"], step["cause"]): run_id
            for run_id, request in found
            if request.get("plan_of") == run.run_id
            for step in request.get("plan") or []
        }


def _end(run: Run) -> datetime:
    assert run.record.finished_at is not None, "only an ended run shows its plan"
    return run.record.finished_at + PLAN_EXPIRY


def _trace(run: Run) -> str | None:
    kept = run.kept()
    return kept.asker.trace_id if kept else None


def _deed(person: Person, address: str, what: audit.What, subject: str, plan: Plan) -> audit.Deed:
    data = {"remedies": sorted({f"{server}: {step.remedy}" for server, step in plan.steps})}
    return audit.Deed(person.name, person.role, address, what, subject, plan.digest, data)


def _shown(row: Mapping[Any, Any]) -> dict[str, Any]:
    shown = dict(row)
    if shown["state"] == "pending" and now() > shown["expires_at"]:
        shown["state"] = "expired"
    return shown
