"""A webhook, with a receiver that verifies what it gets as the documentation tells receivers to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from reconnect.errors import TrackerError
from reconnect.incidents.trackers.tracker import Attachment, Comment
from reconnect.incidents.trackers.webhook import Webhook
from reconnect.names import Incident
from reconnect.settings.trackers import WebhookSettings

from ..conftest import Answer, Asked, Recorder

KEY = "a-key-of-the-site"


class Receiver:
    """Refuses what is unsigned, changed or old, and takes every event once."""

    def __init__(self) -> None:
        self.events: dict[tuple[str, str], dict[str, Any]] = {}
        self.now = time.time

    def __call__(self, asked: Asked) -> Answer:
        timestamp = asked.headers["Reconnect-Timestamp"]
        expected = hmac.new(KEY.encode(), f"{timestamp}.".encode() + asked.body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(asked.headers["Reconnect-Signature"], f"v1={expected}"):
            return Answer(401)
        if abs(self.now() - int(timestamp)) > 300:
            return Answer(403)
        if not asked.headers["Content-Type"].startswith("application/cloudevents+json"):
            return Answer(415)
        event = json.loads(asked.body)
        self.events.setdefault((event["source"], event["id"]), event)
        return Answer(202)


@pytest.fixture
def receiver(server: Recorder) -> Receiver:
    server.routes = {"POST /hooks/reconnect": (receiver := Receiver())}
    return receiver


def webhook(server: Recorder, key: str = KEY) -> Webhook:
    own = {"url": f"{server.url}/hooks/reconnect", "token": key, "source": "reconnect/site-1"}
    return Webhook(Incident("webhook", "desk/4711"), WebhookSettings.model_validate(own))


def test_everything_told_is_a_signed_event(server: Recorder, receiver: Receiver) -> None:
    hook = webhook(server)
    document = Attachment("result.json", "application/json", b"{}")
    hook.comment(Comment("reconnect-r-report", "fixed: ü", attachments=[document]))
    hook.move("Second level", "reconnect-r-move")
    hook.assign("second-level", "reconnect-r-assign")
    hook.close("Not an issue", "reconnect-r-close")
    events = list(receiver.events.values())
    assert [event["type"].rsplit(".", 2)[1] for event in events] == ["comment", "move", "assign", "close"]
    for event in events:
        assert (event["specversion"], event["source"], event["subject"]) == ("1.0", "reconnect/site-1", "4711")
    assert events[0]["data"]["text"] == "fixed: ü"
    assert base64.b64decode(events[0]["data"]["files"][0]["content_base64"]) == b"{}"
    assert [event["data"] for event in events[1:]] == [
        {"queue": "Second level"},
        {"owner": "second-level"},
        {"reason": "Not an issue"},
    ]


def test_what_is_sent_again_is_the_same_event(server: Recorder, receiver: Receiver) -> None:
    server.drop_answers_to = "POST"
    with pytest.raises(TrackerError, match="Cannot reach"):
        webhook(server).comment(Comment("reconnect-r-report", "fixed"))
    server.drop_answers_to = None
    webhook(server).comment(Comment("reconnect-r-report", "fixed"))
    assert len(server.asked) == 2
    assert len(receiver.events) == 1


def test_a_wrong_key_is_refused(server: Recorder, receiver: Receiver) -> None:
    with pytest.raises(TrackerError, match=r"\(401\)"):
        webhook(server, "another").comment(Comment("reconnect-r-report", "fixed"))
    assert receiver.events == {}


def test_a_late_copy_is_refused(server: Recorder, receiver: Receiver) -> None:
    receiver.now = lambda: time.time() + 600
    with pytest.raises(TrackerError, match=r"\(403\)"):
        webhook(server).comment(Comment("reconnect-r-report", "fixed"))


def test_nothing_can_be_read(server: Recorder) -> None:
    incident = webhook(server).read()
    assert (incident.fields, incident.files) == ({}, {})
