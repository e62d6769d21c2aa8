"""The pages: who may see and send what, what they show, and that nothing hostile becomes markup."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from reconnect.result import AppliedRemedy, Message, Result, Verdict, now
from reconnect.runs import tables
from reconnect.runs.database import writing
from reconnect.runs.request import Asked
from reconnect.runs.store import Run, Runs
from reconnect.service import audit
from reconnect.service.desk import Desk
from reconnect.service.screens import runs, selfcheck, signing, site, statistics
from reconnect.service.starting import Started
from reconnect.settings import Settings

from ...conftest import there
from ..conftest import ROLES, plan_of, plan_step
from .conftest import OWN, Seat

BOTH = ("first_level", "second_level")
#: Every page, and the roles that may open it.
PAGES = [
    ("/", ROLES),
    ("/runs", ROLES),
    ("/runs/{run}", ROLES),
    ("/servers", ROLES),
    ("/approvals", ROLES),
    ("/outbox", ROLES),
    ("/audit", ("second_level", "admin")),
    ("/statistics", ("second_level", "admin")),
]
#: Every form, valid fields, and the roles that may send it.
FORMS = [
    ("/runs", {"for": "1001", "server": "alpha"}, ROLES),
    ("/runs/{run}/confirm", {"plan_hash": "{plan}"}, BOTH),
    ("/runs/{run}/approvals", {"plan_hash": "{plan}"}, ROLES),
    ("/runs/{run}/cancel", {}, ROLES),
    ("/runs/{run}/selfcheck", {}, ROLES),
    ("/holds", {"server": "beta", "action": "hold"}, ("second_level", "admin")),
    ("/approvals/{approval}/decision", {"plan_hash": "{plan}", "decision": "approve"}, ("second_level",)),
    ("/sign-out", {}, ROLES),
]
HOSTILE = '<img src=x onerror=alert(1)>{{7*7}}"\u202e'


def begun(seat: Seat, **fields: Any) -> str:
    answer = seat.send("/runs", **({"for": "1001", "server": "alpha"} | fields))
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"].removeprefix("/runs/")


@pytest.fixture
def planned(seat: Callable[..., Seat], ended: Callable[..., Run]) -> Callable[..., Run]:
    """A run of somebody's own, with a plan."""

    def plan(asker: Seat, *steps: dict[str, Any]) -> Run:
        usual = (plan_step("fix_account"), plan_step("restart_asterisk", "service", "approval"))
        return ended(begun(asker), *(steps or usual))

    return plan


@pytest.mark.attack("a role that reaches for another one's pages", harm="breach")
def test_each_role_opens_what_the_matrix_says(
    client: TestClient, seat: Callable[..., Seat], planned: Callable[..., Run]
) -> None:
    run_id = planned(seat(name="asker")).run_id
    seats = {role: seat(role) for role in ROLES}
    for page, allowed in PAGES:
        path = page.format(run=run_id)
        signed_out = client.get(path)
        assert (signed_out.status_code, signed_out.headers["Location"].partition("?")[0]) == (303, "/sign-in")
        for role, one in seats.items():
            answer = one.get(path)
            assert answer.status_code == (200 if role in allowed else 403), (page, role)
            assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.attack("a role that sends another one's forms", harm="breach")
def test_each_role_sends_what_the_matrix_says_and_only_with_its_token(
    client: TestClient, desk: Desk, seat: Callable[..., Seat], planned: Callable[..., Run]
) -> None:
    run = planned(seat(name="asker"))
    plan = plan_of(run)
    approval = desk.plans.request(run, plan, "asker", None, "")
    seats = {role: seat(role) for role in ROLES}
    for form, said, allowed in FORMS:
        path = form.format(run=run.run_id, approval=approval)
        fields = {name: value.format(plan=plan) for name, value in said.items()}
        assert client.post(path, data=fields, headers=OWN).headers["Location"] == "/sign-in?next=%2F"
        for role, one in seats.items():
            assert one.client.post(path, data=fields, headers=OWN).status_code == 403
            code = one.send(path, **fields).status_code
            assert (code == 403) == (role not in allowed), (form, role, code)
            assert code < 500


def test_every_page_and_form_is_in_the_matrix(desk: Desk) -> None:
    ours = [route for room in (runs, selfcheck, signing, site, statistics) for route in room.routes(desk).routes]
    there = {(method, route.path.replace("_id}", "}")) for route in ours for method in route.methods}
    known = {("GET", path) for path, _ in PAGES} | {("POST", path) for path, _, _ in FORMS}
    known |= {("GET", "/check/{secret}")}
    known |= {("POST", f"/check/{{secret}}{what}") for what in ("", "/seen", "/result")}
    known |= {("GET", "/sign-in"), ("POST", "/sign-in"), ("POST", "/language"), ("GET", "/static/{name}")}
    assert there == known


def test_the_box_takes_an_incident_an_account_or_nothing(
    seat: Callable[..., Seat], desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    start = desk.starter.start

    def kept(wanted: Asked, *more: Any) -> Started:
        asked.append(wanted)
        # No tracker is asked.
        return start(wanted.model_copy(update={"incident": None, "account": "1001", "servers": ["alpha"]}), *more)

    monkeypatch.setattr(desk.starter, "start", kept)
    one = seat()
    for box, server, playbook, account, incident in (
        ("1001", "alpha", "fix-account-config.yml", "1001", None),
        ("", "alpha", "diagnose-server.yml", None, None),
        ("rt:17", "", "fix-account-config.yml", None, "rt:17"),
        ("#17", "alpha", "fix-account-config.yml", None, "rt:17"),
        ("17", "", "fix-account-config.yml", None, "rt:17"),
    ):
        run = there(desk.runs.get(begun(one, **{"for": box, "server": server})))
        assert (there(run.kept()).asker.requester, there(run.kept()).asker.trigger) == ("first-level", "page")
        wanted = asked.pop()
        named = str(wanted.incident) if wanted.incident else None
        assert (wanted.playbook, wanted.account, named, wanted.mode) == (playbook, account, incident, "diagnose")


@pytest.mark.attack("what is typed into the box reaches a file or another program", harm="breach")
def test_the_box_takes_nothing_else(seat: Callable[..., Seat], settings: Settings) -> None:
    one = seat()
    for box in ("file:/etc/passwd", "1001; reboot", "{{ 7*7 }}", "all:!alpha", HOSTILE):
        answer = one.send("/runs", **{"for": box, "server": "alpha"})
        assert answer.status_code == 422
        assert "<img" not in answer.text
    assert Runs(settings).newest() == []


def test_a_run_that_is_under_way_is_followed_with_and_without_a_script(seat: Callable[..., Seat], desk: Desk) -> None:
    one = seat()
    run_id = begun(one)
    there(desk.runs.get(run_id)).happened("step", "alpha", step="Gather evidence", state="ok", seconds=1.0)
    text = one.get(f"/runs/{run_id}").text
    assert "Gather evidence" in text
    assert f'data-events="/v1/runs/{run_id}/events?language=en&amp;after=2"' in text
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in text
    assert "Ask the user to open PrivateGSM" in text
    assert run_id in one.get("/").text
    assert run_id not in seat(name="other").get("/").text
    italian = seat(name="terza", language="it").get(f"/runs/{run_id}").text
    assert '<li><bdi>Raccolta dei dati</bdi> <bdi class="muted">alpha · ok</bdi></li>' in italian


def test_a_confirmed_plan_is_the_one_that_was_shown(
    seat: Callable[..., Seat], planned: Callable[..., Run], desk: Desk
) -> None:
    one = seat()
    run = planned(one)
    text = one.get(f"/runs/{run.run_id}").text
    assert "Correct the account (alpha)</button>" in text
    assert "Ask second level to approve: Restart Asterisk (alpha)</button>" in text
    (sent,) = set(re.findall(r'name="plan_hash" value="([0-9a-f]{64})"', text))
    assert one.send(f"/runs/{run.run_id}/confirm", plan_hash="0" * 64).status_code == 409
    applied = one.send(f"/runs/{run.run_id}/confirm", plan_hash=sent)
    request = there(desk.runs.get(applied.headers["Location"].removeprefix("/runs/"))).record.request
    assert (request.mode, [step.remedy for step in there(request.plan)]) == ("apply", ["fix_account"])


def test_who_may_not_confirm_and_what_is_too_old_has_no_button(
    seat: Callable[..., Seat], ended: Callable[..., Run], planned: Callable[..., Run]
) -> None:
    one = seat()
    of_server = planned(one, plan_step("restart_provisioning", "network"))
    text = one.get(f"/runs/{of_server.run_id}").text
    assert ("/confirm" in text, f'action="/runs/{of_server.run_id}/approvals"' in text) == (False, True)
    assert "/confirm" in seat("second_level").get(f"/runs/{of_server.run_id}").text
    run_id = begun(one)
    ended(run_id, plan_step("fix_account"), minutes_ago=31)
    text = one.get(f"/runs/{run_id}").text
    assert "/confirm" not in text
    assert "This plan is too old" in text


@pytest.mark.attack("somebody approves their own request on the page", harm="breach")
def test_an_approval_needs_a_colleague_and_a_no_a_comment(
    seat: Callable[..., Seat], planned: Callable[..., Run], desk: Desk
) -> None:
    asker, other = seat("second_level", "asker"), seat("second_level", "other")
    run = planned(asker)
    plan = plan_of(run)
    assert asker.send(f"/runs/{run.run_id}/approvals", plan_hash=plan).status_code == 303
    (approval,) = desk.plans.approvals()
    path = f"/approvals/{approval['approval_id']}/decision"
    assert path not in asker.get("/approvals").text
    assert path in other.get("/approvals").text
    assert asker.send(path, plan_hash=plan, decision="approve").status_code == 403
    # Their token is no colleague.
    with writing(desk.engine) as connection:
        connection.execute(tables.approvals.update().values(requested_by="token:asker"))
        connection.execute(tables.runs.update().values(requester="token:asker"))
    assert path not in asker.get("/approvals").text
    assert asker.send(path, plan_hash=plan, decision="approve").status_code == 403
    assert other.send(path, plan_hash=plan, decision="deny").status_code == 422
    assert other.send(path, plan_hash=plan, decision="deny", comment=HOSTILE).status_code == 303
    text = asker.get(f"/runs/{run.run_id}").text
    assert "denied" in text
    assert "<img" not in text


@pytest.mark.attack("markup from a server, an incident or a user on a page", harm="execution")
def test_hostile_words_stay_text(seat: Callable[..., Seat], desk: Desk) -> None:
    one = seat("second_level", language="it")
    run_id = begun(one)
    run = there(desk.runs.get(run_id))
    at = now()
    verdict = {
        "outcome": "fault_found",
        "root_causes": [
            {"cause": "peer_stale", "subject": "s", "title": HOSTILE, "summary": HOSTILE, "policy": "auto"}
        ],
        "plan": [plan_step("fix_account") | {"changes": [f"+{HOSTILE}", "-secret secret-of-rt"], "reason": HOSTILE}],
        "user_message": HOSTILE,
        "next_step": HOSTILE,
        "escalate_to": "third level",
    }
    remedies = [{"remedy": HOSTILE, "state": "done", "before": {HOSTILE: 1}, "after": {HOSTILE: HOSTILE}}]
    result = Result(
        run_id=run_id,
        state="succeeded",
        playbook="p",
        mode="diagnose",
        server="alpha",
        started_at=at,
        finished_at=at,
        verdict=Verdict.model_validate(verdict),
        remedies=[AppliedRemedy.model_validate(one) for one in remedies],
    )
    run.record.finished_at, run.record.notes, run.record.endings = at, [HOSTILE], {"alpha": "fault_found"}
    run.finish([result], "report")
    run.happened("step", HOSTILE, step=HOSTILE, state=HOSTILE)
    desk.guards.hold(["alpha"], HOSTILE, HOSTILE)
    desk.note(audit.Deed(HOSTILE, "admin", HOSTILE, "held", HOSTILE))
    for path in ("/", "/runs", f"/runs/{run_id}", "/servers", "/audit", "/approvals", "/outbox", "/statistics"):
        text = one.get(path).text
        assert one.get(path).status_code == 200
        for harm in ("<img", "\u202e", "secret-of-rt"):
            assert harm not in text, (path, harm)
    assert "&lt;img src=x onerror=alert(1)&gt;{{7*7}}" in one.get(f"/runs/{run_id}").text


def test_words_for_the_user_are_there_in_both_languages_and_the_bundle_to_escalate_with(
    seat: Callable[..., Seat], desk: Desk, ended: Callable[..., Run]
) -> None:
    one = seat()
    run_id = begun(one)
    run = ended(run_id)
    (result,) = run.results()
    there(result.verdict).user_message = Message(id="user.try_again")
    there(result.verdict).escalate_to = "third level"
    run.finish([result], "report")
    text = one.get(f"/runs/{run_id}").text
    assert '<p lang="en"><span class="muted">English</span><br><bdi>The server and the network path' in text
    assert '<p lang="it"><span class="muted">Italiano</span><br><bdi>Il server e la rete' in text
    assert f'href="/v1/runs/{run_id}/bundle"' in text
    assert one.get(f"/v1/runs/{run_id}/bundle").status_code == 200


def test_maintenance_is_said_on_every_page(seat: Callable[..., Seat], desk: Desk) -> None:
    second = seat("second_level")
    assert second.send("/holds", action="hold").status_code == 422
    assert second.send("/holds", action="hold", server="*", reason="new release").status_code == 303
    for path in ("/", "/runs", "/servers"):
        assert "Maintenance: nothing is changed on any server." in second.get(path).text
    assert "new release" in second.get("/").text
    second.send("/holds", action="release", server="*")
    assert desk.guards.holds() == []


def test_lists_go_on_where_the_page_before_ended(
    seat: Callable[..., Seat], desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "_ROWS", 2)
    second = seat("second_level")
    made = [begun(second) for _ in range(3)]
    first = second.get("/runs?server=alpha").text
    assert [run_id in first for run_id in made] == [False, True, True]
    following = there(re.search(r'href="(/runs\?[^"]+)"', first))[1].replace("&amp;", "&")
    rest = second.get(following).text
    assert [run_id in rest for run_id in made] == [True, False, False]
    numbers = re.findall(r'<th scope="row">(\d+) ·', second.get("/audit").text)
    assert len(numbers) == 2
    older = re.findall(r'<th scope="row">(\d+) ·', second.get(f"/audit?before={numbers[-1]}").text)
    assert int(older[0]) == int(numbers[-1]) - 1
    assert second.get("/runs?ending=nothing").status_code == 422
