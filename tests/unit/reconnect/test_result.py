from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge import verdict
from pydantic import ValidationError
from reconnect.exit_codes import WORST_FIRST, ExitCode, of_result, worst
from reconnect.result import UNKNOWN_CAUSE, Result, json_schema, steps, to_json

ROOT = Path(__file__).resolve().parents[3]

DOCUMENT: dict[str, Any] = {
    "schema": "reconnect/result/v1",
    "run_id": "20260131-030000-abcdef",
    "state": "succeeded",
    "playbook": "diagnose-server.yml",
    "mode": "apply",
    "server": "pbx22",
    "server_id": "0123456789abcdef0123456789abcdef",
    "account": None,
    "incident": "rt:1",
    "started_at": "2026-01-31T03:00:00Z",
    "finished_at": "2026-01-31T03:00:04.250Z",
    "error_message": None,
    "verdict": {
        "outcome": "fixed_service",
        "root_causes": [
            {
                "cause": "database_stopped",
                "subject": "database",
                "about": "mariadb.service",
                "title": "Database stopped",
                "summary": "The unit is inactive.",
                "runbook_step": "L2.3",
                "remedy": "restart_database",
                "policy": "auto",
                "vantages": ["server"],
            }
        ],
        "symptoms": [
            {
                "cause": "odbc_disconnected",
                "code": "asterisk.odbc",
                "explained_by": "database_stopped",
                "summary": "No connection.",
                "times": 1,
            }
        ],
        "plan": [],
        "next_step": None,
        "user_message": "Please try again.",
        "escalate_to": None,
    },
    "findings": [
        {
            "code": "database.unit",
            "status": "fail",
            "subject": "database",
            "about": "mariadb.service",
            "summary": "The unit is inactive.",
            "cause": "database_stopped",
            "evidence": [{"path": "host.units.data", "value": "inactive"}],
            "vantage": None,
            "runbook_step": "L2.3",
        }
    ],
    "remedies": [
        {
            "remedy": "restart_database",
            "cause": "database_stopped",
            "state": "done",
            "reason": None,
            "changes": ["-inactive", "+active"],
            "before": {"active_state": "inactive"},
            "after": {"active_state": "active"},
            "interrupted": {"calls": 0, "registrations": 14, "seconds": 4.2},
            "rolled_back": False,
            "escalate": False,
            "started_at": "2026-01-31T03:00:01Z",
            "finished_at": "2026-01-31T03:00:02Z",
        }
    ],
    "timeline": [{"at": "2026-01-31T03:00:00Z", "step": "Gather", "state": "ok", "seconds": 1.5}],
}


def test_the_cause_without_a_name_is_the_judges() -> None:
    assert UNKNOWN_CAUSE == verdict.UNKNOWN_CAUSE


def test_a_document_survives_reading_and_writing() -> None:
    assert to_json(Result.model_validate(DOCUMENT)) == DOCUMENT


def test_the_written_schema_is_current() -> None:
    assert json.loads((ROOT / "docs" / "reference" / "schemas" / "result.json").read_text()) == json_schema()


def test_the_schema_takes_a_document() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    jsonschema.Draft202012Validator(json_schema()).validate(DOCUMENT)


@pytest.mark.parametrize(
    "change",
    [
        {"state": "done"},
        {"schema": "reconnect/result/v2"},
        {"started_at": "2026-01-31T03:00:00"},
        {"server": None},
        {"verdict": {"outcome": "fine"}},
    ],
)
def test_what_is_not_a_result_is_refused_by_model_and_schema(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Result.model_validate({**DOCUMENT, **change})
    if "started_at" not in change:  # a schema does not check formats
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(json_schema()).validate({**DOCUMENT, **change})


def test_what_is_no_field_is_left_out() -> None:
    surplus = {**DOCUMENT, "surplus": 1, "remedies": [{**DOCUMENT["remedies"][0], "role": "database"}]}
    assert to_json(Result.model_validate(surplus)) == DOCUMENT
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(json_schema()).validate(surplus)


@pytest.mark.parametrize(
    ("state", "outcome", "code"),
    [
        ("succeeded", "healthy", 0),
        ("succeeded", "not_an_issue", 0),
        ("succeeded", "temporary_network_problem", 0),
        ("succeeded", "fixed_service", 0),
        ("succeeded", "fault_found", 10),
        ("succeeded", "escalate_second_level", 10),
        ("succeeded", "escalate_third_level", 10),
        ("refused", "escalate_third_level", 11),
        ("unreachable", None, 12),
        ("timed_out", None, 13),
        ("cancelled", "healthy", 13),
        ("failed", None, 1),
        ("succeeded", None, 1),
    ],
)
def test_exit_code(state: str, outcome: str | None, code: int) -> None:
    verdict = {"outcome": outcome} if outcome else None
    assert of_result(Result.model_validate({**DOCUMENT, "state": state, "verdict": verdict})) == code


def test_the_worst_exit_code_counts() -> None:
    assert set(WORST_FIRST) == set(ExitCode) - {ExitCode.USAGE}
    assert worst([ExitCode.OK, ExitCode.UNREACHABLE, ExitCode.NOT_FIXED]) == 12
    assert worst([ExitCode.NOT_FIXED, ExitCode.REPORT_PENDING]) == 14
    assert worst([]) == 0


def test_steps_are_those_of_every_plan_with_their_server() -> None:
    plan = [{"remedy": one, "cause": "c", "policy": "auto", "decision": one} for one in ("planned", "approval")]
    verdict = {"outcome": "fault_found", "plan": plan}
    results = [
        Result.model_validate({**DOCUMENT, "server": server, "verdict": said})
        for server, said in (("pbx1", verdict), ("pbx2", None), ("pbx3", verdict))
    ]
    assert [(server, step.remedy) for server, step in steps(results, "planned")] == [
        ("pbx1", "planned"),
        ("pbx3", "planned"),
    ]
    assert len(steps(results)) == 4
    assert steps(results, "run") == []
