"""Whatever stands in a body, the answer is no defect."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

HOSTILE = {
    "half a surrogate pair": r'"\ud800"',
    "a null": r'"a\u0000b"',
    "another direction": r'"a\u202eb\u200b"',
    "another header": r'"a\r\nBcc: b@example.org"',
    "a template": '"{{ 7*7 }}{% raw %}"',
    "a shell": '"$(id)`id`;|&"',
    "a path": '"../../etc/passwd"',
    "a value of Ansible": '{"__ansible_vault": "x"}',
    "infinity": "1e999",
    "no number": "NaN",
    "a long number": "9" * 4400,
    "something deep": "[" * 20_000 + "]" * 20_000,
}
REPORT = {"error_message": "x", "settings": {"server": "x"}, "log": ["x"]}
RUN = {"playbook": "fix-account-config", "servers": ["alpha"], "account": "1001", "client_report": REPORT}
PLAN = {"plan_hash": "0" * 64}
BODIES: list[tuple[str, dict[str, Any]]] = [
    ("runs", RUN | {"incident": "rt:1"}),
    ("runs/20261127-000000-abcdef/confirm", PLAN | {"approvals": ["x"]}),
    ("runs/20261127-000000-abcdef/wrong", {"cause": "none", "server": "alpha"}),
    ("selfchecks", {"server": "alpha", "account": "1001", "incident": "rt:1"}),
    ("approvals/0123456789abcdef/decision", PLAN | {"decision": "deny", "comment": "x"}),
    ("holds", {"servers": ["alpha"], "reason": "x"}),
]


def places(value: Any) -> list[tuple[Any, ...]]:
    """Where something stands in a document, the names in it included."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, one in inner for place in ((key,), *((key, *rest) for rest in places(one)))]


def with_hostile(body: Any, place: tuple[Any, ...]) -> Any:
    """A copy of a body with a sign at a place."""
    copy = json.loads(json.dumps(body))
    at = copy
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = "HOSTILE"
    return copy


@pytest.mark.attack("hostile values in every field of every body", harm="wrong")
@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize(("path", "body"), BODIES, ids=[path for path, _ in BODIES])
def test_a_hostile_value_is_no_defect(
    path: str, body: dict[str, Any], hostile: str, client: TestClient, token: Callable[..., dict[str, str]]
) -> None:
    headers = {**token("second_level"), "Content-Type": "application/json"}
    for place in places(body):
        content = json.dumps(with_hostile(body, place)).replace('"HOSTILE"', hostile)
        answer = client.post(f"/v1/{path}", content=content, headers=headers)
        assert answer.status_code != 500, (place, answer.text[:300])
        assert "\u202e" not in answer.text
        assert "NaN" not in answer.text
