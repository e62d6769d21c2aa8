"""Signing in and out: who gets in, how long, and which forms count."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from reconnect.result import now
from reconnect.service import people
from reconnect.service.desk import Desk
from reconnect.service.http import COOKIE

from ..conftest import PASSWORD
from .conftest import OWN, Seat

SAID = {"name": "ann", "password": PASSWORD, "next": "/"}


@pytest.fixture
def ann(desk: Desk) -> None:
    desk.people.add_user("ann", "first_level", PASSWORD, "it", "test")


def test_a_session_begins_with_a_cookie_that_only_this_host_gets_and_no_script_reads(
    client: TestClient, ann: None
) -> None:
    answer = client.post("/sign-in", data=SAID, headers=OWN)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    name, _, words = answer.headers["Set-Cookie"].partition("=")
    assert name == COOKIE
    assert name.startswith("__Host-")
    attributes = {word.strip().lower() for word in words.split(";")[1:]}
    assert {"secure", "httponly", "samesite=lax", "path=/", "max-age=36000"} <= attributes
    assert client.get("/v1/me").json()["name"] == "ann"


def test_a_wrong_password_is_told_in_the_page_and_the_name_stays(client: TestClient, ann: None) -> None:
    answer = client.post("/sign-in", data=SAID | {"password": "wrong horse battery"}, headers=OWN)
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (403, False)
    assert "Name or password is wrong." in answer.text
    assert 'value="ann"' in answer.text


@pytest.mark.attack("another site signs somebody in, or sends our forms", harm="breach")
def test_forms_of_other_sites_are_refused(client: TestClient, seat: Callable[..., Seat], ann: None) -> None:
    first = seat()
    token = first.token
    others: tuple[dict[str, str], ...] = (
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        OWN | {"Sec-Fetch-Site": "cross-site"},
    )
    for headers in others:
        assert client.post("/sign-in", data=SAID, headers=headers).status_code == 403
        assert client.post("/language", data={"language": "it"}, headers=headers).status_code == 403
        assert first.client.post("/sign-out", data={"token": token}, headers=headers).status_code == 403
        assert first.get("/v1/me").status_code == 200


@pytest.mark.attack("a form with the token of another session, or none", harm="breach")
def test_a_form_needs_the_token_of_its_session(seat: Callable[..., Seat]) -> None:
    first, other = seat(), seat(name="other")
    for token in ("", "0" * 64, other.token, "è"):
        assert first.client.post("/sign-out", data={"token": token}, headers=OWN).status_code == 403
    assert first.send("/sign-out").status_code == 303
    assert first.get("/v1/me").status_code == 401


@pytest.mark.attack("the cookie of a session that has ended or expired", harm="breach")
def test_a_session_ends(seat: Callable[..., Seat], desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    first = seat()
    secret = first.client.cookies[COOKIE]
    at = now()
    monkeypatch.setattr(people, "now", lambda: at + timedelta(hours=people.SESSION_HOURS, seconds=1))
    assert desk.people.by_session(secret) is None
    monkeypatch.undo()
    assert desk.people.by_session(secret) is not None
    first.send("/sign-out")
    assert desk.people.by_session(secret) is None


def test_signing_in_again_ends_the_session_before(seat: Callable[..., Seat], desk: Desk) -> None:
    first = seat()
    old = first.client.cookies[COOKIE]
    first.client.post("/sign-in", data={"name": "first-level", "password": PASSWORD}, headers=OWN)
    assert first.client.cookies[COOKIE] != old
    assert desk.people.by_session(old) is None


@pytest.mark.attack("passwords are guessed", harm="breach")
def test_attempts_to_sign_in_are_counted_by_address_and_by_name(client: TestClient, desk: Desk, ann: None) -> None:
    desk.door._sign_in = type(desk.door._sign_in)(3)
    wrong = SAID | {"password": "wrong horse battery"}
    assert [client.post("/sign-in", data=wrong, headers=OWN).status_code for _ in range(4)] == [403, 403, 403, 429]
    assert client.post("/sign-in", data=SAID, headers=OWN).status_code == 429


@pytest.mark.attack("a link that leads elsewhere after signing in", harm="breach")
def test_after_signing_in_one_stays_here(client: TestClient, ann: None) -> None:
    for where in ("//evil.example", "https://evil.example", "/\\evil.example", "/%5cevil", "js:evil"):
        assert "evil" not in client.get("/sign-in", params={"next": where}).text.partition("<main")[2]
        assert client.post("/sign-in", data=SAID | {"next": where}, headers=OWN).headers["Location"] == "/"
    assert client.post("/sign-in", data=SAID | {"next": "/runs"}, headers=OWN).headers["Location"] == "/runs"


@pytest.mark.attack("markup in what is typed into the form", harm="execution")
def test_what_was_typed_stays_text(client: TestClient) -> None:
    answer = client.post("/sign-in", data=SAID | {"name": '"><script>alert(1)</script>'}, headers=OWN)
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert(1)" in answer.text


def test_the_language_is_the_chosen_one_else_the_users_else_the_browsers(
    client: TestClient, seat: Callable[..., Seat]
) -> None:
    def asked(accepted: str) -> str:
        found: str = client.get("/sign-in", headers={"Accept-Language": accepted}).text
        return found

    assert '<html lang="it">' in asked("de, fr;q=0.9, it-IT;q=0.8, en;q=0.5")
    assert '<html lang="en">' in asked("it;q=0.3,en-GB;q=0.7")
    assert '<html lang="en">' in asked("it;q=many, ;;")
    italian = seat(language="it")
    assert "Esci" in italian.get("/").text
    assert italian.client.post("/language", data={"language": "en", "next": "/sign-in"}, headers=OWN).status_code == 303
    assert "Sign out" in italian.get("/").text
    assert italian.client.post("/language", data={"language": "../en"}, headers=OWN).status_code == 422


def test_pages_have_a_strict_policy_and_no_script_or_style_of_their_own(client: TestClient) -> None:
    answer = client.get("/sign-in")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'")
    assert "unsafe" not in policy
    assert "style=" not in answer.text
    assert "<style" not in answer.text
    for name, kind in (("style.css", "text/css"), ("screens.js", "text/javascript")):
        file = client.get(f"/static/{name}")
        assert (file.status_code, file.headers["Content-Type"].partition(";")[0]) == (200, kind)
    assert client.get("/static/..%2fframe.py").status_code == 404
