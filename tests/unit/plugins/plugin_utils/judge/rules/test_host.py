"""The rules of the host: the resolvers of the server itself."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge

EVIDENCE = Path(__file__).resolve().parents[5] / "evidence"
HEALTHY = json.loads(gzip.decompress((EVIDENCE / "healthy.pbx22.json.gz").read_bytes()))
DEAD = {"answers": False, "message": "192.0.2.53 did not answer within 1 s"}
ALIVE = {"answers": True, "message": ""}
LINE = 'netsock2.c: getaddrinfo("db.example", "(null)", ...): Temporary failure in name resolution'


@pytest.fixture
def server() -> dict[str, Any]:
    """A server whose only resolver does not answer it, and which refuses every registration of ours."""
    document = copy.deepcopy(HEALTHY)
    document["host"]["resolvers"] = {"ok": True, "seconds": 1.0, "data": {"192.0.2.53": dict(DEAD)}}
    answers = [{"status": 500, "reason": "Server Internal Error", "expires": 600}]
    for tested in document["registrations"].values():
        for one in tested.values():
            one["data"].update(accepted=False, registered=False, listed=False, answers=answers)
    return document  # type: ignore[no-any-return]


def resolvers(document: dict[str, Any]) -> tuple[str, str | None]:
    (found,) = [one for one in judge.judge(document)["findings"] if one["code"] == "host.resolvers"]
    return found["status"], found["cause"]


def test_a_server_that_registers_nobody_and_cannot_resolve_names_needs_its_resolver(server: dict[str, Any]) -> None:
    assert [one["cause"] for one in judge.judge(server)["verdict"]["root_causes"]] == ["server_resolver_down"]
    match = {"time": "2026-01-01T10:00:00Z", "level": "WARNING", "kind": "resolver_failed", "text": LINE}
    server["asterisk"]["log"]["data"]["matches"].append(match)
    (root,) = judge.judge(server)["verdict"]["root_causes"]
    assert LINE in root["summary"]


@pytest.mark.parametrize(
    "line",
    [
        "res_odbc.c: res_odbc: Error SQLConnect=-1 errno=2005 [unixODBC][ma-3.2.9]Unknown server host 'db' (-3)",
        "res_odbc.c: res_odbc: Error SQLConnect=-1 errno=2005 [unixODBC][ma-3.1.9]Unknown MySQL server host 'db' (-3)",
        'res_odbc.c: res_odbc: Error SQLConnect=-1 errno=101 [unixODBC]could not translate host name "db" to address',
    ],
)
def test_a_database_whose_name_cannot_be_looked_up_is_shown(server: dict[str, Any], line: str) -> None:
    match = {"time": "2026-01-01T10:00:00Z", "level": "WARNING", "kind": "odbc_failed", "text": line}
    server["asterisk"]["log"]["data"]["matches"].append(match)
    (root,) = judge.judge(server)["verdict"]["root_causes"]
    assert (root["cause"], line in root["summary"]) == ("server_resolver_down", True)
    # A server that is too busy with it to answer is no other case.
    for tested in server["registrations"].values():
        for vantage in tested:
            tested[vantage] = {"ok": False, "seconds": 3.0, "error": "timed_out", "message": "no answer"}
    assert resolvers(server) == ("fail", "server_resolver_down")


def test_a_dead_resolver_is_a_warning_while_clients_register(server: dict[str, Any]) -> None:
    server["registrations"] = copy.deepcopy(HEALTHY["registrations"])
    assert resolvers(server) == ("warn", None)
    assert judge.judge(server)["verdict"]["outcome"] == "healthy"


def test_one_resolver_that_answers_is_enough_and_an_unreachable_server_says_nothing_of_its_resolver(
    server: dict[str, Any],
) -> None:
    server["host"]["resolvers"]["data"]["192.0.2.54"] = dict(ALIVE)
    assert resolvers(server) == ("warn", None)
    server["host"]["resolvers"]["data"] = {"192.0.2.54": dict(ALIVE)}
    assert resolvers(server) == ("pass", None)
    server["host"]["resolvers"]["data"] = {"192.0.2.53": dict(DEAD)}
    for tested in server["registrations"].values():
        for vantage in tested:
            tested[vantage] = {"ok": False, "seconds": 3.0, "error": "timed_out", "message": "no answer"}
    assert resolvers(server) == ("warn", None)
