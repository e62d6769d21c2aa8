"""The self-check: the link that first level makes, and the page that the user's browser opens with it.

To look at the page does nothing: programs that preview messages follow links. Its button binds the link to one browser.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from reconnect import outcomes
from reconnect.incidents.client_report import Browser
from reconnect.service.contract.documents import RunId
from reconnect.service.desk import CHECK_WATCH, Desk
from reconnect.service.http import POLICY
from reconnect.service.problems import Problem
from reconnect.service.screens.frame import (
    Form,
    Visit,
    acts,
    from_own_page,
    page,
    router,
    see_other,
    set_cookie,
    visit_of,
)
from reconnect.service.selfcheck import browser
from reconnect.service.selfcheck.links import VALID, About, Link, proof_of
from reconnect.settings.service import ServiceSettings

#: What binds a link to one browser.
CHECK_COOKIE = "__Host-reconnect-check"
#: The proof of that browser, as it is sent to the service's other names, in characters.
_PROOF = 64
#: Seconds until a browser tries again whose incident is being worked on.
_LATER = 30


def routes(desk: Desk) -> APIRouter:
    """The pages; only first level has to be signed in."""
    pages, own = router(), desk.settings.service

    def found(request: Request, secret: str) -> Link | None:
        cookie = request.cookies.get(CHECK_COOKIE)
        return desk.links.find(secret, proof_of(cookie) if cookie else None)

    def visiting(request: Request, form: Form | None = None) -> Visit:
        visit = visit_of(request, form)
        desk.door.count(f"self-check {visit.address}")
        return visit

    @pages.post("/runs/{run_id}/selfcheck")
    def make(run_id: RunId, visit: Visit = acts(desk, "diagnose")) -> Response:
        """Make a link for the user of this run's account."""
        request = desk.run(run_id, visit.known).record.request
        if request.account is None or len(request.servers) != 1:
            raise Problem(409, "A self-check is for the account of one server. Diagnose that account first.")
        about = About(request.servers[0], request.account, str(request.incident) if request.incident else None)
        secret, _ = desk.link(about, visit.known, visit.address)
        link = desk.url_of(visit.request, secret)
        return page(visit, "selfcheck_link.html.j2", link=link, about=about, run_id=run_id, minutes=_minutes())

    @pages.get("/check/{secret}")
    def show(request: Request, secret: str) -> Response:
        """What this link does, or what became of it."""
        visit, link = visiting(request), found(request, secret)
        if link is None:
            return _gone(visit)
        if link.run_id is not None:
            return _outcome(desk, visit, link.run_id)
        if not link.opened:
            return page(visit, "selfcheck.html.j2", path=request.url.path, minutes=_minutes())
        proof = proof_of(request.cookies[CHECK_COOKIE])
        answer = page(visit, "selfcheck_tests.html.j2", path=request.url.path, proof=proof, own=own)
        answer.headers["Content-Security-Policy"] = _policy(own)
        return answer

    @pages.post("/check/{secret}")
    def open_link(request: Request, secret: str, form: Form) -> Response:
        """Bind the link to this browser."""
        visit = from_own_page(desk, visiting(request, form))
        link = found(request, secret)
        if link is not None and link.opened:
            return see_other(request.url.path)
        cookie = desk.links.open(secret, visit.address)
        if cookie is None:
            return _gone(visit)
        answer = see_other(request.url.path)
        set_cookie(answer, CHECK_COOKIE, cookie, int(VALID.total_seconds()))
        return answer

    @pages.post("/check/{secret}/seen")
    def seen(request: Request, secret: str, body: Annotated[bytes, Depends(_body)]) -> Response:
        """Keep where this browser is seen at, by one of the service's other names: no cookie comes along."""
        visit, proof = visiting(request), body[: _PROOF + 1].decode("ascii", "replace")
        if not desk.links.saw(secret, proof, visit.address):
            return _gone(visit)
        return Response(status_code=204, headers={"Access-Control-Allow-Origin": "*"})

    @pages.post("/check/{secret}/result")
    def finish(request: Request, secret: str, form: Form) -> Response:
        """Take what the browser found, and begin the run that follows."""
        visit = from_own_page(desk, visiting(request, form))
        link, path = found(request, secret), request.url.path.removesuffix("/result")
        if link is None or not link.opened:
            return _gone(visit)
        if link.run_id is None:
            said = browser.tested(form)
            desk.links.saw(secret, proof_of(request.cookies[CHECK_COOKIE]), visit.address)
            addresses = (found(request, secret) or link).addresses
            if not desk.checked_itself(secret, link, browser.report(request, said, addresses, own), visit.address):
                return _later(visit, path)
        return see_other(path)

    return pages


async def _body(request: Request) -> bytes:
    return await request.body()


def _outcome(desk: Desk, visit: Visit, run_id: str) -> Response:
    """What the browser found, and what the run found after it."""
    run = desk.runs.get(run_id)
    if run is None:
        return _gone(visit)
    report = (run.client_report() or {}).get("browser")
    ended = run.record.finished_at is not None
    verdicts = [one.verdict for one in run.results() if one.verdict] if ended else []
    told = [outcomes.told(one, visit.language) for one in verdicts if one.user_message]
    said = Browser.model_validate(report) if report else None
    own = desk.settings.service
    return page(visit, "selfcheck_outcome.html.j2", found=said, ended=ended, told=told, own=own, seconds=CHECK_WATCH)


def _gone(visit: Visit) -> Response:
    return page(visit, "selfcheck_gone.html.j2", 410, minutes=_minutes())


def _later(visit: Visit, path: str) -> Response:
    """The check can be done in a moment, and the browser comes back by itself."""
    answer = page(visit, "selfcheck_later.html.j2", 409, path=path, seconds=_LATER)
    answer.headers.update({"Retry-After": f"{_LATER}", "Refresh": f"{_LATER}; url={path}"})
    return answer


def _minutes() -> int:
    return int(VALID.total_seconds() // 60)


def _policy(own: ServiceSettings) -> str:
    """The policy of all pages; this one may ask the names that it tests, too."""
    names = [one for one in (own.check_ipv4, own.check_ipv6, own.check_provisioning) if one]
    return POLICY.replace("connect-src 'self'", " ".join(["connect-src 'self'", *names]))
