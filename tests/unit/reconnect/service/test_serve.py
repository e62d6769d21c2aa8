"""The service as a process: a run that is asked for over the API is carried out."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from reconnect.runs.store import Runs
from reconnect.service.starting import asker_of

from ..conftest import Workplace, a_request, kept_port


@pytest.fixture
def port() -> Iterator[int]:
    with kept_port() as port:
        yield port


@pytest.fixture
def served(workplace: Workplace, wait: Callable[..., Any], tmp_path: Path, port: int) -> Iterator[str]:
    workplace.environment |= {
        "RECONNECT_SERVICE_PORT": str(port),
        "RECONNECT_SERVICE_METRICS_PORT": "0",
        "RECONNECT_INVENTORY": str(workplace.inventory),
    }
    log = tmp_path / "log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "reconnect", "serve"],
            cwd=tmp_path,
            env=workplace.environment,
            stdin=subprocess.DEVNULL,
            stderr=written,
        )
        address = f"http://127.0.0.1:{port}"
        try:
            wait(lambda: answers(f"{address}/readyz"))
            yield address
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
    for line in log.read_text().splitlines():
        assert json.loads(line)["level"] in {"info", "warning"}, line


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_a_run_that_is_asked_for_is_carried_out(workplace: Workplace, served: str) -> None:
    token = workplace.reconnect("tokens", "add", "desk", "--role", "first_level").stdout.strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        content = json.dumps(body).encode() if body else None
        with urllib.request.urlopen(urllib.request.Request(served + path, content, headers), timeout=60) as answer:
            return dict(json.load(answer))

    run = ask("/v1/runs", {"playbook": "diagnose-server", "servers": ["alpha"]})
    for _ in range(3):
        ended = ask(f"/v1/runs/{run['id']}?wait=25")
        if ended["state"] == "ended":
            break
    assert (ended["endings"], ended["exit_code"]) == ({"alpha": "healthy"}, 0)
    assert [one["server"] for one in ended["results"]] == ["alpha"]
    # The command asks the same service, with the words that it has without one.
    workplace.environment |= {"RECONNECT_URL": served, "RECONNECT_TOKEN": token}
    asked = workplace.reconnect("diagnose-server", "alpha")
    assert (asked.code, "healthy" in asked.stdout, "alpha ➜ Judge: ok" in asked.stderr) == (0, True, True)
    assert workplace.reconnect("show", "latest").stdout == asked.stdout


def test_a_worker_without_a_listener_carries_out_what_waits(workplace: Workplace, wait: Callable[..., Any]) -> None:
    request = a_request(inventory=str(workplace.inventory), timeout=300)
    run = Runs(workplace.settings).create(request, asker=asker_of("ann", "api"))
    process = workplace.start("worker", "--slots", "1")
    wait(lambda: run.read().finished_at)
    process.terminate()
    assert (process.wait(60), run.read().endings) == (0, {"alpha": "healthy"})
