"""What the tracker does to a report: it arrives once, or it is shown loudly that it did not."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ..conftest import Workplace
from ..incidents.conftest import Answer, Asked, Recorder

CLOSES = """
- hosts: servers
  gather_facts: false
  tasks:
    - name: Judge
      ansible.builtin.set_fact:
        reconnect_judgement:
          verdict: {outcome: not_an_issue, user_message: "{% raw %}<b>{{ 7*7 }}</b>{% endraw %}"}
          findings: []
"""
INCIDENT = "/REST/2.0/ticket/7"


class Desk(Recorder):
    """A tracker with one incident, which remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.status = "new"
        self.told: list[dict[str, Any]] = []
        self.routes = {
            f"GET {INCIDENT}": lambda asked: self._says({"id": "7", "Status": self.status, "Queue": {"id": "1"}}),
            f"PUT {INCIDENT}": self._put,
            "GET /REST/2.0/queue/1": Answer(200, {"Name": "General"}),
            f"GET {INCIDENT}/attachments": lambda asked: self._says(
                {"items": [{"id": str(n), "Subject": one["Subject"]} for n, one in enumerate(self.told)]}
            ),
            f"POST {INCIDENT}/comment": self._post,
            f"POST {INCIDENT}/correspond": self._post,
        }

    def _says(self, content: object) -> Answer:
        return Answer(200, content)

    def _put(self, asked: Asked) -> Answer:
        self.status = asked.json["Status"]
        return Answer(200, ["ok"])

    def _post(self, asked: Asked) -> Answer:
        self.told.append(asked.json)
        return Answer(201, {"id": "1"})

    @property
    def kinds(self) -> list[str]:
        return [one["Subject"].rpartition("-")[2] for one in self.told]


@pytest.fixture
def desk(workplace: Workplace) -> Iterator[Desk]:
    desk = Desk()
    threading.Thread(target=desk.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    workplace.playbook(CLOSES)
    workplace.environment |= {"RECONNECT_RT_URL": desk.url, "RECONNECT_RT_TOKEN": "canary-5d2f"}
    workplace.environment["RECONNECT_REPORT_SECONDS"] = "0"
    yield desk
    desk.shutdown()
    desk.server_close()


def once(desk: Desk) -> None:
    assert desk.kinds == ["report", "user"]
    assert desk.status == "resolved"


def test_an_answer_that_is_lost_is_not_a_second_report(workplace: Workplace, desk: Desk) -> None:
    desk.drop_answers_to = "POST"
    workplace.environment["RECONNECT_TRACES_URL"] = f"{desk.url}/v1/traces"
    assert workplace.diagnose("alpha", "--incident", "rt:7").code == 14
    assert desk.kinds[:1] == ["report"]
    desk.drop_answers_to = None
    assert workplace.reconnect("resume").code == 0
    once(desk)
    assert workplace.reconnect("resume").code == 0
    once(desk)
    told = [asked.json for asked in desk.asked if asked.path == "/v1/traces"]
    spans = [span for one in told for span in one["resourceSpans"][0]["scopeSpans"][0]["spans"]]
    assert [span["name"] for span in spans][:4] == ["diagnose-server", "alpha", "Judge", "report"]
    assert (spans[3]["status"], spans[-1]["name"], spans[-1]["status"]) == ({"code": 2}, "report", {})
    assert {span["traceId"] for span in spans} == {run.traced()["trace_id"] for run in workplace.runs}


ANSWERS = [
    (Answer(401), "does not accept the credentials (401)"),
    (Answer(404), "has no incident rt:7 (404)"),
    (Answer(500, b"<html>"), "refused with 500"),
    (Answer(200, b"<html>"), "is not JSON"),
    (Answer(200, b" " * 50 * 1024 * 1024), "is larger than"),
    (Answer(302, headers={"Location": "http://elsewhere.test/"}), "points to elsewhere.test (302)"),
]


def test_nothing_is_lost_whatever_the_tracker_answers(workplace: Workplace, desk: Desk) -> None:
    desk.instead = Answer(500)
    told = [workplace.diagnose("alpha", "--incident", "rt:7")]
    assert told[0].code == 14, told[0].stderr
    for desk.instead, sentence in ANSWERS:
        told.append(workplace.reconnect("resume"))
        assert told[-1].code == 14, sentence
        told.append(workplace.reconnect("outbox"))
        assert sentence in told[-1].stdout
    assert "canary" not in "".join(one.stdout + one.stderr for one in told)
    desk.instead = None
    assert workplace.reconnect("resume").code == 0
    once(desk)
    assert workplace.reconnect("outbox").stdout == ""


def test_it_waits_as_long_as_the_tracker_asks(workplace: Workplace, desk: Desk) -> None:
    desk.instead = Answer(429, headers={"Retry-After": "600"})
    assert workplace.diagnose("alpha", "--incident", "rt:7").code == 14
    [line] = json.loads(workplace.reconnect("outbox", "--json").stdout)
    asked = time.mktime(time.strptime(line["pending"]["next_at"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
    assert 500 < asked - time.time() < 700
    # A later command goes on with it, and does not ask sooner than that.
    before = len(desk.of("POST")) + len(desk.of("GET"))
    desk.instead = None
    assert workplace.diagnose("beta").code == 0
    assert len(desk.of("POST")) + len(desk.of("GET")) == before
    assert workplace.reconnect("resume").code == 0
    once(desk)


def test_a_later_command_goes_on_with_what_is_due(workplace: Workplace, desk: Desk, wait: Callable[..., Any]) -> None:
    desk.instead = Answer(500)
    workplace.environment["RECONNECT_REPORT_SECONDS"] = "0"
    assert workplace.diagnose("alpha", "--incident", "rt:7").code == 14
    desk.instead = None
    wait(lambda: workplace.diagnose("beta").code == 0 and desk.told)
    once(desk)


@pytest.fixture
def incomplete(desk: Desk) -> list[str]:
    """An incident that does not say its server; the command that works on it."""
    desk.routes[f"GET {INCIDENT}"] = Answer(200, {"id": "7", "Status": "new", "Queue": {"id": "1"}, "CustomFields": []})
    return ["--incident", "rt:7"]


def asked(desk: Desk) -> list[str]:
    """The questions in the incident."""
    return [one["Subject"] for one in desk.told if one["Subject"].startswith("reconnect-question-")]


@pytest.mark.parametrize("fault", ["refused", "answer lost"])
def test_a_question_is_asked_once_whatever_the_tracker_does(
    workplace: Workplace, desk: Desk, incomplete: list[str], fault: str
) -> None:
    comment = desk.routes[f"POST {INCIDENT}/comment"]
    if fault == "refused":
        desk.routes[f"POST {INCIDENT}/comment"] = Answer(500)
    else:
        desk.drop_answers_to = "POST"
    workplace.environment["RECONNECT_REPORT_SECONDS"] = "0"
    ended = workplace.diagnose(*incomplete)
    assert ended.code == 2
    assert "The server is missing" in ended.stderr
    assert "comment to the incident is pending" in ended.stderr
    assert workplace.reconnect("outbox").stdout.count("question") == 1
    if fault == "refused":
        assert "comment to the incident is pending" in workplace.diagnose(*incomplete).stderr
        assert workplace.reconnect("outbox").stdout.count("question") == 1
    desk.routes[f"POST {INCIDENT}/comment"], desk.drop_answers_to = comment, None
    workplace.environment["RECONNECT_REPORT_SECONDS"] = "20"
    assert workplace.reconnect("resume").code == 0
    assert len(asked(desk)) == 1
    ended = workplace.diagnose(*incomplete)
    assert "comment added to the incident" in ended.stderr
    assert len(asked(desk)) == 1
    assert workplace.reconnect("outbox").stdout == ""
    # Something else that is missing is another question.
    ended = workplace.reconnect("fix-account-config", *incomplete, "--inventory", str(workplace.inventory))
    assert ended.code == 2
    assert len(set(asked(desk))) == len(asked(desk)) == 2


def test_a_question_that_is_given_up_is_shown_loudly(workplace: Workplace, desk: Desk, incomplete: list[str]) -> None:
    workplace.environment |= {"RECONNECT_REPORT_LIMIT_SECONDS": "0.5", "RECONNECT_REPORT_SECONDS": "20"}
    comment = desk.routes[f"POST {INCIDENT}/comment"]
    desk.routes[f"POST {INCIDENT}/comment"] = Answer(500)
    assert workplace.diagnose(*incomplete).code == 2
    assert "GIVEN UP, question tried" in workplace.reconnect("outbox").stdout
    desk.routes[f"POST {INCIDENT}/comment"] = comment
    assert workplace.reconnect("resume").code == 0
    assert len(asked(desk)) == 1


def test_what_is_given_up_is_shown_loudly_and_can_be_tried_again(workplace: Workplace, desk: Desk) -> None:
    workplace.environment["RECONNECT_REPORT_LIMIT_SECONDS"] = "0.5"
    desk.instead = Answer(500)
    assert workplace.diagnose("alpha", "--incident", "rt:7").code == 14
    assert "GIVEN UP" in workplace.reconnect("outbox").stdout
    desk.instead = None
    assert workplace.reconnect("resume").code == 0
    once(desk)
