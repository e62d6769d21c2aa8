"""The judge: what follows from what, and what is not known."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge import finding, verdict
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.catalogue import parse
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.documents import Carried, Judgement
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.evidence import Evidence
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.tables import TableError

ROOT = Path(__file__).resolve().parents[5]
ADDRESS = "192.0.2.5"
WHERE = f"{ADDRESS}:5061"


def ok(data: object = True) -> dict[str, Any]:
    return {"ok": True, "seconds": 0.01, "data": data}


def no(error: str, message: str = "no answer", **more: object) -> dict[str, Any]:
    return {"ok": False, "seconds": 3.0, "error": error, "message": message, **more}


def unit(state: str = "active", **more: object) -> dict[str, Any]:
    return {"load_state": "loaded", "active_state": state, "sub_state": "running", "result": "success", **more}


def path(vantage: str, source: str) -> dict[str, Any]:
    return ok(
        {
            "vantage": vantage,
            "source_address": source,
            "dns": {"192.0.2.53": {"a": ok({"records": [ADDRESS], "rcode": "NOERROR"})}},
            "icmp": {ADDRESS: ok({"sent": 5, "received": 5, "loss": 0.0, "rtt_ms": {"avg": 1}})},
            "tcp": {WHERE: ok({"rtt_ms": 1})},
            "tls": {},
            "sip": {f"tls:{WHERE}": ok({"status": 200, "reason": "OK"})},
        }
    )


def registered(mark: str, **more: Any) -> dict[str, Any]:
    """A registration from somewhere that went well."""
    return ok(
        {
            "address": WHERE,
            "transport": "tls",
            "accepted": True,
            "others": 0,
            "contact": f"<sip:{mark}@192.0.2.9:40000;transport=tls>",
            "registered": True,
            "listed": True,
            "unregistered": True,
            "answers": [{"expires": 60, "status": 200, "reason": "OK", "seconds": 0.1, "algorithm": "MD5"}],
            **more,
        }
    )


def contacts(mark: str) -> dict[str, Any]:
    """The contacts of the account by the server itself, while one is registered."""
    uri = f"sip:{mark}@192.0.2.9:40000"
    return {"live": [f"{uri};transport=tls"], "where": "ps_contacts", "stored": [f"{uri}^3Btransport=tls"], "why": ""}


@pytest.fixture
def healthy() -> dict[str, Any]:
    return {
        "schema": "reconnect/evidence/v1",
        "name": "pbx",
        "taken_at": "2026-01-01T00:00:00Z",
        "seconds": 1.0,
        "settings": {
            "sip_domain": "pbx.example",
            "sip_transports": [{"transport": "tls", "port": 5061}],
            "addresses": [ADDRESS],
            "srv": "",
            "asterisk_unit": "asterisk.service",
            "database_unit": "mariadb.service",
            "odbc_class": "asterisk",
            "channel_driver": "pjsip",
            "test_account": "601",
        },
        "server": {"ok": True, "seconds": 1.0},
        "host": {
            "units": ok({"asterisk.service": unit(), "mariadb.service": unit()}),
            "sockets": ok([{"proto": "tcp", "address": "0.0.0.0", "port": 5061, "pid": 7, "process": "asterisk"}]),
            "disks": ok([{"path": "/", "size": 100 * 2**30, "available": 50 * 2**30}]),
            "clock": ok({"epoch": 1767225600.4}),
            "firewall": ok({"backend": "nft", "blocks": []}),
            "bans": ok({"jails": {"asterisk": []}, "sets": {}}),
        },
        "asterisk": {
            "process": ok({"pid": 7, "state": "S"}),
            "control": ok({"answered": True, "version": "22"}),
            "uptime": ok({"seconds": 5000}),
            "modules": ok({"res_pjsip.so": "Running"}),
            "odbc": ok([{"name": "asterisk", "connected": True}]),
            "calls": ok({"calls": 0, "channels": 0}),
            "rtp_sockets": ok({"open": 0, "from": 15000, "to": 18000}),
            "crashes": ok({"restarts_last_hour": 0, "core_files": []}),
        },
        "database": {
            "process": ok({"pid": 9, "state": "S"}),
            "port": ok({"port": 3306}),
            "login": ok({"user": "asterisk"}),
            "query": ok({"seconds": 0.001}),
            "status": ok({"threads_connected": 3, "max_connections": 40, "read_only": False}),
        },
        "paths": {"control": path("control", "192.0.2.9"), "phone": path("phone", "198.51.100.7")},
        "registrations": {
            "601": {
                "control": registered("reconnect-1", server=ok(contacts("reconnect-1"))),
                "phone": registered("reconnect-2"),
            }
        },
        "client_report": None,
    }


def judged(evidence: Mapping[str, Any], **options: Any) -> Judgement:
    return judge.judge(evidence, **options)


def roots(evidence: Mapping[str, Any], **options: Any) -> list[str]:
    return [one["cause"] for one in judged(evidence, **options)["verdict"]["root_causes"]]


def stop_asterisk(evidence: dict[str, Any]) -> None:
    evidence["host"]["units"]["data"]["asterisk.service"] = unit("inactive", sub_state="dead")
    evidence["host"]["sockets"]["data"] = []
    evidence["asterisk"] = {"process": no("missing"), "control": no("refused")}
    for one in evidence["paths"].values():
        one["data"]["tcp"][WHERE] = no("refused")
        one["data"]["sip"] = {f"tls:{WHERE}": no("skipped")}


def stop_database(evidence: dict[str, Any]) -> None:
    evidence["host"]["units"]["data"]["mariadb.service"] = unit("inactive", sub_state="dead")
    evidence["database"] = {"process": no("missing"), "port": no("refused"), "login": no("refused")}
    evidence["asterisk"]["odbc"] = ok([{"name": "asterisk", "connected": False}])


def test_a_healthy_server_has_no_cause(healthy: dict[str, Any]) -> None:
    assert judged(healthy)["verdict"]["outcome"] == "healthy"
    assert not [one for one in judged(healthy)["findings"] if one["status"] == "fail"]


def test_a_stopped_database_has_the_lost_pool_as_its_symptom(healthy: dict[str, Any]) -> None:
    stop_database(healthy)
    result = judged(healthy)["verdict"]
    assert [one["cause"] for one in result["root_causes"]] == ["database_stopped"]
    assert ("odbc_disconnected", "database_stopped") in {
        (one["cause"], one["explained_by"]) for one in result["symptoms"]
    }


def test_two_independent_causes_are_both_named_and_the_database_is_fixed_first(healthy: dict[str, Any]) -> None:
    stop_database(healthy)
    stop_asterisk(healthy)
    assert sorted(roots(healthy)) == ["asterisk_stopped", "database_stopped"]
    plan = judged(healthy, apply=True)["verdict"]["plan"]
    assert [(one["remedy"], one["decision"]) for one in plan] == [
        ("restart_database", "run"),
        ("restart_asterisk", "run"),
    ]


@pytest.mark.parametrize(("restarts", "cause"), [(0, "asterisk_stopped"), (5, "asterisk_crash_looping")])
def test_one_crash_is_no_loop(healthy: dict[str, Any], restarts: int, cause: str) -> None:
    stop_asterisk(healthy)
    healthy["host"]["units"]["data"]["asterisk.service"] = unit(
        "activating", sub_state="auto-restart", result="core-dump", n_restarts=restarts
    )
    assert roots(healthy) == [cause]


def test_a_silent_asterisk_that_lives_is_hung_and_not_stopped(healthy: dict[str, Any]) -> None:
    healthy["asterisk"] = {
        "process": ok({"pid": 7, "state": "T"}),
        "control": no("timed_out"),
        "rtp_sockets": ok({"open": 8, "from": 15000, "to": 18000}),
    }
    assert roots(healthy) == ["asterisk_hung"]
    (step,) = judged(healthy)["verdict"]["plan"]
    assert "8 media sockets" in step["reason"]


def test_a_port_that_only_one_vantage_cannot_reach_is_blocked_before_the_server(healthy: dict[str, Any]) -> None:
    healthy["paths"]["phone"]["data"]["tcp"][WHERE] = no("timed_out")
    healthy["paths"]["phone"]["data"]["sip"] = {f"tls:{WHERE}": no("skipped")}
    result = judged(healthy)["verdict"]
    assert [(one["cause"], one["vantages"]) for one in result["root_causes"]] == [("firewall_edge_blocks", ["phone"])]
    assert result["outcome"] == "escalate_third_level"


def test_a_ban_is_told_by_the_address_that_the_server_sees(healthy: dict[str, Any]) -> None:
    phone = healthy["paths"]["phone"]["data"]
    phone["tcp"][WHERE] = no("timed_out")
    phone["nat_addresses"] = ["192.0.2.1"]
    healthy["host"]["bans"]["data"]["jails"]["asterisk"] = ["192.0.2.1"]
    assert roots(healthy) == ["client_banned"]
    healthy["host"]["bans"]["data"]["jails"]["asterisk"] = ["192.0.2.77"]
    assert roots(healthy) == ["firewall_edge_blocks"]


@pytest.mark.parametrize(
    ("block", "cause"),
    [
        ({"hook": "input", "protocol": "tcp", "ports": [[5061, 5061]], "text": "drop"}, "firewall_host_blocks"),
        ({"hook": "input", "protocol": "tcp", "ports": [[5000, 5100]], "text": "drop"}, "firewall_host_blocks"),
        ({"hook": "input", "protocol": "udp", "ports": [[5061, 5061]], "text": "drop"}, "firewall_edge_blocks"),
        ({"hook": "input", "protocol": "tcp", "ports": [[22, 22]], "text": "drop"}, "firewall_edge_blocks"),
        ({"hook": "output", "protocol": "tcp", "ports": [], "text": "drop"}, "firewall_host_blocks"),
        ({"hook": "forward", "protocol": "tcp", "ports": [], "text": "drop"}, "firewall_edge_blocks"),
        ({"hook": "input", "ports": [], "sources": ["203.0.113.0/24"], "text": "drop"}, "firewall_edge_blocks"),
        ({"hook": "input", "ports": [], "sources": ["198.51.100.0/24"], "text": "drop"}, "firewall_host_blocks"),
    ],
)
def test_a_rule_of_the_host_explains_a_silent_port_or_does_not(
    healthy: dict[str, Any], block: dict[str, Any], cause: str
) -> None:
    healthy["paths"]["phone"]["data"]["tcp"][WHERE] = no("timed_out")
    healthy["host"]["firewall"]["data"]["blocks"] = [block]
    assert roots(healthy) == [cause]


def test_a_server_that_cannot_be_entered_is_never_called_healthy_and_gets_no_inner_cause(
    healthy: dict[str, Any],
) -> None:
    healthy["server"] = no("timed_out", "ssh gave no answer")
    for subset in ("host", "asterisk", "database"):
        healthy[subset] = {}
    result = judged(healthy)
    assert result["verdict"]["outcome"] == "escalate_third_level"
    assert result["verdict"]["root_causes"] == []
    assert all(one["summary"] for one in result["findings"] if one["status"] == "unknown")


@pytest.mark.parametrize(("error", "how"), [("unreachable", "log in to"), ("denied", "log in to"), ("failed", "ask")])
def test_only_a_server_that_cannot_be_entered_is_called_so(healthy: dict[str, Any], error: str, how: str) -> None:
    healthy["server"] = no(error, "The disk is full.")
    for subset in ("host", "asterisk", "database"):
        healthy[subset] = {}
    result = judged(healthy)
    said = f"Cannot {how} the server, so nothing on it was checked"
    assert result["verdict"]["next_step"].startswith(said)
    assert [one["summary"].startswith(said) for one in result["findings"] if one["code"] == "host.ssh"] == [True]


def test_a_server_that_is_silent_everywhere_is_to_be_entered_first(healthy: dict[str, Any]) -> None:
    healthy["server"] = no("unreachable", "ssh gave no answer")
    for subset in ("host", "asterisk", "database"):
        healthy[subset] = {}
    for one in healthy["paths"].values():
        one["data"]["icmp"] = {ADDRESS: no("timed_out")}
        one["data"]["tcp"] = {WHERE: no("timed_out")}
        one["data"]["sip"] = {f"tls:{WHERE}": no("timed_out")}
    result = judged(healthy)["verdict"]
    assert [one["cause"] for one in result["root_causes"]] == [verdict.UNKNOWN_CAUSE]
    assert result["outcome"] == "escalate_third_level"
    assert "ssh gave no answer" in result["next_step"]


@pytest.mark.parametrize(("subset", "name"), [("asterisk", "process"), ("database", "login"), ("host", "sockets")])
def test_what_could_not_be_seen_and_matters_is_not_healthy(healthy: dict[str, Any], subset: str, name: str) -> None:
    healthy[subset][name] = no("failed", "it broke")
    result = judged(healthy)["verdict"]
    assert (result["outcome"], result["root_causes"]) == ("escalate_third_level", [])
    assert "it broke" in result["next_step"]


def test_what_no_rule_knows_is_an_unknown_cause_and_escalates(healthy: dict[str, Any]) -> None:
    healthy["paths"]["phone"]["data"]["sip"] = {f"tls:{WHERE}": ok({"status": 503, "reason": "Service Unavailable"})}
    result = judged(healthy, apply=True)["verdict"]
    assert [one["cause"] for one in result["root_causes"]] == [verdict.UNKNOWN_CAUSE]
    assert (result["outcome"], result["plan"]) == ("escalate_third_level", [])


@pytest.mark.parametrize("subset", ["host", "asterisk", "database"])
def test_a_rule_without_its_evidence_says_unknown(healthy: dict[str, Any], subset: str) -> None:
    healthy[subset] = {name: no("timed_out", "no answer within 3 s") for name in healthy[subset]}
    found = [one for one in judged(healthy)["findings"] if one["code"].startswith(f"{subset}.")]
    allowed = {"unknown", "fail"} if subset == "database" else {"unknown"}
    assert {one["status"] for one in found if one["code"] not in ("host.ssh", "asterisk.transport")} <= allowed


@pytest.mark.parametrize(
    ("module", "code"), [("host", "host.rule"), ("client_settings", "client.rule"), ("call", "network.rule")]
)
def test_a_rule_that_crashes_is_isolated(
    healthy: dict[str, Any], monkeypatch: pytest.MonkeyPatch, module: str, code: str
) -> None:
    def broken(_evidence: Evidence) -> Iterator[Any]:
        raise KeyError("nothing of the kind")
        yield

    monkeypatch.setattr(broken, "__module__", f"judge.rules.{module}")
    before = judged(healthy)["findings"]
    monkeypatch.setattr(finding, "RULES", [*finding.RULES, broken])
    monkeypatch.setattr(verdict, "RULES", finding.RULES)
    after = judged(healthy)["findings"]
    assert next(one for one in after if one not in before)["code"] == code
    assert len(after) == len(before) + 1


@pytest.mark.parametrize(
    ("apply", "approvals", "decision"),
    [
        (False, (), "approval"),
        (True, (), "approval"),
        (True, ("load_modules",), "run"),
        (False, ("load_modules",), "planned"),
    ],
)
def test_what_needs_an_approval_waits_for_it(
    healthy: dict[str, Any], apply: bool, approvals: tuple[str, ...], decision: str
) -> None:
    healthy["asterisk"]["modules"]["data"]["res_pjsip_registrar.so"] = "absent"
    (step,) = judged(healthy, apply=apply, approvals=approvals)["verdict"]["plan"]
    assert (step["remedy"], step["decision"]) == ("load_modules", decision)


@pytest.mark.parametrize(
    ("ask", "approvals", "decision"),
    [
        ((), (), "run"),
        (("load_modules", "database_hung"), (), "run"),
        (("database_stopped",), (), "approval"),
        (("restart_database",), (), "approval"),
        (("all",), (), "approval"),
        (("all",), ("restart_database",), "run"),
    ],
)
def test_the_policy_of_a_site_may_ask_for_an_approval(
    healthy: dict[str, Any], ask: tuple[str, ...], approvals: tuple[str, ...], decision: str
) -> None:
    stop_database(healthy)
    plan = judged(healthy, apply=True, approvals=approvals, ask=ask)["verdict"]["plan"]
    assert [step["decision"] for step in plan if step["remedy"] == "restart_database"] == [decision]


@pytest.mark.parametrize("ask", [(), ("account_missing",), ("aor_missing",), ("all",)])
def test_a_plan_names_the_same_cause_once_it_is_approved(healthy: dict[str, Any], ask: tuple[str, ...]) -> None:
    causes = "aor_missing", "account_missing"
    roots = {cause: [finding.Finding(cause, "fail", "account", "Wrong.", "", cause=cause)] for cause in causes}

    def planned(apply: bool, *approvals: str) -> tuple[str, str]:
        allowed = verdict._Allowed(apply, approvals, ask)
        (step,) = verdict._plan(Evidence(healthy), roots, verdict._remedies(roots, allowed), allowed)
        return step["cause"], step["decision"]

    cause, decision = planned(False)
    assert (cause in ask or ask in [(), ("all",)], decision) == (True, "approval" if ask else "planned")
    assert planned(True, "fix_account") == (cause, "run")


# ------------------------------------------------------------------------------------------------ the last word


def test_a_cause_is_fixed_when_it_is_gone_afterwards(healthy: dict[str, Any]) -> None:
    broken = copy.deepcopy(healthy)
    stop_database(broken)
    first, after = judged(broken, apply=True), judged(healthy, apply=True)
    done: list[Carried] = [{"remedy": "restart_database", "cause": "database_stopped", "state": "done"}]
    last = judge.conclude(first, after, done)
    assert (last["state"], last["verdict"]["outcome"]) == ("succeeded", "fixed_service")
    assert [one["cause"] for one in last["verdict"]["root_causes"]] == ["database_stopped"]


@pytest.mark.parametrize(
    ("cause", "remedy", "text"),
    [
        ("password_mismatch", "fix_account", "user.fixed_account"),
        ("client_wrong_port", "deliver_configuration", "user.fixed_client_configuration"),
        ("client_wrong_password", "rotate_password", "user.fixed_account"),
        ("no_such", None, "user.fixed_service"),
    ],
)
def test_what_the_user_is_told_fits_what_was_fixed(cause: str, remedy: str | None, text: str) -> None:
    root = {"cause": cause, "about": "", "remedy": remedy}
    first: Any = {"verdict": {"root_causes": [root], "plan": []}, "findings": []}
    seen = [*verdict.ESSENTIAL, "registration.reserved"]
    passes = [{"code": code, "status": "pass", "summary": "."} for code in seen]
    after: Any = {"verdict": {"root_causes": [], "symptoms": []}, "findings": passes}
    fixed = judge.conclude(first, after, [{"state": "done"}])["verdict"]
    assert fixed["user_message"] == {"id": text, "arguments": {}}


def test_a_remedy_is_not_verified_without_the_essential_checks(healthy: dict[str, Any]) -> None:
    broken, blind = copy.deepcopy(healthy), copy.deepcopy(healthy)
    stop_database(broken)
    blind["database"]["login"] = no("skipped", "nobody asked")
    after = judged(blind, apply=True)
    assert after["verdict"]["root_causes"] == []
    done: list[Carried] = [{"remedy": "restart_database", "cause": "database_stopped", "state": "done"}]
    last = judge.conclude(judged(broken, apply=True), after, done)
    assert (last["state"], last["verdict"]["outcome"]) == ("succeeded", "escalate_third_level")
    assert "these essential checks could not be repeated" in last["verdict"]["next_step"]


def test_a_remedy_that_did_not_help_escalates(healthy: dict[str, Any]) -> None:
    stop_database(healthy)
    first = judged(healthy, apply=True)
    last = judge.conclude(first, first, [{"remedy": "restart_database", "state": "failed"}])
    assert last["verdict"]["outcome"] == "escalate_third_level"


def test_a_refusal_is_the_state_of_the_run_and_a_spent_budget_escalates(healthy: dict[str, Any]) -> None:
    stop_database(healthy)
    first = judged(healthy, apply=True)
    refusal: Carried = {"remedy": "restart_database", "state": "refused", "reason": "It was done 3 times."}
    last = judge.conclude(first, None, [refusal])
    assert (last["state"], last["verdict"]["outcome"]) == ("refused", "fault_found")
    assert last["verdict"]["next_step"] == "It was done 3 times."
    last = judge.conclude(first, None, [{**refusal, "escalate": True}])
    assert (last["state"], last["verdict"]["outcome"]) == ("refused", "escalate_third_level")


# ------------------------------------------------------------------------------------------------ the catalogue


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"subject": "weather"}, "subject weather"),
        ({"explains": ["nobody"]}, "not a cause"),
        ({"explains": ["one"]}, "circle"),
        ({"colour": "red"}, "unknown fields: colour"),
        ({"policy": "auto"}, "unknown fields: policy"),
        ({"remedy": "fix_account"}, "unknown fields: remedy"),
        ({"name": "two"}, "unknown fields: name"),
    ],
)
def test_a_catalogue_that_contradicts_itself_is_refused(change: dict[str, Any], words: str) -> None:
    entry = {
        "title": "t",
        "sentence": "s",
        "subject": "host",
        "runbook_step": "L2.2",
        "next_step": "n",
        "user_message": "user.u",
    }
    assert parse(yaml.safe_dump({"one": entry}), {})["one"].policy == "human"
    with pytest.raises(TableError, match=words):
        parse(yaml.safe_dump({"one": {**entry, **change}}), {})


def test_no_rule_imports_another_one() -> None:
    for file in Path(judge.rules.__file__).parent.glob("*.py"):
        imports = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)]
        assert [node.module for node in imports if node.level == 1 or "rules" in (node.module or "")] == [], file.name


def test_another_document_is_no_evidence() -> None:
    with pytest.raises(judge.EvidenceError, match="reconnect/evidence/v1"):
        judged({"schema": "reconnect/result/v1"})


# ------------------------------------------------------------------------------------------------ client logs


@pytest.mark.attack("hostile text in a client report", harm="execution")
def test_the_exact_message_is_kept_and_hostile_text_stays_text(healthy: dict[str, Any]) -> None:
    message = "{{ 7*7 }} \x1b[31m $(reboot) 401 Unauthorized"
    healthy["client_report"] = {"error_message": message, "log": ["a" * 100_000, "\x00\xff"]}
    found = [one for one in judged(healthy)["findings"] if one["code"] == "client.error"]
    assert "{{ 7*7 }}" in found[0]["summary"]
    assert "\x1b" not in found[0]["summary"]


@pytest.mark.parametrize(
    "line",
    [
        "getaddrinfo: Name or service not known",
        "connect: Connection refused",
        "Operation timed out (PJ_ETIMEDOUT)",
    ],
)
def test_what_a_client_says_against_the_measurement_is_told_as_such(healthy: dict[str, Any], line: str) -> None:
    healthy["client_report"] = {"log": [line]}
    judgement = judged(healthy)
    (hint,) = [one for one in judgement["findings"] if one["code"] == "client.log"]
    assert (hint["status"], hint["cause"]) == ("warn", None)
    assert "The server's own measurement contradicts that: " in hint["summary"]
    assert judgement["verdict"]["outcome"] == judged({**healthy, "client_report": None})["verdict"]["outcome"]
    assert judgement["verdict"]["next_step"].endswith(f" The client's decisive line: {line!r}.")


def test_a_server_that_answered_on_a_second_connection_is_well_and_it_is_said(healthy: dict[str, Any]) -> None:
    healthy["paths"]["phone"]["data"]["sip"][f"tls:{WHERE}"]["attempts"] = 2
    (found,) = [one for one in judged(healthy)["findings"] if (one["code"], one["vantage"]) == ("sip.options", "phone")]
    assert found["status"] == "pass"
    assert found["summary"].endswith("on a second connection.")


def hang_the_pool(evidence: dict[str, Any]) -> dict[str, Any]:
    broken = copy.deepcopy(evidence)
    broken["asterisk"]["odbc"] = ok([{"name": "asterisk", "connected": False}])
    return broken


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda after: None, ""),
        (lambda after: after["asterisk"].update(odbc=ok([{"name": "asterisk", "connected": False}])), "is still there"),
        # The check that showed it, or an essential one, could not run again.
        (lambda after: after["asterisk"].update(odbc=no("timed_out")), "could not be verified"),
        (lambda after: after["database"].update(login=no("failed")), "could not be verified"),
        (lambda after: after["host"].update(sockets=no("failed")), "could not be verified"),
    ],
)
def test_a_remedy_is_verified_when_its_checks_could_run_again(
    healthy: dict[str, Any], change: Callable[..., Any], words: str
) -> None:
    before, after = judged(hang_the_pool(healthy), apply=True), copy.deepcopy(healthy)
    change(after)
    left = judge.doubt(before, judged(after, apply=True), "odbc_disconnected")
    assert bool(left) is bool(words)
    assert words in left


def test_what_was_unknown_before_is_no_doubt_in_the_remedy(healthy: dict[str, Any]) -> None:
    healthy["host"]["sockets"] = no("failed")
    before = judged(hang_the_pool(healthy), apply=True)
    assert judge.doubt(before, judged(healthy, apply=True), "odbc_disconnected") == ""


def test_a_fault_whose_check_could_not_be_repeated_is_not_called_fixed(healthy: dict[str, Any]) -> None:
    first, after = judged(hang_the_pool(healthy), apply=True), copy.deepcopy(healthy)
    after["asterisk"]["odbc"] = no("timed_out")
    rolled_back: Carried = {"remedy": "reload_odbc", "cause": "odbc_disconnected", "state": "failed"}
    last = judge.conclude(first, judged(after, apply=True), [rolled_back])
    assert last["verdict"]["outcome"] == "escalate_third_level"
    assert "could not be verified" in last["verdict"]["next_step"]


@pytest.mark.parametrize(
    ("line", "cause", "decision"),
    [
        ("Error SQLConnect=-1 errno=2002 [unixODBC][ma-3.2.9]Can't connect to server", "odbc_disconnected", ["run"]),
        (
            "Error SQLConnect=-1 errno=0 [unixODBC][Driver Manager]Data source name not found and no default driver",
            "odbc_driver_unusable",
            [],
        ),
        ("Error SQLConnect=-1 errno=0 [unixODBC][Driver Manager]Can't open lib 'x'", "odbc_driver_unusable", []),
    ],
)
def test_a_reload_helps_no_driver_that_cannot_be_loaded(
    healthy: dict[str, Any], line: str, cause: str, decision: list[str]
) -> None:
    broken = hang_the_pool(healthy)
    broken["asterisk"]["log"] = ok({"matches": [{"kind": "odbc_failed", "text": f"res_odbc.c: {line}"}]})
    assert roots(broken) == [cause]
    assert [one["decision"] for one in judged(broken, apply=True)["verdict"]["plan"]] == decision
