"""An incident in ServiceNow, over its Table, Attachment and journal APIs: `servicenow:INC0012345`.

As ServiceNow documents them: a record is `GET api/now/table/TABLE?sysparm_query=number=…`; what staff reads is added by
`PATCH …/SYS_ID` with `work_notes`, what the user reads with `comments`; both are rows of `sys_journal_field`; a file is
`POST api/now/attachment/file` with its bytes as the body; an error is `{"error": {"message": …}}`.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from reconnect.errors import InputError, TrackerError
from reconnect.incidents.trackers.http import Http, secret
from reconnect.incidents.trackers.tracker import MAX_FILE_BYTES, MOST_CHANGES, Attachment, Change, Comment, Details
from reconnect.names import Incident
from reconnect.settings.trackers import ServiceNowSettings
from reconnect.text import one_line

_NAME = "ServiceNow"
_NUMBER = re.compile(r"[A-Z]{2,10}[0-9]{1,12}")
#: The states Resolved, Closed and Canceled of an incident.
_ENDED = frozenset({"6", "7", "8"})
_SYS_ID = re.compile(r"[0-9a-f]{32}")


class ServiceNow:
    """The record whose number is `incident.id`, in the table the settings name."""

    def __init__(self, incident: Incident, settings: ServiceNowSettings) -> None:
        if not _NUMBER.fullmatch(incident.id):
            raise InputError(f"'{one_line(incident, 40)}' is not an incident. Give servicenow: and its number, INC….")
        self._settings = settings
        self._number = incident.id
        self._reference = str(incident)
        self._http = _http(self._reference, self._settings)
        self._table = f"api/now/table/{self._settings.table}"

    def read(self) -> Details:
        """The record with its fields as people see them, and the names of its attachments."""
        record = self._record("all")
        shown = {name: _part(value, "display_value") for name, value in record.items()}
        return Details(
            self._reference,
            shown.get("short_description", ""),
            _part(record.get("state"), "value"),
            shown.get("assignment_group") or None,
            shown.get("assigned_to") or None,
            shown,
            self._files(self._sys_id(record)),
            _part(record.get("state"), "value") in _ENDED or _part(record.get("active"), "value") == "false",
        )

    def file(self, identifier: str) -> bytes:
        """The content of an attachment."""
        if not _SYS_ID.fullmatch(identifier):
            raise TrackerError(f"{_NAME} has no such attachment.")
        return self._http.raw(
            "GET", f"api/now/attachment/{identifier}/file", {200}, headers={"Accept": "*/*"}, limit=MAX_FILE_BYTES
        )

    def told(self, marker: str) -> bool:
        """Whether the journal of the record holds the marker."""
        query = f"element_id={self._sys_id(self._record('false'))}^valueLIKE{marker}"
        asked: dict[str, str | int] = {"sysparm_query": query, "sysparm_fields": "sys_id", "sysparm_limit": 1}
        return bool(_rows(self._http.ask("GET", "api/now/table/sys_journal_field", {200}, query=asked)))

    def comment(self, comment: Comment) -> None:
        """Attaches what is not attached yet, then adds the text."""
        sys_id = self._sys_id(self._record("false"))
        there = set(self._files(sys_id).values()) if comment.attachments else set()
        for attachment in comment.attachments:
            if attachment.name not in there:
                self._attach(sys_id, attachment)
        # [code] would make it markup where a site allows that; without it everything is text.
        text = f"{comment.text.replace('[code]', '[ code]')}\n\n{comment.marker}"
        self._patch(sys_id, {"comments" if comment.to_user else "work_notes": text})

    def close(self, reason: str, marker: str) -> None:
        """Sets the state with its code and the reason."""
        record = self._record("false")
        if _part(record.get("state"), "value") != self._settings.state_closed:
            changes = {
                "state": self._settings.state_closed,
                "close_code": self._settings.close_code,
                "close_notes": reason,
            }
            self._patch(self._sys_id(record), changes)

    def move(self, queue: str, marker: str) -> None:
        """Gives it to the assignment group of that name."""
        self._set("assignment_group", queue)

    def assign(self, owner: str, marker: str) -> None:
        """Gives it to the user of that name."""
        self._set("assigned_to", owner)

    def _set(self, field: str, name: str) -> None:
        record = self._record("all")
        if _part(record.get(field), "display_value") == name:
            return
        self._patch(self._sys_id(record), {field: name})
        # ServiceNow answers an unknown name with 200 and an empty field.
        if _part(self._record("all").get(field), "display_value") != name:
            raise TrackerError(f"{_NAME} did not set {field} of {self._reference} to '{one_line(name, 80)}'.")

    def _record(self, display: str) -> dict[str, Any]:
        query: dict[str, str | int] = {
            "sysparm_query": f"number={self._number}",
            "sysparm_display_value": display,
            "sysparm_limit": 1,
        }
        rows = _rows(self._http.ask("GET", self._table, {200}, query=query))
        if not rows:
            raise TrackerError(f"{_NAME} has no incident {self._reference}.", code=404)
        return rows[0]

    def _sys_id(self, record: dict[str, Any]) -> str:
        sys_id = _part(record.get("sys_id"), "value")
        if not _SYS_ID.fullmatch(sys_id):
            raise TrackerError(f"{_NAME}'s answer about {self._reference} is not an incident.")
        return sys_id

    def _files(self, sys_id: str) -> dict[str, str]:
        query: dict[str, str | int] = {
            "sysparm_query": f"table_name={self._settings.table}^table_sys_id={sys_id}^ORDERBYsys_created_on",
            "sysparm_limit": 200,
        }
        rows = _rows(self._http.ask("GET", "api/now/attachment", {200}, query=query))
        return {str(row.get("sys_id")): str(row.get("file_name")) for row in rows}

    def _attach(self, sys_id: str, attachment: Attachment) -> None:
        query: dict[str, str | int] = {
            "table_name": self._settings.table,
            "table_sys_id": sys_id,
            "file_name": attachment.name,
        }
        self._http.ask(
            "POST",
            "api/now/attachment/file",
            {201},
            content=attachment.content,
            headers={"Content-Type": attachment.content_type},
            query=query,
        )

    def _patch(self, sys_id: str, changes: dict[str, str]) -> None:
        query: dict[str, str | int] = {"sysparm_input_display_value": "true", "sysparm_fields": "sys_id"}
        if "state" in changes:
            # The state is given by its value, everything else as people see it.
            query["sysparm_input_display_value"] = "false"
        self._http.ask("PATCH", f"{self._table}/{sys_id}", {200}, json_body=changes, query=query)


def changes(settings: ServiceNowSettings, minutes: int) -> list[Change]:
    """The open incidents that were made or changed lately, the newest first; see `trackers.changes`.

    `sys_mod_count` counts the changes of each.
    """
    query: dict[str, str | int] = {
        "sysparm_query": f"active=true^sys_updated_onRELATIVEGT@minute@ago@{minutes}^ORDERBYDESCsys_updated_on",
        "sysparm_fields": "number,sys_id,sys_mod_count,sys_updated_by",
        "sysparm_limit": MOST_CHANGES,
    }
    answer = _http("servicenow", settings).ask("GET", f"api/now/table/{settings.table}", {200}, query=query)
    return [
        Change(
            Incident("servicenow", _part(row.get("number"), "value")),
            _part(row.get("sys_mod_count"), "value"),
            _part(row.get("sys_updated_by"), "value"),
        )
        for row in _rows(answer)
    ]


def _http(reference: str, settings: ServiceNowSettings) -> Http:
    token = secret(_NAME, settings, settings.token, settings.token_file, "token")
    return Http(_NAME, reference, settings, {"Authorization": authorization(settings.user, token)})


def _rows(answer: Any) -> list[dict[str, Any]]:
    rows = answer.get("result") if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        raise TrackerError(f"{_NAME}'s answer holds no result.")
    return [row for row in rows if isinstance(row, dict)]


def authorization(user: str | None, token: str) -> str:
    """The header's value: the token is the user's password where there is a user."""
    if user is None:
        return f"Bearer {token}"
    return "Basic " + base64.b64encode(f"{user}:{token}".encode()).decode()


def _part(value: Any, part: str) -> str:
    if isinstance(value, dict):
        value = value.get(part)
    return "" if value is None else str(value)


TRACKER = ServiceNow
