"""Signing in at an identity provider: Authlib's own server is the other side."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError
from reconnect.errors import TrackerError
from reconnect.log import JsonLines
from reconnect.service.desk import Desk
from reconnect.service.http import COOKIE
from reconnect.service.screens import oidc
from reconnect.settings import Settings, is_secret
from reconnect.settings.service import ServiceSettings

from ...conftest import there
from ..conftest import PASSWORD
from .conftest import OWN, Seat
from .provider import CLIENT, SECRET, Provider

ORIGIN = "https://testserver"
#: Goes to the provider, where somebody has these claims, and gives back where it sends the browser.
Back = Callable[..., str]
ROLES = {"noc": "second_level", "desk": "first_level"}
ANN = {"sub": "4711", "preferred_username": "ann", "groups": ["everybody", "desk"], "locale": "it-IT"}


@pytest.fixture(scope="module")
def running() -> Iterator[Provider]:
    with Provider() as provider:
        provider.client.redirect = f"{ORIGIN}{oidc.CALLBACK}"
        yield provider


@pytest.fixture
def provider(running: Provider) -> Provider:
    running.claims, running.published = ANN, running.key
    running.codes.clear()
    return running


@pytest.fixture
def settings(settings: Settings, provider: Provider) -> Settings:
    own = {"issuer": provider.issuer, "client_id": CLIENT, "client_secret": SECRET, "roles": ROLES}
    said = settings.service.model_dump() | {"origin": ORIGIN, "oidc": own}
    return settings.model_copy(update={"service": ServiceSettings.model_validate(said)})


@pytest.fixture
def back(client: TestClient, provider: Provider) -> Back:
    """Goes to the provider and gives back where it sends the browser."""

    def go(path: str = "/sign-in/oidc", **claims: Any) -> str:
        provider.claims = ANN | claims
        there = client.get(path).headers["Location"]
        assert there.startswith(f"{provider.issuer}/authorize?")
        answer = httpx.get(there, trust_env=False)
        assert answer.status_code == 302, answer.text
        return answer.headers["Location"].removeprefix(ORIGIN)

    return go


def refused(answer: httpx.Response, sentence: str, status: int = 403) -> None:
    assert (answer.status_code, sentence in answer.text) == (status, True), answer.text
    assert COOKIE not in answer.cookies


def test_somebody_with_a_role_signs_in_and_gets_it(client: TestClient, back: Back, desk: Desk) -> None:
    link = client.get("/sign-in").text
    assert 'href="/sign-in/oidc?next=/"' in link
    assert 'name="password"' in link
    answer = client.get(back("/sign-in/oidc?next=/runs"))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/runs")
    cookie = next(one for one in answer.headers.get_list("Set-Cookie") if one.startswith(f"{COOKIE}="))
    assert {"httponly", "secure", "samesite=lax", "path=/"} <= {one.strip().lower() for one in cookie.split(";")}
    me = client.get("/v1/me").json()
    assert (me["name"], me["role"]) == ("ann", "first_level")
    assert 'lang="it"' in client.get("/").text
    assert [one.name for one in desk.people.users()] == ["ann"]


def test_what_goes_to_the_provider_is_pkce_with_state_and_nonce(client: TestClient) -> None:
    first, second = (parse_qs(urlsplit(client.get("/sign-in/oidc").headers["Location"]).query) for _ in range(2))
    assert (first["response_type"], first["code_challenge_method"]) == (["code"], ["S256"])
    assert first["redirect_uri"] == [f"{ORIGIN}/sign-in/oidc/callback"]
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name][0]) >= 43
        assert first[name] != second[name]


@pytest.mark.parametrize(
    "claims", [{"nonce": "of-another-sign-in"}, {"aud": ["another-client"]}, {"exp": time.time() - 3600}], ids=list
)
@pytest.mark.attack("an ID token of another sign-in, another client or another time", harm="breach")
def test_a_token_with_a_wrong_claim_is_refused(
    client: TestClient, back: Back, desk: Desk, claims: dict[str, Any]
) -> None:
    refused(client.get(back(**claims)), "The answer of the identity provider is invalid.")
    assert desk.people.users() == []


@pytest.mark.attack("an ID token with any other claim that is not as it has to be", harm="breach")
def test_every_other_wrong_claim_is_refused_too(client: TestClient, back: Back, desk: Desk) -> None:
    for claims in (
        {"aud": [CLIENT, "another-client"]},
        {"azp": "another-client"},
        {"iss": "https://another.example"},
        {"iat": time.time() + 3600},
        {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
        {"sub": ""},
        {"preferred_username": ["ann"]},
    ):
        refused(client.get(back(**claims)), "The answer of the identity provider is invalid.")
    assert desk.people.users() == []


@pytest.mark.attack("an ID token that somebody else signed", harm="breach")
def test_a_token_with_the_signature_of_another_key_is_refused(
    client: TestClient, back: Back, provider: Provider
) -> None:
    provider.published = provider.other
    refused(client.get(back()), "The answer of the identity provider is invalid.")


def test_a_key_that_the_provider_changes_is_read_again(
    client: TestClient, back: Back, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get(back()).status_code == 303
    monkeypatch.setattr(provider, "key", provider.other)
    monkeypatch.setattr(provider, "published", provider.other)
    monkeypatch.setattr(provider, "kid", "two")
    here = back()
    asked = len(provider.asked)
    assert client.get(here).status_code == 303
    assert provider.asked[asked:] == ["/token", "/keys"]


@pytest.mark.attack("a code that was taken once is sent again, with the cookie of its sign-in", harm="breach")
def test_a_code_is_taken_once(client: TestClient, back: Back) -> None:
    client.get("/sign-in")
    here = back()
    kept = client.cookies["__Host-reconnect-oidc"]
    assert client.get(here).status_code == 303
    client.cookies.clear()
    client.cookies.set("__Host-reconnect-oidc", kept)
    refused(client.get(here), "The identity provider refused the sign-in.")


@pytest.mark.attack("an answer of the provider in a browser that did not ask for it", harm="breach")
def test_a_forged_state_is_refused(client: TestClient, back: Back, provider: Provider) -> None:
    here = back()
    taken = len(provider.asked)
    forged = here.replace("state=", "state=0")
    refused(client.get(forged), "This sign-in did not begin in this browser")
    # The cookie of a sign-in is for one answer.
    refused(client.get(here), "This sign-in did not begin in this browser")
    other = back()
    client.cookies.clear()
    refused(client.get(other), "This sign-in did not begin in this browser")
    client.cookies.set("__Host-reconnect-oidc", "x")
    refused(client.get(other), "This sign-in did not begin in this browser")
    assert "/token" not in provider.asked[taken:]


@pytest.mark.attack("the answer of another provider", harm="breach")
def test_another_issuer_in_the_answer_is_refused(
    client: TestClient, back: Back, caplog: pytest.LogCaptureFixture
) -> None:
    refused(client.get(back() + "&iss=https://another.example"), "The answer of the identity provider is invalid.")
    # The page says that the log knows why.
    said = [json.loads(JsonLines().format(record)) for record in caplog.records]
    assert [one["message"] for one in said if one["level"] == "warning"] == [
        "sign-in refused: the answer is another provider's"
    ]


@pytest.mark.attack("somebody whom the provider knows, but who has no role", harm="breach")
def test_who_has_no_role_gets_none_and_loses_the_sessions(client: TestClient, back: Back) -> None:
    client.get(back())
    assert client.get("/v1/me").status_code == 200
    for groups in (["everybody"], [], "des", {"desk": 1}, None):
        refused(client.get(back(groups=groups)), "ann has no role in Reconnect.")
        assert client.get("/v1/me").status_code == 401
    # Nobody else takes the name, and with it the requests that are the user's own.
    refused(client.get(back(sub="another")), "Another user already has the name ann.")


def test_the_first_line_that_fits_is_the_role(client: TestClient, back: Back, settings: Settings) -> None:
    client.get(back(groups=["desk", "noc"]))
    assert client.get("/v1/me").json()["role"] == "second_level"
    own = there(settings.service.oidc).model_copy(update={"role_claim": "realm_access.roles"})
    nested = oidc.Provider(own, ORIGIN)
    assert nested._role({"realm_access": {"roles": ["desk"]}}) == "first_level"
    assert nested._role({"realm_access": ["desk"]}) is None


@pytest.mark.attack("a user of the provider with the name of somebody else", harm="breach")
def test_a_name_is_one_persons(client: TestClient, back: Back, desk: Desk) -> None:
    desk.people.add_user("bob", "admin", PASSWORD, "en", "test")
    refused(client.get(back(preferred_username="bob", locale="en")), "Another user already has the name bob.")
    client.get(back())
    refused(client.get(back(sub="another", locale="en")), "Another user already has the name ann.")
    # A local password is none of theirs.
    for words in ("", PASSWORD):
        assert client.post("/sign-in", data={"name": "ann", "password": words}, headers=OWN).status_code == 403
    refused(
        client.get(back(preferred_username="ann; rm", locale="en")), "&#39;ann; rm&#39; cannot be the name of a user."
    )


@pytest.mark.attack("who is renamed at the provider becomes a second person", harm="breach")
def test_who_has_another_role_signs_in_again_and_the_name_stays(client: TestClient, back: Back, desk: Desk) -> None:
    client.get(back())
    first = client.cookies[COOKIE]
    client.get(back(preferred_username="ann.smith", groups=["noc"]))
    assert desk.people.by_session(first) is None
    assert [(one.name, one.role) for one in desk.people.users()] == [("ann", "second_level")]


@pytest.mark.attack("a link that leads elsewhere after signing in at the provider", harm="breach")
def test_after_the_provider_one_stays_here(client: TestClient, back: Back) -> None:
    for where in ("//evil.example", "https://evil.example", "/%5Cevil.example", "/x%0d%0aSet-Cookie:a"):
        assert client.get(back(f"/sign-in/oidc?next={where}")).headers["Location"] == "/"


def test_who_signs_out_may_also_sign_out_of_the_provider(client: TestClient, back: Back, provider: Provider) -> None:
    client.get(back())
    token = client.get("/").text.partition('name="token" value="')[2][:64]
    answer = client.post("/sign-out", data={"token": token}, headers=OWN)
    assert 'href="/sign-out/oidc"' in client.get(answer.headers["Location"]).text
    there = client.get("/sign-out/oidc").headers["Location"]
    assert (
        there == f"{provider.issuer}/end?client_id={CLIENT}&post_logout_redirect_uri=https%3A%2F%2Ftestserver%2Fsign-in"
    )


def test_local_users_can_be_switched_off(
    client: TestClient, seat: Callable[..., Seat], desk: Desk, settings: Settings, back: Back
) -> None:
    local = seat(name="local")
    assert local.get("/v1/me").status_code == 200
    off = settings.service.model_copy(update={"local_users": False})
    closed = type(desk.people)(settings.model_copy(update={"service": off}))
    assert closed.by_session(local.client.cookies[COOKIE]) is None
    assert closed.signed_in("local", PASSWORD) is None
    client.get(back())
    assert there(closed.by_session(client.cookies[COOKIE])).name == "ann"
    # Without a provider, its users are nobody's.
    none = settings.service.model_copy(update={"oidc": None})
    assert type(desk.people)(settings.model_copy(update={"service": none})).by_session(client.cookies[COOKIE]) is None


@pytest.mark.attack("many sign-ins while the identity provider hangs", harm="hang")
def test_while_the_provider_hangs_one_thread_waits_for_it(
    settings: Settings, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answers, answer = threading.Event(), threading.Event(), provider.answer

    def hang(handler: Any, form: str) -> Any:
        asked.set()
        answers.wait(60)
        return answer(handler, form)

    monkeypatch.setattr(provider, "answer", hang)
    monkeypatch.setattr(oidc, "_ANSWER", 60.0)
    monkeypatch.setattr(oidc, "_PATIENCE", 0.01)
    other, before = oidc.Provider(there(settings.service.oidc), ORIGIN), len(provider.asked)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(other.begin, "0" * 64)
        assert asked.wait(60)
        for _ in range(3):
            with pytest.raises(TrackerError, match=r"has not answered yet\. Sign in again in a few seconds\."):
                other.begin("1" * 64)
        answers.set()
        assert first.result().startswith(f"{provider.issuer}/authorize?")
    assert other.begin("1" * 64).startswith(f"{provider.issuer}/authorize?")
    assert provider.asked[before:] == ["/.well-known/openid-configuration"]


@pytest.mark.attack("codes of nobody while the identity provider hangs", harm="hang")
def test_only_so_many_ask_the_provider_for_a_token_at_the_same_time(
    settings: Settings, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = oidc.Provider(there(settings.service.oidc), ORIGIN)
    other.begin("0" * 64)
    monkeypatch.setattr(oidc, "_PATIENCE", 0.01)
    for _ in range(oidc._MOST):
        assert other._asking.acquire(blocking=False)
    with pytest.raises(TrackerError, match="has not answered yet"):
        other.identity("0" * 64, "code")
    other._asking.release()
    with pytest.raises(oidc.Refused):
        other.identity("0" * 64, "code")


def test_a_provider_that_failed_to_answer_is_left_alone_for_some_seconds(
    settings: Settings, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc, "_PAUSE", 600.0)
    other, answer = oidc.Provider(there(settings.service.oidc), ORIGIN), provider.answer
    # First it does not describe itself, then it gives no tokens.
    for ask in (other.begin, partial(other.identity, code="code")):
        before = len(provider.asked)
        with monkeypatch.context() as patched:
            patched.setattr(provider, "answer", lambda *said: (answer(*said) and 503, {}, []))
            for _ in range(3):
                with pytest.raises(TrackerError, match="is not available"):
                    ask("0" * 64)
        assert len(provider.asked) == before + 1
        monkeypatch.setattr(other, "_failed", (time.monotonic(), ""))
        assert other.begin("0" * 64).startswith(f"{provider.issuer}/authorize?")


def test_the_provider_is_the_one_of_the_settings_and_safe(settings: Settings, provider: Provider) -> None:
    for issuer in (f"{provider.issuer}/", "http://127.0.0.1:1"):
        other = oidc.Provider(there(settings.service.oidc).model_copy(update={"issuer": issuer}), ORIGIN)
        with pytest.raises(TrackerError):
            other.begin("0" * 64)
    assert not oidc._is_safe("http://provider.example/token", "https://provider.example")
    assert not oidc._is_safe("http://elsewhere.example/token", provider.issuer)
    assert not oidc._is_safe("https://[", provider.issuer)
    assert oidc._is_safe("https://elsewhere.example/token", "https://provider.example")


def test_settings_that_let_nobody_in_are_refused() -> None:
    own = {"issuer": "https://provider.example", "client_id": "x", "roles": {}}
    for said in (
        {"oidc": own},
        {"local_users": False},
        {"oidc": own | {"issuer": "http://p.example"}, "origin": ORIGIN},
    ):
        with pytest.raises(ValidationError):
            ServiceSettings.model_validate(said)
    assert is_secret("RECONNECT_SERVICE_OIDC")
