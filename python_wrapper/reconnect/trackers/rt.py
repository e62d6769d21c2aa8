"""An incident in Request Tracker 5, over its REST 2.0 API: `rt:ID`.

The API as RT documents it (docs: RT::REST2): a comment is `POST ticket/ID/comment`, a reply to the person who opened
the ticket `POST ticket/ID/correspond`, each a JSON body whose attachments are base64, answered with 201; other changes
are `PUT ticket/ID`; the token goes into the header `Authorization: token …`; an error is `{"message": …}`.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from reconnect.errors import InputError, TrackerError
from reconnect.settings import Settings
from reconnect.text import one_line
from reconnect.trackers.http import MAX_ANSWER_BYTES, Http, secret
from reconnect.trackers.incident import MAX_FILE_BYTES, Comment, Incident

_NAME = "Request Tracker"
_PAGE = 100
#: No ticket is looked through any further, so that no server can keep us paging.
_MAX_PAGES = 50


class RequestTracker:
    """The ticket `identifier`, a number, of the Request Tracker that RECONNECT_RT_URL names."""

    def __init__(self, identifier: str, settings: Settings) -> None:
        if not (identifier.isascii() and identifier.isdigit() and len(identifier) <= 12):
            raise InputError(f"'rt:{one_line(identifier, 40)}' names no ticket: rt: and its number are needed.")
        self._settings = settings.rt
        self._reference = f"rt:{int(identifier)}"
        self._path = f"REST/2.0/ticket/{int(identifier)}"
        token = secret(_NAME, self._settings, self._settings.token, self._settings.token_file, "token")
        self._http = Http(_NAME, self._reference, self._settings, {"Authorization": f"token {token}"})

    def read(self) -> Incident:
        """The ticket, and the names of its attachments."""
        ticket = self._ticket()
        # The queue comes by its number; its name is one question more.
        queue = self._http.ask("GET", f"REST/2.0/queue/{_number(ticket.get('Queue'))}", {200})
        files = {item["id"]: item["Filename"] for item in self._attachments() if item.get("Filename")}
        return Incident(
            self._reference,
            str(ticket.get("Subject") or ""),
            ticket.get("Status"),
            str(queue.get("Name") or "") if isinstance(queue, dict) else None,
            str((ticket.get("Owner") or {}).get("id") or ""),
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
            return base64.b64decode(json.loads(answer)["Content"])
        except (ValueError, KeyError, TypeError, binascii.Error):
            raise TrackerError(f"{_NAME}'s answer about an attachment of {self._reference} is none.") from None

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
                # RT says 400 to a comment on a ticket that isn't there; asked for the ticket itself it says 404.
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
        """Sets a field and looks whether it holds: RT answers 200 to a change that its rights or its lifecycle forbid,
        with the refusal in words."""
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


def _plain(value: Any) -> Any:
    """The name of what RT gives as an object."""
    return value.get("id") if isinstance(value, dict) else value


def _number(value: Any) -> int:
    number = str(_plain(value))
    if not (number.isascii() and number.isdigit()):
        raise TrackerError(f"{_NAME}'s answer names no queue.")
    return int(number)
