"""Traces: what a run did and how long it took, for a collector of OpenTelemetry: OTLP over HTTP, in JSON.

A run is told when it has ended: a span of the run, one of each server below it, and one of each step below that. Each
attempt to report is a span of its own. All are of the trace that the log names, too. The ids of spans come from the
run's: what is told twice is the same. No span names an account or an incident.

The fields are those of opentelemetry/proto/trace/v1/trace.proto; ids are hexadecimal, times nanoseconds since 1970.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from reconnect import log
from reconnect.errors import ReconnectError
from reconnect.result import Result, ending
from reconnect.runs.store import Run
from reconnect.settings import Settings
from reconnect.settings.trackers import Server
from reconnect.text import one_line

_LOG = logging.getLogger("reconnect.engine.traces")
#: How long a run waits for the collector, in seconds; its report waits no second time.
SECONDS = 5.0
#: The runs that have waited so long in vain.
_waited: set[str] = set()
_INTERNAL, _CLIENT = 1, 3
_ERROR = {"code": 2}
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
#: Endings of a step that did not do what it is there for.
_FAILED = frozenset({"failed", "refused", "unreachable"})


def ended(run: Run, results: Sequence[Result], settings: Settings) -> None:
    """Tells of a run that has ended. A collector that does not answer is a warning in the log."""
    if settings.traces_url is None:
        return
    record, root = run.record, (run.run_id,)
    assert record.finished_at is not None, "only a run that has ended is told"
    spans = [
        _span(
            record.request.playbook.removesuffix(".yml"),
            root,
            record.started_at,
            record.finished_at,
            failed=any(result.state != "succeeded" for result in results),
            run=run.run_id,
            mode=record.request.mode,
            servers=[result.server for result in results],
            exit_code=record.exit_code,
        )
    ]
    for result in results:
        of_server, verdict = (*root, result.server), result.verdict
        spans.append(
            _span(
                result.server,
                of_server,
                result.started_at,
                result.finished_at,
                failed=result.state != "succeeded",
                server=result.server,
                outcome=ending(result),
                causes=[cause.cause for cause in verdict.root_causes] if verdict else [],
                remedies=[f"{remedy.remedy} {remedy.state}" for remedy in result.remedies],
            )
        )
        for number, step in enumerate(result.timeline):
            spans.append(
                _span(
                    step.step,
                    (*of_server, str(number)),
                    step.at,
                    step.at + timedelta(seconds=step.seconds or 0),
                    failed=step.state in _FAILED,
                    server=result.server,
                    state=step.state,
                )
            )
    _tell(run, spans, settings.traces_url)


def reported(run: Run, number: int, began: datetime, until: datetime, failed: bool, settings: Settings) -> None:
    """Tells of one attempt to report, the `number`-th."""
    if settings.traces_url is not None:
        path = (run.run_id, f"report at {began.isoformat()}")
        span = _span("report", path, began, until, failed=failed, run=run.run_id, attempt=number)
        _tell(run, [{**span, "kind": _CLIENT}], settings.traces_url)


def _span(
    name: str, path: Sequence[str], began: datetime, until: datetime, failed: bool, **said: object
) -> dict[str, Any]:
    """A span; `path` is what it is, after what is above it."""
    above = {"parentSpanId": _id(path[:-1])} if len(path) > 1 else {}
    return {
        **above,
        "spanId": _id(path),
        "name": one_line(name, 120),
        "kind": _INTERNAL,
        "startTimeUnixNano": _nanoseconds(began),
        "endTimeUnixNano": _nanoseconds(max(began, until)),
        "attributes": _attributes({f"reconnect.{key}": value for key, value in said.items()}),
        "status": _ERROR if failed else {},
    }


def _id(path: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(path).encode(errors="backslashreplace")).hexdigest()[:16]


def _nanoseconds(at: datetime) -> str:
    # A float has too few digits for nanoseconds.
    return str((at - _BEGINNING) // timedelta(microseconds=1) * 1000)


def _attributes(said: Mapping[str, object]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in said.items() if value is not None]


def _value(value: object) -> dict[str, Any]:
    if isinstance(value, int):
        return {"intValue": str(int(value))}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(one) for one in value]}}
    return {"stringValue": one_line(value, 200)}


def _tell(run: Run, spans: Sequence[Mapping[str, Any]], url: str) -> None:
    """Sends the spans, and waits for at most SECONDS: looking up a name has no limit of its own."""
    trace_id = run.traced()["trace_id"]
    if trace_id is None:
        return
    version = importlib.metadata.version("reconnect")
    document = {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes({"service.name": "reconnect", "service.version": version})},
                "scopeSpans": [
                    {
                        "scope": {"name": "reconnect", "version": version},
                        "spans": [{"traceId": trace_id, **span} for span in spans],
                    }
                ],
            }
        ]
    }
    failed = ["it does not answer"]
    # Not before it is needed: httpx takes a while to load.
    from reconnect.incidents.trackers.http import Http

    def send() -> None:
        try:
            Http("The collector", "traces", Server(url=url, seconds=SECONDS), {}).raw(
                "POST", "", {200}, json_body=document
            )
            failed.clear()
            _waited.discard(run.run_id)
        except ReconnectError as error:
            failed[:] = [str(error)]

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    sender.join(0 if run.run_id in _waited else SECONDS)
    if sender.is_alive():
        _waited.add(run.run_id)
    if failed:
        log.about(run, _LOG, logging.WARNING, f"cannot send the trace: {failed[0]}")
