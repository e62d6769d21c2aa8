"""Hooks and intake. The payloads of Zammad, Jira, ServiceNow and Alertmanager are made from their documentation."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from reconnect.incidents import intake
from reconnect.incidents.trackers.tracker import Details
from reconnect.runs.store import Runs
from reconnect.service.incoming import inbox as inbox_module
from reconnect.service.incoming.inbox import Inbox
from reconnect.settings import Settings

from ...conftest import there
from ..conftest import state_of

SECRET = "of-the-scrip"
ZAMMAD = {"ticket": {"id": 55, "updated_by": {"login": "ann"}}, "article": {"created_by": {"login": "ann"}}}
JIRA = {"webhookEvent": "jira:issue_created", "issue": {"key": "NET-7"}, "user": {"name": "ann"}}
SERVICENOW = {"sys_id": "9d385017c611228701d22104cc95c371", "sys_mod_count": 3, "number": "INC0000060"}
ALERT = {"fingerprint": "f1", "startsAt": "2026-01-01T00:00:00Z", "status": "firing", "labels": {"incident": "rt:17"}}


class FakeIncident:
    """An incident of any tracker, as its tracker would give it."""

    details = Details("rt:17", "No calls", "open", "General", "", {"Server": "alpha"})

    def read(self) -> Details:
        return self.details

    def file(self, identifier: str) -> bytes:
        return b""


@pytest.fixture(autouse=True)
def tracker(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> FakeIncident:
    incident = FakeIncident()
    monkeypatch.setattr(inbox_module, "open_incident", lambda name, settings: incident)
    monkeypatch.setattr(intake, "open_incident", lambda name, settings: incident)
    for name, url in (("zammad", "z"), ("jira", "j"), ("servicenow", "s")):
        own = getattr(settings, name)
        setattr(
            settings, name, own.model_copy(update={"url": f"https://{url}.example.org", "token": settings.rt.token})
        )
    hook = settings.service.hooks["rt"]
    settings.service.hooks |= dict.fromkeys(("zammad", "jira", "servicenow", "alertmanager", "webhooks"), hook)
    return incident


@pytest.fixture
def inbox(client: TestClient) -> Inbox:
    found: Inbox = state_of(client).inbox
    return found


#: A request's body and its headers.
Signed = tuple[bytes, dict[str, str]]
Sign = Callable[..., Signed]


def signed(body: object, identifier: str = "rt-1", at: int | None = None, secret: str = SECRET) -> Signed:
    when = str(int(time.time()) if at is None else at)
    content = json.dumps(body).encode()
    digest = hmac.new(
        secret.encode(), b".".join((identifier.encode(), when.encode(), content)), hashlib.sha256
    ).digest()
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return content, {"webhook-id": identifier, "webhook-timestamp": when, "webhook-signature": signature}


def hub(digest: str, **headers: str) -> Sign:
    def sign(body: object) -> Signed:
        content = json.dumps(body).encode()
        return content, {
            "X-Hub-Signature": f"{digest}={hmac.new(SECRET.encode(), content, digest).hexdigest()}",
            **headers,
        }

    return sign


def with_header(**headers: str) -> Sign:
    return lambda body: (json.dumps(body).encode(), headers)


SOURCES: dict[str, tuple[object, Sign, str]] = {
    "rt": ({"ticket": 17, "user": "ann"}, signed, "rt:17"),
    "zammad": (ZAMMAD, hub("sha1", **{"X-Zammad-Delivery": "d1"}), "zammad:55"),
    "jira": (JIRA, hub("sha256", **{"X-Atlassian-Webhook-Identifier": "d1"}), "jira:NET-7"),
    "servicenow": (SERVICENOW, with_header(**{"X-Reconnect-Secret": SECRET}), "servicenow:INC0000060"),
    "alertmanager": ({"alerts": [ALERT]}, with_header(Authorization=f"Bearer {SECRET}"), "rt:17"),
    "webhooks": ({"incident": "rt:17"}, signed, "rt:17"),
    "webhooks cloudevent": (
        {"specversion": "1.0", "source": "/monitor", "id": "1", "type": "x", "data": {"incident": "rt:17"}},
        signed,
        "rt:17",
    ),
}


def deliver(client: TestClient, source: str, body: object, sign: Sign) -> Response:
    content, headers = sign(body)
    found: Response = client.post(f"/hooks/{source.partition(' ')[0]}", content=content, headers=headers)
    return found


@pytest.mark.parametrize("source", SOURCES)
def test_each_source_is_verified_and_kept_once(client: TestClient, inbox: Inbox, source: str) -> None:
    body, sign, incident = SOURCES[source]
    assert deliver(client, source, body, sign).status_code == 202
    again = deliver(client, source, body, sign)
    assert (again.status_code, again.json()["result"]) == (200, "duplicate")
    (kept,) = inbox.newest()
    assert f"{kept['tracker']}:{kept['incident']}" == incident


@pytest.mark.attack("deliveries that are forged, replayed, changed or malformed", harm="breach")
@pytest.mark.parametrize("source", SOURCES)
def test_what_is_not_signed_begins_nothing(client: TestClient, inbox: Inbox, settings: Settings, source: str) -> None:
    body, sign, _ = SOURCES[source]
    content, headers = sign(body)
    path = f"/hooks/{source.partition(' ')[0]}"
    secret = {name: value for name, value in headers.items() if SECRET in value or "ignature" in name}
    wrong = {name: value[:-2] + ("A=" if value[-2:] != "A=" else "B=") for name, value in secret.items()}
    assert client.post(path, content=content).status_code == 401
    assert client.post(path, content=content, headers=headers | wrong).status_code == 401
    if not any(SECRET in value for value in headers.values()):
        assert client.post(path, content=content + b" ", headers=headers).status_code == 401
    assert inbox.newest() == []
    assert not inbox.take_next()
    assert Runs(settings).newest() == []


@pytest.mark.attack("an old delivery is sent again, and signed bodies say what no source says", harm="breach")
def test_old_and_odd_deliveries_begin_nothing(client: TestClient, inbox: Inbox) -> None:
    for at in (time.time() - 400, time.time() + 400):
        content, headers = signed({"ticket": 17}, at=int(at))
        assert client.post("/hooks/rt", content=content, headers=headers).status_code == 401
    odd = [[], {}, {"ticket": None}, {"ticket": "17; x"}, {"ticket": {"a": 1}}, {"ticket": -1}, {"ticket": 10**30}]
    odd += [{"ticket": float("inf")}, {"ticket": float("nan")}]
    for body in odd:
        content, headers = signed(body)
        assert client.post("/hooks/rt", content=content, headers=headers).status_code == 422, body
    for incident in ("file:/etc/passwd", "nonsense", "rt:../1", "rt:17 OR 1", "ghost:1"):
        content, headers = signed({"incident": incident})
        assert client.post("/hooks/webhooks", content=content, headers=headers).status_code == 422, incident
    assert client.post("/hooks/nobody", content=b"{}").status_code == 404
    assert client.post("/hooks/rt", content=b"x" * 300_000).status_code == 413
    assert inbox.newest() == []


@pytest.mark.attack("a delivery whose id cannot be stored", harm="outage")
@pytest.mark.parametrize("text", ["\ud800", "a\0b"])
def test_what_cannot_be_stored_is_refused_where_it_is_used(client: TestClient, inbox: Inbox, text: str) -> None:
    sign = SOURCES["servicenow"][1]
    assert deliver(client, "servicenow", SERVICENOW | {"sys_id": text}, sign).status_code == 422
    assert inbox.newest() == []
    assert deliver(client, "servicenow", SERVICENOW | {"description": text}, sign).status_code == 202


def test_an_invalid_incident_takes_no_valid_one_with_it(client: TestClient, inbox: Inbox) -> None:
    alerts = [
        ALERT | {"fingerprint": name, "labels": {"incident": incident}}
        for name, incident in (("f1", "nonsense"), ("f2", "rt:17"), ("f3", "file:/etc/passwd"))
    ]
    sign = SOURCES["alertmanager"][1]
    assert deliver(client, "alertmanager", {"alerts": alerts}, sign).status_code == 202
    assert [one["incident"] for one in inbox.newest()] == ["17"]
    assert deliver(client, "alertmanager", {"alerts": alerts}, sign).json() == {"result": "duplicate"}
    assert deliver(client, "alertmanager", {"alerts": [alerts[0], alerts[2]]}, sign).status_code == 422


def test_a_source_without_a_secret_is_closed(client: TestClient, settings: Settings) -> None:
    settings.service.hooks["rt"] = settings.service.hooks["rt"].model_copy(update={"secret": None})
    content, headers = signed({"ticket": 17}, secret="")
    assert client.post("/hooks/rt", content=content, headers=headers).status_code == 503


def test_what_we_caused_ourselves_is_ignored(client: TestClient, inbox: Inbox) -> None:
    content, headers = signed({"ticket": 17, "user": "reconnect"})
    assert client.post("/hooks/rt", content=content, headers=headers).json()["result"] == "ignored"
    assert inbox.newest() == []


@pytest.mark.parametrize(
    ("user", "ignored", "by_other"),
    [("ann", "reconnect", True), ("RT_System", "reconnect", False), (None, "reconnect", False), ("ann", None, False)],
)
def test_somebody_else_is_known_by_name(
    client: TestClient, inbox: Inbox, settings: Settings, user: str | None, ignored: str | None, by_other: bool
) -> None:
    settings.service.hooks["rt"].ignore_user = ignored
    content, headers = signed({"ticket": 17, "user": user})
    assert client.post("/hooks/rt", content=content, headers=headers).status_code == 202
    assert [one["by_other"] for one in inbox.newest()] == [by_other]


def test_a_delivery_becomes_one_run_that_changes_nothing(client: TestClient, inbox: Inbox, settings: Settings) -> None:
    for number in range(3):
        content, headers = signed({"ticket": 17}, identifier=f"rt-{number}")
        assert client.post("/hooks/rt", content=content, headers=headers).status_code == 202
    while inbox.take_next():
        pass
    (run,) = Runs(settings).newest()
    kept = there(run.kept())
    assert (run.record.request.mode, run.record.request.servers, str(run.record.request.incident)) == (
        "diagnose",
        ["alpha"],
        "rt:17",
    )
    assert (kept.asker.requester, kept.asker.trigger) == (None, "hook")
    assert sorted(one["state"] for one in inbox.newest()) == ["ignored", "ignored", "taken"]
    assert {one["run_id"] for one in inbox.newest()} == {run.run_id}


@pytest.mark.parametrize(("hours", "mode"), [("[]", "apply"), ('["00:00-00:00"]', "diagnose")])
def test_the_policy_says_what_an_incident_may_have_fixed(
    client: TestClient, inbox: Inbox, settings: Settings, tmp_path: Path, hours: str, mode: str
) -> None:
    settings.policy = tmp_path / "policy.yml"
    settings.policy.write_text(f"incidents: {{fix: true, hours: {hours}}}\n")
    content, headers = signed({"ticket": 17})
    client.post("/hooks/rt", content=content, headers=headers)
    assert inbox.take_next()
    assert [run.record.request.mode for run in Runs(settings).newest()] == [mode]


@pytest.mark.parametrize("more", [{"status": "resolved"}, {"status": "7", "closed": True}, {"queue": "Second level"}])
def test_an_incident_that_is_closed_or_escalated_begins_nothing(
    client: TestClient, inbox: Inbox, settings: Settings, tracker: FakeIncident, more: dict[str, Any]
) -> None:
    tracker.details = replace(tracker.details, **more)
    content, headers = signed({"ticket": 17})
    client.post("/hooks/rt", content=content, headers=headers)
    assert inbox.take_next()
    assert [one["state"] for one in inbox.newest()] == ["ignored"]
    assert Runs(settings).newest() == []


def test_an_incident_that_says_too_little_is_asked(
    client: TestClient, inbox: Inbox, settings: Settings, tracker: FakeIncident
) -> None:
    tracker.details = replace(tracker.details, fields={})
    content, headers = signed({"ticket": 17})
    client.post("/hooks/rt", content=content, headers=headers)
    assert inbox.take_next()
    (run,) = Runs(settings).newest()
    assert run.record.question
    assert run.record.delivery == "pending"


EVENT = {"specversion": "1.0", "id": "8", "source": "https://alarms.example.org", "type": "org.example.alarm"}
STRUCTURED = {"Content-Type": "application/cloudevents+json; charset=UTF-8"}
BINARY = {"Content-Type": "application/json", **{f"ce-{name}": value for name, value in EVENT.items()}}


@pytest.mark.parametrize(
    ("body", "mode"), [(EVENT | {"data": {"incident": "rt:17"}}, STRUCTURED), ({"incident": "rt:17"}, BINARY)]
)
def test_a_cloud_event_begins_one_run(
    client: TestClient, settings: Settings, inbox: Inbox, body: dict[str, Any], mode: dict[str, str]
) -> None:
    settings.service.hooks["events"] = settings.service.hooks["rt"]
    answers = []
    for _ in range(2):
        content, headers = signed(body)
        answers.append(client.post("/v1/events", content=content, headers=headers | mode))
    assert [(one.status_code, one.json()) for one in answers] == [
        (202, {"result": "accepted"}),
        (200, {"result": "duplicate"}),
    ]
    assert inbox.take_next()
    (run,) = Runs(settings).newest()
    assert (str(run.record.request.incident), run.record.request.mode) == ("rt:17", "diagnose")


def test_two_cloud_events_of_a_source_with_a_long_name_are_two(client: TestClient, settings: Settings) -> None:
    settings.service.hooks["events"] = settings.service.hooks["rt"]
    results = []
    for number in "12":
        body = EVENT | {
            "source": "https://alarms.example.org/" + "x" * 200,
            "id": number,
            "data": {"incident": "rt:17"},
        }
        content, headers = signed(body)
        answer = client.post("/v1/events", content=content, headers=headers | STRUCTURED)
        results.append(answer.json()["result"])
    assert results == ["accepted", "accepted"]


@pytest.mark.attack("the id of a CloudEvent that no signature covers", harm="breach")
def test_in_binary_mode_the_signed_id_says_which_delivery_it_is(client: TestClient, settings: Settings) -> None:
    settings.service.hooks["events"] = settings.service.hooks["rt"]
    content, headers = signed({"incident": "rt:17"})
    first, second = (client.post("/v1/events", content=content, headers=headers | BINARY | {"ce-id": i}) for i in "12")
    assert (first.json()["result"], second.json()["result"]) == ("accepted", "duplicate")


@pytest.mark.parametrize(
    ("body", "mode"),
    [
        (EVENT | {"data": {"incident": "rt:17"}}, {"Content-Type": "application/json"}),
        (EVENT | {"data": {"incident": "rt:17"}, "specversion": "0.3"}, STRUCTURED),
        (EVENT | {"data": {"incident": "rt:17"}, "id": ""}, STRUCTURED),
        (EVENT | {"data": "rt:17"}, STRUCTURED),
        (EVENT | {"data": {"incident": "file:/etc/passwd"}}, STRUCTURED),
        ({"incident": "rt:17"}, {**BINARY, "ce-type": ""}),
        ({"incident": "rt:17"}, BINARY | STRUCTURED),
        ([EVENT], STRUCTURED),
    ],
)
def test_an_event_that_is_not_one_is_refused(
    client: TestClient,
    settings: Settings,
    inbox: Inbox,
    body: list[dict[str, str]] | dict[str, Any],
    mode: dict[str, str],
) -> None:
    settings.service.hooks["events"] = settings.service.hooks["rt"]
    content, headers = signed(body)
    answer = client.post("/v1/events", content=content, headers=headers | mode)
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, "application/problem+json")
    assert inbox.newest() == []


def test_an_event_without_a_secret_or_its_signature_is_refused(
    client: TestClient, settings: Settings, inbox: Inbox
) -> None:
    content, headers = signed(EVENT | {"data": {"incident": "rt:17"}})
    assert client.post("/v1/events", content=content, headers=headers | STRUCTURED).status_code == 404
    settings.service.hooks["events"] = settings.service.hooks["rt"]
    assert client.post("/v1/events", content=content + b" ", headers=headers | STRUCTURED).status_code == 401
    assert inbox.newest() == []
    content, headers = signed(EVENT | {"data": {"alarm": 1}})
    answer = client.post("/v1/events", content=content, headers=headers | STRUCTURED)
    assert (answer.status_code, answer.json()["result"]) == (200, "ignored")
