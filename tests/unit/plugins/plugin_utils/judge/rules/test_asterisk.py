"""The rules of Asterisk itself: its connection to the database, and what its log says."""

from __future__ import annotations

import copy
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.rules import asterisk

EVIDENCE = Path(__file__).resolve().parents[5] / "evidence"
HEALTHY: dict[str, Any] = json.loads(gzip.decompress((EVIDENCE / "healthy.pbx22.json.gz").read_bytes()))
DIFFERS = (
    "res_odbc.c: SQL Execute returned an error: HY000: [ma-3.2.9][11.8.9-MariaDB]The number of parameters in bound"
    " buffers differs from number of columns in resultset"
)
ERROR = "res_odbc.c: SQL Execute error -1!"


@pytest.fixture
def healthy() -> dict[str, Any]:
    return copy.deepcopy(HEALTHY)


def logged(document: dict[str, Any], kind: str, *texts: str) -> None:
    lines = [{"time": "2026-01-01T10:00:00Z", "level": "WARNING", "kind": kind, "text": text} for text in texts]
    document["asterisk"]["log"]["data"]["matches"] += lines


def refuse_everybody(document: dict[str, Any], status: int = 500, reason: str = "Server Internal Error") -> None:
    """Answer so to every registration of ours."""
    for tested in document["registrations"].values():
        for one in tested.values():
            answers = [{"status": status, "reason": reason, "expires": 600}]
            one["data"].update(accepted=False, registered=False, listed=False, answers=answers)


def roots(document: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(one["cause"], one["remedy"]) for one in judge.judge(document)["verdict"]["root_causes"]]


@pytest.mark.parametrize(
    "line",
    [
        DIFFERS,
        "res_odbc.c: SQL Prepare returned an error: HY000: Commands out of sync; you can't run this command now",
        "res_odbc.c: SQL Execute returned an error: HY000: Prepared statement needs to be re-prepared",
        "res_odbc.c: SQL Execute returned an error: 0A000: ERROR: cached plan must not change result type",
    ],
)
def test_a_table_that_was_changed_under_asterisk_asks_for_a_reload(healthy: dict[str, Any], line: str) -> None:
    refuse_everybody(healthy)
    logged(healthy, "odbc_failed", line, ERROR)
    assert roots(healthy) == [("odbc_out_of_step", "reload_odbc")]


def test_an_auth_that_cannot_be_loaded_while_the_database_answers_is_enough(healthy: dict[str, Any]) -> None:
    refuse_everybody(healthy)
    healthy["asterisk"]["security_log"]["data"]["recent"] = {"AuthNotLoaded": 3}
    assert roots(healthy) == [("odbc_out_of_step", "reload_odbc")]


def test_statements_that_failed_earlier_are_a_warning(healthy: dict[str, Any]) -> None:
    logged(healthy, "odbc_failed", DIFFERS)
    assert judge.judge(healthy)["verdict"]["outcome"] == "healthy"


def test_a_line_of_a_change_that_is_over_does_not_explain_another_refusal(healthy: dict[str, Any]) -> None:
    refuse_everybody(healthy, 403, "Forbidden")
    logged(healthy, "odbc_failed", DIFFERS)
    assert "odbc_out_of_step" not in [cause for cause, _remedy in roots(healthy)]
    healthy["asterisk"]["endpoints"]["data"]["total"] = 0
    assert ("odbc_out_of_step", "reload_odbc") in roots(healthy)


@pytest.mark.parametrize(
    ("cause", "change"),
    [
        ("database_schema_outdated", lambda database: database["schema"]["data"]["ps_contacts"].remove("via_addr")),
        (
            "database_table_damaged",
            lambda database: database["tables"].update(
                ok=True, data={"ps_auths": {"damaged": True, "text": "Incorrect key file"}}
            ),
        ),
    ],
)
def test_tables_that_are_not_well_are_the_cause_of_statements_that_fail(
    healthy: dict[str, Any], cause: str, change: Callable[..., Any]
) -> None:
    refuse_everybody(healthy)
    logged(healthy, "odbc_failed", DIFFERS, ERROR)
    change(healthy["database"])
    assert [name for name, _remedy in roots(healthy)] == [cause]


def not_asked(document: dict[str, Any]) -> None:
    document["registrations"] = {}


def no_login(document: dict[str, Any]) -> None:
    document["database"]["login"] = {"ok": False, "seconds": 1, "error": "denied", "message": "no"}


def no_pool(document: dict[str, Any]) -> None:
    document["asterisk"]["odbc"]["data"][0]["connected"] = False


@pytest.mark.parametrize("change", [not_asked, no_login, no_pool])
def test_without_proof_no_statement_is_out_of_step(healthy: dict[str, Any], change: Callable[..., None]) -> None:
    refuse_everybody(healthy)
    logged(healthy, "odbc_failed", DIFFERS)
    change(healthy)
    assert "odbc_out_of_step" not in [cause for cause, _remedy in roots(healthy)]


@pytest.mark.parametrize(
    ("kind", "lines", "decisive"),
    [
        ("odbc_failed", (DIFFERS, ERROR), "bound buffers differs"),
        ("odbc_failed", (ERROR,), "SQL Execute error -1!"),
        ("request_refused", ("res_pjsip_registrar.c: AOR '' not found for endpoint 'trunk' (192.0.2.1:5)",), "AOR ''"),
        (
            "module_failed",
            (
                "loader.c: Error loading module 'res_odbc.so': libodbc.so.2: cannot open shared object file",
                "loader.c: Some non-required modules failed to load.",
            ),
            "libodbc.so.2",
        ),
    ],
)
def test_the_decisive_line_of_the_log_is_shown(
    healthy: dict[str, Any], kind: str, lines: tuple[str, ...], decisive: str
) -> None:
    logged(healthy, kind, *lines)
    found = next(one for one in judge.judge(healthy)["findings"] if one["code"] == f"asterisk.log.{kind}")
    assert found["status"] == "warn"
    assert decisive in found["summary"]


OWN = "198.18.20.22"
SIP = {"proto": "tcp", "port": 5061, "pid": 7, "process": "asterisk", "unit": "asterisk.service"}


def listen(document: dict[str, Any], *sockets: dict[str, Any]) -> None:
    """Let Asterisk listen there alone, and nobody get an answer at its address from outside."""
    document["host"]["sockets"]["data"] = [{**SIP, "family": 4, **one} for one in sockets]
    silent = {"ok": False, "seconds": 0.1, "error": "refused", "message": "refused"}
    for path in document["paths"].values():
        for kind in ("tcp", "tls", "sip"):
            for where in path["data"][kind]:
                if OWN in where and "5061" in where:
                    path["data"][kind][where] = silent


@pytest.mark.parametrize("address", ["198.18.20.99", "::"])
def test_a_transport_at_another_address_of_its_own_is_not_bound_at_this_one(
    healthy: dict[str, Any], address: str
) -> None:
    listen(healthy, {"address": address}, {"address": "2001:2:0:20::22", "family": 6})
    refuse_everybody(healthy)
    (root,) = judge.judge(healthy)["verdict"]["root_causes"]
    assert (root["cause"], root["about"], root["remedy"]) == ("transport_not_bound", f"tls:{OWN}:5061", None)
    assert judge.judge(healthy)["verdict"]["next_step"].startswith("Correct the address (")


def test_chan_sip_serves_both_families_on_one_socket(healthy: dict[str, Any]) -> None:
    healthy["settings"]["channel_driver"] = "sip"
    healthy["host"]["sockets"]["data"] = [{**SIP, "family": 6, "address": "::"}]
    found = [one for one in judge.judge(healthy)["findings"] if one["code"] == "asterisk.transport"]
    assert [one["status"] for one in found] == ["pass"]


def test_a_port_that_was_moved_is_no_reason_to_restart(healthy: dict[str, Any]) -> None:
    listen(healthy, {"address": "0.0.0.0", "port": 5071}, {"address": "::", "family": 6, "port": 5071})
    healthy["asterisk"]["transports"]["data"] = [
        {"id": "transport-tls", "transport": "tls", "address": "0.0.0.0", "port": 5071},
        {"id": "transport-udp", "transport": "udp", "address": "0.0.0.0", "port": 5060},
    ]
    refuse_everybody(healthy)
    judged = judge.judge(healthy, apply=True)["verdict"]
    assert [(one["cause"], one["remedy"]) for one in judged["root_causes"]] == [("port_mismatch", None)]
    assert judged["plan"] == []
    # Where Asterisk says so and holds no such socket, nothing is bound.
    healthy["host"]["sockets"]["data"] = []
    assert [one["cause"] for one in judge.judge(healthy)["verdict"]["root_causes"]] == ["transport_not_bound"]


PHONE = "198.18.20.1"
TRUNK = {"name": "provider", "endpoint": "trunk", "networks": [f"{PHONE}/32"]}


@pytest.fixture
def taken(healthy: dict[str, Any]) -> dict[str, Any]:
    """A server whose identify takes what comes from the phone's address for a trunk's."""
    healthy["asterisk"]["identifies"] = {
        "ok": True,
        "seconds": 0.1,
        "data": {"order": ["ip", "username", "anonymous"], "sections": [TRUNK]},
    }
    healthy["paths"]["phone"]["data"]["nat_addresses"] = [PHONE]
    answers = [{"status": 404, "reason": "Not Found", "expires": 600}]
    for tested in healthy["registrations"].values():
        tested["phone"]["data"].update(accepted=False, registered=False, listed=False, answers=answers)
    return healthy


def test_an_identify_that_matches_clients_is_named(taken: dict[str, Any]) -> None:
    (root,) = judge.judge(taken)["verdict"]["root_causes"]
    assert (root["cause"], root["about"], root["vantages"]) == ("identify_matches_clients", "provider", ["phone"])


def test_an_identify_of_others_or_after_the_user_name_takes_nothing(taken: dict[str, Any]) -> None:
    found = taken["asterisk"]["identifies"]["data"]
    found["order"] = ["username", "ip"]
    assert "identify_matches_clients" not in [cause for cause, _remedy in roots(taken)]
    found.update(order=["ip", "username"], sections=[{**TRUNK, "networks": ["203.0.113.0/24"]}])
    assert "identify_matches_clients" not in [cause for cause, _remedy in roots(taken)]


def test_an_identify_from_whose_address_everybody_registers_is_well(
    healthy: dict[str, Any], taken: dict[str, Any]
) -> None:
    healthy["registrations"] = copy.deepcopy(HEALTHY["registrations"])
    assert judge.judge(healthy)["verdict"]["outcome"] == "healthy"


def test_an_identify_that_matches_the_account_s_last_address_is_named(taken: dict[str, Any]) -> None:
    taken["registrations"] = copy.deepcopy(HEALTHY["registrations"])
    taken["paths"]["phone"]["data"]["nat_addresses"] = []
    entries = [{"event": "DISCONNECT", "address": f"{PHONE}:40000", "seconds_ago": 60}]
    live: dict[str, Any] = {"endpoint": "1001", "device_state": "", "contacts": []}
    taken["account"] = {
        "sessions": {"ok": True, "seconds": 0.1, "data": {"account": {"entries": entries, "last": {}}, "address": {}}},
        "live": {"ok": True, "seconds": 0.1, "data": live},
    }
    assert roots(taken) == [("identify_matches_clients", None)]
    live["contacts"] = [{"uri": f"sip:1001@{PHONE}:40000", "status": "Reachable", "rtt_ms": 1.0}]
    assert roots(taken) == []


NO_CERTIFICATE = "pjproject: SSL_ERROR_SSL (Handshake): <error:0A0000C7: routines::peer did not return a certificate>"


def test_a_certificate_that_clients_lack_keeps_them_out_where_nobody_registers(healthy: dict[str, Any]) -> None:
    logged(healthy, "client_certificate", NO_CERTIFICATE)
    assert judge.judge(healthy)["verdict"]["outcome"] == "healthy"
    for tested in healthy["registrations"].values():
        for vantage in tested:
            tested[vantage] = {"ok": False, "seconds": 0.1, "error": "refused", "message": "closed"}
    assert roots(healthy) == [("client_certificate_required", None)]


@pytest.mark.parametrize(
    ("driver", "major", "status"),
    [
        ("pjsip", 22, None),
        ("sip", 16, None),
        *((driver, major, "warn") for driver, major in (("pjsip", 18), ("pjsip", 20), ("pjsip", None), ("sip", 18))),
    ],
)
def test_a_release_that_is_not_tested_is_told_and_no_fault(
    healthy: dict[str, Any], driver: str, major: int | None, status: str | None
) -> None:
    healthy["settings"]["channel_driver"] = driver
    healthy["asterisk"]["version"]["data"] = {"full": f"{major or 'GIT-master'}.1.0", "major": major}
    told = [one["status"] for one in judge.judge(healthy)["findings"] if one["code"] == "asterisk.release"]
    assert told == ([status] if status else [])


@pytest.mark.parametrize("major", [18, 20])
def test_a_healthy_server_of_a_release_that_is_not_tested_stays_healthy(healthy: dict[str, Any], major: int) -> None:
    healthy["asterisk"]["version"]["data"] = {"full": f"{major}.1.0", "major": major}
    assert judge.judge(healthy)["verdict"]["outcome"] == "healthy"


def test_the_documentation_has_the_releases_that_are_tested() -> None:
    page = Path(__file__).resolve().parents[6] / "docs" / "how-to" / "install.md"
    told = dict(re.findall(r"^\| Asterisk with chan_(\w+) \| (\d+) \|", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert {driver: int(major) for driver, major in told.items()} == asterisk.TESTED
