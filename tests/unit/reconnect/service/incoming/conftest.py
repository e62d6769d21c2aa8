"""An incident that no tracker has to give, and the inbox of the application."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from reconnect.incidents import intake
from reconnect.incidents.trackers.tracker import Details
from reconnect.service.incoming import inbox as inbox_module
from reconnect.service.incoming.inbox import Inbox

from ..conftest import state_of


class FakeIncident:
    """An incident that its tracker gives, or refuses `problems` times."""

    def __init__(self) -> None:
        self.details = Details("rt:17", "No calls", "open", "General", "", {"Server": "alpha"})
        self.problems: list[Exception] = []

    def read(self) -> Details:
        if self.problems:
            raise self.problems.pop()
        return self.details


@pytest.fixture(autouse=True)
def incident(monkeypatch: pytest.MonkeyPatch) -> FakeIncident:
    incident = FakeIncident()
    monkeypatch.setattr(inbox_module, "open_incident", lambda name, settings: incident)
    monkeypatch.setattr(intake, "open_incident", lambda name, settings: incident)
    return incident


@pytest.fixture
def inbox(client: TestClient) -> Inbox:
    found: Inbox = state_of(client).inbox
    return found
