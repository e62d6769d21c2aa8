"""Jira as its REST API, version 2, is documented."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from pydantic import SecretStr
from reconnect.errors import TrackerError
from reconnect.incidents.trackers.jira import Jira, changes
from reconnect.incidents.trackers.tracker import Attachment, Comment
from reconnect.names import Incident
from reconnect.settings.trackers import JiraSettings

from ..conftest import Answer, Asked, Recorder

ISSUE = "/rest/api/2/issue/SUP-12"


@pytest.fixture
def jira(server: Recorder) -> Jira:
    fields = {
        "summary": "Can't register",
        "status": {"name": "Open"},
        "assignee": None,
        "components": [{"name": "First level"}],
        "customfield_10050": {"value": "pbx22"},
        "customfield_10051": "1001",
        "attachment": [
            {"id": "7", "filename": "client.log", "content": f"{server.url}/rest/api/2/attachment/content/7"},
            {"id": "8", "filename": "evil.log", "content": "https://elsewhere.test/8"},
        ],
    }

    def transition(asked: Asked) -> Answer:
        fields["status"] = {"name": "Done"}
        return Answer(204)

    names = {"customfield_10050": "Server", "customfield_10051": "Account"}

    def issue(asked: Asked) -> Answer:
        more = {"names": names} if asked.query.get("expand") == "names" else {}
        return Answer(200, {"key": "SUP-12", "fields": fields, **more})

    server.routes = {
        f"GET {ISSUE}": issue,
        f"PUT {ISSUE}": Answer(204),
        f"PUT {ISSUE}/assignee": Answer(204),
        f"GET {ISSUE}/comment": Answer(200, {"comments": [{"body": "hello"}, {"body": "x\nreconnect-r-user"}]}),
        f"POST {ISSUE}/comment": Answer(201, {"id": "1"}),
        f"POST {ISSUE}/attachments": Answer(200, [{"id": "9"}]),
        f"GET {ISSUE}/transitions": Answer(
            200, {"transitions": [{"id": "31", "name": "Finish", "to": {"name": "Done"}}]}
        ),
        f"POST {ISSUE}/transitions": transition,
        "GET /rest/api/2/attachment/content/7": Answer(200, b"line"),
    }
    return Jira(Incident("jira", "SUP-12"), JiraSettings(url=server.url, token=SecretStr("right"), user="a@b.test"))


@pytest.mark.parametrize(
    ("status", "closed"),
    [
        ({"name": "Open"}, False),
        ({"name": "In attesa", "statusCategory": {"key": "indeterminate"}}, False),
        ({"name": "Risolto", "statusCategory": {"key": "done"}}, True),
    ],
)
def test_an_issue_is_closed_by_the_category_of_its_status(
    server: Recorder, jira: Jira, status: dict[str, Any], closed: bool
) -> None:
    fields = {"summary": "Can't register", "status": status}
    server.routes[f"GET {ISSUE}"] = Answer(200, {"key": "SUP-12", "fields": fields, "names": {}})
    assert jira.read().closed is closed


def test_an_issue_is_read(server: Recorder, jira: Jira) -> None:
    incident = jira.read()
    assert (incident.subject, incident.status, incident.queue) == ("Can't register", "Open", "First level")
    assert (incident.fields["customfield_10050"], incident.fields["customfield_10051"]) == ("pbx22", "1001")
    assert (incident.fields["Server"], incident.fields["Account"]) == ("pbx22", "1001")
    assert list(incident.files.values()) == ["client.log"]  # what lies on another host isn't fetched
    assert jira.file(next(iter(incident.files))) == b"line"
    assert server.asked[-1].query == {"redirect": "false"}
    assert server.asked[0].headers["Authorization"] == "Basic " + base64.b64encode(b"a@b.test:right").decode()


def test_a_comment_is_no_markup_and_internal(server: Recorder, jira: Jira) -> None:
    files = [Attachment(name, "text/plain", b"x") for name in ("client.log", "result.json")]
    jira.comment(Comment("reconnect-r-report", "*bold* {noformat} [x|http://y]", attachments=files))
    upload, comment = server.of("POST")
    assert upload.headers["X-Atlassian-Token"] == "no-check"
    assert b'filename="result.json"' in upload.body
    assert b"client.log" not in upload.body
    expected = "{noformat}\n*bold* { noformat} [x|http://y]\n{noformat}\nreconnect-r-report"
    assert comment.json["body"] == expected
    assert comment.json["properties"] == [{"key": "sd.public.comment", "value": {"internal": True}}]


def test_the_user_reads_a_comment_without_property(server: Recorder, jira: Jira) -> None:
    jira.comment(Comment("reconnect-r-user", "dear", to_user=True))
    assert "properties" not in server.of("POST")[0].json


def test_a_comment_is_found(jira: Jira) -> None:
    assert jira.told("reconnect-r-user")
    assert not jira.told("reconnect-r-report")


def test_an_issue_is_closed_by_its_transition_once(server: Recorder, jira: Jira) -> None:
    jira.close("Not an issue", "m")
    jira.close("Not an issue", "m")
    assert [asked.json for asked in server.of("POST")] == [{"transition": {"id": "31"}}]


def test_a_transition_that_is_not_there(jira: Jira) -> None:
    jira._settings.transition_closed = "Resolve"
    with pytest.raises(TrackerError, match="no transition 'Resolve'"):
        jira.close("Not an issue", "m")


def test_an_issue_is_moved_and_assigned(server: Recorder, jira: Jira) -> None:
    jira.move("Second level", "m")
    jira.assign("5b10a2844c20165700ede21g", "m")
    assert [asked.json for asked in server.of("PUT")] == [
        {"fields": {"components": [{"name": "Second level"}]}},
        {"accountId": "5b10a2844c20165700ede21g"},
    ]


@pytest.mark.parametrize(("user", "path"), [(None, "search"), ("a@b.test", "search/jql")])
def test_the_issues_that_changed_are_listed_with_who_did_it_last(server: Recorder, user: str | None, path: str) -> None:
    created = {"created": "2026-11-27T02:00:00.000+0000", "creator": {"name": "ann"}}
    comment = {"updated": "2026-11-27T02:50:00.000+0000", "author": {"name": "ben"}}
    moved = {"created": "2026-11-27T02:56:46.000+0000", "author": {"name": "reconnect"}}
    issues = [
        {"key": "SUP-1", "fields": {"updated": "1", **created}},
        {"key": "SUP-2", "fields": {"updated": "2", **created, "comment": {"comments": [comment]}}},
        {
            "key": "SUP-3",
            "fields": {"updated": "3", **created, "comment": {"comments": [comment]}},
            "changelog": {"histories": [moved]},
        },
    ]
    server.routes[f"GET /rest/api/2/{path}"] = Answer(200, {"issues": issues})
    found = changes(JiraSettings(url=server.url, token=SecretStr("right"), user=user), 3)
    assert [(one.incident.id, one.version, one.user) for one in found] == [
        ("SUP-1", "1", "ann"),
        ("SUP-2", "2", "ben"),
        ("SUP-3", "3", "reconnect"),
    ]
    assert server.asked[0].query["jql"] == 'updated >= "-3m" ORDER BY updated DESC'
