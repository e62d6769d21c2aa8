"""What every page has: who looks at it, its language, its forms and its errors."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hmac import compare_digest
from importlib import resources
from typing import Annotated, Any
from urllib.parse import parse_qs, urlencode

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment

from reconnect import texts
from reconnect.errors import ReconnectError
from reconnect.reports.html import environment, own
from reconnect.result import rfc3339
from reconnect.service import problems
from reconnect.service.desk import Desk
from reconnect.service.http import COOKIE, address_of
from reconnect.service.people import Person, Right, digest_of
from reconnect.service.problems import Problem
from reconnect.service.screens.view import diffed
from reconnect.texts import Language

#: The language that somebody chose, where it is not the user's own.
LANGUAGE_COOKIE = "__Host-reconnect-language"
LANGUAGES: dict[Language, str] = {"en": "English", "it": "Italiano"}
#: The most fields that a form has.
_FIELDS = 600
_FILES = {"style.css": "text/css", "screens.js": "text/javascript", "selfcheck.js": "text/javascript"}


@dataclass(frozen=True)
class Visit:
    """A request for a page. `form` is what was sent with it; `token` goes into each form of the page and comes back
    with it."""

    request: Request
    person: Person | None
    language: Language
    token: str
    form: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def known(self) -> Person:
        """Whoever is signed in. Raises Problem."""
        if self.person is None:
            raise Problem(401, "Sign in.")
        return self.person

    @property
    def address(self) -> str:
        """Where the request comes from."""
        return address_of(self.request.scope)

    def say(self, identifier: str, **arguments: object) -> str:
        """A text in the reader's language."""
        return texts.text(identifier, self.language, **arguments)

    def sent(self, name: str) -> str:
        """A field of the form; empty where there is none."""
        return next(iter(self.form.get(name, ())), "").strip()


class Screen(APIRoute):
    """A page, whose errors are pages, too. Who is not signed in goes to sign in."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler that answers so."""
        handler = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handler(request)
            except problems.EXPECTED as error:
                problem = problems.explained(error)
                if problem.status == 401:
                    back = request.url.path if request.method == "GET" else "/"
                    return see_other(f"/sign-in?{urlencode({'next': back})}")
                visit = visit_of(request)
                detail = texts.sentence(problem.detail, visit.language)
                answer = page(visit, "problem.html.j2", problem.status, detail=detail)
                answer.headers.update(problem.headers)
                return answer

        return handled


def router() -> APIRouter:
    """A router for pages; the API's description has none of them."""
    return APIRouter(route_class=Screen, include_in_schema=False)


async def form_of(request: Request) -> Mapping[str, list[str]]:
    """The fields of the form that was sent. Raises Problem."""
    try:
        body = (await request.body()).decode()
        return parse_qs(body, keep_blank_values=True, max_num_fields=_FIELDS)
    except ValueError:
        raise Problem(422, "The form cannot be read.") from None


Form = Annotated[Mapping[str, list[str]], Depends(form_of)]


def looks(desk: Desk, right: Right) -> Any:
    """For FastAPI: the visit of whoever looks at a page, if they may."""
    allowed = desk.door.with_right(right)

    def visit(request: Request) -> Visit:
        allowed(request)
        return visit_of(request)

    return Depends(visit)


def acts(desk: Desk, right: Right) -> Any:
    """For FastAPI: the visit of whoever sends a form of one of our pages, if they may."""
    allowed = desk.door.with_right(right)

    def visit(request: Request, form: Form) -> Visit:
        allowed(request)
        found = visit_of(request, form)
        if not found.token or not compare_digest(found.token.encode(), found.sent("token").encode()):
            raise Problem(403, "The form belongs to another session. Load the page again.")
        return found

    return Depends(visit)


def visit_of(request: Request, form: Mapping[str, list[str]] | None = None) -> Visit:
    """The request as a visit of whoever the door let in."""
    secret = request.cookies.get(COOKIE)
    token = digest_of(f"form {secret}") if secret else ""
    person = getattr(request.state, "person", None)
    return Visit(request, person, _language(request, person), token, form or {})


def page(visit: Visit, template: str, status: int = 200, **shown: Any) -> HTMLResponse:
    """A page as HTML."""
    holds: list[str] = []
    if visit.person is not None:
        with contextlib.suppress(ReconnectError):
            holds = [one.sentence() for one in visit.request.app.state.desk.guards.holds() if not one.server]
    said = _environment().get_template(template)
    text = said.render(visit=visit, t=visit.say, languages=LANGUAGES, version=_version(), holds=holds, **shown)
    return HTMLResponse(text, status)


def see_other(where: str) -> RedirectResponse:
    """Go there and look; nothing is sent again."""
    return RedirectResponse(where, 303)


def from_own_page(desk: Desk, visit: Visit) -> Visit:
    """The visit, if one of our pages sent it. Raises Problem."""
    if not desk.door.from_own_page(visit.request):
        raise Problem(403, "The request does not come from a page of this service.")
    return visit


def set_cookie(answer: Response, name: str, value: str, seconds: int) -> None:
    """Has the browser keep a value for so long; no script reads it."""
    answer.set_cookie(name, value, max_age=seconds, path="/", secure=True, httponly=True, samesite="lax")


def static(name: str) -> tuple[bytes, str]:
    """A file that pages load, and its type. Raises Problem."""
    if name not in _FILES:
        raise Problem(404, "There is no such file.")
    return _files()[name], _FILES[name]


@functools.cache
def _files() -> dict[str, bytes]:
    ours = resources.files("reconnect.service.screens").joinpath("templates")
    found = {name: ours.joinpath(name).read_bytes() for name in _FILES}
    return found | {"style.css": own("style.css").encode() + found["style.css"]}


@functools.cache
def _version() -> str:
    """Changes with the files, which browsers may keep."""
    return hashlib.sha256(b"".join(_files().values())).hexdigest()[:16]


@functools.cache
def _environment() -> Environment:
    made = environment("reconnect.service.screens", "reconnect.reports.html")
    made.globals.update(diffed=diffed, rfc3339=_rfc3339)
    return made


def _rfc3339(at: datetime | str) -> str:
    return at if isinstance(at, str) else rfc3339(at)


def _language(request: Request, person: Person | None) -> Language:
    """The language that was chosen, else the user's, else the one that the browser likes best."""
    chosen = request.cookies.get(LANGUAGE_COOKIE)
    liked = [chosen, person.language if person else None, *_accepted(request.headers.get("accept-language", ""))]
    return next((one for like in liked for one in LANGUAGES if one == like), "en")


def _accepted(header: str) -> list[str]:
    """The languages that a browser accepts, the most liked first."""
    liked: list[tuple[float, str]] = []
    for part in header[:200].split(","):
        tag, _, quality = part.strip().partition(";q=")
        with contextlib.suppress(ValueError):
            liked.append((-float(quality or 1), tag.partition("-")[0].lower()))
    return [tag for _, tag in sorted(liked, key=lambda one: one[0])]
