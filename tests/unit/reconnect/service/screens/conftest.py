"""People who are signed in with a browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from reconnect.service.desk import Desk

from ..conftest import PASSWORD

OWN = {"Origin": "https://testserver"}


class Seat:
    """A browser in which somebody is signed in."""

    def __init__(self, client: TestClient, name: str) -> None:
        self.client = client
        said = {"name": name, "password": PASSWORD, "next": "/"}
        self.answer = client.post("/sign-in", data=said, headers=OWN)

    @property
    def token(self) -> str:
        """The token of the forms."""
        found = re.search(r'name="token" value="([0-9a-f]{64})"', self.get("/").text)
        assert found is not None
        return found[1]

    def get(self, path: str) -> Response:
        found: Response = self.client.get(path)
        return found

    def send(self, path: str, **fields: Any) -> Response:
        """Send a form of one of our pages."""
        found: Response = self.client.post(path, data={"token": self.token, **fields}, headers=OWN)
        return found


@pytest.fixture
def seat(client: TestClient, desk: Desk) -> Callable[..., Seat]:
    """Somebody of a role, signed in."""

    def sit(role: str = "first_level", name: str | None = None, language: Any = "en") -> Seat:
        name = name or role.replace("_", "-")
        desk.people.add_user(name, role, PASSWORD, language, "test")
        browser = TestClient(client.app, base_url="https://testserver", follow_redirects=False)
        return Seat(browser, name)

    return sit
