"""The database's causes: slow, damaged, outdated, not writable, and what is none of them."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge

EVIDENCE = Path(__file__).resolve().parents[2] / "evidence"
LOOKUP = {"table": "ps_endpoints", "seconds": 0.01, "found": True}


@pytest.fixture(scope="module")
def saved() -> dict[str, Any]:
    return json.loads(gzip.decompress((EVIDENCE / "healthy.pbx22.json.gz").read_bytes()))


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
def test_how_slow_a_lookup_may_be(healthy, seconds, word):
    healthy["database"]["lookup"] = ok({**LOOKUP, "seconds": seconds})
    assert status(healthy, "database.lookup") == [word]
    assert roots(healthy) == (["database_slow"] if word == "fail" else [])


def test_a_slow_trivial_query_is_a_slow_database(healthy):
    healthy["database"]["query"] = ok({"seconds": 2.2})
    assert roots(healthy) == ["database_slow"]


def test_a_lookup_without_an_answer_names_who_has_been_at_work_longest(healthy):
    healthy["database"]["lookup"] = no("timed_out")
    busy = [{"user": "report", "seconds": 70.0, "state": "User sleep"}]
    healthy["database"]["admin"] = ok({"reached": True, "error": None, "longest": busy})
    verdict = judge.judge(healthy)["verdict"]
    assert [one["cause"] for one in verdict["root_causes"]] == ["database_slow"]
    assert "report has been at work for 70 s" in verdict["root_causes"][0]["summary"]


def test_a_database_that_answers_nothing_hangs_and_is_not_slow(healthy):
    healthy["database"]["query"] = healthy["database"]["lookup"] = no("timed_out")
    assert roots(healthy) == ["database_hung"]


def test_a_unit_that_only_starts_others_is_not_the_database(healthy):
    unit = healthy["settings"]["database_unit"]
    healthy["host"]["units"]["data"][unit].update(active_state="active", sub_state="exited", result="success")
    healthy["database"]["process"] = no("missing")
    assert roots(healthy) == []
    healthy["database"]["login"] = no("refused")
    assert "database_stopped" in roots(healthy)


@pytest.mark.parametrize("code", ["42501", "1142"])
def test_a_table_that_may_not_be_read_is_neither_healthy_nor_missing(healthy, code):
    healthy["database"]["lookup"] = no("denied", code=code)
    healthy["database"]["schema"]["data"]["ps_endpoints"] = []
    assert roots(healthy) == ["unknown_cause"]


@pytest.mark.parametrize("code", ["1194", "XX001", "58P01"])
def test_what_a_server_says_of_damaged_files(healthy, code):
    healthy["database"]["lookup"] = no("failed", code=code)
    assert roots(healthy) == ["database_table_damaged"]


@pytest.mark.parametrize("where", ["tables", "lookup"])
def test_a_damaged_table_is_named_by_either_sign(healthy, where):
    if where == "tables":
        healthy["database"]["tables"] = ok({"ps_auths": {"damaged": True, "text": "Incorrect key file"}})
    else:
        healthy["database"]["lookup"] = no("failed", code="1194")
    assert roots(healthy) == ["database_table_damaged"]


def test_a_missing_column_and_a_missing_table_are_an_outdated_schema(healthy):
    schema = healthy["database"]["schema"]["data"]
    schema["ps_contacts"].remove("via_addr")
    assert roots(healthy) == ["database_schema_outdated"]
    schema["ps_contacts"] = []
    assert roots(healthy) == ["database_schema_outdated"]


def test_a_column_is_needed_only_by_the_releases_that_have_it(healthy):
    healthy["database"]["schema"]["data"]["ps_contacts"].remove("qualify_2xx_only")
    assert roots(healthy) == ["database_schema_outdated"]
    healthy["asterisk"]["version"]["data"] = {"full": "18.9.0", "major": 18}
    assert roots(healthy) == []


def test_a_table_of_another_name_is_judged_as_its_family(healthy):
    schema = healthy["database"]["schema"]["data"]
    schema["contacts_of_ours"] = [name for name in schema.pop("ps_contacts") if name != "uri"]
    healthy["asterisk"]["realtime"]["data"]["ps_contacts"]["table"] = "contacts_of_ours"
    assert roots(healthy) == ["database_schema_outdated"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [("1142", ["contact_write_failed"]), ("42501", ["contact_write_failed"]), ("1290", []), ("25006", [])],
)
def test_a_right_that_is_missing_is_told_from_a_database_that_takes_no_writes(healthy, code, expected):
    refused = {"INSERT": {"code": code, "text": "no"}}
    healthy["database"]["writes"] = ok({"table": "ps_contacts", "refused": refused})
    assert roots(healthy) == expected
