"""First level's pages: one box to begin with, and the run that it begins, from the first step to the user's answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Response

from reconnect.errors import InputError
from reconnect.incidents.client_report import ClientReport
from reconnect.result import now
from reconnect.runs.record import Wanted
from reconnect.runs.request import DIAGNOSE, FIX, Asked
from reconnect.service.api import shown
from reconnect.service.contract.documents import RunId
from reconnect.service.desk import Desk
from reconnect.service.problems import Problem
from reconnect.service.screens.frame import Visit, acts, looks, page, router, see_other
from reconnect.service.screens.view import view_of
from reconnect.service.starting import checked_incident
from reconnect.settings import Settings
from reconnect.settings.trackers import Server, Trackers

#: Runs of a shift are one's own work: so many hours, and so many runs.
_SHIFT_HOURS, _SHIFT_RUNS = 12, 20
_WATCH = next(one.default for one in Asked.options(FIX) if one.name == "watch")


def routes(desk: Desk) -> APIRouter:
    """The pages, for the runs of `desk`."""
    pages = router()

    @pages.get("/")
    def start(visit: Visit = looks(desk, "diagnose")) -> Response:
        """One box, and the runs of one's shift."""
        person = visit.known
        own = Wanted(requester=person.name, since=now() - timedelta(hours=_SHIFT_HOURS))
        runs, _ = desk.newest(own, _SHIFT_RUNS, person)
        return page(visit, "start.html.j2", servers=desk.names(person), runs=[shown(run) for run in runs])

    @pages.post("/runs")
    def begin(visit: Visit = acts(desk, "diagnose")) -> Response:
        """Begin a run that changes nothing."""
        asked = _asked(visit, desk.settings)
        return see_other(f"/runs/{desk.begin(asked, ClientReport(), visit.known, 'page', visit.address).run_id}")

    @pages.get("/runs/{run_id}")
    def show(run_id: RunId, visit: Visit = looks(desk, "diagnose")) -> Response:
        """The run as it stands: its steps while they come, then verdict, plan and what to tell the user."""
        run = desk.run(run_id, visit.known)
        view = view_of(desk, run, visit.known, visit.language)
        return page(visit, "run.html.j2", run=shown(run), record=run.record, view=view)

    @pages.post("/runs/{run_id}/confirm")
    def confirm(run_id: RunId, visit: Visit = acts(desk, "confirm")) -> Response:
        """Have the plan that was shown carried out, as far as it needs no second person."""
        run = desk.ended_run(run_id, visit.known)
        applied = desk.plans.confirm(run, visit.known, visit.sent("plan_hash"), visit.address)
        desk.starter.wake.set()
        return see_other(f"/runs/{applied.run_id}")

    @pages.post("/runs/{run_id}/approvals")
    def request_approval(run_id: RunId, visit: Visit = acts(desk, "diagnose")) -> Response:
        """Ask a second person for the plan that was shown."""
        run, person = desk.ended_run(run_id, visit.known), visit.known
        desk.plans.request(run, visit.sent("plan_hash"), person.name, person, visit.address)
        return see_other(f"/runs/{run_id}")

    @pages.post("/runs/{run_id}/cancel")
    def cancel(run_id: RunId, visit: Visit = acts(desk, "diagnose")) -> Response:
        """Have a run ended and its servers cleaned up."""
        if not desk.cancel(desk.run(run_id, visit.known), visit.known, visit.address):
            raise Problem(409, "Cannot end this run: it has ended.")
        return see_other(f"/runs/{run_id}")

    return pages


def _asked(visit: Visit, settings: Settings) -> Asked:
    """What the box asks for: an incident, an account of the chosen server, or that server alone. Raises InputError."""
    box, server = visit.sent("for"), visit.sent("server")
    servers = [server] if server else []
    if not box:
        return Asked(playbook=DIAGNOSE, servers=servers)
    if ":" in box or box.startswith("#") or (not server and box.isdecimal()):
        incident: Any = checked_incident(box if ":" in box else f"{_tracker(settings)}:{box.removeprefix('#')}")
        return Asked(playbook=FIX, servers=servers, incident=incident, watch=_WATCH)
    return Asked(playbook=FIX, servers=servers, account=box, watch=_WATCH)


def _tracker(settings: Settings) -> str:
    """The tracker of this site, where it has just one."""
    found = [name for name in Trackers.model_fields if isinstance(one := getattr(settings, name), Server) and one.url]
    if len(found) != 1:
        raise InputError("Give the incident with its tracker, for example rt:17.")
    return found[0]
