"""The API against its own description, with each role: whatever is sent, valid or not, gets an answer that is
described, and nobody gets what the role does not allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import strategies
from reconnect.runs.store import Run
from reconnect.service.desk import Desk
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks

from ..conftest import ROLES, plan_of, plan_step
from ..test_api import MATRIX, begin

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
STEADY = hypothesis.settings(
    max_examples=3,
    database=None,
    derandomize=True,
    deadline=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)
NOBODY = "nobody"


def allowed(method: str, path: str) -> set[str]:
    """The roles that may ask this for anything at all, by the matrix."""
    names = {"{run}": "{run_id}", "{approval}": "{approval_id}", "/alpha": "/{server}"}
    found: set[str] = set()
    for known, known_path, _, roles in [*MATRIX, ("GET", "/v1/causes", None, ROLES)]:
        for short, name in names.items():
            known_path = known_path.partition("?")[0].replace(short, name)
        if (known, known_path) == (method, path):
            found.update(roles)
    return found


def filled(case: Any, known: dict[str, str]) -> None:
    """Puts in what is there, so that not every answer is that there is no such thing."""
    case.path_parameters = {name: known.get(name, value) for name, value in (case.path_parameters or {}).items()}
    if isinstance(case.body, dict):
        if "plan_hash" in case.body:
            case.body["plan_hash"] = known["plan_hash"]
        if "playbook" in case.body:
            case.body = {name: value for name, value in case.body.items() if name not in {"incident", "account"}}
            case.body["servers"] = ["alpha"]


@pytest.mark.attack("requests of every shape, with every role", harm="breach")
@pytest.mark.parametrize("role", [*ROLES, NOBODY])
def test_whatever_is_sent_the_answer_is_described_and_allowed(
    client: TestClient, desk: Desk, token: Callable[..., dict[str, str]], ended: Callable[..., Run], role: str
) -> None:
    asker = token("first_level", "asker")
    run_id = begin(client, asker)
    run = ended(run_id, plan_step(), plan_step("restart_asterisk", "service", "approval"))
    plan = {"plan_hash": plan_of(run)}
    approval = client.post(f"/v1/runs/{run_id}/approvals", json=plan, headers=asker).json()["approval_id"]
    known = {"run_id": run_id, "approval_id": approval, "server": "alpha", **plan}
    headers = {} if role == NOBODY else token(role)
    schema = schemathesis.openapi.from_asgi("/v1/openapi.json", client.app)
    seen = set()

    def exercise(operation: Any) -> None:
        may = allowed(operation.method.upper(), operation.path)

        @STEADY
        @hypothesis.given(strategies.data())
        def ask(data: Any) -> None:
            mode = data.draw(strategies.sampled_from(GenerationMode))
            case = data.draw(operation.as_strategy(generation_mode=mode))
            if data.draw(strategies.booleans()):
                filled(case, known)
            if isinstance(case.query, dict) and operation.path == "/v1/events" and case.query.get("wait") in range(26):
                # There is nothing to wait for.
                case.query["wait"] = 0
            answer = case.call(headers=headers)
            case.validate_response(answer, checks=CHECKS)
            seen.add(answer.status_code)
            assert role in may or answer.status_code >= 400, (operation.label, answer.status_code)

        ask()

    for operation in schema.get_all_operations():
        assert isinstance(operation, Ok)
        exercise(operation.ok())
    assert seen >= ({401} if role == NOBODY else {200, 404, 422})
