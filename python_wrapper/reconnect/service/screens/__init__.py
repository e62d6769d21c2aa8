"""The pages of the service, for first and second level: they do what the API does, with the same functions."""

from __future__ import annotations

from fastapi import APIRouter

from reconnect.service.desk import Desk
from reconnect.service.screens import runs, selfcheck, signing, site, statistics


def router(desk: Desk) -> APIRouter:
    """Every page."""
    pages = APIRouter()
    for room in (signing, runs, selfcheck, site, statistics):
        pages.include_router(room.routes(desk))
    return pages
