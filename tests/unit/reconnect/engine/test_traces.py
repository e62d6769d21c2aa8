"""Traces: what a collector of OpenTelemetry gets of a run."""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from reconnect.engine import traces
from reconnect.result import Result, Step
from reconnect.runs.store import Run, Runs
from reconnect.settings import Settings
from reconnect.settings import load as load_settings

from ..conftest import a_request
from ..incidents.conftest import Answer, Recorder, server

__all__ = ["server"]

ACCOUNT = "76543219876543"
BEGAN = datetime(2026, 11, 26, 10, 0, 0, 1000, UTC)


def spans_of(server: Recorder) -> list[dict[str, Any]]:
    """The spans of every request, in the order in which they were sent."""
    return [
        span
        for asked in server.of("POST")
        for resource in asked.json["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def said(span: dict[str, Any]) -> dict[str, Any]:
    """Its attributes, as plain values."""

    def plain(value: dict[str, Any]) -> Any:
        if "arrayValue" in value:
            return [plain(one) for one in value["arrayValue"]["values"]]
        return int(value["intValue"]) if "intValue" in value else value["stringValue"]

    return {one["key"]: plain(one["value"]) for one in span["attributes"]}


@pytest.fixture
def settings(tmp_path: Path, server: Recorder, monkeypatch: pytest.MonkeyPatch) -> Settings:
    server.routes["POST /v1/traces"] = Answer(200, {})
    monkeypatch.setattr(traces, "SECONDS", 60.0)  # this machine may be busy
    return Settings(state_dir=tmp_path, traces_url=f"{server.url}/v1/traces")


@pytest.fixture
def run(settings: Settings) -> Run:
    """A run of alpha that has ended."""
    run = Runs(settings).create(a_request(account=ACCOUNT))
    run.record.started_at, run.record.finished_at = BEGAN, BEGAN + timedelta(seconds=3)
    run.record.exit_code = 12
    return run


def a_result(run: Run, **own: Any) -> Result:
    given: dict[str, Any] = {
        "run_id": run.run_id,
        "state": "unreachable",
        "playbook": "diagnose-server.yml",
        "mode": "diagnose",
    }
    given |= {"server": "alpha", "started_at": BEGAN, "finished_at": BEGAN + timedelta(seconds=2), "account": ACCOUNT}
    return Result(**given | own)


def test_a_run_is_a_trace_of_servers_and_steps(run: Run, settings: Settings, server: Recorder) -> None:
    steps = [
        Step(at=BEGAN, step="Gather", state="ok", seconds=0.25),
        Step(at=BEGAN + timedelta(seconds=1), step="Judge", state="unreachable"),
    ]
    traces.ended(run, [a_result(run, timeline=steps)], settings)
    [asked] = server.asked
    assert asked.headers["Content-Type"] == "application/json"
    whole, alpha, gather, judge = spans_of(server)
    kept = run.kept()
    assert kept is not None
    assert {span["traceId"] for span in spans_of(server)} == {kept.asker.trace_id}
    assert "parentSpanId" not in whole
    assert alpha["parentSpanId"] == whole["spanId"]
    assert {gather["parentSpanId"], judge["parentSpanId"]} == {alpha["spanId"]}
    assert len({span["spanId"] for span in spans_of(server)}) == 4
    assert (gather["startTimeUnixNano"], gather["endTimeUnixNano"]) == ("1795687200001000000", "1795687200251000000")
    assert (whole["name"], alpha["name"], gather["name"]) == ("diagnose-server", "alpha", "Gather")
    assert [span["status"] for span in (whole, alpha, gather, judge)] == [{"code": 2}, {"code": 2}, {}, {"code": 2}]
    assert said(whole) == {
        "reconnect.run": run.run_id,
        "reconnect.mode": "diagnose",
        "reconnect.servers": ["alpha"],
        "reconnect.exit_code": 12,
    }
    assert said(alpha)["reconnect.outcome"] == "unreachable"
    assert ACCOUNT.encode() not in asked.body


def test_what_is_told_twice_is_the_same(run: Run, settings: Settings, server: Recorder) -> None:
    for _ in range(2):
        traces.ended(run, [a_result(run)], settings)
    first, second = (asked.json for asked in server.asked)
    assert first == second


def test_each_attempt_to_report_is_a_span(run: Run, settings: Settings, server: Recorder) -> None:
    for number, failed in ((1, True), (2, False)):
        began = BEGAN + timedelta(seconds=number)
        traces.reported(run, number, began, began + timedelta(seconds=1), failed, settings)
    traces.ended(run, [], settings)
    first, second, whole = spans_of(server)
    assert [said(span)["reconnect.attempt"] for span in (first, second)] == [1, 2]
    assert (first["status"], second["status"]) == ({"code": 2}, {})
    assert {first["parentSpanId"], second["parentSpanId"]} == {whole["spanId"]}
    assert first["spanId"] != second["spanId"]


@pytest.mark.parametrize("way", ["refuses", "is silent", "is nowhere"])
def test_a_collector_that_fails_is_a_warning(
    run: Run,
    settings: Settings,
    server: Recorder,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    monkeypatch.setattr(traces, "SECONDS", 0.2)
    server.routes["POST /v1/traces"] = Answer(503)
    over = threading.Event()
    if way == "is silent":

        def wait(_: object) -> None:
            over.wait(120)

        server.raw = wait
    if way == "is nowhere":
        settings = settings.model_copy(update={"traces_url": "http://127.0.0.1:9/v1/traces"})
    began = time.monotonic()
    with caplog.at_level(logging.WARNING):
        traces.ended(run, [a_result(run)], settings)
    assert time.monotonic() - began < 60
    over.set()
    [line] = caplog.records
    assert line.getMessage().startswith("cannot send the trace: ")
    assert (line.levelname, line.__dict__["run"]) == ("WARNING", run.run_id)


def test_a_run_and_its_report_wait_once_for_a_collector_that_is_silent(
    run: Run, settings: Settings, server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    over, waits = threading.Event(), []

    class Sender(threading.Thread):
        def join(self, timeout: float | None = None) -> None:
            waits.append(timeout)

    def wait(_: object) -> None:
        over.wait(120)

    server.raw = wait
    monkeypatch.setattr(threading, "Thread", Sender)
    traces.ended(run, [a_result(run)], settings)
    traces.reported(run, 1, BEGAN, BEGAN, False, settings)
    assert waits == [traces.SECONDS, 0]
    over.set()


@pytest.mark.parametrize("address", ["ftp://alpha/v1", "alpha:4318", "http://ann:secret@alpha/v1/traces"])
def test_an_address_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("RECONNECT_TRACES_URL", address)
    with pytest.raises(Exception, match="RECONNECT_TRACES_URL") as refused:
        load_settings()
    assert "secret" not in str(refused.value)
