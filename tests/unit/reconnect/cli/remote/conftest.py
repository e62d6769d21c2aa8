"""The service on a real socket of this machine, and the command in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient
from reconnect.cli import commands
from reconnect.runs import store
from reconnect.runs.store import Run, Runs
from reconnect.settings import Settings

from ...conftest import wait_for
from ...service.conftest import client, desk, ended, quick, settings, token  # noqa: F401  (fixtures)

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def site(client: TestClient) -> Iterator[str]:  # noqa: F811
    """The address of the service."""
    server = uvicorn.Server(uvicorn.Config(client.app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(30)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Command:
    """Calls the command for the service at an address."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("NO_COLOR", "1")

    def call(address: str, secret: str, *words: str) -> tuple[int, str, str]:
        monkeypatch.setenv("RECONNECT_URL", address)
        monkeypatch.setenv("RECONNECT_TOKEN", secret)
        monkeypatch.setenv("RECONNECT_REPORT_SECONDS", "0")
        capfd.readouterr()
        code = commands.run(list(words))
        return code, *capfd.readouterr()

    return call


@pytest.fixture
def reconnect(at: Command, site: str, token: Callable[..., dict[str, str]]) -> Command:  # noqa: F811
    """Calls the command with a token of this role."""

    def call(role: str, *words: str) -> tuple[int, str, str]:
        return at(site, token(role)["Authorization"].removeprefix("Bearer "), *words)

    return call


@pytest.fixture
def worker(settings: Settings, ended: Callable[..., Run]) -> Iterator[list[list[dict[str, Any]]]]:  # noqa: F811
    """Ends one run after the other, each with the next of these plans."""
    plans: list[list[dict[str, Any]]] = []
    over = threading.Event()

    def work() -> None:
        runs = Runs(settings)
        while not over.wait(0.02):
            for _, run in runs.waiting():
                run.add_events([store.event("step", "alpha", step="Look around", state="ok", seconds=1.0)])
                ended(run.run_id, *(plans.pop(0) if plans else ()))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield plans
    over.set()
    thread.join(30)
