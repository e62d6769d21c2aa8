"""`GET /v1/events`: what happened, for programs that follow: each outcome once, in order, from a number on."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from reconnect.runs import feed
from reconnect.runs.database import reading, writing
from reconnect.service.api import MOST_WAIT, shown
from reconnect.service.contract import openapi
from reconnect.service.contract.documents import EventPage, EventShown, EventType, Outcome
from reconnect.service.desk import Desk
from reconnect.service.people import Person

#: Seconds between two looks for something new.
_LOOK = 0.5
_TYPES: dict[feed.Kind, EventType] = {
    "ended": "com.privatewave.reconnect.run.ended.v1",
    "approval": "com.privatewave.reconnect.approval.requested.v1",
    "given_up": "com.privatewave.reconnect.report.given_up.v1",
    "fault": "com.privatewave.reconnect.fault.found.v1",
}


def router(desk: Desk) -> APIRouter:
    """The endpoint, for the runs of `desk`."""
    api = APIRouter(prefix="/v1", responses=openapi.problems(400, 401, 403, 422, 429, 503))
    allowed = desk.door.with_right("diagnose")

    @api.get("/events")
    async def events(
        after: Annotated[
            int | None,
            Query(ge=0, le=2**31, description="The `next` of the answer before; without it no events, only a `next`."),
        ] = None,
        wait: Annotated[int, Query(ge=0, le=MOST_WAIT, description="Seconds to wait for an event.")] = 0,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        person: Person = Depends(allowed),
    ) -> EventPage:
        """Runs that ended, plans that wait for approval, reports that were given up, and what checks found: the oldest
        first."""
        if after is None:
            return EventPage(events=[], next=await asyncio.to_thread(feed.newest, desk.engine))
        until = time.monotonic() + wait
        while True:
            page = await asyncio.to_thread(_page, desk, person, after, limit)
            if page.events or page.next < after or time.monotonic() >= until:
                return page
            after = page.next
            await asyncio.sleep(_LOOK)

    return api


def _page(desk: Desk, person: Person, after: int, limit: int) -> EventPage:
    """What this person may see of the next rows of the feed."""
    with reading(desk.engine) as connection:
        # A store that was restored has fewer numbers than whoever follows it.
        after = min(after, feed.last(connection))
        entries = feed.after(connection, after, limit)
    found = [event for entry in entries if (event := _event(desk, person, entry)) is not None]
    return EventPage(events=found, next=entries[-1].sequence if entries else after)


def _event(desk: Desk, person: Person, entry: feed.Entry) -> EventShown | None:
    """What this person may see of an entry; None where that is nothing, or the entry is unreadable."""
    try:
        return _shown(desk, person, entry)
    except Exception as error:
        with writing(desk.engine) as connection:
            feed.pass_over(connection, entry, error)
        return None


def _shown(desk: Desk, person: Person, entry: feed.Entry) -> EventShown | None:
    run = desk.runs.get(entry.run_id) if entry.run_id else None
    if run is None or not person.sees(run.record.request.servers):
        return None
    return EventShown(
        id=str(entry.sequence),
        source=desk.settings.service.origin or "reconnect",
        type=_TYPES[entry.kind],
        subject=run.run_id,
        time=entry.at,
        data=Outcome(
            run=shown(run),
            approval_id=entry.subject if entry.kind == "approval" else None,
            fault=entry.subject if entry.kind == "fault" else None,
        ),
    )
