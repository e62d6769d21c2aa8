"""Second level's pages: servers, runs, approvals, reports that are due, and the audit."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from reconnect import outcomes
from reconnect.runs.record import Wanted
from reconnect.service import audit
from reconnect.service.api import shown
from reconnect.service.contract.documents import RunId
from reconnect.service.desk import Desk
from reconnect.service.plans import plan_of
from reconnect.service.problems import Problem
from reconnect.service.screens.frame import Visit, acts, looks, page, router, see_other
from reconnect.service.screens.view import clean_steps

#: So many runs, approvals or rows of the audit are on a page.
_ROWS = 50
#: What the form says that holds or releases everything.
_EVERYTHING = "*"

Filter = Annotated[str, Query(max_length=253)]


def routes(desk: Desk) -> APIRouter:
    """The pages, for the runs and servers of `desk`."""
    pages = router()

    @pages.get("/servers")
    def servers(visit: Visit = looks(desk, "diagnose")) -> Response:
        """Each server with its newest run and the hold on it."""
        return page(visit, "servers.html.j2", servers=desk.servers(visit.known), everything=_EVERYTHING)

    @pages.post("/holds")
    def hold(visit: Visit = acts(desk, "hold")) -> Response:
        """Hold or release one server, or everything."""
        server, action = visit.sent("server"), visit.sent("action")
        if not server or action not in {"hold", "release"}:
            raise Problem(422, "Name the server to hold or release.")
        meant = [] if server == _EVERYTHING else [server]
        if action == "hold":
            desk.hold(meant, visit.sent("reason"), visit.known, visit.address)
        else:
            desk.release(meant, visit.known, visit.address)
        return see_other("/servers")

    @pages.get("/runs")
    def runs(
        server: Filter = "",
        account: Filter = "",
        ending: Filter = "",
        before: RunId | None = None,
        visit: Visit = looks(desk, "diagnose"),
    ) -> Response:
        """The runs, the newest first, page by page."""
        if ending and ending not in outcomes.table():
            raise Problem(422, "There is no such ending.")
        wanted = Wanted(server or None, account or None, ending or None, before=before)
        found, following = desk.newest(wanted, _ROWS, visit.known)
        return page(
            visit,
            "runs.html.j2",
            runs=[shown(run) for run in found],
            following=following,
            endings=list(outcomes.table()),
            wanted=wanted,
        )

    @pages.get("/approvals")
    def approvals(visit: Visit = looks(desk, "diagnose")) -> Response:
        """The plans that wait for a second person, or did."""
        found = [_approval(desk, one) for one in desk.approvals(visit.known, limit=_ROWS)]
        return page(visit, "approvals.html.j2", approvals=found)

    @pages.post("/approvals/{approval_id}/decision")
    def decide(
        approval_id: Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")], visit: Visit = acts(desk, "approve")
    ) -> Response:
        """Decide about the request of somebody else."""
        decision = visit.sent("decision")
        if decision not in {"approve", "deny"}:
            raise Problem(422, "Say yes or no.")
        yes, plan_hash, comment = decision == "approve", visit.sent("plan_hash"), visit.sent("comment")
        run = desk.plans.decide(approval_id, visit.known, yes, plan_hash, comment, visit.address)
        desk.starter.wake.set()
        return see_other(f"/runs/{run.run_id}" if run else "/approvals")

    @pages.get("/outbox")
    def outbox(visit: Visit = looks(desk, "diagnose")) -> Response:
        """The runs whose report or question has not reached its incident."""
        return page(visit, "outbox.html.j2", runs=[run.record for run in desk.outbox(visit.known)])

    @pages.get("/audit")
    def audit_rows(
        before: Annotated[int | None, Query(ge=1, le=2**31)] = None, visit: Visit = looks(desk, "audit")
    ) -> Response:
        """Who did what, the newest first, page by page."""
        rows = audit.newest(desk.engine, _ROWS, before)
        return page(visit, "audit.html.j2", rows=rows, following=rows[-1]["sequence"] if len(rows) == _ROWS else None)

    return pages


def _approval(desk: Desk, one: dict[str, Any]) -> dict[str, Any]:
    """An approval with what it is about. `own` are those who may not decide."""
    run = desk.runs.get(one["run_id"])
    kept = run.kept() if run else None
    plan = plan_of(run, run.results()) if run and one["state"] == "pending" else None
    return one | {
        "steps": clean_steps(plan.steps, desk.settings) if plan else [],
        "servers": run.record.request.servers if run else [],
        "own": {one["requested_by"], kept.asker.requester if kept else None},
    }
