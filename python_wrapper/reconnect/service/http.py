"""What stands before every request: bounded bodies, safe headers, rate limits, who asks, and the log."""

from __future__ import annotations

import ipaddress
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.exceptions import HTTPException

from reconnect.service import metrics
from reconnect.service.people import People, Person, Right
from reconnect.service.problems import Problem, answer

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOG = logging.getLogger("reconnect.service.http")
#: A request's body is no larger than this, in bytes.
MAX_BODY = 1024 * 1024
TOO_LARGE = f"The request is larger than {MAX_BODY // 1024} KiB."
#: Whoever asks may invent others: a figure of each would stay in memory.
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
COOKIE = "__Host-reconnect"
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
#: `traceparent`: version, trace id, the sender's own id, flags; only zeros is no id.
_TRACE = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Front:
    """Bounds the body, sets the headers, counts and logs. The log has a trace id: the one that the request says it
    belongs to (W3C Trace Context), else one of its own."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        scope.setdefault("state", {})["trace_id"] = trace_id = _trace_id(scope)
        seen, status = 0, 0

        async def bounded() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > MAX_BODY:
                raise HTTPException(413)
            return message

        async def respond(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = {name.lower() for name, _ in message["headers"]}
                more = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message["headers"], *(pair for pair in more if pair[0] not in own)]
            await send(message)

        try:
            length = dict(scope["headers"]).get(b"content-length", b"0")
            if not length.isdigit() or int(length) > MAX_BODY:
                await answer(413, TOO_LARGE, {"Connection": "close"})(scope, receive, respond)
                return
            await self._app(scope, bounded, respond)
        except Exception:
            _LOG.exception("a defect of Reconnect", extra={"trace_id": trace_id})
            if not status:
                sentence = f"This is a defect of Reconnect. Its log has the trace id {trace_id}."
                await answer(500, sentence)(scope, receive, respond)
        finally:
            seconds = time.monotonic() - began
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            metrics.REQUESTS.labels(route, method if route != "none" else "none", status).observe(seconds)
            _LOG.info(
                "request",
                extra={
                    "trace_id": trace_id,
                    "method": scope["method"],
                    "route": route,
                    "status": status,
                    "seconds": round(seconds, 4),
                    "who": scope["state"].get("who"),
                    "address": address_of(scope),
                },
            )


def _trace_id(scope: Scope) -> str:
    """Where one sends several headers, or one that is invalid, that is as if there were none."""
    said = [value for name, value in scope["headers"] if name == b"traceparent"]
    found = _TRACE.fullmatch(said[0]) if len(said) == 1 else None
    return found[1].decode() if found else secrets.token_hex(16)


def address_of(scope: Scope) -> str:
    """The address of whoever asks; uvicorn puts that of X-Forwarded-For there, where a trusted proxy says so."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def _network(who: str) -> str:
    """Whose requests count together. One line has a whole /64 of IPv6 addresses: each of them would have a limit."""
    *what, last = who.split(" ")
    try:
        address = ipaddress.IPv6Address(last.partition("%")[0])
    except ValueError:
        return who
    return " ".join([*what, str(ipaddress.IPv6Network((address, 64), strict=False))])


class Door:
    """Who asks, whether they may, and how often. Raises Problem."""

    def __init__(self, people: People, requests: int, origin: str | None) -> None:
        self._people = people
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._each = RateLimitItemPerMinute(requests)
        self._sign_in = RateLimitItemPerMinute(max(1, requests // 10))
        self._origin = origin

    def person(self, request: Request) -> Person | None:
        """Whoever asks, by token or by session; None where neither is valid. A change by a session must come from our
        own page."""
        found = self._named(request)
        request.scope["state"].update(person=found, who=found.name if found else None)
        self.count(found.name if found else address_of(request.scope))
        return found

    def with_right(self, right: Right) -> Callable[[Request], Person]:
        """For FastAPI: whoever asks, if they may."""

        def allowed(request: Request) -> Person:
            person = self.person(request)
            if person is None:
                raise Problem(401, "Sign in, or send a valid token.", WWW_Authenticate="Bearer")
            if not person.may(right):
                raise Problem(403, "Your role does not allow this.")
            return person

        return allowed

    def count(self, who: str) -> None:
        """Counts one request of somebody, or of an address."""
        if not self._limiter.hit(self._each, _network(who)):
            raise Problem(429, "Too many requests. Wait a minute.", Retry_After="60")

    def count_sign_in(self, *who: str) -> None:
        """Counts one attempt to sign in, by address and by name."""
        hits = [self._limiter.hit(self._sign_in, "sign in", _network(one)) for one in who]
        if not all(hits):
            raise Problem(429, "Too many attempts to sign in. Wait a minute.", Retry_After="60")

    def from_own_page(self, request: Request) -> bool:
        """Whether a browser sent this request from one of our pages."""
        origin = request.headers.get("origin")
        if origin is None or request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return False
        if self._origin is not None:
            return origin == self._origin
        try:
            return urlsplit(origin).netloc == request.headers.get("host")
        except ValueError:
            return False

    def _named(self, request: Request) -> Person | None:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind:
            return self._people.by_token(token.strip()) if kind.lower() == "bearer" else None
        secret = request.cookies.get(COOKIE)
        if secret is None:
            return None
        if request.method not in {"GET", "HEAD"} and not self.from_own_page(request):
            raise Problem(403, "The request does not come from a page of this service.")
        return self._people.by_session(secret)
