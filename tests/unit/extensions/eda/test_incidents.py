# SPDX-License-Identifier: GPL-3.0-or-later
"""The source of incidents asks each tracker as its API wants it, and makes one event of a change."""

from __future__ import annotations

import asyncio
import importlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any, get_args
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from ansible_collections.privatewave.reconnect.extensions.eda.plugins.event_source import incidents, outcomes
from ansible_collections.privatewave.reconnect.plugins.modules import run
from reconnect.settings.service import Polled
from reconnect.settings.trackers import Server, Trackers

COLLECTION = Path(incidents.__file__).parents[4]


class _Tracker(HTTPServer):
    """Answers ``said`` to everything, as it is where it is bytes, or sends elsewhere; ``asked`` has each path with its
    authorization."""

    said: object = None
    elsewhere = ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: _Tracker

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Authorization"]))
        if isinstance(self.server.said, bytes):
            self.wfile.write(self.server.said)
            return
        self.send_response(302 if self.server.elsewhere else 200)
        if self.server.elsewhere:
            self.send_header("Location", self.server.elsewhere)
        self.end_headers()
        self.wfile.write(json.dumps(self.server.said).encode())

    def log_message(self, *_args: object) -> None:
        """Nothing."""


def polled() -> set[str]:
    """The registered trackers that can say what has changed."""
    names = [name for name in Trackers.model_fields if name != "webhooks"]
    modules = {name: importlib.import_module(f"reconnect.incidents.trackers.{name}") for name in names}
    return {name for name, module in modules.items() if hasattr(module, "changes")}


def test_the_source_and_the_service_ask_the_same_trackers() -> None:
    differ = polled() ^ set(get_args(Polled))
    assert not differ, f"only one of Polled (settings/service.py) and the modules with a function changes has {differ}"
    over_http = {name for name in polled() if isinstance(getattr(Trackers(), name), Server)}
    differ = over_http ^ set(incidents.TRACKERS)
    assert not differ, f"only one of TRACKERS ({incidents.__file__}) and the trackers that are polled has {differ}"
    assert yaml.safe_load(incidents.DOCUMENTATION)["options"]["tracker"]["choices"] == list(incidents.TRACKERS)


@pytest.fixture
def tracker() -> Iterator[_Tracker]:
    with _Tracker() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    ("name", "said", "change", "authorization", "query"),
    [
        (
            "rt",
            {"items": [{"id": "17", "type": "ticket", "LastUpdated": "2026-01-02T03:05:00Z"}]},
            ("rt:17", "2026-01-02T03:05:00Z"),
            "token secret",
            {"query": ["Queue = 'VoIP' AND LastUpdated > '7 minutes ago'"]},
        ),
        (
            "zammad",
            [{"id": 17, "updated_at": "2026-01-02T03:05:00Z"}],
            ("zammad:17", "2026-01-02T03:05:00Z"),
            "Token token=secret",
            {"query": ['group.name:"VoIP" AND updated_at:>now-7m']},
        ),
        (
            "jira",
            {"issues": [{"key": "VOIP-17", "fields": {"updated": "2026-01-02T03:05:00.000+0000"}}]},
            ("jira:VOIP-17", "2026-01-02T03:05:00.000+0000"),
            "Bearer secret",
            {"jql": ['project = "VoIP" AND updated >= -7m ORDER BY updated DESC']},
        ),
        (
            "servicenow",
            {"result": [{"number": "INC17", "sys_updated_on": "2026-01-02 03:05:00"}]},
            ("servicenow:INC17", "2026-01-02 03:05:00"),
            "Basic cmVjb25uZWN0OnNlY3JldA==",
            {
                "sysparm_query": [
                    "assignment_group.name=VoIP^sys_updated_onRELATIVEGT@minute@ago@7^ORDERBYDESCsys_updated_on"
                ]
            },
        ),
    ],
)
def test_each_tracker_is_asked_as_it_wants(
    tracker: _Tracker,
    name: str,
    said: dict[str, list[dict[Any, Any]]] | list[dict[str, Any]],
    change: tuple[str, str],
    authorization: str,
    query: dict[str, list[str]],
) -> None:
    tracker.said = said
    args = {"tracker": name, "url": tracker.url, "token": "secret", "user": "reconnect", "queue": "VoIP"}
    assert incidents.changed(args, 7) == [change]
    [(path, shown)] = tracker.asked
    assert shown == authorization
    assert query.items() <= parse_qs(urlsplit(path).query).items()


def test_a_change_is_one_event(tracker: _Tracker) -> None:
    first, second = ({"id": "17", "LastUpdated": at} for at in ("2026-01-02T03:05:00Z", "2026-01-02T03:06:00Z"))
    tracker.said = {"items": [first]}

    async def more(times: int) -> None:
        until = len(tracker.asked) + times
        while len(tracker.asked) < until:
            await asyncio.sleep(0.01)

    async def follow() -> list[dict[str, Any]]:
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        args = {"tracker": "rt", "url": tracker.url, "token": "secret", "queue": "VoIP", "interval": 0.01}
        source = asyncio.create_task(incidents.main(queue, args))
        await asyncio.wait_for(more(2), 60)
        # What is no list, and what is no HTTP, is asked for again.
        for said in ({"items": "?"}, None, b"?\r\n\r\n", {"items": [second, first]}):
            tracker.said = said
            await asyncio.wait_for(more(2), 60)
        found = [await asyncio.wait_for(queue.get(), 60)]
        await asyncio.wait_for(more(2), 60)
        source.cancel()
        return found + [queue.get_nowait() for _ in range(queue.qsize())]

    assert asyncio.run(follow()) == [{"reconnect": {"incident": "rt:17", "changed_at": "2026-01-02T03:06:00Z"}}]


@pytest.mark.attack("a queue that is a query, a tracker that sends the token elsewhere", harm="leak")
def test_a_queue_is_a_name_and_the_token_stays(tracker: _Tracker) -> None:
    for wrong in ({"queue": "x' OR Queue != '"}, {"queue": 'x" OR 1'}, {"queue": "a^b"}, {"tracker": "none"}):
        with pytest.raises(ValueError, match="is "):
            asyncio.run(incidents.main(asyncio.Queue(), {"tracker": "rt", "queue": "VoIP", "url": "", **wrong}))
    tracker.elsewhere = f"{tracker.url}/elsewhere"
    args = {"tracker": "rt", "url": tracker.url, "token": "secret", "queue": "VoIP"}
    with pytest.raises(HTTPError, match="302"):
        incidents.changed(args, 7)
    assert len(tracker.asked) == 1


@pytest.mark.attack("a tracker and a service that answer with NaN and Infinity")
@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_number_that_is_infinite_or_none_is_no_answer(tracker: _Tracker, number: str) -> None:
    tracker.said = f'HTTP/1.0 200 OK\r\n\r\n{{"items": [], "events": [], "next": 1, "more": {number}}}'.encode()
    with pytest.raises(ValueError, match="is not a finite number"):
        incidents.changed({"tracker": "rt", "url": tracker.url, "token": "secret", "queue": "VoIP"}, 7)
    with pytest.raises(ValueError, match="is not a finite number"):
        outcomes.following(tracker.url, "secret", None, 1)
    args = {"tracker": "rt", "queue": "VoIP", "url": "", "token": "secret", "interval": float(number)}
    for source in (incidents, outcomes):
        with pytest.raises(ValueError, match="interval is a number of seconds"):
            asyncio.run(source.main(asyncio.Queue(), args))


@pytest.mark.parametrize("source", [incidents, outcomes])
def test_a_source_runs_by_its_path_without_the_collection_around(source: ModuleType) -> None:
    program = f"import runpy; print(runpy.run_path({source.__file__!r})['plain_json']('[1]'))"
    ended = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "[1]\n"


def test_the_rulebook_names_options_that_there_are() -> None:
    [ruleset] = yaml.safe_load((COLLECTION / "extensions" / "eda" / "rulebooks" / "incidents.yml").read_text())
    [source] = (one["privatewave.reconnect.incidents"] for one in ruleset["sources"])
    assert set(source) <= set(yaml.safe_load(incidents.DOCUMENTATION)["options"])
    [rule] = ruleset["rules"]
    asked = rule["action"]["run_module"]
    known = {*yaml.safe_load(run.DOCUMENTATION)["options"], "url", "token"}
    assert (asked["name"], set(asked["module_args"]) - known) == ("privatewave.reconnect.run", set())
