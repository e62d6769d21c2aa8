# SPDX-License-Identifier: GPL-3.0-or-later
"""What the judge says of registrations: what verifies a server, what is a fault, what is not known."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge import finding
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.documents import Judgement

EVIDENCE = Path(__file__).resolve().parents[5] / "evidence"
HEALTHY = {
    file.name.split(".")[1]: json.loads(gzip.decompress(file.read_bytes()))
    for file in EVIDENCE.glob("healthy.*.json.gz")
}


@pytest.fixture(params=sorted(HEALTHY))
def healthy(request: pytest.FixtureRequest) -> dict[str, Any]:
    return copy.deepcopy(HEALTHY[request.param])


def reserved(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["registrations"]["601"]
    return found


def failed(error: str) -> dict[str, Any]:
    return {"ok": False, "seconds": 0.1, "error": error, "message": "why"}


def codes(judged: Judgement, status: str) -> list[tuple[str, str]]:
    return [(one["code"], one["vantage"]) for one in judged["findings"] if one["status"] == status]


def causes(judged: Judgement) -> list[str]:
    return [one["cause"] for one in judged["verdict"]["root_causes"]]


def test_a_registration_from_everywhere_verifies_a_healthy_server(healthy: dict[str, Any]) -> None:
    judged = judge.judge(healthy)
    assert judged["verdict"]["outcome"] == "healthy"
    assert {("registration.reserved", "control"), ("registration.reserved", "phone")} <= set(codes(judged, "pass"))


def no_evidence(document: dict[str, Any]) -> None:
    del document["registrations"]


def no_account(document: dict[str, Any]) -> None:
    document["settings"]["test_account"], document["registrations"] = "", {}


def not_registered(document: dict[str, Any]) -> None:
    document["registrations"]["601"] = {"control": failed("missing")}


def another_client(document: dict[str, Any]) -> None:
    for one in reserved(document).values():
        one["data"].update(others=1, registered=None, listed=False, unregistered=False)


def check_mode(document: dict[str, Any]) -> None:
    document["registrations"]["601"] = {"control": failed("skipped")}


@pytest.mark.parametrize("change", [no_evidence, no_account, not_registered, another_client, check_mode])
def test_without_a_registration_nothing_is_healthy(
    healthy: dict[str, Any], change: Callable[[dict[str, Any]], None]
) -> None:
    change(healthy)
    judged = judge.judge(healthy)
    verdict = judged["verdict"]
    assert (verdict["outcome"], causes(judged)) == ("unverified", [])
    assert verdict["next_step"].startswith("No fault found, but that is not verified: ")
    assert any(
        one["summary"] in verdict["next_step"] for one in judged["findings"] if one["code"] == "registration.reserved"
    )
    assert verdict["user_message"] == {"id": "user.unverified", "arguments": {}}


def test_one_vantage_that_registered_is_enough_where_the_other_could_not_be_asked(healthy: dict[str, Any]) -> None:
    reserved(healthy)["phone"] = failed("skipped")
    assert judge.judge(healthy)["verdict"]["outcome"] == "healthy"


@pytest.mark.parametrize("error", ["timed_out", "refused", "invalid", "failed"])
def test_a_registration_without_an_answer_is_a_fault_though_everything_else_passes(
    healthy: dict[str, Any], error: str
) -> None:
    reserved(healthy)["control"] = failed(error)
    judged = judge.judge(healthy)
    assert causes(judged) == ["unknown_cause"]
    assert judged["verdict"]["outcome"] == "escalate_third_level"


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
def test_a_refused_login_is_a_fault(healthy: dict[str, Any], status: int) -> None:
    data = reserved(healthy)["control"]["data"]
    data.update(accepted=False, registered=None, listed=False, unregistered=False)
    data["answers"] = [{"expires": None, "status": status, "reason": "No", "seconds": 0.1, "algorithm": None}]
    judged = judge.judge(healthy)
    assert causes(judged) == ["unknown_cause"]
    assert f": {status} No." in judged["verdict"]["root_causes"][0]["summary"]


def test_a_refused_contact_is_a_fault(healthy: dict[str, Any]) -> None:
    data = reserved(healthy)["control"]["data"]
    data.update(registered=False, listed=False, unregistered=False)
    data["answers"].append({"expires": 60, "status": 403, "reason": "Forbidden", "seconds": 0.1, "algorithm": "MD5"})
    assert causes(judge.judge(healthy)) == ["unknown_cause"]


def not_in_the_answer(data: dict[str, Any]) -> None:
    data["registered"] = False


def not_there_later(data: dict[str, Any]) -> None:
    data["listed"] = False


def not_in_asterisk(data: dict[str, Any]) -> None:
    data["server"]["data"]["live"] = ["sip:601@192.0.2.1:5061"]


def not_stored(data: dict[str, Any]) -> None:
    data["server"]["data"]["stored"] = []


@pytest.mark.parametrize("change", [not_in_the_answer, not_there_later, not_in_asterisk, not_stored])
def test_a_200_whose_contact_is_not_kept_has_a_cause(healthy: dict[str, Any], change: Callable[..., None]) -> None:
    change(reserved(healthy)["control"]["data"])
    judged = judge.judge(healthy)
    assert causes(judged) == ["contact_write_failed"]
    assert ("registration.reserved", "control") in codes(judged, "fail")


def test_what_could_not_be_read_is_no_fault(healthy: dict[str, Any]) -> None:
    reserved(healthy)["control"]["data"]["server"]["data"].update(stored=None, why="no driver")
    assert judge.judge(healthy)["verdict"]["outcome"] == "healthy"


def test_another_fault_explains_the_registration(healthy: dict[str, Any]) -> None:
    reserved(healthy)["control"]["data"]["listed"] = False
    healthy["database"]["login"] = {**failed("refused"), "code": "1045"}
    judged = judge.judge(healthy)
    assert "contact_write_failed" not in causes(judged)
    assert "unknown_cause" not in causes(judged)
    assert [one["cause"] for one in judged["verdict"]["symptoms"] if one["code"] == "registration.reserved"] == [None]


def test_the_fault_of_another_account_does_not_explain_the_reserved_one(healthy: dict[str, Any]) -> None:
    reserved(healthy)["control"] = failed("timed_out")
    differs = {"field": "password", "wanted": "***", "found": "***", "cause": "password_mismatch"}
    data = {"registered": True, "enabled": True, "findings": [differs]}
    healthy["account"] = {"registry": {"ok": True, "seconds": 0.1, "data": data}}
    assert sorted(causes(judge.judge(healthy))) == ["password_mismatch", "unknown_cause"]


def test_the_account_of_the_incident_registers_too(healthy: dict[str, Any]) -> None:
    healthy["registrations"]["1001"] = copy.deepcopy(reserved(healthy))
    judged = judge.judge(healthy)
    assert ("registration.account", "control") in codes(judged, "pass")
    healthy["registrations"]["1001"]["control"] = failed("timed_out")
    assert causes(judge.judge(healthy)) == ["unknown_cause"]


@pytest.mark.parametrize("status", [403, 404])
def test_options_that_turns_everybody_away_is_no_pass_unless_somebody_registers(
    healthy: dict[str, Any], status: int
) -> None:
    for path in healthy["paths"].values():
        for one in path["data"]["sip"].values():
            one["data"]["status"] = status
    assert "sip.options" in {code for code, _vantage in codes(judge.judge(healthy), "pass")}
    no_evidence(healthy)
    judged = judge.judge(healthy)
    assert "sip.options" not in {code for code, _vantage in codes(judged, "pass")}
    assert judged["verdict"]["outcome"] == "unverified"


def test_a_rule_that_crashes_leaves_nothing_verified(healthy: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_evidence: object) -> Any:
        raise ZeroDivisionError

    for number in range(len(finding.RULES)):
        rules = [*finding.RULES[:number], broken, *finding.RULES[number + 1 :]]
        monkeypatch.setattr("ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.verdict.RULES", rules)
        assert judge.judge(healthy)["verdict"]["outcome"] in ("unverified", "escalate_third_level")


def test_a_rule_that_finds_nothing_leaves_nothing_verified(
    healthy: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.verdict.RULES", [])
    verdict = judge.judge(healthy)["verdict"]
    assert (verdict["outcome"], "asterisk.process" in verdict["next_step"]) == ("unverified", True)


def test_a_fix_without_a_registration_is_not_verified(healthy: dict[str, Any]) -> None:
    broken = copy.deepcopy(healthy)
    broken["database"]["login"] = {**failed("refused"), "code": "1045"}
    no_account(healthy)
    first, after = judge.judge(broken, apply=True), judge.judge(healthy, apply=True)
    last = judge.conclude(first, after, [{"state": "done", "remedy": "restart_database", "cause": "database_stopped"}])
    assert last["verdict"]["outcome"] == "unverified"
    assert last["verdict"]["next_step"].startswith("The remedy seems to work, but that is not verified: ")
