"""Hooks: how each source signs what it delivers, and which incident it is about.

Nothing else of a body is used: intake reads the incident from its tracker. The payloads of Zammad, Jira, ServiceNow and
Alertmanager are those of their documentation.

`rt`           the scrip action of files/trackers/rt, which signs as Standard Webhooks do
`zammad`       `X-Hub-Signature: sha1=` HMAC of the body; `X-Zammad-Delivery`
`jira`         `X-Hub-Signature: sha256=` HMAC of the body; `X-Atlassian-Webhook-Identifier`
`servicenow`   a business rule that sends the secret in `X-Reconnect-Secret`
`alertmanager` the secret as bearer token; the label `incident` of an alert names the incident
`webhooks`     Standard Webhooks; `incident` of the body, or of `data` in a CloudEvent
`events`       the same for a CloudEvent in structured or binary mode (events.py)
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from reconnect import files
from reconnect.common import plain_json
from reconnect.errors import InputError
from reconnect.incidents.trackers import open_incident
from reconnect.incidents.trackers.jira import user_of
from reconnect.names import Incident
from reconnect.service import metrics
from reconnect.service.desk import Desk
from reconnect.service.http import address_of
from reconnect.service.incoming.inbox import Delivery, Inbox, is_other
from reconnect.service.problems import Problem
from reconnect.service.starting import checked_incident
from reconnect.settings.service import HookSettings
from reconnect.text import is_storable, one_line

_LOG = logging.getLogger("reconnect.service.incoming.hooks")
#: A delivery is no larger than this, in bytes, and of no more incidents.
MAX_DELIVERY = 256 * 1024
MOST_INCIDENTS = 50
#: A signed delivery is no older, and no newer, than this, in seconds (Standard Webhooks).
TOLERANCE = 300

#: What each CloudEvent has.
_ATTRIBUTES = ("specversion", "id", "source", "type")

Headers = Mapping[str, str]
#: The id of the delivery and the incidents that it names, by `TRACKER:ID`; the user who caused it.
Read = tuple[list[tuple[str, str]], str | None]


def router(desk: Desk, inbox: Inbox) -> APIRouter:
    """`POST /hooks/{source}`: 202 once the delivery is kept, 200 where there is nothing to do."""
    hooks = APIRouter()

    @hooks.post("/hooks/{source}", include_in_schema=False)
    async def receive(request: Request, response: Response, source: str) -> dict[str, str]:

        body = await request.body()
        return await asyncio.to_thread(take, desk, inbox, source, request, response, body)

    return hooks


def take(desk: Desk, inbox: Inbox, source: str, request: Request, response: Response, body: bytes) -> dict[str, str]:
    """Keeps what a source delivers, and says what became of it. Raises Problem, InputError, StoreError."""
    desk.door.count(f"hook {address_of(request.scope)}")
    known = desk.settings.service.hooks.get(source) if source in SOURCES else None
    if known is None:
        raise Problem(404, "There is no such source.")
    verify, read = SOURCES[source]
    if len(body) > MAX_DELIVERY:
        raise Problem(413, f"The delivery is larger than {MAX_DELIVERY // 1024} KiB.")
    if not verify(request.headers, body, _secret(source, known)):
        metrics.DELIVERIES.labels(source, "forged").inc()
        raise Problem(401, "The signature is missing, wrong or too old.")
    try:
        said = plain_json(body)
        if not isinstance(said, dict):
            raise ValueError("no object")
        named, user = read(request.headers, said)
        if not is_storable([user, *(text for both in named for text in both)]):
            raise ValueError("no texts")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise Problem(422, "The body is not what this source delivers.") from None
    if known.ignore_user is not None and user == known.ignore_user:
        metrics.DELIVERIES.labels(source, "own").inc()
        return {"result": "ignored", "reason": "Reconnect itself caused it."}
    new, invalid = 0, []
    for delivery_id, name in named[:MOST_INCIDENTS]:
        try:
            incident = Incident.parse(checked_incident(name))
            # Its id is checked by its tracker before it is kept.
            open_incident(incident, desk.settings)
        except InputError as error:
            _LOG.warning("ignored: %s", error, extra={"source": source})
            invalid.append(error)
            continue
        delivery = Delivery(source, delivery_id, incident, is_other(user, known.ignore_user))
        kept = inbox.put(delivery, request.scope["state"]["trace_id"])
        new += kept == "new"
    if invalid and len(invalid) == len(named[:MOST_INCIDENTS]):
        raise invalid[0]
    response.status_code = 202 if new else 200
    if not named:
        return {"result": "ignored", "reason": "It names no incident."}
    return {"result": "accepted" if new else "duplicate"}


def _secret(source: str, settings: HookSettings) -> bytes:
    """The shared secret. Raises Problem where the site has none: nothing is taken unsigned."""
    words = ""
    with contextlib.suppress(InputError):
        words = files.secret(settings.secret, settings.secret_file, "file")
    if len(words) < 8:
        raise Problem(503, f"The hook {one_line(source, 40)} has no secret, or one that is too short.")
    return words.encode()


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), wanted.encode())


def _hub(digest: str) -> Callable[[Headers, bytes, bytes], bool]:
    def verify(headers: Headers, body: bytes, secret: bytes) -> bool:
        wanted = f"{digest}={hmac.new(secret, body, digest).hexdigest()}"
        return _same(headers.get("x-hub-signature", ""), wanted)

    return verify


def standard(headers: Headers, body: bytes, secret: bytes) -> bool:
    """Standard Webhooks: `v1,` and the HMAC of id, time and body, one of several."""
    identifier, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not identifier or not (at.isascii() and at.isdigit() and len(at) < 12) or abs(time.time() - int(at)) > TOLERANCE:
        return False
    signed = b".".join((identifier.encode(errors="replace"), at.encode(), body))
    wanted = f"v1,{base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest()).decode()}"
    return any(_same(one, wanted) for one in headers.get("webhook-signature", "").split(" ")[:8])


def _key(secret: bytes) -> bytes:
    """A secret that begins with `whsec_` is base64 of the key."""
    if not secret.startswith(b"whsec_"):
        return secret
    try:
        return base64.b64decode(secret.removeprefix(b"whsec_"), validate=True)
    except ValueError:
        return secret


def _bearer(headers: Headers, body: bytes, secret: bytes) -> bool:
    return _same(headers.get("authorization", ""), f"Bearer {secret.decode()}")


def _header(headers: Headers, body: bytes, secret: bytes) -> bool:
    return _same(headers.get("x-reconnect-secret", ""), secret.decode())


def _rt(headers: Headers, said: dict[str, Any]) -> Read:
    return [(headers["webhook-id"], f"rt:{int(said['ticket'])}")], _text(said.get("user"))


def _zammad(headers: Headers, said: dict[str, Any]) -> Read:
    incident, article = said["ticket"], said.get("article") or {}
    user = (article.get("created_by") or incident.get("updated_by") or {}).get("login")
    return [(headers["x-zammad-delivery"], f"zammad:{int(incident['id'])}")], _text(user)


def _jira(headers: Headers, said: dict[str, Any]) -> Read:
    user = said.get("user") or (said.get("comment") or {}).get("author")
    return [(headers["x-atlassian-webhook-identifier"], f"jira:{said['issue']['key']}")], user_of(user)


def _servicenow(headers: Headers, said: dict[str, Any]) -> Read:
    delivery = f"{said['sys_id']}-{int(said['sys_mod_count'])}"
    return [(delivery, f"servicenow:{said['number']}")], _text(said.get("sys_updated_by"))


def _alertmanager(headers: Headers, said: dict[str, Any]) -> Read:
    named = []
    for alert in said["alerts"]:
        labels = {**(alert.get("annotations") or {}), **(alert.get("labels") or {})}
        if alert.get("status") == "firing" and "incident" in labels:
            named.append((f"{alert['fingerprint']}-{alert['startsAt']}", str(labels["incident"])))
    return named, None


def _webhook(headers: Headers, said: dict[str, Any]) -> Read:
    data = said.get("data") if "specversion" in said else said
    if not isinstance(data, dict):
        raise ValueError("no data")
    # A CloudEvent is the same where source and id are the same.
    own = _event_id(said) if "specversion" in said else headers["webhook-id"]
    return [(own, str(data["incident"]))], _text(data.get("user"))


def _event(headers: Headers, said: dict[str, Any]) -> Read:
    """A CloudEvent 1.0. In binary mode no signature covers its headers: the id of the delivery is the signed one."""
    binary = "ce-specversion" in headers
    structured = headers.get("content-type", "").partition(";")[0].strip().lower() == "application/cloudevents+json"
    about = {name: headers.get(f"ce-{name}") if binary else said.get(name) for name in _ATTRIBUTES}
    named = all(isinstance(value, str) and value for value in about.values())
    data = said if binary else said.get("data")
    if binary == structured or not named or about["specversion"] != "1.0" or not isinstance(data, dict):
        raise ValueError("no CloudEvent")
    own = headers["webhook-id"] if binary else _event_id(about)
    return [(own, str(data["incident"]))] if "incident" in data else [], _text(data.get("user"))


def _event_id(about: Mapping[str, Any]) -> str:
    """One id for a CloudEvent, however long its source is."""
    return hashlib.sha256(f"{about['source']}\0{about['id']}".encode()).hexdigest()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


SOURCES: dict[str, tuple[Callable[[Headers, bytes, bytes], bool], Callable[[Headers, dict[str, Any]], Read]]] = {
    "rt": (standard, _rt),
    "zammad": (_hub("sha1"), _zammad),
    "jira": (_hub("sha256"), _jira),
    "servicenow": (_header, _servicenow),
    "alertmanager": (_bearer, _alertmanager),
    "webhooks": (standard, _webhook),
    "events": (standard, _event),
}
