"""The API, `/v1`. Errors are problem documents; times are RFC 3339 in UTC."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_args

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, create_model, model_validator

from reconnect.ansible import judging
from reconnect.incidents.client_report import ClientReport
from reconnect.reports import bundle, pages
from reconnect.reports.case import UNKNOWN
from reconnect.reports.redaction import command_of
from reconnect.result import Outcome, Result, State
from reconnect.runs.record import Wanted
from reconnect.runs.request import Asked, Playbook
from reconnect.runs.store import Run
from reconnect.service import audit, metrics
from reconnect.service.contract import openapi
from reconnect.service.contract.documents import (
    ApprovalId,
    ApprovalShown,
    CaseShown,
    CheckLink,
    Decided,
    HoldShown,
    Me,
    Requested,
    RunId,
    RunPage,
    RunShown,
    ServerShown,
)
from reconnect.service.contract.events import sent
from reconnect.service.desk import Desk
from reconnect.service.http import address_of
from reconnect.service.people import Person, Right
from reconnect.service.problems import Problem
from reconnect.service.selfcheck.links import About
from reconnect.service.starting import checked_incident
from reconnect.text import is_storable
from reconnect.texts import Language

if TYPE_CHECKING:
    from reconnect.runs.rows import Within

#: Seconds that an answer may wait for the end of a run, and seconds between two looks at it.
MOST_WAIT = 25
_LOOK = 0.2
#: Seconds without an event after which a stream says that it is still there.
_BEAT = 15.0
MOST_STREAMS = 200

PlanHash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Ending = Literal[Outcome, State]
#: Printable ASCII, with no space at its ends.
IdempotencyKey = Annotated[
    str | None, Header(min_length=1, max_length=255, pattern=r"^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$")
]


def _near(at: datetime) -> datetime:
    if not 2000 <= at.year < 3000:
        raise ValueError("no run began then")
    return at


#: A time that may be compared with that of a run.
Moment = Annotated[AwareDatetime, AfterValidator(_near)]


class _Said(BaseModel):
    """What the body of a request says."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, said: Any) -> Any:
        """Before anything is done. A client report escapes its own."""
        own = {name: one for name, one in said.items() if name != "client_report"} if isinstance(said, dict) else said
        if not is_storable(own):
            raise ValueError("a text has a NUL or half a surrogate pair")
        return said


class _Body(_Said):
    playbook: Literal["diagnose-server", "fix-account-config"]
    mode: Literal["diagnose", "check"] = "diagnose"
    servers: list[str] = Field(default=[], max_length=500)
    incident: str | None = Field(default=None, max_length=200)
    client_report: ClientReport | None = None


def _options() -> dict[str, Any]:
    """The options of a run as they are declared (runs/request.py), without what only a command line needs."""
    return {name: (field.annotation, field) for name, field in Asked.at_service().items()}


#: What a run may be asked for: every option of the command but those that change something.
AskedFor: Any = create_model("AskedFor", __base__=_Body, **_options())


class Confirmation(_Said):
    """A yes to the plan with this hash."""

    plan_hash: PlanHash


class Yes(Confirmation):
    """The same; with `approvals` only those remedies that need an approval are meant beside what needs none."""

    approvals: list[str] | None = Field(default=None, max_length=100)


class Decision(Confirmation):
    """A second person's yes or no; a no has a comment."""

    decision: Literal["approve", "deny"]
    comment: str = Field(default="", max_length=1000)


class Wrong(_Said):
    """The root cause that is right, `none` or `unknown`; `server` is needed where the run had several."""

    cause: str = Field(default=UNKNOWN, max_length=80)
    server: str | None = Field(default=None, max_length=253)


class Hold(_Said):
    """Servers that nothing is changed on; none: all of them."""

    servers: list[str] = Field(default=[], max_length=500)
    reason: str = Field(default="", max_length=300)


class Check(_Said):
    """A self-check of the browser on the device of an account's user."""

    server: str = Field(max_length=253)
    account: str = Field(max_length=80)
    incident: str | None = Field(default=None, max_length=200)


class _Archive(Response):
    media_type = "application/gzip"


class _Events(StreamingResponse):
    media_type = "text/event-stream"


class _Lines(StreamingResponse):
    media_type = "application/x-ndjson"


def shown(run: Run, results: bool = False) -> RunShown:
    """A run as the API shows it."""
    record, kept = run.record, run.kept()
    if kept is None:
        raise Problem(404, "There is no such run.")
    ended = record.finished_at is not None
    return RunShown(
        id=run.run_id,
        state="ended" if ended else "running" if kept.worker is not None and record.begun else "queued",
        playbook=record.request.playbook.removesuffix(".yml"),
        mode=record.request.mode,
        named=record.request.named,
        servers=record.request.servers,
        account=record.request.account,
        incident=str(record.request.incident) if record.request.incident else None,
        language=record.request.language,
        command=command_of(record.request),
        requester=kept.asker.requester,
        trigger=kept.asker.trigger,
        trace_id=kept.asker.trace_id,
        started_at=record.started_at,
        finished_at=record.finished_at,
        exit_code=record.exit_code,
        endings=record.endings,
        report=record.delivery,
        pending=record.pending,
        question=record.question,
        notes=record.notes,
        plan_hash=kept.plan_hash,
        plan_of=record.request.plan_of,
        results=run.results() if results and ended else None,
    )


def router(desk: Desk) -> APIRouter:
    """The endpoints, for the people and runs of `desk`."""
    api = APIRouter(prefix="/v1", responses=openapi.problems(400, 401, 403, 404, 413, 422, 429, 503))

    def right(name: Right) -> Any:
        return Depends(desk.door.with_right(name))

    @api.post("/runs", status_code=202, response_model=RunShown, responses=openapi.problems(409, 502))
    def begin(
        request: Request,
        response: Response,
        body: AskedFor,
        idempotency_key: IdempotencyKey = None,
        person: Person = right("diagnose"),
    ) -> Any:
        """Begin a run that changes nothing."""

        def make(within: Within | None) -> Run:
            return _begin(desk, person, body, request, within)

        said = f"POST /runs {body.model_dump_json()}"
        return _begun(desk, person, response, desk.answers.once(person.name, idempotency_key, said, make))

    @api.get("/runs")
    def list_runs(
        server: Annotated[str | None, Query(max_length=253)] = None,
        account: Annotated[str | None, Query(max_length=80)] = None,
        ending: Ending | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        before: RunId | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        person: Person = right("diagnose"),
    ) -> RunPage:
        """The runs, the newest first; `before` is the `next` of the page before."""
        found, following = desk.newest(Wanted(server, account, ending, since, until, before), limit, person)
        return RunPage(runs=[shown(run) for run in found], next=following)

    @api.get("/runs/{run_id}", response_model=RunShown, responses={304: {"description": "Not modified"}})
    async def show_run(
        run_id: RunId,
        wait: Annotated[int, Query(ge=0, le=MOST_WAIT, description="Seconds to wait for the end of the run.")] = 0,
        if_none_match: Annotated[str | None, Header()] = None,
        person: Person = right("diagnose"),
    ) -> Response:
        """A run, with its results once it has ended."""
        run = await asyncio.to_thread(desk.run, run_id, person)
        for _ in range(int(wait / _LOOK)):
            if run.record.finished_at is not None:
                break
            await asyncio.sleep(_LOOK)
            run = await asyncio.to_thread(desk.run, run_id, person)
        content = (await asyncio.to_thread(shown, run, True)).model_dump_json(by_alias=True).encode()
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        if if_none_match == tag:
            return Response(status_code=304, headers={"ETag": tag})
        return Response(content, headers={"ETag": tag}, media_type="application/json")

    @api.get("/runs/{run_id}/events", response_class=_Events, responses=openapi.EVENTS)
    async def events(
        request: Request,
        run_id: RunId,
        after: Annotated[int, Query(ge=0, le=2**31)] = 0,
        last_event_id: Annotated[str | None, Header(pattern=r"^[0-9]{1,9}$")] = None,
        language: Annotated[Language, Query(description="The language of `said`.")] = "en",
        person: Person = right("diagnose"),
    ) -> StreamingResponse:
        """What happens in a run, as server-sent events; the stream ends with the run."""
        run = await asyncio.to_thread(desk.run, run_id, person)
        if desk.streams >= MOST_STREAMS:
            raise Problem(503, "Too many streams are open. Ask for the run itself.", Retry_After="5")
        since = int(last_event_id) if last_event_id else after
        return _Events(_stream(desk, request, run, since, language))

    @api.get("/runs/{run_id}/results/{server}")
    def result(run_id: RunId, server: str, person: Person = right("diagnose")) -> Result:
        """The result document of one server."""
        for one in desk.ended_run(run_id, person).results():
            if one.server == server:
                return one
        raise Problem(404, "The run has no result for this server.")

    @api.get("/runs/{run_id}/report.html", response_class=HTMLResponse, responses=openapi.problems(409))
    def report(run_id: RunId, person: Person = right("diagnose")) -> Response:
        """The page of a run, self-contained; its own policy lets it do nothing else."""
        run = desk.ended_run(run_id, person)
        page = pages.page_of(run, run.results(), desk.settings)
        policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; sandbox allow-scripts"
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})

    @api.get("/runs/{run_id}/bundle", response_class=_Archive, responses=openapi.problems(409))
    def packed(run_id: RunId, person: Person = right("diagnose")) -> Response:
        """What third level needs of a run, without secrets."""
        run = desk.ended_run(run_id, person)
        made = bundle.bundle_of(run, run.results(), desk.settings)
        named = {"Content-Disposition": f'attachment; filename="{made.name}"'}
        return _Archive(made.content, headers=named)

    @api.post("/runs/{run_id}/confirm", status_code=202, response_model=RunShown, responses=openapi.problems(409))
    def confirm(
        request: Request,
        response: Response,
        run_id: RunId,
        body: Yes,
        idempotency_key: IdempotencyKey = None,
        person: Person = right("confirm"),
    ) -> Any:
        """Have the plan that was shown carried out, as far as it needs no second person."""

        def make(within: Within | None) -> Run:
            run = desk.ended_run(run_id, person)
            address = address_of(request.scope)
            applied = desk.plans.confirm(run, person, body.plan_hash, address, within, body.approvals)
            desk.starter.wake.set()
            return applied

        said = f"POST /runs/{run_id}/confirm {body.model_dump_json(exclude_unset=True)}"
        return _begun(desk, person, response, desk.answers.once(person.name, idempotency_key, said, make))

    @api.post("/runs/{run_id}/approvals", status_code=201, responses=openapi.problems(409))
    def request_approval(
        request: Request, run_id: RunId, body: Confirmation, person: Person = right("diagnose")
    ) -> Requested:
        """Ask a second person for the plan that was shown."""
        run = desk.ended_run(run_id, person)
        address = address_of(request.scope)
        return Requested(approval_id=desk.plans.request(run, body.plan_hash, person.name, person, address))

    @api.post("/runs/{run_id}/wrong", responses=openapi.problems(409))
    def wrong(request: Request, run_id: RunId, body: Wrong, person: Person = right("correct")) -> CaseShown:
        """Say that the verdict on a server is wrong, and get its evidence without secrets as a case for the tests."""
        run = desk.ended_run(run_id, person)
        files = desk.wrong(run, body.server, body.cause, person, address_of(request.scope))
        return CaseShown(files={name: base64.b64encode(content).decode() for name, content in files.items()})

    @api.post("/runs/{run_id}/cancel", status_code=202, response_model=RunShown, responses=openapi.problems(409))
    def cancel(request: Request, run_id: RunId, person: Person = right("diagnose")) -> Any:
        """Have a run ended and its servers cleaned up."""
        run = desk.run(run_id, person)
        if not desk.cancel(run, person, address_of(request.scope)):
            raise Problem(409, "Cannot end this run: it has ended.")
        return shown(run)

    @api.post("/selfchecks", status_code=201)
    def selfcheck(request: Request, body: Check, person: Person = right("diagnose")) -> CheckLink:
        """Make a one-time link for the user's browser. It is shown once."""
        about = About(body.server, body.account, body.incident)
        secret, expires_at = desk.link(about, person, address_of(request.scope))
        return CheckLink(url=desk.url_of(request, secret), expires_at=expires_at)

    @api.get("/approvals")
    def approvals(
        state: Literal["pending", "approved", "denied"] | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        person: Person = right("diagnose"),
    ) -> list[ApprovalShown]:
        """The plans that wait for a second person, or did; the newest first."""
        return [ApprovalShown(**one) for one in desk.approvals(person, state, limit)]

    @api.post("/approvals/{approval_id}/decision", responses=openapi.problems(409, 410))
    def decide(
        request: Request,
        approval_id: ApprovalId,
        body: Decision,
        person: Person = right("approve"),
    ) -> Decided:
        """Decide about the request of somebody else."""
        yes, address = body.decision == "approve", address_of(request.scope)
        run = desk.plans.decide(approval_id, person, yes, body.plan_hash, body.comment, address)
        desk.starter.wake.set()
        return Decided(applied_run_id=run.run_id if run else None)

    @api.get("/servers")
    def servers(person: Person = right("diagnose")) -> list[ServerShown]:
        """The servers of the inventory, each with its newest run and the hold on it."""
        return [ServerShown(**one) for one in desk.servers(person)]

    @api.get("/holds")
    def holds(person: Person = right("diagnose")) -> list[HoldShown]:
        """What is on hold; without a server it is everything."""
        return [
            HoldShown(server=one.server or None, reason=one.reason, held_by=one.held_by, since=one.since)
            for one in desk.holds(person)
        ]

    @api.post("/holds", status_code=204)
    def hold(request: Request, body: Hold, person: Person = right("hold")) -> None:
        """Change nothing on these servers until they are released."""
        desk.hold(body.servers, body.reason, person, address_of(request.scope))

    @api.delete("/holds", status_code=204)
    def release(
        request: Request,
        server: Annotated[list[str] | None, Query(max_length=500)] = None,
        person: Person = right("hold"),
    ) -> None:
        """Release servers; without any, end the hold on everything."""
        desk.release(server or [], person, address_of(request.scope))

    @api.get("/causes")
    def causes(person: Person = right("diagnose")) -> list[judging.Cause]:
        """The causes that can be found."""
        return list(judging.causes(desk.project).values())

    @api.get("/outbox")
    def outbox(person: Person = right("diagnose")) -> list[RunShown]:
        """The runs whose report or question has not reached its incident."""
        return [shown(run) for run in desk.outbox(person)]

    @api.get("/audit", response_class=_Lines)
    def audit_rows(person: Person = right("audit")) -> StreamingResponse:
        """Who did what, as JSON lines, the oldest first."""
        lines = (json.dumps(row) + "\n" for row in audit.all_rows(desk.engine))
        return _Lines(lines)

    @api.get("/me")
    def me(person: Person = right("diagnose")) -> Me:
        """Who you are."""
        rights = [name for name in get_args(Right) if person.may(name)]
        return Me(name=person.name, role=person.role, rights=rights, servers=sorted(person.servers or []) or None)

    return api


def _begin(desk: Desk, person: Person, body: Any, request: Request, within: Within | None) -> Run:
    """The run that answers the request. Raises Problem, InputError."""
    given = {name: getattr(body, name) for name in Asked.at_service()}
    if body.incident is not None:
        given["incident"] = checked_incident(body.incident)
    playbook = cast("Playbook", f"{body.playbook}.yml")
    asked = Asked.checked(playbook, servers=body.servers, check=body.mode == "check", **given)
    address, trace_id = address_of(request.scope), request.state.trace_id
    # Only this service knows from where a browser came.
    report = (body.client_report or ClientReport()).model_copy(update={"browser": None})
    return desk.begin(asked, report, person, "api", address, within, trace_id)


async def _stream(desk: Desk, request: Request, run: Run, after: int, language: Language) -> AsyncIterator[str]:
    """The events of a run after the one numbered `after`, until it has ended."""
    desk.streams += 1
    metrics.STREAMS.inc()
    idle = 0.0
    try:
        while not await request.is_disconnected():
            ended = (await asyncio.to_thread(run.read)).finished_at is not None
            found = await asyncio.to_thread(run.events, after)
            for event in found:
                after = event["sequence"]
                yield sent(event, language)
            if ended and not found:
                return
            idle = 0.0 if found else idle + _LOOK
            if idle >= _BEAT:
                idle = 0.0
                yield ": still here\n\n"
            await asyncio.sleep(_LOOK)
    finally:
        desk.streams -= 1
        metrics.STREAMS.dec()


def _begun(desk: Desk, person: Person, response: Response, run_id: str) -> RunShown:
    response.headers["Location"] = f"/v1/runs/{run_id}"
    return shown(desk.run(run_id, person))
