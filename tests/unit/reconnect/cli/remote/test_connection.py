"""What a service may answer: errors, nothing, too much, and what would steer a terminal."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr
from reconnect.cli import terminal
from reconnect.cli.commands import deciding
from reconnect.cli.progress import Ended, Progress
from reconnect.cli.remote import connection, runs
from reconnect.cli.remote.connection import Connection, ServiceError
from reconnect.errors import InputError, ReconnectError
from reconnect.settings import Settings

from .conftest import Command

Answering = Callable[..., str]


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answering]:
    """A service that answers everything so, after it has answered with the `first` of these codes."""
    monkeypatch.setattr(connection, "_PAUSE", 0.01)
    monkeypatch.setattr(connection, "_UNDER_WAY_PAUSE", 0.01)
    servers = []

    def make(status: int, body: bytes = b"", first: Sequence[int] = (), **headers: str) -> str:
        before = iter(first)

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.send_response(next(before, status))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, *words: object) -> None:
                """Nobody reads it."""

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


def problem(detail: str) -> bytes:
    return json.dumps({"detail": detail}).encode()


@pytest.mark.parametrize(
    ("status", "detail", "code", "said"),
    [
        (401, "x", 2, "refuses the token (401). Set RECONNECT_TOKEN to a valid token."),
        (403, "Your role does not allow this.", 2, "refuses this (403): Your role does not allow this."),
        (404, "There is no such run.", 2, "refuses this (404): There is no such run."),
        (409, "The plan has changed.", 2, "refuses this (409): The plan has changed."),
        (410, "It was not decided.", 2, "refuses this (410): It was not decided."),
        (429, "x", 1, "got too many requests (429). Wait a minute, then try again."),
        (500, "A defect.", 1, "failed (500): A defect."),
        (503, "", 1, "failed (503): no reason given."),
        (302, "x", 2, "redirects to another address (302). Set RECONNECT_URL to that one."),
        (418, "", 2, "refuses this (418) without a reason. Check RECONNECT_URL."),
    ],
)
def test_an_error_is_one_sentence(
    answering: Answering, at: Command, status: int, detail: str, code: int, said: str
) -> None:
    ended = at(answering(status, problem(detail), Location="http://example.org/"), "t", "holds")
    assert (ended[0], ended[1], said in ended[2], ended[2].count("\n")) == (code, "", True, 1)


@pytest.mark.attack("a service whose answers steer the terminal, never end or are something else", harm="outage")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b"[" * 100_000,
        b'[{"server": 1}]',
        b'[{"server": "a", "reason": "", "held_by": "b", "since": "yesterday"}]',
        b"[" + b" " * (connection.MOST_ANSWER + 1),
        b"\xff\xfe",
    ],
)
def test_what_is_not_the_document_is_one_sentence(answering: Answering, at: Command, body: bytes) -> None:
    code, out, error = at(answering(200, body), "t", "holds")
    assert (code, out, "\x1b" in error, error.count("\n")) == (1, "", False, 1)
    assert "defect" not in error


@pytest.mark.attack("a service whose answers steer the terminal", harm="breach")
def test_what_a_service_says_is_printable(answering: Answering, at: Command) -> None:
    hold = {"server": "a\x1b[2J", "reason": "\u202eb\nreconnect: c", "held_by": "d\r", "since": "2026-01-01T00:00:00Z"}
    code, out, _ = at(answering(200, json.dumps([hold]).encode()), "t", "holds")
    assert (code, out) == (0, "a\\x1b[2J is on hold since 2026-01-01T00:00:00Z by d\\x0d: \\u202eb reconnect: c.\n")
    error = at(answering(403, problem("\x1b[31mno\nreconnect: yes")), "t", "holds")[2]
    assert ("\x1b" in error, error.count("\n")) == (False, 1)


@pytest.mark.attack("a stream that never ends a line", harm="outage")
def test_events_are_bounded(answering: Answering) -> None:
    def events(body: bytes) -> list[tuple[int, str, dict[str, Any]]]:
        return list(Connection(Settings(url=answering(200, body), token=SecretStr("t"))).events("/runs/1/events", 0))

    with pytest.raises(ReconnectError, match="larger than 64 KiB"):
        events(b"data: " + b"x" * (connection.MOST_EVENT + 70_000))
    with pytest.raises(ReconnectError, match="larger than 64 KiB"):
        events(b"".join(b"a%d: b\n" % number for number in range(20_000)))
    assert events(b'data: {"a": 1}\n\n') == []
    said = b': still here\n\nid: 1\nevent: step\ndata: {"step": "a\\u001b"}\n\nid: x\ndata: 1\n\ndata: {\n\nid: 2\r\n'
    assert events(said) == [(1, "step", {"step": "a\\x1b"})]


def test_who_is_not_there_or_not_who_it_says_is_not_asked(
    at: Command, tls_server: str, answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, error = at("http://127.0.0.1:1", "t", "cancel", "1")
    assert (code, "Cannot reach http://127.0.0.1:1" in error) == (1, True)
    code, _, error = at(tls_server, "t", "holds")
    assert (code, "certificate" in error.lower()) == (1, True)
    for address in ("ftp://a", "https://user:word@a", "no address", "https://"):
        assert "Set RECONNECT_URL to the address of the service" in at(address, "t", "holds")[2]
    assert "needs a token" in at(answering(200), " ", "holds")[2]


def test_the_token_may_be_in_a_file(tmp_path: Path, answering: Answering) -> None:
    file = tmp_path / "token"
    file.write_text("rct_1\n")
    made = Connection(Settings(url="https://a/", token_file=file))
    assert (made.address, made._headers["Authorization"]) == ("https://a", "Bearer rct_1")


def test_a_lost_service_is_waited_for_and_then_given_up(answering: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_LOST_SECONDS", 0.05)
    monkeypatch.setattr(runs, "_LOOK", 0.01)
    steps: queue.Queue[Any] = queue.Queue()
    runs._read(Connection(Settings(url="http://127.0.0.1:1", token=SecretStr("t"))), "1", steps)
    assert "Cannot reach" in str(steps.get_nowait())


def test_what_the_service_still_carries_out_is_waited_for(
    answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = answering(200, b"[]", first=[409] * 6, **{"Retry-After": "2"})
    assert Connection(Settings(url=busy, token=SecretStr("t"))).ask(list[int], "POST", "/runs", again=True) == []
    monkeypatch.setattr(connection, "_UNDER_WAY_SECONDS", 0.0)
    busy = answering(409, problem("It is under way."), **{"Retry-After": "2"})
    with pytest.raises(InputError, match="It is under way"):
        Connection(Settings(url=busy, token=SecretStr("t"))).ask(list[int], "POST", "/runs", again=True)


def test_a_proxy_that_is_not_known_is_one_sentence(
    at: Command, answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    for address in ("socks5://127.0.0.1:1", "gopher://127.0.0.1:1"):
        monkeypatch.setenv("ALL_PROXY", address)
        code, _, error = at(answering(200), "t", "holds")
        assert (code, "Cannot use the proxy of this environment" in error, error.count("\n")) == (2, True, 1)


def test_a_plan_that_waits_is_found_however_many_were_decided_since() -> None:
    asked = []

    class Service(Connection):
        def __init__(self) -> None:
            pass

        def ask(self, shape: Any, method: str, path: str, *, again: bool = False, **more: Any) -> Any:
            params = more["params"]
            asked.append(params)
            return [SimpleNamespace(approval_id="b" if params.get("state") == "pending" else "a")]

    assert [deciding._approval(Service(), one).approval_id for one in ("b", "a")] == ["b", "a"]
    assert asked == [{"limit": 200, "state": "pending"}] * 2 + [{"limit": 200}]
    with pytest.raises(InputError, match="There is no approval 'c'"):
        deciding._approval(Service(), "c")


class Told(Progress):
    """What is said of a run."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.steps: list[Ended] = []

    def note(self, sentence: str) -> None:
        self.said.append(sentence)

    def step(self, step: Ended) -> None:
        self.steps.append(step)


class Lost(Connection):
    """A service that tells nothing of a run before that is cancelled."""

    def __init__(self, *refusals: Exception) -> None:
        self.refusals = list(refusals)
        self.over = threading.Event()

    def events(self, path: str, after: int) -> Iterator[tuple[int, str, dict[str, Any]]]:
        yield 1, "step", {"seconds": 10**400}
        yield 2, "step", {"seconds": float("nan")}
        self.over.wait(30)

    def ask(self, shape: Any, method: str, path: str, *, again: bool = False, **more: Any) -> Any:
        if path.endswith("/cancel"):
            if self.refusals:
                raise self.refusals.pop(0)
            self.over.set()
        return SimpleNamespace(state="ended")


def test_a_run_that_could_not_be_cancelled_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_CANCEL_SECONDS", 0.0)
    monkeypatch.setattr(runs, "_LOOK", 0.01)
    service, progress = Lost(ServiceError("Not now."), ServiceError("Not now."), InputError("No.")), Told()
    asked = threading.Event()
    asked.set()
    assert runs.follow(service, "1", progress, asked).state == "ended"
    assert [one.partition(".")[0] for one in progress.said] == ["Not now", "No"]
    assert [step.seconds for step in progress.steps] == [None, None]


def test_a_reader_that_fails_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_step", lambda data: 1 / 0)
    with pytest.raises(ReconnectError, match=r"ZeroDivisionError.* Run 1 continues there"):
        runs.follow(Lost(), "1", Told(), threading.Event())


def test_a_second_signal_leaves_what_is_ended_elsewhere() -> None:
    cancelled = threading.Event()
    with terminal.signals_cancel(cancelled, elsewhere=True):
        signal.raise_signal(signal.SIGTERM)
        assert cancelled.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with terminal.signals_cancel(cancelled):
        signal.raise_signal(signal.SIGINT)


def test_a_client_loads_neither_database_nor_ansible(answering: Answering, tmp_path: Path) -> None:
    words = "import sys; from reconnect.cli import commands; commands.run(sys.argv[1:]); print(*sys.modules)"
    page = json.dumps({"runs": [], "next": None}).encode()
    heavy = {"ansible", "ansible_runner", "dbos", "sqlalchemy", "alembic", "psutil", "fastapi", "reconnect.engine"}
    for command in (["runs"], ["diagnose-server", "alpha"]):
        ended = subprocess.run(
            [sys.executable, "-c", words, *command],
            env={
                "RECONNECT_URL": answering(200, page),
                "RECONNECT_TOKEN": "t",
                "XDG_CONFIG_HOME": str(tmp_path),
                "PYTHONPATH": ":".join(sys.path),
            },
            capture_output=True,
            text=True,
            check=True,
        )
        assert heavy & set(ended.stdout.split()) == set()
