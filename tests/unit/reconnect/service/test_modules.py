# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's modules and event source speak the API of the service as it is."""

from __future__ import annotations

import asyncio
import email.message
import http.client
import io
import json
import time
import urllib
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.error import HTTPError

import jinja2
import pytest
import yaml
from ansible.module_utils import _internal
from ansible.module_utils.testing import patch_module_args
from ansible_collections.privatewave.reconnect.extensions.eda.plugins.event_source import outcomes
from ansible_collections.privatewave.reconnect.plugins.module_utils import _service
from ansible_collections.privatewave.reconnect.plugins.modules import approval, run, run_info
from fastapi.testclient import TestClient
from reconnect.runs.store import Run

from .conftest import plan_of, plan_step


@dataclass
class Call:
    """call(module, role, options): what a module answers. Its requests go to the application."""

    client: TestClient
    token: Callable[..., dict[str, str]]
    capsys: pytest.CaptureFixture[str]
    sent: list[str] = field(default_factory=list)

    def open_url(
        self,
        address: str,
        data: bytes | None,
        headers: dict[str, str],
        method: str,
        timeout: float,
        ca_path: str | None,
        follow_redirects: str,
        http_agent: str,
    ) -> io.BytesIO:
        assert follow_redirects == "none"
        self.sent.append(method)
        answer = self.client.request(method, address.removeprefix("https://reconnect"), content=data, headers=headers)
        if answer.is_error:
            told = email.message.Message()
            for name, value in answer.headers.items():
                told[name] = value
            raise HTTPError(address, answer.status_code, answer.reason_phrase, told, io.BytesIO(answer.content))
        return io.BytesIO(answer.content)

    def __call__(self, module: ModuleType, role: str = "first_level", check: bool = False, **options: Any) -> Any:
        secret = self.token(role)["Authorization"].removeprefix("Bearer ")
        given = {"url": "https://reconnect/", "token": secret, "_ansible_check_mode": check, **options}
        with patch_module_args(given), pytest.raises(SystemExit):
            module.main()
        said = json.loads(self.capsys.readouterr().out)
        assert secret not in json.dumps(said.get("run", said.get("msg", "")))
        return said


def pauses(monkeypatch: pytest.MonkeyPatch, sleep: Callable[[float], None]) -> None:
    """How the modules wait; all others go on to wait as ever."""
    monkeypatch.setattr(_service, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))


@pytest.fixture
def call(
    client: TestClient,
    token: Callable[..., dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Call:
    made = Call(client, token, capsys)
    monkeypatch.setattr(_internal, "is_controller", False)
    pauses(monkeypatch, lambda _seconds: None)
    monkeypatch.setattr(_service, "open_url", made.open_url)
    return made


def test_a_run_is_asked_for_watched_and_its_plan_approved(call: Call, ended: Callable[..., Run]) -> None:
    asked: dict[str, Any] = {"servers": ["alpha"], "account": "1005", "key": "a", "wait": False}
    first = call(run, **asked)["run"]
    assert (first["state"], first["servers"], first["account"]) == ("queued", ["alpha"], "1005")
    assert call(run, **asked)["run"]["id"] == first["id"]
    plan = plan_of(ended(first["id"], plan_step("restart_asterisk", "service", "approval")))
    [seen] = call(run_info, run_id=first["id"], wait_seconds=5)["runs"]
    assert (seen["state"], seen["plan_hash"], len(seen["results"])) == ("ended", plan, 1)
    assert [one["id"] for one in call(run_info, server="alpha")["runs"]] == [first["id"]]
    assert call(run_info, server="beta")["runs"] == []
    request = call(approval, run_id=first["id"], plan_hash=plan)["approval_id"]
    decided = {"approval_id": request, "plan_hash": plan, "decision": "approve"}
    refused = call(approval, **decided)
    assert (refused["failed"], refused["msg"].startswith("The service answers 403: ")) == (True, True)
    applied = call(approval, "second_level", **decided)["applied_run_id"]
    assert call(run_info, run_id=applied)["runs"][0]["mode"] == "apply"


def test_a_plan_is_confirmed(call: Call, ended: Callable[..., Run]) -> None:
    first = call(run, servers=["alpha"], wait=False)["run"]["id"]
    plan = plan_of(ended(first, plan_step()))
    failed = call(run, plan_of=first, plan_hash="0" * 64)
    assert (failed["failed"], "409" in failed["msg"]) == (True, True)
    assert call(run, plan_of=first, plan_hash=plan, wait=False)["run"]["plan_of"] == first


def test_a_run_that_does_not_end_or_leaves_a_fault_fails(call: Call, ended: Callable[..., Run]) -> None:
    late = call(run, servers=["alpha"], wait_seconds=1)
    assert late["msg"] == f"The run {late['run']['id']} has not ended after 1 s; it goes on."
    ended(late["run"]["id"])
    assert call(run_info, run_id=late["run"]["id"])["runs"][0]["exit_code"] == 10


def test_check_mode_sends_nothing(call: Call) -> None:
    assert call(run, check=True, servers=["alpha"])["changed"] is True
    assert call(approval, check=True, run_id="1", plan_hash="0" * 64)["approval_id"] == ""
    assert call.sent == []


def test_what_is_refused_is_one_sentence(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "There is no server 'gamma'" in call(run, servers=["gamma"])["msg"]
    assert "401" in call(run, servers=["alpha"], token="rct_0_0")["msg"]

    def nobody(*_given: object, **_more: object) -> None:
        raise OSError("refused")

    monkeypatch.setattr(_service, "open_url", nobody)
    assert call(run, servers=["alpha"])["msg"] == "The service does not answer: refused."


def test_a_request_whose_first_one_was_faster_is_sent_again(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    pauses(monkeypatch, slept.append)
    there: Callable[..., io.BytesIO] = call.open_url

    def open_url(address: str, **more: object) -> io.BytesIO:
        if len(slept) < 2:
            when = email.message.Message()
            when["Retry-After"] = "2"
            raise HTTPError(address, 409, "Conflict", when, io.BytesIO(b"{}"))
        return there(address, **more)

    monkeypatch.setattr(_service, "open_url", open_url)
    assert call(run, servers=["alpha"], key="a", wait=False)["run"]["state"] == "queued"
    assert (slept, call.sent) == ([2, 4], ["POST"])


def test_a_service_that_is_away_for_a_moment_is_asked_again(
    call: Call, ended: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    pauses(monkeypatch, slept.append)
    there: Callable[..., io.BytesIO] = call.open_url
    away: list[Exception] = []

    def open_url(address: str, **more: object) -> io.BytesIO:
        if away:
            error = away.pop()
            raise error
        return there(address, **more)

    monkeypatch.setattr(_service, "open_url", open_url)
    away[:] = [http.client.BadStatusLine("?"), OSError("refused")]
    first = call(run, servers=["alpha"], wait=False)["run"]["id"]
    plan = plan_of(ended(first, plan_step()))
    assert (slept, len(call.sent)) == ([1, 2], 1)
    away[:] = [OSError("refused")]
    assert call(run_info, run_id=first)["runs"][0]["id"] == first
    # It may have got the request, which has no key.
    away[:] = [OSError("refused")]
    assert call(approval, run_id=first, plan_hash=plan)["msg"] == "The service does not answer: refused."
    assert (slept, away) == ([1, 2, 1], [])


def test_a_service_that_goes_away_during_a_run_leaves_its_name(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    there: Callable[..., io.BytesIO] = call.open_url

    def open_url(address: str, method: str, **more: object) -> io.BytesIO:
        if method == "GET":
            raise OSError("refused")
        return there(address, method=method, **more)

    monkeypatch.setattr(_service, "open_url", open_url)
    lost = call(run, servers=["alpha"])
    assert lost["msg"] == f"The service does not answer: refused. The run {lost['run']['id']} goes on."


@pytest.mark.parametrize("changed_at", ["2026-01-02T03:05:00Z", "2026-01-02T03:05:00.000+0000", "2026-01-02 03:05:00"])
def test_the_key_of_the_rulebook_is_accepted(call: Call, changed_at: str) -> None:
    rulebook = Path(outcomes.__file__).parents[2] / "rulebooks" / "incidents.yml"
    [ruleset] = yaml.safe_load(rulebook.read_text(encoding="utf-8"))
    written = ruleset["rules"][0]["action"]["run_module"]["module_args"]["key"]
    key = jinja2.Template(written).render(event={"reconnect": {"incident": "rt:17", "changed_at": changed_at}})
    first, second = (call(run, servers=["alpha"], incident="rt:17", key=key, wait=False)["run"]["id"] for _ in "12")
    assert first == second


def test_each_run_that_ends_is_an_event_once(
    call: Call,
    client: TestClient,
    token: Callable[..., dict[str, str]],
    ended: Callable[..., Run],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    headers = token()
    asked = []

    def urlopen(self: object, request: urllib.request.Request, timeout: float) -> io.BytesIO:
        asked.append(request.full_url)
        if len(asked) == 2:
            raise http.client.BadStatusLine("?")
        if len(asked) == 3:
            return io.BytesIO(b'{"events": [{"type": "com.privatewave.reconnect.run.ended.v1"}], "next": 9}')
        assert request.headers["Authorization"] == headers["Authorization"]
        answer = client.get(
            request.full_url.removeprefix("https://reconnect").replace("wait=20", "wait=0"), headers=headers
        )
        return io.BytesIO(answer.content)

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", urlopen)
    old, new, newest = (call(run, servers=[server], wait=False)["run"]["id"] for server in ("alpha", "beta", "alpha"))
    ended(old)

    async def more(times: int) -> None:
        until = len(asked) + times
        while len(asked) < until:
            await asyncio.sleep(0.01)

    async def follow() -> list[str]:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        options = {"url": "https://reconnect", "token": headers["Authorization"].removeprefix("Bearer "), "interval": 0}
        source = asyncio.create_task(outcomes.main(queue, options))
        await asyncio.wait_for(more(4), 60)
        ended(new)
        found = [(await asyncio.wait_for(queue.get(), 60))["run"]["id"]]
        ended(newest)
        await asyncio.wait_for(more(2), 60)
        source.cancel()
        return found + [queue.get_nowait()["run"]["id"] for _ in range(queue.qsize())]

    assert asyncio.run(follow()) == [new, newest]
