"""The application: API, hooks and pages on one port, for uvicorn."""

from __future__ import annotations

import importlib.metadata

from fastapi import FastAPI

from reconnect.ansible.project import Project
from reconnect.errors import ReconnectError
from reconnect.service import api, problems, screens
from reconnect.service.contract import openapi
from reconnect.service.desk import Desk
from reconnect.service.http import Front
from reconnect.service.incoming import events, hooks
from reconnect.service.incoming.inbox import Inbox
from reconnect.service.outgoing import outcomes
from reconnect.service.problems import Problem
from reconnect.settings import Settings


def create(project: Project, settings: Settings) -> FastAPI:
    """The application of this site; no worker and no listener belongs to it. Raises ReconnectError."""
    desk = Desk(project, settings)
    app = FastAPI(
        title="Reconnect",
        version=importlib.metadata.version("reconnect"),
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
    )
    app.state.desk, app.state.inbox = desk, Inbox(desk)
    #: What works beside the listener in this process, see serve.py.
    app.state.threads = []
    problems.handle(app)
    openapi.describe(app)
    app.add_middleware(Front)
    app.include_router(api.router(desk))
    app.include_router(events.router(desk, app.state.inbox))
    app.include_router(outcomes.router(desk))
    app.include_router(hooks.router(desk, app.state.inbox))
    app.include_router(screens.router(desk))

    @app.get("/healthz", include_in_schema=False)
    def alive() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @app.get("/readyz", include_in_schema=False)
    def ready() -> dict[str, str]:
        """The store answers, and nothing of this process has ended."""
        try:
            desk.ready()
        except ReconnectError:
            raise Problem(503, "The database of this site does not answer.") from None
        if not all(thread.is_alive() for thread in app.state.threads):
            raise Problem(503, "A part of the service has ended. Its log says why; restart it.")
        return {"status": "ok"}

    return app
