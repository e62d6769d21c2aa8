"""The self-check: what first level makes, what the user's browser may do with it, and the run that follows."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from reconnect.incidents import intake
from reconnect.incidents.reading import Said
from reconnect.result import Message, Result, now
from reconnect.runs import tables
from reconnect.runs.database import reading, writing
from reconnect.runs.store import Run
from reconnect.service import audit
from reconnect.service.desk import CHECK_WATCH, Desk
from reconnect.service.http import POLICY
from reconnect.settings import Settings

from ..test_api import begin
from .conftest import OWN, Seat

Token = Callable[..., dict[str, str]]
Link = Callable[..., str]
Phone = Callable[..., TestClient]
AT, ALSO_AT = "203.0.113.5", "2001:db8::5"
LINK = re.compile(r"https://testserver(/check/[0-9a-f]{32})")
PROOF = re.compile(r'data-proof="([0-9a-f]{64})"')


@pytest.fixture
def link(client: TestClient, token: Token) -> Link:
    """The path of a new link."""

    def make(**more: str) -> str:
        asked = {"server": "alpha", "account": "1001"} | more
        answer = client.post("/v1/selfchecks", json=asked, headers=token(name="desk"))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["url"]).removeprefix("https://testserver")

    return make


@pytest.fixture
def phone(client: TestClient) -> Phone:
    """A browser of a user."""

    def make(address: str = AT) -> TestClient:
        return TestClient(client.app, base_url="https://testserver", client=(address, 40000), follow_redirects=False)

    return make


def opened(phone: TestClient, path: str) -> TestClient:
    answer = phone.post(path, headers=OWN)
    assert (answer.status_code, answer.headers["Location"]) == (303, path)
    return phone


def followed(desk: Desk) -> Run:
    (run,) = desk.runs.newest()
    return run


def report_of(run: Run) -> dict[str, Any]:
    """The client report of a run."""
    found = run.client_report()
    assert found is not None
    return found


def found_in(pattern: re.Pattern[str], text: str) -> str:
    """The first group."""
    found = pattern.search(text)
    assert found is not None
    return found[1]


def test_looking_at_the_page_does_nothing_and_its_button_binds_it_to_one_browser(
    link: Link, phone: Phone, desk: Desk
) -> None:
    path = link()
    with reading(desk.engine) as connection:
        before = connection.execute(tables.selfchecks.select()).all()
    # A preview, a mail scanner, and the user.
    for one in (phone("192.0.2.1"), phone("192.0.2.2"), phone()):
        answer = one.get(path)
        assert (answer.status_code, "Check the connection</button>" in answer.text) == (200, True)
        assert not answer.cookies
    with reading(desk.engine) as connection:
        assert connection.execute(tables.selfchecks.select()).all() == before
    assert path.rpartition("/")[2] not in repr(before)
    mine, other = opened(phone(), path), phone("192.0.2.1")
    assert "No browser opens port 5061" not in mine.get(path).text
    assert PROOF.search(mine.get(path).text)
    for answer in (other.get(path), other.post(path, headers=OWN), other.post(f"{path}/result", headers=OWN)):
        assert (answer.status_code, "This link is not valid any more" in answer.text) == (410, True)
    assert mine.post(path, headers=OWN).status_code == 303
    assert desk.runs.newest() == []


def test_without_a_script_the_address_becomes_the_client_report_of_a_run(link: Link, phone: Phone, desk: Desk) -> None:
    path = link()
    mine = opened(phone(), path)
    page = mine.get(path).text
    assert "<noscript>" in page
    answer = mine.post(f"{path}/result", data={"tried": "", "provisioning": "", "clock": ""}, headers=OWN)
    assert (answer.status_code, answer.headers["Location"]) == (303, path)
    run = followed(desk)
    request, report = run.record.request, report_of(run)
    assert (request.playbook, request.servers, request.account) == ("fix-account-config.yml", ["alpha"], "1001")
    assert (request.mode, request.watch, request.client_report) == ("diagnose", CHECK_WATCH, True)
    kept = run.kept()
    assert kept is not None
    assert (kept.asker.requester, kept.asker.trigger) == ("token:desk", "selfcheck")
    assert report["internet"] is True
    assert report["browser"] == {
        "addresses": [AT],
        "ipv4": True,
        "ipv6": None,
        "provisioning": None,
        "proxy": [],
        "clock_offset": None,
    }
    said = mine.get(path).text
    assert "Open PrivateGSM now" in said
    assert 'http-equiv="refresh"' in said
    assert AT in said
    assert "Our service over IPv6: not tested: this site has not set it up" in said
    assert "No browser opens port 5061" in said
    deeds = [(one["what"], one["who"], one["address"]) for one in audit.rows(desk.engine)]
    assert deeds[-2:] == [
        ("self-check link made", "token:desk", "testclient"),
        ("self-check done", "token:desk", AT),
    ]
    # Sent again, it is the same run.
    assert mine.post(f"{path}/result", headers=OWN).status_code == 303
    assert followed(desk).run_id == run.run_id


def test_what_a_script_tested_and_what_the_service_saw_is_in_the_report(
    link: Link, phone: Phone, desk: Desk, settings: Settings
) -> None:
    own = settings.service
    own.check_ipv4, own.check_ipv6 = "https://v4.example.org", "https://v6.example.org"
    own.check_provisioning = "https://provisioning.example.org"
    path = link()
    mine = opened(phone(), path)
    page = mine.get(path)
    names = f"{own.check_ipv4} {own.check_ipv6} {own.check_provisioning}"
    assert page.headers["Content-Security-Policy"] == POLICY.replace(
        "connect-src 'self'", f"connect-src 'self' {names}"
    )
    assert f'data-names="{own.check_ipv4} {own.check_ipv6}"' in page.text
    proof = found_in(PROOF, page.text)
    # Another name of the service gets no cookie.
    seen = phone(ALSO_AT).post(f"{path}/seen", content=proof)
    assert (seen.status_code, seen.headers["Access-Control-Allow-Origin"]) == (204, "*")
    ahead = str(int((now() + timedelta(hours=2)).timestamp() * 1000))
    via = {"Via": "1.1 hotel", "X-Forwarded-For": "10.0.0.7"}
    said = {"tried": "yes", "provisioning": "no", "clock": ahead}
    assert mine.post(f"{path}/result", data=said, headers=OWN | via).status_code == 303
    browser = report_of(followed(desk))["browser"]
    assert 7100 < browser.pop("clock_offset") < 7300
    assert browser == {
        "addresses": [AT, ALSO_AT],
        "ipv4": True,
        "ipv6": True,
        "provisioning": False,
        "proxy": ["x-forwarded-for: 10.0.0.7", "via: 1.1 hotel"],
    }
    assert "Provisioning: not reached" in mine.get(path).text


def test_a_name_that_was_tried_and_never_arrived_was_not_reached(
    link: Link, phone: Phone, desk: Desk, settings: Settings
) -> None:
    settings.service.check_ipv6 = "https://v6.example.org"
    path = link()
    mine = opened(phone(), path)
    mine.post(f"{path}/result", data={"tried": "yes"}, headers=OWN)
    browser = report_of(followed(desk))["browser"]
    assert (browser["ipv4"], browser["ipv6"]) == (True, False)


def test_the_user_reads_the_outcome_in_italian(link: Link, phone: Phone, desk: Desk) -> None:
    path = link()
    mine = opened(phone(), path)
    mine.post(f"{path}/result", headers=OWN)
    run, at = followed(desk), now()
    verdict = {"outcome": "not_an_issue", "user_message": Message(id="user.try_again")}
    stamps = {"started_at": at, "finished_at": at, "verdict": verdict}
    named = {"run_id": run.run_id, "state": "succeeded", "playbook": "p", "mode": "diagnose", "server": "alpha"}
    result = Result.model_validate(named | stamps)
    run.record.finished_at, run.record.exit_code, run.record.endings = at, 0, {"alpha": "not_an_issue"}
    run.finish([result], "report")
    said = mine.get(path, headers={"Accept-Language": "it"}).text
    assert "La verifica è terminata" in said
    assert "Il server e la rete che lo collega funzionano" in said
    assert 'http-equiv="refresh"' not in said


@pytest.mark.attack("a link's results sent all at once, while the tracker is slow", harm="outage")
def test_a_link_holds_one_thread_however_slow_its_tracker_is(
    link: Link, phone: Phone, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, start = link(), desk.starter.start
    mine, meanwhile = opened(phone(), path), []

    def slow(*asked: Any, **more: Any) -> Any:
        monkeypatch.setattr(desk.starter, "start", start)
        meanwhile.append(mine.post(f"{path}/result", headers=OWN))
        return start(*asked, **more)

    monkeypatch.setattr(desk.starter, "start", slow)
    assert mine.post(f"{path}/result", headers=OWN).status_code == 303
    (refused,) = meanwhile
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
    assert mine.post(f"{path}/result", headers=OWN).status_code == 303
    followed(desk)


def test_a_check_during_another_run_of_its_incident_is_not_used_up(
    client: TestClient,
    link: Link,
    phone: Phone,
    desk: Desk,
    token: Token,
    ended: Callable[..., Run],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "_said", lambda *given: Said())
    path = link(incident="rt:17")
    asked = {"playbook": "fix-account-config", "account": "1001", "servers": ["alpha"], "incident": "rt:17"}
    mine, run_id = opened(phone(), path), begin(client, token(), **asked)
    before = mine.get(path).text
    answer = mine.post(f"{path}/result", headers=OWN | {"Accept-Language": "it"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (409, "30")
    assert answer.headers["Refresh"] == f"30; url={path}"
    assert "Questa pagina riprova da sola tra 30 secondi" in answer.text
    assert (mine.get(path).text, followed(desk).run_id) == (before, run_id)
    assert followed(desk).client_report() is None
    assert [one["what"] for one in audit.rows(desk.engine)][-1] == "run asked for"
    ended(run_id)
    assert mine.post(f"{path}/result", headers=OWN).status_code == 303
    assert report_of(desk.runs.newest()[0])["browser"]["addresses"] == [AT]


def test_a_link_expires(link: Link, phone: Phone, desk: Desk) -> None:
    path = link()
    mine = opened(phone(), path)
    with writing(desk.engine) as connection:
        connection.execute(tables.selfchecks.update().values(expires_at=now() - timedelta(seconds=1)))
    for answer in (mine.get(path), mine.post(f"{path}/result", headers=OWN), phone().post(path, headers=OWN)):
        assert answer.status_code == 410
    assert desk.runs.newest() == []
    link()
    with reading(desk.engine) as connection:
        assert len(connection.execute(tables.selfchecks.select()).all()) == 1


@pytest.mark.attack("a browser that sends whatever it likes", harm="breach")
@pytest.mark.parametrize(
    "said",
    [
        {"clock": "1e400"},
        {"clock": "9" * 15},
        {"clock": "-1"},
        {"provisioning": "maybe"},
        {"tried": ["yes", "yes"]},
        {"addresses": "192.0.2.1"},
        {"account": "601"},
        {"tried": "x" * 100_000},
    ],
)
def test_hostile_fields_begin_nothing(link: Link, phone: Phone, desk: Desk, said: dict[str, Any]) -> None:
    path = link()
    mine = opened(phone(), path)
    assert mine.post(f"{path}/result", data=said, headers=OWN).status_code == 422
    assert desk.runs.newest() == []


@pytest.mark.attack("another site, or a stranger, that uses the user's link", harm="breach")
def test_only_the_page_itself_and_its_own_browser_send_something(link: Link, phone: Phone, desk: Desk) -> None:
    path = link()
    strange = {"Origin": "https://evil.example.org"}
    assert phone().post(path, headers=strange).status_code == 403
    mine = opened(phone(), path)
    assert mine.post(f"{path}/result", headers=strange).status_code == 403
    for secret in ("x", "0" * 32, "%00"):
        assert phone().post(f"/check/{secret}", headers=OWN).status_code == 410
    # Neither the digest in the store nor a guess is the proof.
    with reading(desk.engine) as connection:
        digest = connection.scalar(tables.selfchecks.select().with_only_columns(tables.selfchecks.c.browser))
    for proof in (digest, "0" * 64, "", "\xff" * 100_000):
        assert phone("192.0.2.9").post(f"{path}/seen", content=proof).status_code == 410
    mine.post(f"{path}/result", headers=OWN)
    assert report_of(followed(desk))["browser"]["addresses"] == [AT]


@pytest.mark.attack("a client report that says from where a browser came", harm="breach")
def test_only_the_service_says_from_where_a_browser_came(client: TestClient, token: Token, desk: Desk) -> None:
    said = {"internet": True, "browser": {"addresses": ["192.0.2.66"]}}
    asked = {"playbook": "fix-account-config", "account": "1001", "servers": ["alpha"], "client_report": said}
    assert client.post("/v1/runs", json=asked, headers=token()).status_code == 202
    assert report_of(followed(desk))["browser"] is None


def test_a_link_ends_with_whoever_made_it(link: Link, phone: Phone, desk: Desk) -> None:
    path = link()
    with reading(desk.engine) as connection:
        made = connection.scalar(sa.select(tables.tokens.c.token_id))
    desk.people.remove_token(str(made), "test")
    assert phone().get(path).status_code == 410


def test_addresses_of_one_line_are_counted_together(
    link: Link, phone: Phone, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = link()
    monkeypatch.setattr(desk.door, "_each", desk.door._sign_in.__class__(1))
    addresses = ("2001:db8::5", "2001:db8::ffff:6", "2001:db8:0:1::5", AT)
    assert [phone(one).get(path).status_code for one in addresses] == [200, 429, 200, 200]


def test_too_many_requests_of_one_address_are_refused(
    link: Link, phone: Phone, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = link()
    one = phone()
    assert one.get(path).status_code == 200
    monkeypatch.setattr(desk.door, "_each", desk.door._sign_in.__class__(1))
    assert [one.get(path).status_code for _ in range(2)] == [200, 429]


def test_first_level_makes_the_link_on_the_page_of_a_run(
    seat: Callable[..., Seat],
    client: TestClient,
    token: Token,
    phone: Phone,
) -> None:
    one = seat()
    # A run of a server alone has no user.
    of_server = begin(client, token())
    assert "/selfcheck" not in one.get(f"/runs/{of_server}").text
    assert one.send(f"/runs/{of_server}/selfcheck").status_code == 409
    started = one.send("/runs", **{"for": "1001", "server": "alpha"}).headers["Location"]
    assert f'action="{started}/selfcheck"' in one.get(started).text
    made = one.send(f"{started}/selfcheck").text
    path = found_in(LINK, made)
    assert 'class="copy"' in made
    assert phone().get(path).status_code == 200


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"server": "nowhere"}, 422),
        ({"server": "servers"}, 403),
        ({"account": "1001; reboot"}, 422),
        ({"incident": "file:/etc/passwd"}, 422),
        ({"incident": "jira:X-1"}, 422),
        ({"server": "beta"}, 403),
    ],
)
def test_a_link_is_for_what_the_person_may_diagnose(
    client: TestClient, token: Token, more: dict[str, str], code: int
) -> None:
    asked = {"server": "alpha", "account": "1001"} | more
    answer = client.post("/v1/selfchecks", json=asked, headers=token(servers=("alpha",)))
    assert answer.status_code == code


def test_a_link_is_for_one_server(client: TestClient, token: Token) -> None:
    answer = client.post("/v1/selfchecks", json={"server": "servers", "account": "1001"}, headers=token())
    assert (answer.status_code, answer.json()["detail"]) == (422, "'servers' is a group. Give one server.")
