"""An incident in Jira, over its REST API, version 2, which Cloud and Data Center have: `jira:SUP-12`.

As Atlassian documents it: `GET issue/KEY`, `GET|POST issue/KEY/comment`, `GET|POST issue/KEY/transitions`,
`POST issue/KEY/attachments` as a form with the header `X-Atlassian-Token: no-check`; an error is
`{"errorMessages": […]}`. A comment's property `sd.public.comment` keeps it from the customer of a service project.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from reconnect.errors import InputError, TrackerError
from reconnect.incidents.trackers.http import Http, base_address, secret
from reconnect.incidents.trackers.servicenow import authorization
from reconnect.incidents.trackers.tracker import MAX_FILE_BYTES, MOST_CHANGES, Change, Comment, Details
from reconnect.names import Incident
from reconnect.settings.trackers import JiraSettings
from reconnect.text import one_line

_NAME = "Jira"
_KEY = re.compile(r"[A-Z][A-Z0-9_]{1,20}-[0-9]{1,10}")
_INTERNAL = [{"key": "sd.public.comment", "value": {"internal": True}}]


class Jira:
    """The issue with the key `incident.id`."""

    def __init__(self, incident: Incident, settings: JiraSettings) -> None:
        if not _KEY.fullmatch(incident.id):
            raise InputError(f"'{one_line(incident, 40)}' is not an issue. Give jira: and its key, for example SUP-12.")
        self._settings = settings
        self._reference = str(incident)
        self._path = f"rest/api/2/issue/{incident.id}"
        self._http = _http(self._reference, self._settings)
        self._base = base_address(_NAME, self._settings)

    def read(self) -> Details:
        """The issue, its fields both by their ids and as people call them, and where its attachments are."""
        fields, called = self._all_fields()
        queues = fields.get(self._settings.queue_field)
        return Details(
            self._reference,
            str(fields.get("summary") or ""),
            _name(fields.get("status")),
            _name(queues[0]) if isinstance(queues, list) and queues else None,
            _name(fields.get("assignee")) or None,
            {
                name: _name(value)
                for identifier, value in fields.items()
                if value is not None
                for name in (identifier, str(called.get(identifier) or identifier))
            },
            {
                path: str(one.get("filename") or "")
                for one in fields.get("attachment") or []
                if isinstance(one, dict) and (path := self._path_of(str(one.get("content") or "")))
            },
            _is_done(fields.get("status")),
        )

    def file(self, identifier: str) -> bytes:
        """The content of an attachment. Cloud would otherwise point to a server of its own for it."""
        return self._http.raw(
            "GET", identifier, {200}, headers={"Accept": "*/*"}, query={"redirect": "false"}, limit=MAX_FILE_BYTES
        )

    def told(self, marker: str) -> bool:
        """Whether one of the newest comments holds the marker."""
        query: dict[str, str | int] = {"orderBy": "-created", "maxResults": 100}
        answer = self._http.ask("GET", f"{self._path}/comment", {200}, query=query, limit=MAX_FILE_BYTES)
        comments = answer.get("comments") if isinstance(answer, dict) else None
        if not isinstance(comments, list):
            raise TrackerError(f"{_NAME}'s answer holds no comments.")
        return any(marker in str(one.get("body")) for one in comments if isinstance(one, dict))

    def comment(self, comment: Comment) -> None:
        """Attaches what is not attached yet, then adds the text, which is shown as it is."""
        there = (
            {one.get("filename") for one in self._fields().get("attachment") or [] if isinstance(one, dict)}
            if comment.attachments
            else set()
        )
        if missing := [one for one in comment.attachments if one.name not in there]:
            self._http.ask(
                "POST",
                f"{self._path}/attachments",
                {200},
                headers={"X-Atlassian-Token": "no-check"},
                upload=missing,
            )
        # None of it is markup: the text cannot end its block.
        text = comment.text.replace("{noformat", "{ noformat")
        body: dict[str, Any] = {"body": f"{{noformat}}\n{text}\n{{noformat}}\n{comment.marker}"}
        if not comment.to_user:
            body["properties"] = _INTERNAL
            if self._settings.internal_role:
                body["visibility"] = {"type": "role", "value": self._settings.internal_role}
        self._http.ask("POST", f"{self._path}/comment", {201}, json_body=body)

    def close(self, reason: str, marker: str) -> None:
        """Takes the transition that closes the issue."""
        wanted = self._settings.transition_closed
        answer = self._http.ask("GET", f"{self._path}/transitions", {200})
        transitions = answer.get("transitions") if isinstance(answer, dict) else None
        if _name(self._fields().get("status")) == wanted:
            return
        for one in transitions or []:
            if isinstance(one, dict) and wanted in {str(one.get("name")), _name(one.get("to"))}:
                body = {"transition": {"id": str(one.get("id"))}}
                self._http.ask("POST", f"{self._path}/transitions", {204}, json_body=body)
                return
        raise TrackerError(f"{_NAME} has no transition '{one_line(wanted, 80)}' for {self._reference} as it is now.")

    def move(self, queue: str, marker: str) -> None:
        """Sets the field that holds the queue."""
        body = {"fields": {self._settings.queue_field: [{"name": queue}]}}
        self._http.ask("PUT", self._path, {204}, json_body=body)

    def assign(self, owner: str, marker: str) -> None:
        """Gives the issue to a user: by account id in Cloud, by name in Data Center."""
        key = "name" if self._settings.user is None else "accountId"
        self._http.ask("PUT", f"{self._path}/assignee", {204}, json_body={key: owner})

    def _fields(self) -> dict[str, Any]:
        return self._issue({"fields": "status,attachment"})[0]

    def _all_fields(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return self._issue({"fields": "*all,-comment,-worklog", "expand": "names"})

    def _issue(self, query: dict[str, str | int]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The issue's fields by their ids, and what people call these, where that was asked for."""
        answer = self._http.ask("GET", self._path, {200}, query=query, limit=MAX_FILE_BYTES)
        fields = answer.get("fields") if isinstance(answer, dict) else None
        if not isinstance(fields, dict):
            raise TrackerError(f"{_NAME}'s answer about {self._reference} is not an issue.")
        called = answer.get("names")
        return fields, called if isinstance(called, dict) else {}

    def _path_of(self, url: str) -> str | None:
        """The path below our address; None for a file that is kept elsewhere."""
        path = url.removeprefix(self._base)
        return path if path != url and not urlsplit(path).scheme and not path.startswith("/") else None


def _name(value: Any) -> str:
    """What people call a value: options have a value, states and components a name, users a display name."""
    if isinstance(value, dict):
        value = value.get("value") or value.get("name") or value.get("displayName")
    return "" if value is None else str(value)


def _is_done(status: Any) -> bool:
    """Whether a status is of the category that a workflow's last ones are in, whatever they are called."""
    category = status.get("statusCategory") if isinstance(status, dict) else None
    return isinstance(category, dict) and category.get("key") == "done"


def changes(settings: JiraSettings, minutes: int) -> list[Change]:
    """The issues that were made or changed lately, the newest first; see `trackers.changes`.

    Jira does not say who changed an issue last: its history does, and its comments, which are not in the history.
    """
    query: dict[str, str | int] = {
        "jql": f'updated >= "-{minutes}m" ORDER BY updated DESC',
        "fields": "updated,comment,creator,created",
        "expand": "changelog",
        "maxResults": MOST_CHANGES,
    }
    # Cloud has withdrawn the older resource, which is the only one of Data Center.
    path = "rest/api/2/search" if settings.user is None else "rest/api/2/search/jql"
    answer = _http("jira", settings).ask("GET", path, {200}, query=query, limit=MAX_FILE_BYTES)
    issues = answer.get("issues") if isinstance(answer, dict) else None
    if not isinstance(issues, list):
        raise TrackerError(f"{_NAME}'s answer holds no issues.")
    return [_change(issue) for issue in issues if isinstance(issue, dict) and isinstance(issue.get("fields"), dict)]


def _change(issue: dict[str, Any]) -> Change:
    fields = issue["fields"]
    deeds = [(str(fields.get("created")), fields.get("creator"))]
    for one in (fields.get("comment") or {}).get("comments") or []:
        deeds.append((str(one.get("updated")), one.get("updateAuthor") or one.get("author")))
    for one in (issue.get("changelog") or {}).get("histories") or []:
        deeds.append((str(one.get("created")), one.get("author")))
    _, user = max(deeds, key=lambda deed: deed[0])
    return Change(Incident("jira", str(issue.get("key"))), str(fields.get("updated")), user_of(user))


def user_of(user: Any) -> str | None:
    """What a user is called in a setting: Data Center has names, Cloud addresses where it shows them, or ids."""
    known = user if isinstance(user, dict) else {}
    name = known.get("name") or known.get("emailAddress") or known.get("accountId")
    return name if isinstance(name, str) else None


def _http(reference: str, settings: JiraSettings) -> Http:
    token = secret(_NAME, settings, settings.token, settings.token_file, "token")
    return Http(_NAME, reference, settings, {"Authorization": authorization(settings.user, token)})


TRACKER = Jira
