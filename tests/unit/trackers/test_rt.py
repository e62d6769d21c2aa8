"""Request Tracker 5 as its REST 2.0 API is documented."""

from __future__ import annotations

import base64

import pytest
from reconnect.errors import TrackerError
from reconnect.settings import Settings
from reconnect.trackers.incident import Attachment, Comment
from reconnect.trackers.rt import RequestTracker

from .conftest import Answer, Recorder

TICKET = "/REST/2.0/ticket/17"


@pytest.fixture
def rt(server: Recorder) -> RequestTracker:
    """Ticket 17, which remembers its status, queue and owner."""
    ticket = {
        "id": 17,
        "Subject": "Can't register",
        "Status": "new",
        "Queue": {"id": "1", "type": "queue"},
        "Owner": {"id": "Nobody", "type": "user"},
        "CustomFields": [{"id": "3", "name": "Server", "values": ["pbx22"]}, {"id": "4", "name": "Account"}],
    }
    queues = {"General": "1", "Second level": "2"}

    def put(asked):
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
    return RequestTracker("0017", Settings(rt={"url": server.url, "token": "right", "seconds": 5}))


def test_a_ticket_is_read(server, rt):
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


def test_every_page_of_attachments_is_read(server, rt):
    full = [{"id": str(number), "Filename": f"{number}.log"} for number in range(100)]
    pages = {"1": full, "2": [{"id": "100", "Subject": "reconnect-r-report"}]}
    server.routes[f"GET {TICKET}/attachments"] = lambda asked: Answer(200, {"items": pages[asked.query["page"]]})
    assert rt.told("reconnect-r-report")
    assert not rt.told("reconnect-r-user")


@pytest.mark.parametrize(("to_user", "verb"), [(False, "comment"), (True, "correspond")])
def test_a_comment_carries_marker_text_and_files(server, rt, to_user, verb):
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


def test_a_ticket_is_closed_moved_and_assigned_once(server, rt):
    for _ in range(2):
        rt.move("Second level", "m")
        rt.assign("second-level", "m")
        rt.close("Not an issue", "m")
    assert [asked.json for asked in server.of("PUT")] == [
        {"Queue": "Second level"},
        {"Owner": "second-level"},
        {"Status": "resolved"},
    ]


def test_the_reason_goes_into_its_field(server, rt):
    rt._settings.reason_field = "Reason"
    rt.close("Not an issue", "m")
    assert server.of("PUT")[0].json == {"Status": "resolved", "CustomFields": {"Reason": "Not an issue"}}


def test_a_change_that_rt_refuses_in_words_is_an_error(rt):
    rt._settings.status_closed = "forbidden"
    with pytest.raises(TrackerError, match="Permission Denied"):
        rt.close("Not an issue", "m")
    with pytest.raises(TrackerError, match="did not move"):
        rt.move("Nowhere", "m")


def test_a_comment_on_a_ticket_that_is_not_there(server, rt):
    server.routes = {f"POST {TICKET}/comment": Answer(400, {"message": "Message could not be recorded"})}
    with pytest.raises(TrackerError, match=r"no incident rt:17 \(404\)"):
        rt.comment(Comment("reconnect-r-report", "x"))
