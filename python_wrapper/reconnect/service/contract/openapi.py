"""The description of the API as OpenAPI 3.1."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from reconnect.service.contract.documents import Problem
from reconnect.service.problems import MEDIA_TYPE

_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_SCHEMES = {
    "token": {"type": "http", "scheme": "bearer", "description": "A token of `reconnect tokens add`."},
}
_EVENT = {
    "type": "object",
    "description": (
        "One event. Its data are JSON: `at`, `server`, what the event says, and `said`, which is null, or what a "
        "person reads of it and what stands beside that."
    ),
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9]+$"},
        "event": {"type": "string"},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["id", "event", "data"],
}
#: The answer of an endpoint that sends events.
EVENTS: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": _EVENT}}}}


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """The answers of an endpoint that are problem documents."""
    return {code: {"description": HTTPStatus(code).phrase, "content": _PROBLEM} for code in codes}


def describe(app: FastAPI) -> None:
    """Has the application describe its problem documents and how one signs in, too."""

    def made() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, routes=app.routes)
            document["components"]["schemas"]["Problem"] = Problem.model_json_schema(mode="serialization")
            document["components"]["securitySchemes"] = _SCHEMES
            document["security"] = [{name: []} for name in _SCHEMES]
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = made  # type: ignore[method-assign]
