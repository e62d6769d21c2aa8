"""An incident in Request Tracker 5, over its REST 2.0 API: `rt:ID`.

The API as RT documents it (docs: RT::REST2): a comment is `POST ticket/ID/comment`, a reply to the person who opened
the ticket `POST ticket/ID/correspond`, each a JSON body whose attachments are base64, answered with 201; other changes
are `PUT ticket/ID`; `POST ticket` makes one, answered with 201 and its id; the token goes into the header
`Authorization: token …`; an error is `{"message": …}`.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from reconnect.common import plain_json
from reconnect.errors import TrackerError
from reconnect.incidents.trackers.http import MAX_ANSWER_BYTES, Http, secret
from reconnect.incidents.trackers.tracker import (
    MAX_FILE_BYTES,
    MOST_CHANGES,
    Change,
    Comment,
    Details,
    Opening,
    number_of,
)
from reconnect.names import Incident
from reconnect.settings.trackers import RtSettings
from reconnect.text import one_line

_NAME = "Request Tracker"
_PAGE = 100
#: The most pages that are read of a ticket: no server can keep us paging.
_MAX_PAGES = 50


class RequestTracker:
    """The ticket with the number `incident.id`."""

    def __init__(self, incident: Incident, settings: RtSettings) -> None:
        self._settings = settings
        number = number_of(incident)
        self._reference = f"rt:{number}"
        self._path = f"REST/2.0/ticket/{number}"
        self._http = _http(self._reference, self._settings)

    def read(self) -> Details:
        """The ticket, and the names of its attachments."""
        ticket = self._ticket()
        # The ticket has only the number of its queue.
        queue = self._http.ask("GET", f"REST/2.0/queue/{_number(ticket.get('Queue'))}", {200})
        files = {item["id"]: item["Filename"] for item in self._attachments() if item.get("Filename")}
        return Details(
            self._reference,
            str(ticket.get("Subject") or ""),
            ticket.get("Status"),
            str(queue.get("Name") or "") if isinstance(queue, dict) else None,
            str(_plain(ticket.get("Owner")) or ""),
            {
                str(one.get("name")): "\n".join(str(value) for value in one.get("values") or [])
                for one in ticket.get("CustomFields") or []
                if isinstance(one, dict)
            },
            files,
        )

    def file(self, identifier: str) -> bytes:
        """The content of an attachment."""
        answer = self._http.raw("GET", f"REST/2.0/attachment/{int(identifier)}", {200}, limit=MAX_FILE_BYTES)
        try:
            return base64.b64decode(plain_json(answer)["Content"])
        except (ValueError, KeyError, TypeError, binascii.Error):
            raise TrackerError(f"{_NAME}'s answer is not an attachment of {self._reference}.") from None

    def told(self, marker: str) -> bool:
        """Whether a message of the ticket has the marker as its subject."""
        return any(item.get("Subject") == marker for item in self._attachments())

    def comment(self, comment: Comment) -> None:
        """Adds a comment that only staff sees, or a reply, with the attachments, in one transaction."""
        files = [
            {
                "FileName": attachment.name,
                "FileType": attachment.content_type,
                "FileContent": base64.b64encode(attachment.content).decode(),
            }
            for attachment in comment.attachments
        ]
        body = {
            "Subject": comment.marker,
            "Content": comment.text,
            "ContentType": "text/plain",
            "Attachments": files,
        }
        try:
            self._http.ask(
                "POST", f"{self._path}/{'correspond' if comment.to_user else 'comment'}", {201}, json_body=body
            )
        except TrackerError as error:
            if error.code == 400:
                # RT answers 400 to a comment on a missing ticket, and 404 to the question for the ticket.
                self._ticket()
            raise

    def close(self, reason: str, marker: str) -> None:
        """Sets the status, and the reason where a custom field takes it."""
        field = self._settings.reason_field
        self._change("Status", self._settings.status_closed, {"CustomFields": {field: reason}} if field else {})

    def move(self, queue: str, marker: str) -> None:
        """Moves the ticket to the queue."""
        if self.read().queue != queue:
            self._put({"Queue": queue})
            if self.read().queue != queue:
                raise TrackerError(f"{_NAME} did not move {self._reference} to the queue '{one_line(queue, 80)}'.")

    def assign(self, owner: str, marker: str) -> None:
        """Gives the ticket to the user."""
        self._change("Owner", owner, {})

    def _change(self, field: str, wanted: str, more: dict[str, Any]) -> None:
        """Sets a field and reads it back: RT answers 200, with the refusal as text, to a change that its rights or its
        lifecycle forbid."""
        if _plain(self._ticket().get(field)) == wanted:
            return
        words = self._put({field: wanted, **more})
        if _plain(self._ticket().get(field)) != wanted:
            raise TrackerError(f"{_NAME} did not set {field} of {self._reference} to '{one_line(wanted, 80)}': {words}")

    def _put(self, changes: dict[str, Any]) -> str:
        answer = self._http.ask("PUT", self._path, {200}, json_body=changes)
        return one_line("; ".join(str(line) for line in answer) if isinstance(answer, list) else "", 200)

    def _ticket(self) -> dict[str, Any]:
        ticket = self._http.ask("GET", self._path, {200})
        if not isinstance(ticket, dict) or "id" not in ticket:
            raise TrackerError(f"{_NAME}'s answer about {self._reference} is not a ticket.")
        return ticket

    def _attachments(self) -> list[dict[str, Any]]:
        """Subject and file name of every message and file of the ticket, the oldest first."""
        found: list[dict[str, Any]] = []
        for page in range(1, _MAX_PAGES + 1):
            query: dict[str, str | int] = {"fields": "Subject,Filename", "per_page": _PAGE, "page": page}
            answer = self._http.ask("GET", f"{self._path}/attachments", {200}, query=query, limit=MAX_ANSWER_BYTES)
            items = answer.get("items") if isinstance(answer, dict) else None
            if not isinstance(items, list):
                raise TrackerError(f"{_NAME}'s answer about the attachments of {self._reference} is no list.")
            found += [item for item in items if isinstance(item, dict) and str(item.get("id", "")).isdigit()]
            if len(items) < _PAGE:
                break
        return found


def changes(settings: RtSettings, minutes: int) -> list[Change]:
    """The tickets that were made or changed lately, the newest first; see `trackers.changes`."""
    query: dict[str, str | int] = {
        "query": f"LastUpdated > '{minutes} minutes ago'",
        "orderby": "LastUpdated",
        "order": "DESC",
        "fields": "LastUpdated,LastUpdatedBy",
        "per_page": MOST_CHANGES,
    }
    answer = _http("rt", settings).ask("GET", "REST/2.0/tickets", {200}, query=query)
    items = answer.get("items") if isinstance(answer, dict) else None
    if not isinstance(items, list):
        raise TrackerError(f"{_NAME}'s answer holds no tickets.")
    return [
        Change(Incident("rt", str(_number(item))), str(item.get("LastUpdated")), _plain(item.get("LastUpdatedBy")))
        for item in items
        if isinstance(item, dict)
    ]


def find(settings: RtSettings, marker: str) -> Incident | None:
    """The oldest ticket with the marker in its subject; see `trackers.find`."""
    # TicketSQL would read a quote as the end of the marker.
    assert re.fullmatch(r"[A-Za-z0-9._ -]+", marker), "a marker has no quotes"
    query: dict[str, str | int] = {"query": f"Subject LIKE '({marker})'", "orderby": "id", "per_page": 1}
    answer = _http("rt", settings).ask("GET", "REST/2.0/tickets", {200}, query=query)
    items = answer.get("items") if isinstance(answer, dict) else None
    if not isinstance(items, list):
        raise TrackerError(f"{_NAME}'s answer holds no tickets.")
    return Incident("rt", str(_number(items[0]))) if items else None


def create(settings: RtSettings, opening: Opening) -> Incident:
    """The ticket with the marker in its subject, made where there is none; see `trackers.create`."""
    if (found := find(settings, opening.marker)) is not None:
        return found
    body = {
        "Queue": opening.queue,
        "Subject": opening.subject,
        "Content": opening.text,
        "ContentType": "text/plain",
        "CustomFields": opening.fields,
    }
    made = _http("rt", settings).ask("POST", "REST/2.0/ticket", {201}, json_body=body)
    return Incident("rt", str(_number(made)))


def _http(reference: str, settings: RtSettings) -> Http:
    token = secret(_NAME, settings, settings.token, settings.token_file, "token")
    return Http(_NAME, reference, settings, {"Authorization": f"token {token}"})


def _plain(value: Any) -> Any:
    """The name of what RT gives as an object."""
    return value.get("id") if isinstance(value, dict) else value


def _number(value: Any) -> int:
    number = str(_plain(value))
    if not (number.isascii() and number.isdigit()):
        raise TrackerError(f"{_NAME}'s answer has no number where one is needed.")
    return int(number)


TRACKER = RequestTracker
