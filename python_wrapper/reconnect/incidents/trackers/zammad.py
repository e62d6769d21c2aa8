"""An incident in Zammad, over its REST API: `zammad:55`, the ticket's id.

As Zammad documents it: `GET|PUT api/v1/tickets/ID` (`expand=true` gives names for numbers), `GET
api/v1/ticket_articles/by_ticket/ID`, `POST api/v1/ticket_articles` with attachments as base64, `GET
api/v1/ticket_attachment/TICKET/ARTICLE/FILE`, `GET api/v1/tickets/search?query=…`, which asks its Elasticsearch; the
token goes into `Authorization: Token token=…`; an error is `{"error": …}`.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from reconnect.errors import TrackerError
from reconnect.incidents.trackers.http import Http, secret
from reconnect.incidents.trackers.tracker import MAX_FILE_BYTES, MOST_CHANGES, Change, Comment, Details, number_of
from reconnect.names import Incident
from reconnect.settings.trackers import ZammadSettings

_NAME = "Zammad"


class Zammad:
    """The ticket with the id `incident.id`."""

    def __init__(self, incident: Incident, settings: ZammadSettings) -> None:
        self._settings = settings
        self._number = number_of(incident)
        self._reference = f"zammad:{self._number}"
        self._path = f"api/v1/tickets/{self._number}"
        self._http = _http(self._reference, self._settings)

    def read(self) -> Details:
        """The ticket with the attributes the site gave its tickets, and the names of its attachments."""
        ticket = self._ticket()
        files = {
            f"{article.get('id')}/{one.get('id')}": str(one.get("filename") or "")
            for article in self._articles()
            for one in article.get("attachments") or []
            if isinstance(one, dict)
        }
        return Details(
            self._reference,
            str(ticket.get("title") or ""),
            str(ticket.get("state") or ""),
            str(ticket.get("group") or ""),
            str(ticket.get("owner") or ""),
            {name: str(value) for name, value in ticket.items() if isinstance(value, str | int | bool)},
            files,
        )

    def file(self, identifier: str) -> bytes:
        """The content of an attachment."""
        if not re.fullmatch(r"[0-9]{1,12}/[0-9]{1,12}", identifier):
            raise TrackerError(f"{_NAME} has no such attachment.")
        path = f"api/v1/ticket_attachment/{self._number}/{identifier}"
        return self._http.raw("GET", path, {200}, headers={"Accept": "*/*"}, limit=MAX_FILE_BYTES)

    def told(self, marker: str) -> bool:
        """Whether an article has the marker as its subject."""
        return any(article.get("subject") == marker for article in self._articles())

    def comment(self, comment: Comment) -> None:
        """Adds an article with the attachments, in one request."""
        body = {
            "ticket_id": self._number,
            "subject": comment.marker,
            "body": comment.text,
            "content_type": "text/plain",
            "type": "note",
            "internal": not comment.to_user,
            "attachments": [
                {
                    "filename": attachment.name,
                    "mime-type": attachment.content_type,
                    "data": base64.b64encode(attachment.content).decode(),
                }
                for attachment in comment.attachments
            ],
        }
        self._http.ask("POST", "api/v1/ticket_articles", {201}, json_body=body)

    def close(self, reason: str, marker: str) -> None:
        """Sets the state."""
        self._set("state", self._settings.state_closed)

    def move(self, queue: str, marker: str) -> None:
        """Moves the ticket to the group."""
        self._set("group", queue)

    def assign(self, owner: str, marker: str) -> None:
        """Gives the ticket to the user with that login."""
        self._set("owner", owner)

    def _set(self, field: str, wanted: str) -> None:
        if self._ticket().get(field) != wanted:
            self._http.ask("PUT", self._path, {200}, json_body={field: wanted})

    def _ticket(self) -> dict[str, Any]:
        ticket = self._http.ask("GET", self._path, {200}, query={"expand": "true"})
        if not isinstance(ticket, dict) or "id" not in ticket:
            raise TrackerError(f"{_NAME}'s answer about {self._reference} is not a ticket.")
        return ticket

    def _articles(self) -> list[dict[str, Any]]:
        path = f"api/v1/ticket_articles/by_ticket/{self._number}"
        articles = self._http.ask("GET", path, {200}, limit=MAX_FILE_BYTES)
        if not isinstance(articles, list):
            raise TrackerError(f"{_NAME}'s answer about {self._reference} is no list of articles.")
        return [article for article in articles if isinstance(article, dict)]


def changes(settings: ZammadSettings, minutes: int) -> list[Change]:
    """The tickets that were made or changed lately, the newest first; see `trackers.changes`."""
    query: dict[str, str | int] = {
        "query": f"updated_at:>now-{minutes}m",
        "sort_by": "updated_at",
        "order_by": "desc",
        "expand": "true",
        "limit": MOST_CHANGES,
    }
    tickets = _http("zammad", settings).ask("GET", "api/v1/tickets/search", {200}, query=query, limit=MAX_FILE_BYTES)
    if not isinstance(tickets, list):
        raise TrackerError(f"{_NAME}'s answer is no list of tickets.")
    return [
        Change(Incident("zammad", str(ticket.get("id"))), str(ticket.get("updated_at")), ticket.get("updated_by"))
        for ticket in tickets
        if isinstance(ticket, dict)
    ]


def _http(reference: str, settings: ZammadSettings) -> Http:
    token = secret(_NAME, settings, settings.token, settings.token_file, "token")
    return Http(_NAME, reference, settings, {"Authorization": f"Token token={token}"})


TRACKER = Zammad
