"""ServiceNow as its Table, Attachment and journal APIs are documented."""

from __future__ import annotations

import base64

import pytest
from pydantic import SecretStr
from reconnect.errors import TrackerError
from reconnect.incidents.trackers.servicenow import ServiceNow, changes
from reconnect.incidents.trackers.tracker import Attachment, Change, Comment
from reconnect.names import Incident
from reconnect.settings.trackers import ServiceNowSettings

from ..conftest import Answer, Asked, Recorder

SYS_ID = "9d385017c611228701d22104cc95c371"
RECORD = f"/api/now/table/incident/{SYS_ID}"


@pytest.fixture
def incident(server: Recorder) -> ServiceNow:
    record = {
        "sys_id": {"display_value": SYS_ID, "value": SYS_ID},
        "short_description": {"display_value": "Can't register", "value": "Can't register"},
        "state": {"display_value": "New", "value": "1"},
        "cmdb_ci": {"display_value": "pbx22", "value": "27d32778c0a8000b00db970eeaa60f16", "link": "https://x"},
        "assignment_group": {"display_value": "", "value": ""},
        "assigned_to": {"display_value": "", "value": ""},
    }

    def rows(asked: Asked) -> Answer:
        plain = {name: field["value"] for name, field in record.items()}
        return Answer(200, {"result": [record if asked.query["sysparm_display_value"] == "all" else plain]})

    def patch(asked: Asked) -> Answer:
        for name, value in asked.json.items():
            if value != "Nobody":
                record[name] = {"display_value": value, "value": value}
        return Answer(200, {"result": {"sys_id": SYS_ID}})

    server.routes = {
        "GET /api/now/table/incident": rows,
        f"PATCH {RECORD}": patch,
        "GET /api/now/table/sys_journal_field": Answer(200, {"result": []}),
        "GET /api/now/attachment": Answer(200, {"result": [{"sys_id": "a" * 32, "file_name": "client.log"}]}),
        "POST /api/now/attachment/file": Answer(201, {"result": {"sys_id": "b" * 32}}),
        f"GET /api/now/attachment/{'a' * 32}/file": Answer(200, b"line"),
    }
    return ServiceNow(
        Incident("servicenow", "INC0010023"), ServiceNowSettings(url=server.url, token=SecretStr("right"), seconds=60)
    )


@pytest.mark.parametrize(
    ("state", "active", "closed"),
    [("1", "true", False), ("6", "true", True), ("7", "false", True), ("8", "", True), ("103", "false", True)],
)
def test_an_incident_is_closed_by_its_state(
    server: Recorder, incident: ServiceNow, state: str, active: str, closed: bool
) -> None:
    record = {name: {"display_value": "x", "value": value} for name, value in (("state", state), ("active", active))}
    record["sys_id"] = {"display_value": SYS_ID, "value": SYS_ID}
    server.routes["GET /api/now/table/incident"] = Answer(200, {"result": [record]})
    assert incident.read().closed is closed


def test_a_record_is_read(server: Recorder, incident: ServiceNow) -> None:
    read = incident.read()
    assert (read.subject, read.status, read.queue) == ("Can't register", "1", None)
    assert read.fields["cmdb_ci"] == "pbx22"
    assert read.files == {"a" * 32: "client.log"}
    assert incident.file("a" * 32) == b"line"
    assert server.asked[0].query["sysparm_query"] == "number=INC0010023"
    assert server.asked[0].headers["Authorization"] == "Bearer right"


def test_a_user_makes_the_token_a_password(server: Recorder) -> None:
    settings = ServiceNowSettings(url=server.url, token=SecretStr("right"), user="reconnect")
    server.routes = {"GET /api/now/table/incident": Answer(200, {"result": []})}
    with pytest.raises(TrackerError, match="has no incident"):
        ServiceNow(Incident("servicenow", "INC0010023"), settings).read()
    assert server.asked[0].headers["Authorization"] == "Basic " + base64.b64encode(b"reconnect:right").decode()


def test_a_comment_has_its_files_attached_first_and_once(server: Recorder, incident: ServiceNow) -> None:
    files = [Attachment(name, "text/plain", b"x") for name in ("client.log", "result.json")]
    incident.comment(Comment("reconnect-r-report", "fixed [code]<b>[/code]", attachments=files))
    assert [asked.path for asked in server.asked if asked.method != "GET"] == ["/api/now/attachment/file", RECORD]
    [upload] = server.of("POST")
    assert upload.query == {"table_name": "incident", "table_sys_id": SYS_ID, "file_name": "result.json"}
    assert (upload.headers["Content-Type"], upload.body) == ("text/plain", b"x")
    assert server.of("PATCH")[0].json == {"work_notes": "fixed [ code]<b>[/code]\n\nreconnect-r-report"}


def test_the_user_reads_comments(server: Recorder, incident: ServiceNow) -> None:
    incident.comment(Comment("reconnect-r-user", "dear", to_user=True))
    assert "comments" in server.of("PATCH")[0].json


def test_a_comment_is_found_in_the_journal(server: Recorder, incident: ServiceNow) -> None:
    assert not incident.told("reconnect-r-report")
    assert server.asked[-1].query["sysparm_query"] == f"element_id={SYS_ID}^valueLIKEreconnect-r-report"
    server.routes["GET /api/now/table/sys_journal_field"] = Answer(200, {"result": [{"sys_id": "c"}]})
    assert incident.told("reconnect-r-report")


def test_a_record_is_closed_moved_and_assigned_once(server: Recorder, incident: ServiceNow) -> None:
    for _ in range(2):
        incident.move("Second level", "m")
        incident.assign("Beth Anglin", "m")
        incident.close("Not an issue", "m")
    assert [asked.json for asked in server.of("PATCH")] == [
        {"assignment_group": "Second level"},
        {"assigned_to": "Beth Anglin"},
        {"state": "6", "close_code": "Solution provided", "close_notes": "Not an issue"},
    ]


def test_a_name_nobody_has_is_an_error(incident: ServiceNow) -> None:
    with pytest.raises(TrackerError, match="did not set assigned_to"):
        incident.assign("Nobody", "m")


def test_the_incidents_that_changed_are_listed(server: Recorder) -> None:
    row = {"number": "INC0010023", "sys_id": SYS_ID, "sys_mod_count": "3", "sys_updated_by": "ann"}
    server.routes["GET /api/now/table/incident"] = Answer(200, {"result": [row]})
    found = changes(ServiceNowSettings(url=server.url, token=SecretStr("right")), 3)
    assert found == [Change(Incident("servicenow", "INC0010023"), "3", "ann")]
    [asked] = server.asked
    wanted = "active=true^sys_updated_onRELATIVEGT@minute@ago@3^ORDERBYDESCsys_updated_on"
    assert asked.query["sysparm_query"] == wanted
