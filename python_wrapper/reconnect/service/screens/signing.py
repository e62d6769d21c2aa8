"""Signing in and out, the language, and the files that pages load."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable
from hmac import compare_digest
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from reconnect.service import audit
from reconnect.service.desk import Desk
from reconnect.service.http import COOKIE
from reconnect.service.people import SESSION_HOURS, Person, is_name
from reconnect.service.problems import Problem
from reconnect.service.screens.frame import (
    LANGUAGE_COOKIE,
    LANGUAGES,
    Form,
    Visit,
    acts,
    from_own_page,
    page,
    router,
    see_other,
    set_cookie,
    static,
    visit_of,
)
from reconnect.service.screens.oidc import CALLBACK, Identity, Provider, Refused, state_of
from reconnect.text import one_line

_LOG = logging.getLogger("reconnect.service.screens")
#: A page of ours: no other host, and nothing that a browser reads as one.
_OWN_PATH = re.compile(r"/(?:[A-Za-z0-9][A-Za-z0-9_./-]{0,200})?")
_YEAR = 365 * 24 * 3600
#: What a browser keeps while its person signs in at the provider, and how long, in seconds.
_OIDC_COOKIE, _OIDC_SECONDS = "__Host-reconnect-oidc", 900


def routes(desk: Desk) -> APIRouter:
    """The pages that nobody has to be signed in for, and the way out."""
    pages = router()
    own = desk.settings.service
    provider = Provider(own.oidc, own.origin) if own.oidc and own.origin else None

    def sign_in_again(visit: Visit, back: str, refused: str = "", name: str = "", status: int = 200) -> Response:
        shown = {"back": back, "refused": refused, "name": name, "local": own.local_users, "provider": bool(provider)}
        return page(visit, "sign_in.html.j2", status, signed_out="signed-out" in visit.request.query_params, **shown)

    @pages.get("/sign-in")
    def sign_in_page(request: Request, next: Annotated[str, Query(max_length=300)] = "/") -> Response:
        """Ask for name and password, or lead to the identity provider."""
        return sign_in_again(visit_of(request), _own(next))

    @pages.post("/sign-in")
    def sign_in(request: Request, form: Form) -> Response:
        """Begin a session. Only our own page may ask for that: nobody else signs somebody in."""
        visit = from_own_page(desk, visit_of(request, form))
        name, back = one_line(visit.sent("name"), 80), _own(visit.sent("next"))
        desk.door.count_sign_in(f"address {visit.address}", f"name {name}")
        if not own.local_users:
            return sign_in_again(visit, back, visit.say("screen.sign_in_refused"), name, 403)
        person = desk.people.signed_in(name, next(iter(form.get("password", ())), ""))
        if person is None:
            _LOG.warning("sign-in refused", extra={"who": name, "address": visit.address})
            return sign_in_again(visit, back, visit.say("screen.sign_in_refused"), name, 403)
        return _begin_session(desk, visit, person, back)

    @pages.post("/sign-out")
    def sign_out(visit: Visit = acts(desk, "diagnose")) -> Response:
        """End the session."""
        desk.people.end_session(visit.request.cookies[COOKIE])
        desk.note(audit.Deed(visit.known.name, visit.known.role, visit.address, "signed out"))
        answer = see_other("/sign-in?signed-out=1" if provider else "/sign-in")
        set_cookie(answer, COOKIE, "", 0)
        return answer

    @pages.post("/language")
    def language(request: Request, form: Form) -> Response:
        """Choose the language of all pages."""
        visit = from_own_page(desk, visit_of(request, form))
        if visit.sent("language") not in LANGUAGES:
            raise Problem(422, "There is no such language.")
        answer = see_other(_own(visit.sent("next")))
        set_cookie(answer, LANGUAGE_COOKIE, visit.sent("language"), _YEAR)
        return answer

    @pages.get("/static/{name}")
    def file(name: str) -> Response:
        """A file that pages load, as long as it does not change."""
        content, kind = static(name)
        return Response(content, media_type=kind, headers={"Cache-Control": "max-age=31536000, immutable"})

    if provider is not None:
        _at_provider(desk, provider, pages, sign_in_again)
    return pages


def _at_provider(desk: Desk, provider: Provider, pages: APIRouter, sign_in_again: Callable[..., Response]) -> None:
    """The way to the identity provider and back."""

    @pages.get("/sign-in/oidc")
    def begin(request: Request, next: Annotated[str, Query(max_length=300)] = "/") -> Response:
        """Go to the provider. A link does it: a form may lead to this host only."""
        desk.door.count_sign_in(f"to the provider {visit_of(request).address}")
        kept = secrets.token_hex(32)
        answer = see_other(provider.begin(kept))
        set_cookie(answer, _OIDC_COOKIE, kept + _own(next), _OIDC_SECONDS)
        return answer

    @pages.get(CALLBACK)
    def callback(
        request: Request,
        state: Annotated[str, Query(max_length=200)] = "",
        code: Annotated[str, Query(max_length=4000)] = "",
        iss: Annotated[str, Query(max_length=400)] = "",
    ) -> Response:
        """Come back from the provider, and begin a session if it says who somebody is, and that they have a role."""
        visit, cookie = visit_of(request), request.cookies.get(_OIDC_COOKIE, "")
        kept, back = cookie[:64], _own(cookie[64:])
        desk.door.count_sign_in(f"address {visit.address}")
        try:
            if not kept or not compare_digest(state_of(kept).encode(), state.encode()):
                raise Refused("screen.oidc_state", "the answer was not asked for in this browser")
            if iss and iss != provider.issuer:
                raise Refused("screen.oidc_invalid", "the answer is another provider's")
            if not code:
                raise Refused("screen.oidc_refused", "the provider sent no code")
            answer = _begin_session(desk, visit, _known(desk, provider, provider.identity(kept, code), visit), back)
        except Refused as error:
            _LOG.warning("sign-in refused: %s", error, extra={"address": visit.address})
            answer = sign_in_again(visit, back, visit.say(error.told, **error.arguments), status=403)
        set_cookie(answer, _OIDC_COOKIE, "", 0)
        return answer

    @pages.get("/sign-out/oidc")
    def end(request: Request) -> Response:
        """Sign out of the provider, too."""
        desk.door.count_sign_in(f"to the provider {visit_of(request).address}")
        return see_other(provider.end() or "/sign-in")


def _known(desk: Desk, provider: Provider, identity: Identity, visit: Visit) -> Person:
    """The user that the provider says it is. Raises Refused."""
    name = one_line(identity.name, 80)
    if not is_name(identity.name):
        raise Refused("screen.oidc_no_name", f"'{name}' is not a name", name=name)
    if identity.role is None:
        desk.people.withdrawn(provider.issuer, identity.sub)
        raise Refused("screen.oidc_no_role", f"{name} has no role", name=name)
    spoken = identity.locale.replace("_", "-").partition("-")[0].lower()
    language = next((one for one in LANGUAGES if one == spoken), visit.language)
    person = desk.people.provided(provider.issuer, identity.sub, name, identity.role, language)
    if person is None:
        raise Refused("screen.oidc_taken", f"{name} is the name of another user", name=name)
    return person


def _begin_session(desk: Desk, visit: Visit, person: Person, back: str) -> Response:
    if old := visit.request.cookies.get(COOKIE):
        desk.people.end_session(old)
    answer = see_other(back)
    set_cookie(answer, COOKIE, desk.people.begin_session(person, visit.address), SESSION_HOURS * 3600)
    return answer


def _own(path: str) -> str:
    return path if _OWN_PATH.fullmatch(path) else "/"
