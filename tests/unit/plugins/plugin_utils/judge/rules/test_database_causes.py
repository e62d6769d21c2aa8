"""The database's causes: slow, damaged, outdated, not writable, and what is another fault."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge

EVIDENCE = Path(__file__).resolve().parents[5] / "evidence"
LOOKUP = {"table": "ps_endpoints", "seconds": 0.01, "found": True}


@pytest.fixture(scope="module")
def saved() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(gzip.decompress((EVIDENCE / "healthy.pbx22.json.gz").read_bytes()))
    return document


@pytest.fixture
def healthy(saved: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(saved)


def ok(data: object) -> dict[str, Any]:
    return {"ok": True, "seconds": 0.01, "data": data}


def no(error: str, **more: object) -> dict[str, Any]:
    return {"ok": False, "seconds": 3.0, "error": error, "message": "no answer", **more}


def roots(evidence: dict[str, Any]) -> list[str]:
    return [one["cause"] for one in judge.judge(evidence)["verdict"]["root_causes"]]


def status(evidence: dict[str, Any], code: str) -> list[str]:
    return [one["status"] for one in judge.judge(evidence)["findings"] if one["code"] == code]


@pytest.mark.parametrize(("seconds", "word"), [(0.49, "pass"), (0.5, "warn"), (1.99, "warn"), (2.0, "fail")])
def test_how_slow_a_lookup_may_be(healthy: dict[str, Any], seconds: float, word: str) -> None:
    healthy["database"]["lookup"] = ok({**LOOKUP, "seconds": seconds})
    assert status(healthy, "database.lookup") == [word]
    assert roots(healthy) == (["database_slow"] if word == "fail" else [])


def test_a_slow_trivial_query_is_a_slow_database(healthy: dict[str, Any]) -> None:
    healthy["database"]["query"] = ok({"seconds": 2.2})
    assert roots(healthy) == ["database_slow"]


def test_a_lookup_without_an_answer_names_who_has_been_at_work_longest(healthy: dict[str, Any]) -> None:
    healthy["database"]["lookup"] = no("timed_out")
    busy = [{"user": "report", "seconds": 70.0, "state": "User sleep"}]
    healthy["database"]["admin"] = ok({"reached": True, "error": None, "longest": busy})
    verdict = judge.judge(healthy)["verdict"]
    assert [one["cause"] for one in verdict["root_causes"]] == ["database_slow"]
    assert "report has been at work for 70 s" in verdict["root_causes"][0]["summary"]


def silent(healthy: dict[str, Any], admin: dict[str, Any], state: str = "S", **more: dict[str, Any]) -> dict[str, Any]:
    """A database whose port takes connections and that answers no login, with what its administrator is told."""
    nobody = dict.fromkeys(("login", "query", "lookup", "accounts", "status", "schema"), no("timed_out"))
    healthy["database"].update(nobody, admin=admin, place=ok({"address": "127.0.0.1", "here": True}), **more)
    healthy["database"]["process"]["data"]["state"] = state
    return healthy


def restarts(evidence: dict[str, Any]) -> bool:
    return any(one["remedy"] == "restart_database" for one in judge.judge(evidence, apply=True)["verdict"]["plan"])


@pytest.mark.parametrize(
    ("admin", "state"), [(no("timed_out"), "S"), (no("timed_out"), "T"), (no("missing"), "T"), (no("failed"), "T")]
)
def test_a_database_that_answers_nobody_hangs_and_is_not_slow(
    healthy: dict[str, Any], admin: dict[str, Any], state: str
) -> None:
    evidence = silent(healthy, admin, state)
    assert roots(evidence) == ["database_hung"]
    assert restarts(evidence)


@pytest.mark.attack("a rule drops what goes to a database that is well")
@pytest.mark.parametrize("port", [ok({"address": "127.0.0.1", "port": 3306}), no("timed_out"), no("refused")])
@pytest.mark.parametrize(
    "admin", [ok({"reached": True, "error": None}), ok({"reached": False, "error": "Access denied"})]
)
def test_a_database_that_answers_its_administrator_is_not_restarted(
    healthy: dict[str, Any], port: dict[str, Any], admin: dict[str, Any]
) -> None:
    # A rule drops what goes to its port, the loopback interface is down, or odbc.ini names another port.
    evidence = silent(healthy, admin, port=port)
    assert roots(evidence) == ["database_unreachable"]
    assert not restarts(evidence)


@pytest.mark.attack("odbc.ini leads to another host")
@pytest.mark.parametrize("admin", [no("timed_out"), ok({"reached": True, "error": None})])
@pytest.mark.parametrize("state", ["S", "T"])
def test_a_database_elsewhere_is_not_restarted(healthy: dict[str, Any], admin: dict[str, Any], state: str) -> None:
    place = ok({"address": "192.0.2.7", "here": False})
    evidence = silent(healthy, admin, state)
    evidence["database"].update(place=place, port=no("timed_out"))
    assert roots(evidence) == ["database_unreachable"]
    assert not restarts(evidence)
    # Nor is one started here that Asterisk does not use.
    evidence["host"]["units"]["data"][evidence["settings"]["database_unit"]].update(active_state="inactive")
    evidence["database"]["process"] = no("missing")
    assert roots(evidence) == ["database_unreachable"]


def test_a_query_without_an_answer_is_no_hung_database_while_others_get_one(healthy: dict[str, Any]) -> None:
    healthy["database"]["query"] = healthy["database"]["lookup"] = no("timed_out")
    assert "database_hung" not in roots(healthy)
    assert not restarts(healthy)


def test_nothing_is_restarted_on_a_guess(healthy: dict[str, Any]) -> None:
    evidence = silent(healthy, no("missing"))
    assert roots(evidence) == ["unknown_cause"]
    evidence = silent(healthy, no("timed_out"), port=no("timed_out"))
    evidence["database"].pop("place")
    assert roots(evidence) == ["unknown_cause"]


def test_a_unit_that_only_starts_others_is_not_the_database(healthy: dict[str, Any]) -> None:
    unit = healthy["settings"]["database_unit"]
    healthy["host"]["units"]["data"][unit].update(active_state="active", sub_state="exited", result="success")
    healthy["database"]["process"] = no("missing")
    assert roots(healthy) == []
    healthy["database"]["login"] = no("refused")
    assert "database_stopped" in roots(healthy)


@pytest.mark.parametrize("code", ["42501", "1142"])
@pytest.mark.parametrize("probe", ["lookup", "accounts"])
def test_a_table_that_may_not_be_read_is_neither_healthy_nor_missing(
    healthy: dict[str, Any], code: str, probe: str
) -> None:
    healthy["database"][probe] = no("denied", code=code)
    if probe == "lookup":
        healthy["database"]["schema"]["data"]["ps_endpoints"] = []
    assert roots(healthy) == ["database_hides_accounts"]


@pytest.mark.parametrize("code", ["1194", "XX001", "58P01"])
def test_what_a_server_says_of_damaged_files(healthy: dict[str, Any], code: str) -> None:
    healthy["database"]["lookup"] = no("failed", code=code)
    assert roots(healthy) == ["database_table_damaged"]


@pytest.mark.parametrize("where", ["tables", "lookup"])
def test_a_damaged_table_is_named_by_either_sign(healthy: dict[str, Any], where: str) -> None:
    if where == "tables":
        healthy["database"]["tables"] = ok({"ps_auths": {"damaged": True, "text": "Incorrect key file"}})
    else:
        healthy["database"]["lookup"] = no("failed", code="1194")
    assert roots(healthy) == ["database_table_damaged"]


def test_a_missing_column_and_a_missing_table_are_an_outdated_schema(healthy: dict[str, Any]) -> None:
    schema = healthy["database"]["schema"]["data"]
    schema["ps_contacts"].remove("via_addr")
    assert roots(healthy) == ["database_schema_outdated"]
    schema["ps_contacts"] = []
    assert roots(healthy) == ["database_schema_outdated"]


def test_a_column_is_needed_only_by_the_releases_that_have_it(healthy: dict[str, Any]) -> None:
    healthy["database"]["schema"]["data"]["ps_contacts"].remove("qualify_2xx_only")
    assert roots(healthy) == ["database_schema_outdated"]
    healthy["asterisk"]["version"]["data"] = {"full": "18.9.0", "major": 18}
    assert roots(healthy) == []


def test_a_table_of_another_name_is_judged_as_its_family(healthy: dict[str, Any]) -> None:
    schema = healthy["database"]["schema"]["data"]
    schema["contacts_of_ours"] = [name for name in schema.pop("ps_contacts") if name != "uri"]
    healthy["asterisk"]["realtime"]["data"]["ps_contacts"]["table"] = "contacts_of_ours"
    assert roots(healthy) == ["database_schema_outdated"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [("1142", ["contact_write_failed"]), ("42501", ["contact_write_failed"]), ("1290", []), ("25006", [])],
)
def test_a_right_that_is_missing_is_told_from_a_database_that_takes_no_writes(
    healthy: dict[str, Any], code: str, expected: list[str]
) -> None:
    refused = {"INSERT": {"code": code, "text": "no"}}
    healthy["database"]["writes"] = ok({"table": "ps_contacts", "refused": refused})
    assert roots(healthy) == expected
