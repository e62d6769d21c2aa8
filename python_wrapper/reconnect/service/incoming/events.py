"""`POST /v1/events`: a CloudEvent 1.0 that names an incident, signed as a hook is (Standard Webhooks)."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from reconnect.service.contract import openapi
from reconnect.service.contract.documents import Taken
from reconnect.service.desk import Desk
from reconnect.service.incoming import hooks
from reconnect.service.incoming.inbox import Inbox

_DATA = {
    "type": "object",
    "properties": {"incident": {"type": "string"}, "user": {"type": "string"}},
    "required": ["incident"],
}
_EVENT = {
    "type": "object",
    "properties": {
        "specversion": {"const": "1.0"},
        **{name: {"type": "string", "minLength": 1} for name in ("id", "source", "type")},
        "data": _DATA,
    },
    "required": ["specversion", "id", "source", "type", "data"],
}
#: The body in structured and in binary mode; a signature takes the place of a token.
_DESCRIBED = {
    "requestBody": {
        "required": True,
        "content": {"application/cloudevents+json": {"schema": _EVENT}, "application/json": {"schema": _DATA}},
    },
    "security": [],
}


def router(desk: Desk, inbox: Inbox) -> APIRouter:
    """The endpoint."""
    api = APIRouter(prefix="/v1", responses=openapi.problems(400, 401, 404, 413, 422, 429, 503))

    @api.post(
        "/events",
        status_code=202,
        response_model=Taken,
        response_model_exclude_none=True,
        responses={200: {"model": Taken, "description": "Nothing to do"}},
        openapi_extra=_DESCRIBED,
    )
    async def receive(request: Request, response: Response) -> Any:
        """Take a CloudEvent about an incident: structured mode, or binary mode with the headers `ce-…`. The headers
        `webhook-id`, `webhook-timestamp` and `webhook-signature` sign it (Standard Webhooks)."""
        body = await request.body()
        return await asyncio.to_thread(hooks.take, desk, inbox, "events", request, response, body)

    return api
