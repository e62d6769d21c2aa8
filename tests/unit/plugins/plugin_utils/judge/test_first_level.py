"""First level: what closes an incident, what it may fix, what it hands on."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge import verdict
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.documents import Judgement
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.evidence import Evidence
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.finding import Finding
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.first_level import handed_on, narrowed

TESTS = Path(__file__).resolve().parents[4]


def root(cause: str, subject: str, remedy: str | None = None) -> dict[str, Any]:
    return {"cause": cause, "subject": subject, "title": cause.replace("_", " "), "remedy": remedy}


def step(remedy: str, role: str) -> dict[str, Any]:
    return {"remedy": remedy, "role": role, "decision": "planned", "changes": []}


def judged(roots: list[dict[str, Any]], plan: list[dict[str, Any]], outcome: str = "fault_found") -> Judgement:
    verdict: Any = {
        "outcome": outcome,
        "root_causes": roots,
        "symptoms": [],
        "plan": plan,
        "next_step": "",
        "user_message": None,
    }
    return {"verdict": verdict | {"escalate_to": None}, "findings": []}


@pytest.mark.parametrize("report", [None, {}, {"internet": None}, {"internet": True}, {"internet": "false"}])
def test_only_a_clear_no_is_no_internet(report: dict[str, Any] | None) -> None:
    assert judge.triage(report) is None


def test_without_internet_it_is_not_an_issue() -> None:
    closed = judge.triage({"internet": False}, [{"outcome": "registered"}])
    assert closed is not None
    assert closed["verdict"]["outcome"] == "not_an_issue"
    assert closed["findings"][0]["runbook_step"] == "L1.1"
    assert closed["verdict"]["plan"] == []


@pytest.mark.parametrize("outcome", ["challenged", "wrong_password", "unregistered", "no_contact"])
def test_an_attempt_that_failed_closes_nothing(outcome: str) -> None:
    assert judge.triage({"internet": True}, [{"outcome": outcome}]) is None


def test_a_registration_in_the_watch_was_a_temporary_problem() -> None:
    neighbour = {"outcome": "registered", "account": "1004", "address": "192.0.2.9", "transport": "tls"}
    assert judge.triage({}, [neighbour], "1003") is None
    own = {**neighbour, "account": "1003"}
    closed = judge.triage({}, [{"outcome": "challenged"}, neighbour, own], "1003")
    assert closed is not None
    assert closed["verdict"]["outcome"] == "temporary_network_problem"
    assert closed["findings"][0]["summary"] == "The account registered from 192.0.2.9 over tls during the watch."


def test_the_account_is_fixed_when_the_server_is_healthy() -> None:
    first = judged([root("account_missing", "account", "fix_account")], [step("fix_account", "account")])
    assert narrowed(first, None)["verdict"] == first["verdict"]


def test_a_fault_of_the_server_leaves_the_account_alone() -> None:
    roots = [
        root("database_stopped", "database", "restart_database"),
        root("account_missing", "account", "fix_account"),
    ]
    plan = [step("restart_database", "database"), step("fix_account", "account")]
    verdict = narrowed(judged(roots, plan), None)["verdict"]
    assert verdict["plan"] == []
    assert verdict["outcome"] == "escalate_second_level"
    assert "database_stopped" in verdict["next_step"]
    assert "account_missing" not in verdict["next_step"]


def test_what_is_for_a_person_is_never_called_fixable() -> None:
    roots = [root("acl_denies", "account"), root("auth_missing", "account", "fix_account")]
    verdict = narrowed(judged(roots, [step("fix_account", "account")]), None)["verdict"]
    assert verdict["outcome"] == "escalate_second_level"
    assert "acl_denies" in verdict["next_step"]


def test_everything_right_and_still_failing_goes_on_with_the_exact_message() -> None:
    verdict = narrowed(judged([], [], "healthy"), {"error_message": "503 Service Unavailable {{ 7*7 }}"})["verdict"]
    assert verdict["outcome"] == "escalate_second_level"
    assert verdict["next_step"].endswith("503 Service Unavailable {{ 7*7 }}")


def test_checks_that_could_not_run_are_told() -> None:
    first = judged([], [], "escalate_third_level")
    first["verdict"]["next_step"] = "Nothing could be checked."
    verdict = narrowed(first, None)["verdict"]
    assert (verdict["outcome"], verdict["next_step"]) == (
        "escalate_second_level",
        "Nothing could be checked.",
    )


def test_first_level_never_skips_second() -> None:
    said: Any = {"next_step": "Ask.", "user_message": {"id": "user.disk_full", "arguments": {}}}
    left: Any = {"outcome": "escalate_third_level", "escalate_to": "third level", **said}
    assert dict(handed_on(left)) == {"outcome": "escalate_second_level", "escalate_to": "second level", **said}
    fixed: Any = {"outcome": "fixed_account"}
    assert dict(handed_on(fixed)) == {"outcome": "fixed_account"}


#: Causes of an account and its client, as they are found, and a fault of the server.
CAUSES = {
    "transport_mismatch": "account",
    "password_mismatch": "account",
    "client_wrong_port": "client",
    "database_stopped": "database",
    "aor_missing": "account",
}


def rotated(*causes: str, allowed: verdict._Allowed) -> Judgement:
    """What first level makes of these causes, where a new password is asked for."""
    document = json.loads(gzip.decompress((TESTS / "evidence" / "healthy.pbx22.json.gz").read_bytes()))
    findings = [Finding(cause, "fail", CAUSES[cause], "Wrong.", "", cause=cause) for cause in causes]
    found = verdict._verdict(Evidence(document), findings, allowed)
    return narrowed({"verdict": found, "findings": [one.as_dict() for one in findings]}, None, rotate=True)


@pytest.mark.parametrize(
    ("apply", "approvals", "ask", "decision"),
    [
        (False, (), (), "planned"),
        # Who asks for a new password has approved it, and what gives it to the client.
        (True, (), (), "run"),
        (True, (), ("fix_account", "deliver_configuration"), "run"),
        (True, (), ("rotate_password",), "approval"),
        (True, (), ("password_mismatch",), "approval"),
        (True, ("fix_account", "deliver_configuration"), ("rotate_password",), "approval"),
        (True, ("rotate_password",), ("rotate_password",), "run"),
    ],
)
def test_a_new_password_replaces_what_would_fix_the_old_one_and_is_decided_by_its_own_name(
    apply: bool, approvals: tuple[str, ...], ask: tuple[str, ...], decision: str
) -> None:
    allowed = verdict._Allowed(apply, approvals, ask, rotate=True)
    found = rotated("transport_mismatch", "password_mismatch", "client_wrong_port", allowed=allowed)["verdict"]
    (step,) = found["plan"]
    assert (step["remedy"], step["role"], step["entry"]) == ("rotate_password", "client", "rotate")
    assert (step["cause"], step["policy"], step["decision"]) == ("password_mismatch", "approve", decision)
    assert ("--approve rotate_password" in step["reason"]) is (decision == "approval")
    assert {one["remedy"] for one in found["root_causes"]} == {"rotate_password"}
    assert found["outcome"] == "fault_found"


def test_a_password_that_is_right_is_kept() -> None:
    found = rotated("aor_missing", allowed=verdict._Allowed(False, (), (), rotate=True))["verdict"]
    assert [one["remedy"] for one in found["plan"]] == ["fix_account"]
    assert found["next_step"].endswith("No new password is made: the password is not the fault.")


def test_no_password_is_made_while_the_server_is_ill() -> None:
    allowed = verdict._Allowed(True, (), (), rotate=True)
    assert rotated("database_stopped", "password_mismatch", allowed=allowed)["verdict"]["plan"] == []


def test_only_first_level_makes_a_new_password() -> None:
    document = json.loads(gzip.decompress((TESTS / "evidence" / "password_mismatch.pbx22.json.gz").read_bytes()))
    first, second = judge.judge(document, level="first", rotate=True), judge.judge(document, rotate=True)
    assert [one["remedy"] for one in first["verdict"]["plan"]] == ["rotate_password"]
    assert [one["remedy"] for one in second["verdict"]["plan"]] == ["fix_account"]


@pytest.mark.parametrize(("status", "words"), [("pass", "a client is registered"), ("warn", "still cannot connect.")])
def test_where_all_is_right_it_says_whether_a_client_is_registered(status: str, words: str) -> None:
    findings: Any = [{"code": "account.live", "status": status}]
    well: Judgement = {**judged([], [], "healthy"), "findings": findings}
    assert words in narrowed(well, None)["verdict"]["next_step"]


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        (["account.registry", "client.port"], "Account, client configuration and server look right, and"),
        (["account.registry"], "The server and the account look right. The client configuration was not compared, and"),
        (["client.domain"], "The server and the client configuration look right. The account was not compared, and"),
        ([], "The server looks right. The account and the client configuration were not compared, and"),
    ],
)
def test_it_says_what_looks_right_only_of_what_was_compared(codes: list[str], words: str) -> None:
    findings: Any = [{"code": code, "status": "pass"} for code in codes]
    findings.append({"code": "client.address", "status": "unknown"})
    well: Judgement = {**judged([], [], "healthy"), "findings": findings}
    assert narrowed(well, None)["verdict"]["next_step"].startswith(words)
