# SPDX-License-Identifier: GPL-3.0-or-later
"""A PBX that is set up otherwise than the lab's: nothing is demanded that its configuration does not use."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge

EVIDENCE = Path(__file__).resolve().parents[5] / "evidence"
FILE = {"file": True, "family": None, "table": None}
CORE = ("chan_pjsip.so", "res_pjsip.so", "res_pjsip_registrar.so")


@pytest.fixture(scope="module")
def saved() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(gzip.decompress((EVIDENCE / "healthy.pbx22.json.gz").read_bytes()))
    return document


@pytest.fixture
def server(saved: dict[str, Any]) -> dict[str, Any]:
    found = copy.deepcopy(saved)
    found["host"]["load"]["data"]["one"] = 0.0
    found["asterisk"]["log"]["data"]["matches"] = []
    return found


@pytest.fixture
def without_database(server: dict[str, Any]) -> dict[str, Any]:
    """A server that reads its accounts from pjsip.conf."""
    server["settings"].update(database_engine="none", account_backend="file", database_unit="", odbc_class="")
    server["database"] = {}
    sources = {"ok": True, "seconds": 0.0, "data": dict.fromkeys(("endpoint", "auth", "aor"), FILE)}
    server["asterisk"]["sources"] = sources
    server["asterisk"]["modules"]["data"] = dict.fromkeys(CORE, "Running")
    server["asterisk"]["odbc"]["data"] = []
    server["host"]["units"]["data"].pop("mariadb.service")
    return server


def findings(evidence: dict[str, Any], *status: str) -> list[tuple[str, str]]:
    return [(one["code"], one["about"]) for one in judge.judge(evidence)["findings"] if one["status"] in status]


def log_of(evidence: dict[str, Any], *lines: tuple[str, str]) -> None:
    evidence["asterisk"]["log"]["data"]["matches"] = [
        {"time": "2026-01-01T00:00:00Z", "level": "ERROR", "kind": kind, "text": text} for kind, text in lines
    ]


def test_a_server_without_a_database_is_healthy(without_database: dict[str, Any]) -> None:
    assert judge.judge(without_database)["verdict"]["outcome"] == "healthy"
    assert not findings(without_database, "fail", "unknown", "warn")
    assert ("database.login", "none") in findings(without_database, "pass")


def test_accounts_in_a_database_that_the_inventory_denies_are_not_healthy(without_database: dict[str, Any]) -> None:
    table = {"driver": "odbc", "database": "asterisk", "table": "ps_endpoints"}
    both = {"file": True, "family": "ps_endpoints", "table": table}
    without_database["asterisk"]["sources"]["data"]["endpoint"] = both
    assert judge.judge(without_database)["verdict"]["outcome"] != "healthy"
    assert ("database.login", "none") in findings(without_database, "unknown")


def test_where_accounts_come_from_must_be_known(without_database: dict[str, Any]) -> None:
    without_database["asterisk"]["sources"] = {"ok": False, "seconds": 0, "error": "denied", "message": "no"}
    assert judge.judge(without_database)["verdict"]["outcome"] != "healthy"


def test_a_unit_that_does_not_exist_is_no_stopped_database(server: dict[str, Any]) -> None:
    unit = server["settings"]["database_unit"]
    server["host"]["units"]["data"][unit].update(load_state="not-found", active_state="inactive")
    server["database"]["process"] = {"ok": False, "seconds": 0, "error": "missing", "message": "no process runs"}
    judged = judge.judge(server)
    assert "database_stopped" not in [one["cause"] for one in judged["findings"]]
    assert [one["status"] for one in judged["findings"] if one["code"] == "database.process"] == ["unknown"]
    server["host"]["units"]["data"][unit].update(load_state="loaded")
    assert "database_stopped" in [one["cause"] for one in judge.judge(server)["findings"]]


def test_no_certificate_is_read_where_nobody_uses_tls(server: dict[str, Any]) -> None:
    server["settings"]["sip_transports"] = [{"transport": "tcp", "port": 5061}]
    server["host"]["tls_files"] = {"ok": False, "seconds": 0, "error": "failed", "message": "no such file"}
    assert not [one for one in findings(server, "unknown", "fail") if one[0].startswith("tls.")]


#: What Debian's own configuration makes Asterisk 22 say at every start.
OF_DEBIAN = (
    ("config_error", "config.c: parse error: No category context for line 64 of /etc/asterisk/cel_sqlite3_custom.conf"),
    ("module_failed", "loader.c: Some non-required modules failed to load."),
    ("module_failed", "loader.c: cel_sqlite3_custom declined to load."),
    ("module_failed", "loader.c: app_voicemail_odbc declined to load."),
    ("module_failed", "loader.c: chan_unistim declined to load."),
    ("module_failed", "res_hep_pjsip.c: res_hep is disabled; declining module load"),
)


def test_what_debians_own_files_make_asterisk_say_is_nothing(server: dict[str, Any]) -> None:
    log_of(server, *OF_DEBIAN)
    assert not findings(server, "warn", "fail")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (
            "config_error",
            "config_options.c: Could not find option suitable for category 'tls' named 'methd' at line 20",
        ),
        ("config_error", "config.c: parse error: no closing ']', line 1 of /etc/asterisk/sip.conf"),
        ("config_error", "config.c: parse error: No category context for line 3 of /etc/asterisk/pjsip.conf"),
        ("module_failed", "loader.c: res_pjsip declined to load."),
        ("module_failed", "loader.c: res_config_odbc declined to load."),
        ("module_failed", "loader.c: Error loading module 'res_odbc.so': cannot open shared object file"),
    ],
)
def test_what_clients_need_is_a_word_worth(server: dict[str, Any], kind: str, text: str) -> None:
    log_of(server, *OF_DEBIAN, (kind, text))
    assert findings(server, "warn") == [(f"asterisk.log.{kind}", kind)]


def test_a_mistake_elsewhere_is_no_cause_of_what_asterisk_lacks(server: dict[str, Any]) -> None:
    server["asterisk"]["modules"]["data"]["res_pjsip_registrar.so"] = "absent"
    log_of(server, *OF_DEBIAN)
    causes = [one["cause"] for one in judge.judge(server)["findings"]]
    assert "asterisk_module_missing" in causes
    assert "asterisk_config_invalid" not in causes


@pytest.mark.parametrize("name", ["plain", "custom"])
def test_a_healthy_stranger_is_healthy_with_few_doubts(name: str) -> None:
    evidence = json.loads(gzip.decompress((EVIDENCE / "controls" / f"stranger.{name}.json.gz").read_bytes()))
    # Other tests kept the machine busy.
    evidence["host"]["load"]["data"]["one"] = 0.0
    judged = judge.judge(evidence)
    assert judged["verdict"]["outcome"] == "healthy"
    assert ("registration.reserved", "601") in findings(evidence, "pass")
    assert not findings(evidence, "fail")
    assert len(findings(evidence, "warn")) <= 2
    assert len(findings(evidence, "unknown")) <= 0.1 * len(judged["findings"])
