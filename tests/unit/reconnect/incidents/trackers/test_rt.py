"""Request Tracker 5 as its REST 2.0 API is documented."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from pydantic import SecretStr
from reconnect.errors import TrackerError
from reconnect.incidents.trackers.rt import RequestTracker, changes, create
from reconnect.incidents.trackers.tracker import Attachment, Change, Comment, Opening
from reconnect.names import Incident
from reconnect.settings.trackers import RtSettings

from ..conftest import Answer, Asked, Recorder

TICKET = "/REST/2.0/ticket/17"


@pytest.fixture
def rt(server: Recorder) -> RequestTracker:
    """Ticket 17, which remembers its status, queue and owner."""
    ticket: dict[str, Any] = {
        "id": 17,
        "Subject": "Can't register",
        "Status": "new",
        "Queue": {"id": "1", "type": "queue"},
        "Owner": {"id": "Nobody", "type": "user"},
        "CustomFields": [{"id": "3", "name": "Server", "values": ["pbx22"]}, {"id": "4", "name": "Account"}],
    }
    queues = {"General": "1", "Second level": "2"}

    def put(asked: Asked) -> Answer:
        for name, value in asked.json.items():
            if name == "Queue":
                ticket["Queue"]["id"] = queues.get(value, ticket["Queue"]["id"])
            elif name == "Owner":
                ticket["Owner"]["id"] = value
            elif value != "forbidden":
                ticket[name] = value
        return Answer(200, ["Ticket 17: done, or Permission Denied"])

    server.routes = {
        f"GET {TICKET}": Answer(200, ticket),
        f"PUT {TICKET}": put,
        f"POST {TICKET}/comment": Answer(201, ["Comments added"]),
        f"POST {TICKET}/correspond": Answer(201, ["Correspondence added"]),
        f"GET {TICKET}/attachments": Answer(200, {"items": []}),
        **{f"GET /REST/2.0/queue/{number}": Answer(200, {"Name": name}) for name, number in queues.items()},
    }
    return RequestTracker(Incident("rt", "0017"), RtSettings(url=server.url, token=SecretStr("right"), seconds=60))


def test_an_owner_may_be_given_by_name(server: Recorder, rt: RequestTracker) -> None:
    told = server.routes[f"GET {TICKET}"]
    assert isinstance(told, Answer)
    ticket = told.content | {"Owner": "ann"}
    server.routes[f"GET {TICKET}"] = Answer(200, ticket)
    assert rt.read().owner == "ann"


def test_a_ticket_is_read(server: Recorder, rt: RequestTracker) -> None:
    server.routes[f"GET {TICKET}/attachments"] = Answer(
        200, {"items": [{"id": "8", "Filename": ""}, {"id": "9", "Filename": "client.log"}, {"id": "x"}, None]}
    )
    incident = rt.read()
    assert (incident.reference, incident.subject, incident.status) == ("rt:17", "Can't register", "new")
    assert (incident.queue, incident.owner) == ("General", "Nobody")
    assert incident.fields == {"Server": "pbx22", "Account": ""}
    assert incident.files == {"9": "client.log"}
    server.routes["GET /REST/2.0/attachment/9"] = Answer(200, {"Content": base64.b64encode(b"line").decode()})
    assert rt.file("9") == b"line"


def test_every_page_of_attachments_is_read(server: Recorder, rt: RequestTracker) -> None:
    full = [{"id": str(number), "Filename": f"{number}.log"} for number in range(100)]
    pages = {"1": full, "2": [{"id": "100", "Subject": "reconnect-r-report"}]}
    server.routes[f"GET {TICKET}/attachments"] = lambda asked: Answer(200, {"items": pages[asked.query["page"]]})
    assert rt.told("reconnect-r-report")
    assert not rt.told("reconnect-r-user")


@pytest.mark.parametrize(("to_user", "verb"), [(False, "comment"), (True, "correspond")])
def test_a_comment_carries_marker_text_and_files(
    server: Recorder, rt: RequestTracker, to_user: bool, verb: str
) -> None:
    document = Attachment("result.json", "application/json", '{"a": "ü"}'.encode())
    rt.comment(Comment("reconnect-r-report", "fixed: ü\nnext line", to_user, [document]))
    [asked] = server.asked
    assert (asked.method, asked.path) == ("POST", f"{TICKET}/{verb}")
    assert asked.headers["Authorization"] == "token right"
    assert (asked.json["Content"], asked.json["ContentType"]) == ("fixed: ü\nnext line", "text/plain")
    assert asked.json["Subject"] == "reconnect-r-report"
    [attached] = asked.json["Attachments"]
    assert (attached["FileName"], attached["FileType"]) == ("result.json", "application/json")
    assert base64.b64decode(attached["FileContent"]) == document.content


def test_a_ticket_is_closed_moved_and_assigned_once(server: Recorder, rt: RequestTracker) -> None:
    for _ in range(2):
        rt.move("Second level", "m")
        rt.assign("second-level", "m")
        rt.close("Not an issue", "m")
    assert [asked.json for asked in server.of("PUT")] == [
        {"Queue": "Second level"},
        {"Owner": "second-level"},
        {"Status": "resolved"},
    ]


def test_the_reason_goes_into_its_field(server: Recorder, rt: RequestTracker) -> None:
    rt._settings.reason_field = "Reason"
    rt.close("Not an issue", "m")
    assert server.of("PUT")[0].json == {"Status": "resolved", "CustomFields": {"Reason": "Not an issue"}}


def test_a_change_that_rt_refuses_in_words_is_an_error(rt: RequestTracker) -> None:
    rt._settings.status_closed = "forbidden"
    with pytest.raises(TrackerError, match="Permission Denied"):
        rt.close("Not an issue", "m")
    with pytest.raises(TrackerError, match="did not move"):
        rt.move("Nowhere", "m")


def test_a_comment_on_a_ticket_that_is_not_there(server: Recorder, rt: RequestTracker) -> None:
    server.routes = {f"POST {TICKET}/comment": Answer(400, {"message": "Message could not be recorded"})}
    with pytest.raises(TrackerError, match=r"no incident rt:17 \(404\)"):
        rt.comment(Comment("reconnect-r-report", "x"))


def test_the_tickets_that_changed_are_listed(server: Recorder) -> None:
    ticket = {"type": "ticket", "id": "17", "LastUpdated": "2026-11-27T02:56:46Z", "LastUpdatedBy": {"id": "ann"}}
    server.routes["GET /REST/2.0/tickets"] = Answer(200, {"items": [ticket], "total": 1})
    found = changes(RtSettings(url=server.url, token=SecretStr("right")), 3)
    assert found == [Change(Incident("rt", "17"), "2026-11-27T02:56:46Z", "ann")]
    [asked] = server.asked
    assert asked.query["query"] == "LastUpdated > '3 minutes ago'"
    assert (asked.query["orderby"], asked.query["order"]) == ("LastUpdated", "DESC")


OPENING = Opening(
    "disk_full 20261127-071033-1230ab", "alpha: (disk_full 20261127-071033-1230ab)", "text: ü", "Q", {"Server": "alpha"}
)


def test_a_ticket_is_made_once(server: Recorder) -> None:
    tickets: list[dict[str, object]] = []

    def make(asked: Asked) -> Answer:
        tickets.append({"type": "ticket", "id": "20"})
        return Answer(201, {"type": "ticket", "id": "20", "_url": "https://rt.example.org/REST/2.0/ticket/20"})

    server.routes["POST /REST/2.0/ticket"] = make
    server.routes["GET /REST/2.0/tickets"] = lambda asked: Answer(200, {"items": tickets})
    settings = RtSettings(url=server.url, token=SecretStr("right"), seconds=60)
    assert [create(settings, OPENING) for _ in range(2)] == [Incident("rt", "20")] * 2
    (asked,) = server.of("POST")
    assert asked.json == {
        "Queue": "Q",
        "Subject": OPENING.subject,
        "Content": OPENING.text,
        "ContentType": "text/plain",
        "CustomFields": {"Server": "alpha"},
    }
    assert server.of("GET")[0].query["query"] == f"Subject LIKE '({OPENING.marker})'"


def test_a_ticket_that_rt_does_not_make_is_an_error(server: Recorder) -> None:
    server.routes["GET /REST/2.0/tickets"] = Answer(200, {"items": []})
    server.routes["POST /REST/2.0/ticket"] = Answer(403, {"message": "Permission Denied"})
    with pytest.raises(TrackerError, match="403"):
        create(RtSettings(url=server.url, token=SecretStr("right"), seconds=60), OPENING)
