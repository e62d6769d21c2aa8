"""Zammad as its REST API is documented."""

from __future__ import annotations

import base64

import pytest
from pydantic import SecretStr
from reconnect.errors import TrackerError
from reconnect.incidents.trackers.tracker import Attachment, Change, Comment
from reconnect.incidents.trackers.zammad import Zammad, changes
from reconnect.names import Incident
from reconnect.settings.trackers import ZammadSettings

from ..conftest import Answer, Asked, Recorder


@pytest.fixture
def zammad(server: Recorder) -> Zammad:
    ticket = {
        "id": 55,
        "number": "22055",
        "title": "Can't register",
        "state": "new",
        "group": "Users",
        "owner": "-",
        "server": "pbx22",
        "account": "1001",
    }
    articles = [
        {"id": 3, "subject": "Can't register", "attachments": [{"id": 4, "filename": "client.log"}]},
        {"id": 5, "subject": "reconnect-r-report", "attachments": []},
    ]

    def put(asked: Asked) -> Answer:
        ticket.update(asked.json)
        return Answer(200, ticket)

    server.routes = {
        "GET /api/v1/tickets/55": Answer(200, ticket),
        "PUT /api/v1/tickets/55": put,
        "GET /api/v1/ticket_articles/by_ticket/55": Answer(200, articles),
        "POST /api/v1/ticket_articles": Answer(201, {"id": 6}),
        "GET /api/v1/ticket_attachment/55/3/4": Answer(200, b"line"),
    }
    return Zammad(Incident("zammad", "55"), ZammadSettings(url=server.url, token=SecretStr("right"), seconds=60))


def test_a_ticket_is_read(server: Recorder, zammad: Zammad) -> None:
    incident = zammad.read()
    assert (incident.subject, incident.status, incident.queue) == ("Can't register", "new", "Users")
    assert (incident.fields["server"], incident.fields["account"]) == ("pbx22", "1001")
    assert incident.files == {"3/4": "client.log"}
    assert zammad.file("3/4") == b"line"
    assert server.asked[0].query == {"expand": "true"}
    assert server.asked[0].headers["Authorization"] == "Token token=right"


@pytest.mark.parametrize("identifier", ["../../users/1", "3", "3/4/../5"])
def test_a_file_is_named_by_numbers(zammad: Zammad, identifier: str) -> None:
    with pytest.raises(TrackerError, match="no such attachment"):
        zammad.file(identifier)


@pytest.mark.parametrize("to_user", [False, True])
def test_a_comment_is_an_article(server: Recorder, zammad: Zammad, to_user: bool) -> None:
    zammad.comment(
        Comment("reconnect-r-report", "fixed <b>", to_user, [Attachment("r.json", "application/json", b"{}")])
    )
    assert server.asked[0].json == {
        "ticket_id": 55,
        "subject": "reconnect-r-report",
        "body": "fixed <b>",
        "content_type": "text/plain",
        "type": "note",
        "internal": not to_user,
        "attachments": [
            {"filename": "r.json", "mime-type": "application/json", "data": base64.b64encode(b"{}").decode()}
        ],
    }


def test_a_comment_is_found(zammad: Zammad) -> None:
    assert zammad.told("reconnect-r-report")
    assert not zammad.told("reconnect-r-user")


def test_a_ticket_is_closed_moved_and_assigned_once(server: Recorder, zammad: Zammad) -> None:
    for _ in range(2):
        zammad.move("Second level", "m")
        zammad.assign("second-level", "m")
        zammad.close("Not an issue", "m")
    expected = [{"group": "Second level"}, {"owner": "second-level"}, {"state": "closed"}]
    assert [asked.json for asked in server.of("PUT")] == expected


def test_the_tickets_that_changed_are_listed(server: Recorder) -> None:
    ticket = {"id": 55, "updated_at": "2026-11-27T02:56:46.123Z", "updated_by": "ann@example.org"}
    server.routes["GET /api/v1/tickets/search"] = Answer(200, [ticket])
    found = changes(ZammadSettings(url=server.url, token=SecretStr("right")), 3)
    assert found == [Change(Incident("zammad", "55"), "2026-11-27T02:56:46.123Z", "ann@example.org")]
    [asked] = server.asked
    assert (asked.query["query"], asked.query["expand"]) == ("updated_at:>now-3m", "true")
