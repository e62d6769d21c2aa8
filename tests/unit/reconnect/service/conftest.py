"""The application on a store of its own, with an inventory that nobody has to read and no worker."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr
from reconnect.ansible import inventory
from reconnect.ansible.project import Project
from reconnect.result import Result, Verdict, now
from reconnect.runs.store import Run, Runs
from reconnect.service import app, people
from reconnect.service.desk import Desk
from reconnect.settings import Settings
from reconnect.settings.service import ServiceSettings
from reconnect.settings.trackers import RtSettings
from starlette.datastructures import State

from ..conftest import there

PASSWORD = "correct horse battery"
ROLES = ("first_level", "second_level", "admin")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "inventory").mkdir()
    return Settings(
        state_dir=tmp_path / "state",
        inventory=tmp_path / "inventory",
        rt=RtSettings(url="https://tracker.example.org", token=SecretStr("secret-of-rt")),
        service=ServiceSettings.model_validate(
            {"requests": 100_000, "hooks": {"rt": {"secret": "of-the-scrip", "ignore_user": "reconnect"}}}
        ),
    )


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is tried again when a test says so, not because the machine was slow."""
    monkeypatch.setattr("reconnect.engine.durable.FIRST_DELAY", 900.0)
    monkeypatch.setattr("reconnect.service.incoming.inbox._FIRST_DELAY", 900.0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither Ansible nor an expensive digest."""
    groups = {"servers": frozenset({"alpha", "beta"})}

    def load(source: Path, project: Project, memory: Path | None = None) -> inventory.Inventory:
        return inventory.Inventory(source, frozenset({"alpha", "beta", "phone"}), groups, "0" * 64)

    monkeypatch.setattr(inventory, "load", load)
    hasher = PasswordHasher(time_cost=1, memory_cost=64)
    monkeypatch.setattr(people, "_hasher", lambda: hasher)


@pytest.fixture
def client(settings: Settings, tmp_path: Path) -> TestClient:
    (tmp_path / "playbooks").mkdir()
    for name in ("diagnose-server.yml", "fix-account-config.yml"):
        (tmp_path / "playbooks" / name).touch()
    return TestClient(app.create(Project(tmp_path), settings), base_url="https://testserver", follow_redirects=False)


def state_of(client: TestClient) -> State:
    """What the application behind a client keeps."""
    application = client.app
    assert isinstance(application, FastAPI)
    return application.state


@pytest.fixture
def desk(client: TestClient) -> Desk:
    found: Desk = state_of(client).desk
    return found


@pytest.fixture
def token(desk: Desk) -> Callable[..., dict[str, str]]:
    """The headers of a new token."""

    def make(role: str = "first_level", name: str | None = None, servers: tuple[str, ...] = ()) -> dict[str, str]:
        made = desk.people.add_token(name or role.replace("_", "-"), role, servers, 1, "test")
        return {"Authorization": f"Bearer {made}"}

    return make


def plan_of(run: Run) -> str:
    """The digest of the plan that a run ended with."""
    return there(there(run.kept()).plan_hash)


def plan_step(remedy: str = "reload_peer", role: str = "account", decision: str = "planned") -> dict[str, Any]:
    policy = "approve" if decision == "approval" else "auto"
    return {"remedy": remedy, "role": role, "cause": "peer_stale", "policy": policy, "decision": decision}


@pytest.fixture
def ended(settings: Settings) -> Callable[..., Run]:
    """Ends a run, with a plan."""

    def end(run_id: str, *steps: dict[str, Any], minutes_ago: int = 0) -> Run:
        run = Runs(settings).get(run_id)
        assert run is not None
        at = now() - timedelta(minutes=minutes_ago)
        results = [
            Result(
                run_id=run_id,
                state="succeeded",
                playbook="p",
                mode="diagnose",
                server=server,
                started_at=at,
                finished_at=at,
                verdict=Verdict.model_validate({"outcome": "fault_found", "plan": list(steps)}),
            )
            for server in run.record.request.servers
        ]
        run.record.finished_at, run.record.exit_code = at, 10
        run.record.endings = dict.fromkeys(run.record.request.servers, "fault_found")
        run.finish(results, "report")
        return run

    return end
