"""The API: who may do what, runs, plans, idempotency, pages and streams."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from fastapi.testclient import TestClient
from httpx import Response
from jinja2 import Template
from reconnect.errors import StoreError
from reconnect.runs import tables
from reconnect.runs.database import reading, writing
from reconnect.runs.request import DIAGNOSE, FIX, Asked, Playbook
from reconnect.runs.store import Run, Runs
from reconnect.service import audit, metrics
from reconnect.service.desk import Desk
from reconnect.service.http import COOKIE, MAX_BODY
from reconnect.service.people import Person
from reconnect.settings import Settings

from ..conftest import ROOT, there
from .conftest import ROLES, plan_of, plan_step, state_of

BOTH = ["reload_peer", "start_asterisk"]
ASKED = {"playbook": "diagnose-server", "servers": ["alpha"]}
#: The options that need a right, each with a value.
FOR_SECOND_LEVEL = {
    one.name: True if one.most is None else max(one.least or 1, 1)
    for one in Asked.options(DIAGNOSE)
    if one.option.right
}

#: Every endpoint, a request that is valid, and the roles that may send it.
MATRIX = [
    ("POST", "/v1/runs", ASKED, ROLES),
    *(("POST", "/v1/runs", ASKED | {name: value}, ("second_level",)) for name, value in FOR_SECOND_LEVEL.items()),
    ("GET", "/v1/runs", None, ROLES),
    ("GET", "/v1/runs/{run}", None, ROLES),
    ("GET", "/v1/runs/{run}/events", None, ROLES),
    ("GET", "/v1/runs/{run}/report.html", None, ROLES),
    ("GET", "/v1/runs/{run}/bundle", None, ROLES),
    ("GET", "/v1/runs/{run}/results/alpha", None, ROLES),
    ("POST", "/v1/runs/{run}/confirm", {"plan_hash": "{plan}"}, ("first_level", "second_level")),
    ("POST", "/v1/runs/{run}/approvals", {"plan_hash": "{plan}"}, ROLES),
    ("POST", "/v1/runs/{run}/cancel", None, ROLES),
    ("POST", "/v1/runs/{run}/wrong", {"cause": "none"}, ("second_level",)),
    ("POST", "/v1/selfchecks", {"server": "alpha", "account": "1001"}, ROLES),
    ("GET", "/v1/approvals", None, ROLES),
    (
        "POST",
        "/v1/approvals/{approval}/decision",
        {"plan_hash": "{plan}", "decision": "approve"},
        ("second_level",),
    ),
    ("GET", "/v1/servers", None, ROLES),
    ("GET", "/v1/holds", None, ROLES),
    ("POST", "/v1/holds", {"servers": ["beta"]}, ("second_level", "admin")),
    ("DELETE", "/v1/holds?server=beta", None, ("second_level", "admin")),
    ("GET", "/v1/outbox", None, ROLES),
    ("GET", "/v1/events", None, ROLES),
    ("GET", "/v1/audit", None, ("second_level", "admin")),
    ("GET", "/v1/me", None, ROLES),
]


def begin(client: TestClient, headers: dict[str, str], **more: Any) -> str:
    answer = client.post("/v1/runs", json=ASKED | more, headers=headers)
    assert answer.status_code == 202, answer.text
    found: str = answer.json()["id"]
    return found


@pytest.mark.attack("a role that reaches for another one's rights", harm="breach")
@pytest.mark.parametrize(("method", "path", "body", "allowed"), MATRIX)
def test_each_role_may_do_what_the_matrix_says_and_nothing_else(
    client: TestClient,
    desk: Desk,
    token: Callable[..., dict[str, str]],
    ended: Callable[..., Run],
    method: str,
    path: str,
    body: dict[str, Any] | None,
    allowed: tuple[str, ...],
) -> None:
    asker = token("first_level", "asker")
    run_id = begin(client, asker)
    run = ended(run_id, plan_step(), plan_step("restart_asterisk", "service", "approval"))
    plan = plan_of(run)
    approval = client.post(f"/v1/runs/{run_id}/approvals", json={"plan_hash": plan}, headers=asker).json()
    filled = {"run": run_id, "plan": plan, "approval": approval["approval_id"]}
    path = path.format(**filled)
    said = json.loads(json.dumps(body).replace("{plan}", plan)) if body else None
    assert client.request(method, path, json=said).status_code == 401
    assert client.request(method, path, json=said, headers={"Authorization": "Bearer rct_0_0"}).status_code == 401
    for role in ROLES:
        code = client.request(method, path, json=said, headers=token(role)).status_code
        assert (code == 403) == (role not in allowed), (role, code)
        assert code < 500


def test_the_declaration_of_an_option_alone_says_who_may_use_it(
    client: TestClient, token: Callable[..., dict[str, str]]
) -> None:
    assert FOR_SECOND_LEVEL == {"call_test": True, "idle_test": 8, "capture": 1}
    refused = client.post("/v1/runs", json=ASKED | FOR_SECOND_LEVEL, headers=token("first_level")).json()
    assert refused["detail"] == "Only second level may use --call-test, --idle-test, --capture."
    code = {file: file.read_text() for file in (ROOT / "python_wrapper/reconnect/service").rglob("*.py")}
    assert [file.name for file, text in code.items() for name in FOR_SECOND_LEVEL if f".{name}" in text] == []


def test_every_endpoint_is_in_the_matrix(client: TestClient) -> None:
    known = {(method, path.partition("?")[0]) for method, path, _, _ in MATRIX}
    # What is signed takes no token.
    known |= {("GET", "/v1/causes"), ("POST", "/v1/events")}
    known = {
        (method, path.replace("{run}", "{run_id}").replace("{approval}", "{approval_id}").replace("alpha", "{server}"))
        for method, path in known
    }
    paths = client.get("/v1/openapi.json").json()["paths"]
    assert {(method.upper(), path) for path, methods in paths.items() for method in methods} == known


def test_a_run_waits_for_a_worker_with_who_asked(
    client: TestClient, token: Callable[..., dict[str, str]], settings: Settings
) -> None:
    answer = client.post("/v1/runs", json=ASKED, headers=token(name="desk"))
    shown = answer.json()
    assert answer.headers["Location"] == f"/v1/runs/{shown['id']}"
    assert (shown["state"], shown["requester"], shown["trigger"]) == ("queued", "token:desk", "api")
    (worker, run), *others = Runs(settings).waiting()
    assert (worker, run.run_id, others) == (None, shown["id"], [])
    assert run.record.request.mode == "diagnose"
    assert Runs(settings).adopt(run.run_id, "m.1")
    assert not Runs(settings).adopt(run.run_id, "m.2")


@pytest.mark.attack("a secret typed as a variable of a run that others see", harm="leak")
def test_nobody_reads_the_values_that_somebody_typed_for_ansible(
    client: TestClient, token: Callable[..., dict[str, str]], settings: Settings, ended: Callable[..., Run]
) -> None:
    asked = there(Runs(settings).get(begin(client, token()))).record.request
    secret = "site=Kanarienvogel7"
    typed = {"command": ["diagnose-server", "alpha", "-e", secret], "extra_vars": [secret]}
    run = Runs(settings).create(asked.model_copy(update=typed))
    ended(run.run_id)
    path, headers = f"/v1/runs/{run.run_id}", token()
    shown = client.get(path, headers=headers).json()
    assert shown["command"] == ["diagnose-server", "alpha", "-e", "site=•••"]
    said = [client.get(one, headers=headers).text for one in ("/v1/runs", "/v1/outbox", path, f"{path}/report.html")]
    packed = gzip.decompress(client.get(f"{path}/bundle", headers=headers).content)
    assert "Kanarienvogel7" not in "".join(said)
    assert b"Kanarienvogel7" not in packed


@pytest.mark.attack("an API request that reaches for a file, a fix or another inventory", harm="breach")
@pytest.mark.parametrize(
    "more",
    [
        {"apply": True},
        {"mode": "apply"},
        {"approvals": ["restart_asterisk"]},
        {"inventory": "/etc"},
        {"report": "/etc/passwd"},
        {"incident": "file:/etc/passwd"},
        {"servers": ["all:!alpha"]},
        {"servers": ["{{ 7*7 }}"]},
        {"servers": ["phone"]},
        {"account": "1001; reboot"},
        {"watch": 10**9},
        {"servers": [1]},
    ],
)
def test_a_request_cannot_change_what_it_may_not(
    client: TestClient, token: Callable[..., dict[str, str]], settings: Settings, more: dict[str, Any]
) -> None:
    answer = client.post("/v1/runs", json=ASKED | more, headers=token("second_level"))
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, "application/problem+json")
    assert Runs(settings).newest() == []


def test_the_same_key_and_request_are_one_run(
    client: TestClient, token: Callable[..., dict[str, str]], settings: Settings
) -> None:
    headers = token() | {"Idempotency-Key": "a"}
    first, second = (client.post("/v1/runs", json=ASKED, headers=headers) for _ in range(2))
    assert (first.status_code, first.json(), first.headers["Location"]) == (
        second.status_code,
        second.json(),
        second.headers["Location"],
    )
    assert client.post("/v1/runs", json=ASKED | {"timeout": 60}, headers=headers).status_code == 422
    assert len(Runs(settings).newest()) == 1


@pytest.mark.attack("the service is killed between a run and its answer", harm="wrong")
@pytest.mark.parametrize("begun", [True, False])
def test_a_key_has_its_run_once_the_run_is_there(
    client: TestClient,
    token: Callable[..., dict[str, str]],
    desk: Desk,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    begun: bool,
) -> None:
    headers, start = token() | {"Idempotency-Key": "a"}, desk.starter.start

    def killed(*given: Any) -> None:
        if begun:
            start(*given)
        raise StoreError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(desk.starter, "start", killed)
        assert client.post("/v1/runs", json=ASKED, headers=headers).status_code == 503
    second = client.post("/v1/runs", json=ASKED, headers=headers)
    assert [second.json()["id"]] == [run.run_id for run in Runs(settings).newest()]


@pytest.mark.attack("a request is sent again while the first one is under way, or its service is killed", harm="wrong")
@pytest.mark.parametrize("asked", [ASKED, ASKED | {"incident": "rt:17"}])
def test_of_two_requests_with_one_key_one_has_the_run(
    client: TestClient,
    token: Callable[..., dict[str, str]],
    desk: Desk,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    asked: dict[str, Any],
) -> None:
    headers, start = token() | {"Idempotency-Key": "a"}, desk.starter.start

    def slow(*given: Any) -> Any:
        monkeypatch.setattr(desk.starter, "start", start)
        assert client.post("/v1/runs", json=asked, headers=headers).status_code == 202
        return start(*given)

    monkeypatch.setattr(desk.starter, "start", slow)
    slower = client.post("/v1/runs", json=asked, headers=headers)
    if "incident" in asked:
        # It is under way for the same incident.
        assert slower.status_code == 202
    else:
        assert (slower.status_code, slower.headers["Retry-After"]) == (409, "2")
        assert slower.json()["detail"] == "A request with this Idempotency-Key was faster. Send it again."
    [run] = Runs(settings).newest()
    with reading(desk.engine) as connection:
        assert connection.scalars(sa.select(tables.answers.c.run_id)).all() == [run.run_id]
    assert client.post("/v1/runs", json=asked, headers=headers).json()["id"] == run.run_id


def test_the_rulebook_of_the_collection_has_a_key_that_is_taken(
    client: TestClient, token: Callable[..., dict[str, str]]
) -> None:
    rules = ROOT / "collections/ansible_collections/privatewave/reconnect/extensions/eda/rulebooks/incidents.yml"
    [[rule]] = [play["rules"] for play in yaml.safe_load(rules.read_text())]
    key = rule["action"]["run_module"]["module_args"]["key"]
    event = {"incident": "rt:17", "changed_at": "2026-11-27T03:00:00Z"}
    said = Template(key).render(event={"reconnect": event})
    codes = [
        client.post("/v1/runs", json=ASKED, headers=token() | {"Idempotency-Key": one}).status_code
        for one in (said, "a\x7f", "x" * 256)
    ]
    assert codes == [202, 422, 422]


def test_options_that_do_not_fit_together_are_refused(client: TestClient, token: Callable[..., dict[str, str]]) -> None:
    answer = client.post("/v1/runs", json=ASKED | {"idle_test": 200}, headers=token("second_level"))
    assert answer.status_code == 422
    assert answer.json()["detail"] == "--idle-test 200 takes a --timeout of at least 460 s."


@pytest.mark.parametrize("playbook", [DIAGNOSE, FIX])
def test_an_option_that_the_playbook_does_not_take_is_refused(
    client: TestClient, token: Callable[..., dict[str, str]], playbook: Playbook
) -> None:
    taken = {one.name for one in Asked.options(playbook)}
    others = {"rotate_password": True, "go_on": True, "watch": 9, "call_test": True, "capture": 9}
    name = playbook.removesuffix(".yml")
    asked = ASKED | {"playbook": name, "account": "1005"}
    for option, value in others.items():
        answer = client.post("/v1/runs", json=asked | {option: value}, headers=token("second_level"))
        assert answer.status_code == (202 if option in taken else 422), option
        if option not in taken:
            assert answer.json()["detail"] == f"{name} does not take the option {option}."


@pytest.mark.attack("a program sets variables of the control node with its request", harm="execution")
def test_a_request_has_no_variables_for_ansible(client: TestClient, token: Callable[..., dict[str, str]]) -> None:
    for more in ({"extra_vars": ["ansible_connection=local"]}, {"reconnect_account_registry": "/tmp"}):
        assert client.post("/v1/runs", json=ASKED | more, headers=token("admin")).status_code == 422


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"], True),
        (["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"] * 2, False),
        (["00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"], False),
        (["00-00000000000000000000000000000000-b7ad6b7169203331-01"], False),
        ([], False),
    ],
)
def test_a_run_belongs_to_the_trace_of_its_request(
    client: TestClient, token: Callable[..., dict[str, str]], sent: list[str], kept: bool
) -> None:
    headers = [*token().items(), *(("traceparent", one) for one in sent)]
    trace_id = client.post("/v1/runs", json=ASKED, headers=headers).json()["trace_id"]
    assert (len(trace_id), trace_id == "0af7651916cd43dd8448eb211c80319c") == (32, kept)


@pytest.mark.attack("a stranger invents methods, or sends an invalid origin", harm="outage")
def test_a_stranger_fills_no_memory_and_finds_no_defect(client: TestClient) -> None:
    before = len(metrics.REQUESTS._metrics)
    codes = {client.request(f"X{number}", "/healthz").status_code for number in range(5)}
    assert (codes, len(metrics.REQUESTS._metrics) - before <= 1) == ({405}, True)
    answer = client.post("/v1/runs", json=ASKED, headers={"Cookie": f"{COOKIE}=a", "Origin": "http://["})
    assert answer.status_code == 403


def test_a_confirmed_plan_is_applied_once_and_has_only_its_steps(
    client: TestClient, token: Callable[..., dict[str, str]], ended: Callable[..., Run], settings: Settings
) -> None:
    headers = token()
    run_id = begin(client, headers)
    message = plan_step("send_message", "client") | {"policy": "approve"}
    run = ended(run_id, plan_step(), message, plan_step("restart_asterisk", "service", "approval"))
    path, plan = f"/v1/runs/{run_id}/confirm", {"plan_hash": plan_of(run)}
    assert client.post(path, json={"plan_hash": "0" * 64}, headers=headers).status_code == 409
    applied = client.post(path, json=plan, headers=headers)
    assert applied.status_code == 202
    assert client.post(path, json=plan, headers=headers).status_code == 409
    request = there(Runs(settings).get(applied.json()["id"])).record.request
    assert (request.mode, request.approvals, request.plan_of) == ("apply", ["send_message"], run_id)
    assert [step.remedy for step in there(request.plan)] == ["reload_peer", "send_message"]


def test_first_level_confirms_what_reaches_an_account_only(
    client: TestClient, token: Callable[..., dict[str, str]], ended: Callable[..., Run]
) -> None:
    headers = token()
    run_id = begin(client, headers)
    run = ended(run_id, plan_step("start_asterisk", "service"))
    answer = client.post(f"/v1/runs/{run_id}/confirm", json={"plan_hash": plan_of(run)}, headers=headers)
    assert answer.status_code == 403
    assert client.post(f"/v1/runs/{run_id}/approvals", json={"plan_hash": plan_of(run)}, headers=headers).is_success


@pytest.mark.parametrize(("role", "own"), [("first_level", ["reload_peer"]), ("second_level", BOTH), ("admin", [])])
def test_of_a_mixed_plan_first_level_has_the_account_s_steps_and_asks_for_the_server_s(
    client: TestClient,
    token: Callable[..., dict[str, str]],
    ended: Callable[..., Run],
    settings: Settings,
    desk: Desk,
    role: str,
    own: list[str],
) -> None:
    headers = token(role)
    run_id = begin(client, headers)
    run = ended(run_id, plan_step(), plan_step("start_asterisk", "service"))
    applied = client.post(f"/v1/runs/{run_id}/confirm", json={"plan_hash": plan_of(run)}, headers=headers)
    assert applied.status_code == (202 if own else 403)
    if not own:
        return
    request = there(Runs(settings).get(applied.json()["id"])).record.request
    assert [step.remedy for step in there(request.plan)] == own
    waits = [one["approval_id"] for one in desk.plans.approvals("pending")]
    if own == BOTH:
        assert (applied.json()["notes"], waits) == ([], [])
        return
    assert applied.json()["notes"] == ["An approval of second level was requested for start_asterisk (alpha)."]
    (confirmed,) = [row for row in audit.newest(desk.engine, 10) if row["what"] == "plan confirmed"]
    assert confirmed["data"] == {"remedies": ["alpha: reload_peer"]}
    # No step is carried out twice: the approval has what is left of the plan.
    (waiting,) = waits
    approved = decide(client, waiting, token("second_level"), plan_of(run)).json()["applied_run_id"]
    rest = there(Runs(settings).get(approved)).record.request
    assert [step.remedy for step in there(rest.plan)] == ["start_asterisk"]
    again = client.post(f"/v1/runs/{run_id}/confirm", json={"plan_hash": plan_of(run)}, headers=headers)
    assert (again.status_code, "already carries out this plan" in again.json()["detail"]) == (409, True)


def test_what_was_denied_is_not_said_to_be_requested(
    client: TestClient, token: Callable[..., dict[str, str]], ended: Callable[..., Run]
) -> None:
    headers = token()
    run_id = begin(client, headers)
    run = ended(run_id, plan_step(), plan_step("start_asterisk", "service"))
    plan = {"plan_hash": plan_of(run)}
    asked = client.post(f"/v1/runs/{run_id}/approvals", json=plan, headers=headers).json()["approval_id"]
    assert decide(client, asked, token("second_level", "bea"), plan_of(run), "deny", "Not by day.").is_success
    applied = client.post(f"/v1/runs/{run_id}/confirm", json=plan, headers=headers)
    notes = ["start_asterisk (alpha) is not carried out. token:bea denied it: Not by day."]
    assert (applied.status_code, applied.json()["notes"]) == (202, notes)


def test_an_old_plan_is_not_carried_out(
    client: TestClient, token: Callable[..., dict[str, str]], ended: Callable[..., Run]
) -> None:
    headers = token()
    run_id = begin(client, headers)
    run = ended(run_id, plan_step(), minutes_ago=31)
    answer = client.post(f"/v1/runs/{run_id}/confirm", json={"plan_hash": plan_of(run)}, headers=headers)
    assert (answer.status_code, "older" in answer.json()["detail"]) == (409, True)


def decide(
    client: TestClient, approval: str, headers: dict[str, str], plan: str, decision: str = "approve", comment: str = ""
) -> Response:
    said = {"plan_hash": plan, "decision": decision, "comment": comment}
    found: Response = client.post(f"/v1/approvals/{approval}/decision", json=said, headers=headers)
    return found


@pytest.mark.attack("somebody approves what they asked for", harm="breach")
def test_nobody_approves_their_own_request_and_nothing_is_approved_twice(
    client: TestClient, token: Callable[..., dict[str, str]], ended: Callable[..., Run], settings: Settings, desk: Desk
) -> None:
    asker, other = token("second_level", "asker"), token("second_level", "other")
    run_id = begin(client, asker)
    message = plan_step("send_message", "client") | {"policy": "approve"}
    run = ended(run_id, plan_step(), message, plan_step("restart_asterisk", "service", "approval"))
    plan = plan_of(run)
    # Whoever asks for the approval, the run is the asker's.
    made = client.post(f"/v1/runs/{run_id}/approvals", json={"plan_hash": plan}, headers=token("first_level", "third"))
    approval = made.json()["approval_id"]
    assert decide(client, approval, asker, plan).status_code == 403
    with writing(desk.engine) as connection:
        connection.execute(tables.runs.update().values(requester="asker"))
    assert decide(client, approval, asker, plan).status_code == 403
    assert decide(client, approval, other, "0" * 64).status_code == 409
    assert decide(client, approval, other, plan, "deny").status_code == 422
    answer = decide(client, approval, other, plan)
    assert answer.status_code == 200
    request = there(Runs(settings).get(answer.json()["applied_run_id"])).record.request
    # What cannot be undone is approved with the plan that names it; what needs no approval gets none.
    assert (request.mode, request.approvals) == ("apply", ["restart_asterisk", "send_message"])
    assert [step.remedy for step in there(request.plan)] == ["reload_peer", "send_message", "restart_asterisk"]
    assert decide(client, approval, other, plan).status_code == 409
    assert [one["state"] for one in client.get("/v1/approvals", headers=asker).json()] == ["approved"]


def test_an_approval_expires_with_its_plan(
    client: TestClient, token: Callable[..., dict[str, str]], ended: Callable[..., Run]
) -> None:
    asker, other = token("second_level", "asker"), token("second_level", "other")
    run_id = begin(client, asker)
    run = ended(run_id, plan_step("restart_asterisk", "service", "approval"), minutes_ago=29)
    plan = {"plan_hash": plan_of(run)}
    approval = client.post(f"/v1/runs/{run_id}/approvals", json=plan, headers=asker).json()["approval_id"]
    ended(run_id, plan_step("restart_asterisk", "service", "approval"), minutes_ago=31)
    assert decide(client, approval, other, plan=plan["plan_hash"]).status_code == 410


@pytest.mark.attack("a token that reaches for another server", harm="breach")
def test_a_token_for_one_server_sees_no_other(
    client: TestClient, desk: Desk, token: Callable[..., dict[str, str]], ended: Callable[..., Run]
) -> None:
    run_id = begin(client, token())
    ended(run_id, plan_step())
    own = token("second_level", "beta-only", ("beta",))
    assert client.post("/v1/runs", json=ASKED, headers=own).status_code == 403
    assert client.get(f"/v1/runs/{run_id}", headers=own).status_code == 404
    assert client.get("/v1/runs", headers=own).json()["runs"] == []
    assert [one["server"] for one in client.get("/v1/servers", headers=own).json()] == ["beta"]
    assert client.post("/v1/holds", json={}, headers=own).status_code == 403
    assert client.get("/v1/audit", headers=own).status_code == 403
    desk.guards.hold(["alpha", "beta", ""], "work", "ann")
    assert [one["server"] for one in client.get("/v1/holds", headers=own).json()] == [None, "beta"]
    assert not Person("a", "admin", frozenset({"beta"})).sees([])


@pytest.mark.attack("a token that learns of another server's plan", harm="leak")
def test_a_token_for_one_server_learns_nothing_of_another_plan(
    client: TestClient, token: Callable[..., dict[str, str]], ended: Callable[..., Run]
) -> None:
    asker, own = token("second_level", "asker"), token("second_level", "beta-only", ("beta",))
    run_id = begin(client, asker)
    plan = plan_of(ended(run_id, plan_step("restart_asterisk", "service", "approval")))
    said = client.post(f"/v1/runs/{run_id}/approvals", json={"plan_hash": plan}, headers=asker).json()
    assert decide(client, said["approval_id"], token("second_level", "other"), plan).status_code == 200
    assert decide(client, said["approval_id"], own, plan).status_code == 404


def test_a_page_of_a_token_for_one_server_is_full(
    client: TestClient, token: Callable[..., dict[str, str]], ended: Callable[..., Run]
) -> None:
    own = token("second_level", "beta-only", ("beta",))
    run_ids = [begin(client, token(), servers=servers) for servers in (["beta"], ["alpha"], ["alpha", "beta"])]
    for run_id in run_ids:
        plan = plan_of(ended(run_id, plan_step("restart_asterisk", "service", "approval")))
        client.post(f"/v1/runs/{run_id}/approvals", json={"plan_hash": plan}, headers=token())
    for path in ("/v1/runs?limit=1", "/v1/runs?limit=1&server=beta", "/v1/runs?limit=1&ending=fault_found"):
        assert [one["id"] for one in client.get(path, headers=own).json()["runs"]] == run_ids[:1], path
    assert [one["run_id"] for one in client.get("/v1/approvals?limit=1", headers=own).json()] == run_ids[:1]
    assert [one["run"] for one in client.get("/v1/servers", headers=own).json()] == run_ids[:1]


def test_a_run_and_who_asked_for_it_are_kept_together(
    client: TestClient, token: Callable[..., dict[str, str]], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, headers = audit.append, token() | {"Idempotency-Key": "a"}

    def fails(connection: object, deed: object) -> None:
        raise StoreError("The disk is full.")

    monkeypatch.setattr(audit, "append", fails)
    assert client.post("/v1/runs", json=ASKED, headers=headers).status_code == 503
    assert Runs(settings).newest() == []
    monkeypatch.setattr(audit, "append", append)
    assert client.post("/v1/runs", json=ASKED, headers=headers).status_code == 202
    assert len(Runs(settings).newest()) == 1


def test_a_filter_holds_what_a_name_may_hold(client: TestClient, token: Callable[..., dict[str, str]]) -> None:
    for name in ("server", "account"):
        assert client.get(f"/v1/runs?{name}=%00", headers=token()).status_code == 422


def test_pages_of_runs_follow_each_other(client: TestClient, token: Callable[..., dict[str, str]]) -> None:
    headers = token()
    made = [begin(client, headers) for _ in range(5)][::-1]
    first = client.get("/v1/runs?limit=3", headers=headers).json()
    second = client.get(f"/v1/runs?limit=3&before={first['next']}", headers=headers).json()
    assert [one["id"] for one in first["runs"] + second["runs"]] == sorted(made, reverse=True)
    assert second["next"] is None


def test_events_come_from_the_one_after_the_last_that_was_seen(
    client: TestClient, token: Callable[..., dict[str, str]], ended: Callable[..., Run]
) -> None:
    headers = token()
    run_id = begin(client, headers)
    # A stream that looks just as the run ends has its last event: both are one transaction.
    ended(run_id)
    every = client.get(f"/v1/runs/{run_id}/events", headers=headers).text
    assert [line for line in every.splitlines() if line.startswith(("id", "event"))] == [
        *("id: 1", "event: asked"),
        *("id: 2", "event: ended"),
    ]
    rest = client.get(f"/v1/runs/{run_id}/events", headers=headers | {"Last-Event-ID": "1"}).text
    assert "event: ended" in rest
    assert "event: asked" not in rest


def test_events_say_what_happened_in_the_language_of_their_reader(
    client: TestClient, desk: Desk, token: Callable[..., dict[str, str]], ended: Callable[..., Run]
) -> None:
    headers = token()
    run_id = begin(client, headers)
    run, seen = there(desk.runs.get(run_id)), {"address": "192.0.2.7", "transport": "", "account": "1001"}
    run.happened("step", "alpha", step="Begin restart_asterisk", state="failed", seconds=1.0)
    run.happened("seen", "alpha", outcome="wrong_password", **seen)
    ended(run_id)
    for language, words, tried in (
        ("en", ["Begin restart_asterisk", "alpha · failed"], "The client tries to connect: wrong password"),
        (
            "it",
            ["Inizio di restart_asterisk", "alpha · non riuscito"],
            "Il client prova a connettersi: password errata",
        ),
    ):
        stream = client.get(f"/v1/runs/{run_id}/events?language={language}", headers=headers).text
        asked, step, attempt, end = (json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: "))
        assert (asked["said"], step["said"], end["said"]) == (None, words, None)
        assert attempt["said"] == [tried, "192.0.2.7 · 1001"]
        assert (step["server"], step["step"], step["state"]) == ("alpha", "Begin restart_asterisk", "failed")


def test_an_unchanged_run_is_not_sent_again(client: TestClient, token: Callable[..., dict[str, str]]) -> None:
    headers = token()
    run_id = begin(client, headers)
    tag = client.get(f"/v1/runs/{run_id}", headers=headers).headers["ETag"]
    assert client.get(f"/v1/runs/{run_id}", headers=headers | {"If-None-Match": tag}).status_code == 304


@pytest.mark.attack("bodies that do not end, lie about their length or are no JSON", harm="outage")
def test_bodies_are_bounded(client: TestClient, token: Callable[..., dict[str, str]]) -> None:
    headers = token() | {"Content-Type": "application/json"}

    def endless() -> Iterator[Any]:
        for _ in range(2 * MAX_BODY // 65536):
            yield b" " * 65536

    assert client.post("/v1/runs", content=endless(), headers=headers).status_code == 413
    assert client.post("/v1/runs", content=b"{", headers=headers).status_code == 422
    assert client.post("/v1/runs", content=b"[" * 100_000, headers=headers).status_code < 500


def test_answers_have_a_policy_that_allows_nothing_of_others(client: TestClient) -> None:
    headers = client.get("/healthz").headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("nosniff", "no-store")
    assert client.get("/readyz").json() == {"status": "ok"}
    assert client.get("/nothing").headers["Content-Type"] == "application/problem+json"


def test_it_is_not_ready_once_a_part_of_it_has_ended(client: TestClient) -> None:
    part = threading.Thread(target=lambda: None)
    state_of(client).threads.append(part)
    part.start()
    part.join()
    assert client.get("/readyz").status_code == 503


def test_too_many_requests_are_refused(client: TestClient, desk: Desk, token: Callable[..., dict[str, str]]) -> None:
    desk.door._each = type(desk.door._each)(3)
    headers = token()
    codes = [client.get("/v1/me", headers=headers).status_code for _ in range(5)]
    assert codes == [200, 200, 200, 429, 429]


@pytest.mark.attack("somebody changes the audit", harm="breach")
def test_a_changed_or_removed_row_breaks_the_audit(
    client: TestClient, desk: Desk, token: Callable[..., dict[str, str]], settings: Settings
) -> None:
    for _ in range(3):
        begin(client, token())
    assert audit.broken(desk.engine) is None
    second = token("second_level")
    lines = client.get("/v1/audit", headers=second).text.splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == list(range(1, len(lines) + 1))
    with desk.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE audit SET who = 'nobody' WHERE sequence = 2")
    assert audit.broken(desk.engine) == 2
    with desk.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM audit WHERE sequence = 2")
    assert audit.broken(desk.engine) == 2


@pytest.mark.attack("who reads the database wants to sign in", harm="leak")
def test_no_secret_is_stored(
    client: TestClient, desk: Desk, token: Callable[..., dict[str, str]], settings: Settings
) -> None:
    secret = token()["Authorization"].rpartition("_")[2]
    desk.people.add_user("ann", "first_level", "correct horse battery", "en", "test")
    session = desk.people.begin_session(there(desk.people.signed_in("ann", "correct horse battery")), "")
    kept = b"".join(path.read_bytes() for path in settings.state.iterdir() if path.is_file())
    assert b"ann" in kept
    for one in (secret, session, "correct horse battery"):
        assert one.encode() not in kept


def test_a_password_is_right_or_wrong(desk: Desk) -> None:
    desk.people.add_user("ann", "first_level", "correct horse battery", "it", "test")
    assert there(desk.people.signed_in("ann", "correct horse battery")).language == "it"
    assert desk.people.signed_in("ann", "correct horse batterz") is None
    assert desk.people.signed_in("bob", "correct horse battery") is None
    session = desk.people.begin_session(there(desk.people.signed_in("ann", "correct horse battery")), "")
    assert there(desk.people.by_session(session)).name == "ann"
    desk.people.add_user("ann", "admin", "another horse battery", "it", "test")
    assert desk.people.by_session(session) is None
