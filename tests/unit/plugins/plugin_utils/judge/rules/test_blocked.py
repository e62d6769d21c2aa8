"""What the server's own rules and bans keep out, and which of it a remedy may remove."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.documents import RootCause, Step

EVIDENCE = Path(__file__).resolve().parents[5] / "evidence"
WHERE = "198.18.20.22:5061"
#: What the server sees of the phone.
SEEN_AS = "198.18.20.1"
RULE = {"filter": "nft", "table": "inet filter", "chain": "input", "digest": "ab12", "text": "tcp dport 5061 drop"}


def block(**more: Any) -> dict[str, Any]:
    plain = {"hook": "input", "family": None, "policy": None, "handle": 7, "verdict": "drop", "protocol": "tcp"}
    return {**RULE, **plain, "ports": [[5061, 5061]], "sources": [], "sets": [], "accepts": [], **more}


@pytest.fixture
def healthy() -> dict[str, Any]:
    """A server without a fault."""
    found: dict[str, Any] = json.loads(gzip.decompress((EVIDENCE / "healthy.pbx22.json.gz").read_bytes()))
    return found


@pytest.fixture
def silent(healthy: dict[str, Any]) -> dict[str, Any]:
    """A server whose port 5061 does not answer the phone, and nothing says why."""
    phone = healthy["paths"]["phone"]["data"]
    phone["tcp"][WHERE] = {"ok": False, "seconds": 3.0, "error": "timed_out", "message": "no answer"}
    phone["nat_addresses"] = [SEEN_AS]
    return healthy


def judged(evidence: dict[str, Any]) -> tuple[RootCause, list[Step], str]:
    """The root cause about the port, the plan and the next step."""
    verdict = judge.judge(evidence, apply=True)["verdict"]
    (root,) = verdict["root_causes"]
    return root, verdict["plan"], verdict["next_step"]


@pytest.mark.parametrize("hook", ["input", "prerouting", "ingress"])
def test_the_plan_names_every_rule_that_blocks_a_port_of_clients(silent: dict[str, Any], hook: str) -> None:
    second = {"digest": "cd34", "ports": [[5060, 5061]], "text": "tcp dport 5060-5061 reject"}
    silent["settings"]["sip_transports"].append({"transport": "tcp", "port": 5060})
    silent["host"]["firewall"]["data"]["blocks"] = [block(hook=hook), block(hook=hook, **second)]
    root, (step,), _next = judged(silent)
    assert (root["cause"], root["remedy"], root["policy"]) == ("firewall_host_blocks", "open_host_firewall", "approve")
    assert step["arguments"]["targets"] == [RULE, {**RULE, "digest": "cd34", "text": "tcp dport 5060-5061 reject"}]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"policy": "drop", "ports": [], "digest": None, "text": "policy drop"}, "is a policy, not a rule"),
        ({"sources": [f"{SEEN_AS}/32"]}, "keeps out single networks"),
        ({"ports": []}, "blocks other ports, too"),
        ({"ports": [[5000, 5100]]}, "blocks other ports, too"),
        ({"ports": [[22, 22], [5061, 5061]]}, "blocks other ports, too"),
        ({"digest": None}, "cannot be removed alone"),
    ],
)
def test_a_rule_that_no_remedy_removes_is_a_persons(silent: dict[str, Any], more: dict[str, Any], words: str) -> None:
    silent["host"]["firewall"]["data"]["blocks"] = [block(), block(**more)]
    root, plan, next_step = judged(silent)
    assert (root["cause"], root["remedy"], root["policy"], plan) == ("firewall_host_blocks", None, "human", [])
    assert next_step.startswith("Open the port by hand: ")
    assert words in next_step
    assert "--apply" not in next_step
    assert "pprove" not in next_step


PARTLY = {"partial": True, "text": "tcp dport 5061 meta length drop"}


def test_a_rule_that_drops_some_packets_explains_what_nobody_gets_through(silent: dict[str, Any]) -> None:
    silent["host"]["firewall"]["data"]["blocks"] = [block(**PARTLY)]
    # Others get through.
    assert judged(silent)[0]["cause"] == "firewall_edge_blocks"
    nothing = {"ok": False, "seconds": 3.0, "error": "timed_out", "message": "no answer"}
    silent["paths"]["control"]["data"]["tcp"][WHERE] = nothing
    root, plan, next_step = judged(silent)
    assert (root["cause"], root["remedy"], plan) == ("firewall_host_blocks", None, [])
    assert '"tcp dport 5061 meta length drop" in the chain input' in next_step


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("tcp dport 5000-5100 limit rate over 1/minute drop", "firewall_host_blocks"),
        ("-A INPUT -p tcp --dport 5061 -m hashlimit --hashlimit-above 1/minute -j DROP", "firewall_host_blocks"),
        ("tcp dport 5061 ct count over 2 reject", "firewall_host_blocks"),
        ("tcp dport 5061 meta length 60 drop", "firewall_edge_blocks"),
        ('tcp dport 5061 meta length 60 drop comment "no limit for the recent office"', "firewall_edge_blocks"),
        (
            "-A INPUT -p tcp --dport 5061 -m length --length 60 -m comment --comment limit -j DROP",
            "firewall_edge_blocks",
        ),
    ],
)
def test_a_rule_that_counts_packets_explains_who_does_not_get_through(
    silent: dict[str, Any], text: str, cause: str
) -> None:
    silent["host"]["firewall"]["data"]["blocks"] = [block(partial=True, text=text)]
    assert judged(silent)[0]["cause"] == cause


def test_a_rule_that_drops_some_packets_explains_a_handshake_that_hangs_for_everybody(silent: dict[str, Any]) -> None:
    silent["host"]["firewall"]["data"]["blocks"] = [block(**PARTLY)]
    hangs = {"ok": False, "seconds": 3.0, "error": "timed_out", "message": "no answer to the ClientHello"}
    phone, control = (silent["paths"][name]["data"] for name in ("phone", "control"))
    phone["tcp"][WHERE] = control["tcp"][WHERE]
    phone["tls"][WHERE] = hangs
    assert judged(silent)[0]["cause"] == "unknown_cause"
    control["tls"][WHERE] = hangs
    assert judged(silent)[0]["cause"] == "firewall_host_blocks"
    # It is about another port.
    silent["host"]["firewall"]["data"]["blocks"] = [block(**PARTLY, ports=[[5060, 5060]])]
    assert judged(silent)[0]["cause"] == "unknown_cause"


@pytest.mark.parametrize(
    ("more", "error", "cause"),
    [
        ({}, "timed_out", "firewall_host_blocks"),
        ({"verdict": "reject"}, "refused", "firewall_host_blocks"),
        ({"ports": [[5061, 5061]]}, "timed_out", "unknown_cause"),
        ({"sources": ["192.0.2.1"]}, "timed_out", "unknown_cause"),
        ({"protocol": "udp"}, "timed_out", "unknown_cause"),
        # It took the connection.
        ({}, "protocol", "unknown_cause"),
    ],
)
def test_a_rule_that_keeps_clients_from_provisioning(
    healthy: dict[str, Any], more: dict[str, Any], error: str, cause: str
) -> None:
    for path in healthy["paths"].values():
        path["data"]["provisioning"] = {"ok": False, "seconds": 1.5, "error": error, "message": "443 did not answer"}
    rule = block(**{"ports": [[443, 443]], "text": "tcp dport 443 counter drop", **more})
    healthy["host"]["firewall"]["data"]["blocks"] = [rule]
    root, plan, _next = judged(healthy)
    assert root["cause"] == cause
    assert [step["remedy"] for step in plan] == ["open_host_firewall"] * (cause == "firewall_host_blocks")


def test_a_rule_for_the_port_of_provisioning_on_another_machine_explains_nothing(healthy: dict[str, Any]) -> None:
    healthy["settings"]["provisioning_url"] = "https://provisioning.example.org:8443/"
    for path in healthy["paths"].values():
        path["data"]["provisioning"] = {"ok": False, "seconds": 1.5, "error": "timed_out", "message": "no answer"}
    healthy["host"]["firewall"]["data"]["blocks"] = [block(ports=[[8443, 8443]], text="tcp dport 8443 drop")]
    assert judged(healthy)[0]["cause"] == "unknown_cause"


@pytest.mark.parametrize("member", [SEEN_AS, "198.18.20.0/24"])
def test_a_ban_is_lifted_as_the_jail_has_it(silent: dict[str, Any], member: str) -> None:
    silent["host"]["bans"]["data"] = {
        "jails": {"other": ["192.0.2.1"], "asterisk": [member]},
        "sets": {"f2b": [member]},
    }
    root, (step,), _next = judged(silent)
    assert (root["cause"], root["policy"]) == ("client_banned", "approve")
    assert step["arguments"]["targets"] == [{"jail": "asterisk", "member": member}]


def test_a_ban_that_no_jail_keeps_is_a_persons(silent: dict[str, Any]) -> None:
    silent["host"]["bans"]["data"] = {"jails": {"asterisk": []}, "sets": {"blocklist": ["198.18.20.0/24"]}}
    root, plan, next_step = judged(silent)
    assert (root["cause"], root["remedy"], root["policy"], plan) == ("client_banned", None, "human", [])
    assert "take 198.18.20.0/24 out of the set blocklist by hand" in next_step


@pytest.fixture
def over_udp(silent: dict[str, Any]) -> dict[str, Any]:
    """A server whose UDP port 5060 answers nobody."""
    silent["paths"]["phone"]["data"]["tcp"][WHERE] = {"ok": True, "seconds": 0.1, "data": {"rtt_ms": 1.0}}
    silent["settings"]["sip_transports"].append({"transport": "udp", "port": 5060})
    silent["host"]["sockets"]["data"].append(
        {"proto": "udp", "family": 4, "address": "0.0.0.0", "port": 5060, "pid": 7, "process": "asterisk", "unit": None}
    )
    for path in silent["paths"].values():
        nothing = {"ok": False, "seconds": 3.0, "error": "timed_out", "message": "no answer"}
        path["data"]["sip"]["udp:198.18.20.22:5060"] = nothing
    return silent


def test_a_rule_for_udp_blocks_sip_over_udp(over_udp: dict[str, Any]) -> None:
    rule = {"protocol": "udp", "ports": [[5060, 5060]], "text": "udp dport 5060 drop"}
    # A rule for TCP says nothing of UDP.
    over_udp["host"]["firewall"]["data"]["blocks"] = [block(**rule), block(ports=[[5060, 5060]])]
    root, (step,), _next = judged(over_udp)
    assert (root["cause"], root["remedy"]) == ("firewall_host_blocks", "open_host_firewall")
    assert [target["text"] for target in step["arguments"]["targets"]] == ["udp dport 5060 drop"]


def test_silence_over_udp_is_a_firewall_only_where_others_get_an_answer(over_udp: dict[str, Any]) -> None:
    assert judged(over_udp)[0]["cause"] == "unknown_cause"
    answer = {"ok": True, "seconds": 0.1, "data": {"status": 200, "reason": "OK", "rtt_ms": 1.0, "user_agent": None}}
    over_udp["paths"]["control"]["data"]["sip"]["udp:198.18.20.22:5060"] = answer
    assert judged(over_udp)[0]["cause"] == "firewall_edge_blocks"


CLIENT = "203.0.113.9"


@pytest.fixture
def banned(healthy: dict[str, Any]) -> dict[str, Any]:
    """A healthy server whose list has the address that an account was last seen at."""
    entries = [{"event": "DISCONNECT", "details": "NETWORK_ERROR", "address": f"{CLIENT}:40000", "seconds_ago": 60}]
    sessions = {"account": {"entries": entries, "last": {}}, "address": {}}
    healthy["account"] = {
        "sessions": {"ok": True, "seconds": 0.1, "data": sessions},
        "live": {"ok": True, "seconds": 0.1, "data": {"endpoint": "1001", "device_state": "", "contacts": []}},
    }
    healthy["host"]["bans"]["data"] = {"jails": {"asterisk": [f"{CLIENT}"]}, "sets": {}}
    return healthy


def test_the_ban_of_the_address_that_the_account_was_last_seen_at_is_found(banned: dict[str, Any]) -> None:
    root, (step,), _next = judged(banned)
    assert (root["cause"], root["about"], root["remedy"]) == ("client_banned", CLIENT, "unban_client")
    assert step["arguments"]["targets"] == [{"jail": "asterisk", "member": CLIENT}]
    banned["host"]["bans"]["data"] = {"jails": {}, "sets": {"bad": ["203.0.113.0/24"]}}
    banned["host"]["firewall"]["data"]["blocks"] = [block(sets=["bad"])]
    root, plan, next_step = judged(banned)
    assert (root["cause"], plan) == ("client_banned", [])
    assert "take 203.0.113.0/24 out of the set bad" in next_step


def test_the_ban_of_a_contact_is_found_where_nothing_logs_sessions(banned: dict[str, Any]) -> None:
    banned["account"]["sessions"] = {"ok": False, "seconds": 0.0, "error": "skipped", "message": ""}
    contact = {"uri": f"sip:1001@{CLIENT}:40000", "status": "NonQualified", "rtt_ms": None}
    banned["account"]["live"]["data"]["contacts"] = [contact]
    rows = {"endpoint": {"id": "1001", "rewrite_contact": "yes"}, "contacts": []}
    banned["account"]["rows"] = {"ok": True, "seconds": 0.1, "data": rows}
    assert [root["about"] for root in judge.judge(banned)["verdict"]["root_causes"]] == [CLIENT]
    # Who answers Asterisk is not kept out.
    contact["status"] = "Reachable"
    assert "client_banned" not in [one["cause"] for one in judge.judge(banned)["findings"]]


@pytest.mark.parametrize(("nat", "found"), [("force_rport,comedia", [CLIENT]), ("yes", [CLIENT]), ("comedia", [])])
def test_the_ban_of_a_contact_of_chan_sip_is_found_where_it_is_the_source_address(
    banned: dict[str, Any], nat: str, found: list[str]
) -> None:
    banned["account"]["sessions"] = {"ok": False, "seconds": 0.0, "error": "skipped", "message": ""}
    contact = {"uri": "sip:1001@192.168.1.5:5060", "source": f"{CLIENT}:40000", "status": "Unknown", "rtt_ms": None}
    banned["account"]["live"]["data"]["contacts"] = [contact]
    assert [root["about"] for root in judge.judge(banned)["verdict"]["root_causes"]] == [CLIENT]
    # Its table says so, too; a newest attempt from there is the client's then.
    banned["account"]["live"]["data"]["contacts"] = []
    stored = {"fullcontact": contact["uri"], "ipaddr": CLIENT, "port": 40000}
    rows = {"endpoint": {"name": "1001", "nat": nat}, "contacts": [stored]}
    banned["account"]["rows"] = {"ok": True, "seconds": 0.1, "data": rows}
    guess = {"event": "InvalidPassword", "address": CLIENT, "time": "2026-01-01T00:00:00Z"}
    attempts = {"addresses": {CLIENT: {"InvalidPassword": 9}}, "events": {"InvalidPassword": 9}, "last": guess}
    banned["account"]["attempts"] = {"ok": True, "seconds": 0.1, "data": {**attempts, "latest": {CLIENT: guess}}}
    assert [one["about"] for one in judge.judge(banned)["findings"] if one["code"] == "path.client"] == found


@pytest.mark.attack("a client that names another's address in its contact, to have it unbanned", harm="breach")
@pytest.mark.parametrize("attacks", [False, True])
def test_what_a_client_says_in_its_contact_is_no_reason_to_lift_a_ban(banned: dict[str, Any], attacks: bool) -> None:
    banned["account"]["sessions"] = {"ok": False, "seconds": 0.0, "error": "skipped", "message": ""}
    named = {"uri": f"sip:1001@{CLIENT}:40000", "status": "NonQualified", "rtt_ms": None}
    banned["account"]["live"]["data"]["contacts"] = [named]
    stored = {"uri": named["uri"], "fullcontact": named["uri"], "via_addr": CLIENT, "ipaddr": CLIENT}
    rows = {"endpoint": {"id": "1001", "rewrite_contact": "no", "nat": "no"}, "contacts": [stored]}
    banned["account"]["rows"] = {"ok": True, "seconds": 0.1, "data": rows}
    if attacks:
        # Whoever is banned did try passwords of the account.
        guess = {"event": "InvalidPassword", "address": CLIENT, "time": "2026-01-01T00:00:00Z"}
        attempts = {"addresses": {CLIENT: {"InvalidPassword": 9}}, "events": {"InvalidPassword": 9}, "last": guess}
        banned["account"]["attempts"] = {"ok": True, "seconds": 0.1, "data": {**attempts, "latest": {CLIENT: guess}}}
        # That the client was refused, too, does not say from where.
        banned["client_report"] = {"error_message": "401 Unauthorized"}
    assert "path.client" not in [one["code"] for one in judge.judge(banned)["findings"]]
    # The server itself saw the account there.
    login = {"addresses": {CLIENT: {"SuccessfulAuth": 1}}, "events": {"SuccessfulAuth": 1}, "latest": {}}
    last = {"event": "SuccessfulAuth", "address": CLIENT, "time": "2026-01-01T00:00:00Z"}
    banned["account"]["attempts"] = {"ok": True, "seconds": 0.1, "data": {**login, "last": last}}
    assert "path.client" in [one["code"] for one in judge.judge(banned)["findings"]]


def test_a_ban_of_others_and_of_where_the_client_is_no_more_bans_nobody(banned: dict[str, Any]) -> None:
    contact = {"uri": "sip:1001@192.0.2.77:5061", "status": "Reachable", "rtt_ms": 1.0}
    banned["account"]["live"]["data"]["contacts"] = [contact]
    assert "client_banned" not in [one["cause"] for one in judge.judge(banned)["findings"]]
    banned["account"]["live"]["data"]["contacts"] = []
    # A jail and a set that are about SSH alone.
    banned["host"]["bans"]["data"] = {"jails": {"sshd": [CLIENT]}, "sets": {"bad": [CLIENT]}}
    banned["host"]["firewall"]["data"]["blocks"] = [block(sets=["bad"], ports=[[22, 22]])]
    assert "client_banned" not in [one["cause"] for one in judge.judge(banned)["findings"]]
    banned["host"]["bans"]["data"]["jails"] = {"asterisk": ["192.0.2.1"]}
    assert "client_banned" not in [one["cause"] for one in judge.judge(banned)["findings"]]


def browsing(document: dict[str, Any]) -> None:
    """The user's browser is at the address that is banned; the account itself was never seen there."""
    del document["account"]["sessions"]
    seen = {"addresses": [CLIENT], "ipv4": True, "ipv6": None, "provisioning": None, "proxy": [], "clock_offset": None}
    document["client_report"] = {"internet": True, "browser": seen}
    document["account"]["watch"] = {"ok": True, "seconds": 1.0, "data": {"attempts": []}}


def test_the_ban_of_the_address_that_the_users_browser_is_at_is_found(banned: dict[str, Any]) -> None:
    browsing(banned)
    root, (step,), _next = judged(banned)
    assert (root["cause"], root["about"], root["remedy"]) == ("client_banned", CLIENT, "unban_client")
    assert root["summary"].startswith(f"The user's browser is at {CLIENT}: its address")
    assert step["arguments"]["targets"] == [{"jail": "asterisk", "member": CLIENT}]


def test_a_rule_that_keeps_out_where_the_users_browser_is_is_a_persons(banned: dict[str, Any]) -> None:
    browsing(banned)
    banned["host"]["bans"]["data"] = {"jails": {}, "sets": {}}
    banned["host"]["firewall"]["data"]["blocks"] = [block(sources=["203.0.113.0/24"])]
    root, plan, next_step = judged(banned)
    assert (root["cause"], root["about"], plan) == ("firewall_host_blocks", CLIENT, [])
    assert "keeps out single networks" in next_step
    # An attempt from there came through.
    banned["account"]["watch"]["data"]["attempts"] = [{"outcome": "challenged", "address": CLIENT}]
    (told,) = (one for one in judge.judge(banned)["findings"] if one["code"] == "path.browser")
    assert told["status"] == "warn"
    # Rules about others, and those for everybody, which the paths show, are no finding of the browser.
    banned["host"]["firewall"]["data"]["blocks"] = [block(sources=["192.0.2.0/24"]), block()]
    assert "path.browser" not in [one["code"] for one in judge.judge(banned)["findings"]]
