# SPDX-License-Identifier: GPL-3.0-or-later
"""A proxy before Asterisk: which of the two stations a failure is at, and what is no failure there."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.documents import Judgement
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.evidence import fitted

EVIDENCE = Path(__file__).resolve().parents[5] / "evidence"
HEALTHY = gzip.decompress((EVIDENCE / "healthy.pbx22.json.gz").read_bytes()).decode()
SERVER, SERVER6 = "198.18.20.22", "2001:2:0:20::22"
#: Where clients reach the proxy, and where Asterisk sees it.
OUTSIDE, INSIDE = "203.0.113.5", "10.0.0.5"
PLACE = f"{OUTSIDE}:5061"
WHERE = f"tls:{PLACE}"
OWN = "kamailio (5.6.3 (x86_64/linux))"
SILENT = {"ok": False, "seconds": 3.0, "error": "timed_out", "message": "no answer to REGISTER within 3.0 s"}
REFUSED = {"ok": False, "seconds": 0.0, "error": "refused", "message": "Connection refused"}


def answered(status: int, reason: str, server: str = OWN) -> dict[str, Any]:
    return {"ok": True, "seconds": 0.1, "data": {"status": status, "reason": reason, "server": server}}


TOO_MANY, FAR = answered(483, "Too Many Hops"), answered(401, "Unauthorized", "PrivateServer")


@pytest.fixture(params=["named", "found"])
def site(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A healthy site, whose settings name its proxy or not."""
    return behind_a_proxy([OUTSIDE, INSIDE] if request.param == "named" else [])


@pytest.fixture
def named() -> dict[str, Any]:
    """A healthy site whose settings name its proxy."""
    return behind_a_proxy([OUTSIDE, INSIDE])


def behind_a_proxy(proxy: list[str]) -> dict[str, Any]:
    """A healthy site: clients come to a proxy over TLS, and that to Asterisk over UDP."""
    found: dict[str, Any] = json.loads(HEALTHY)
    for part in ("paths", "registrations"):
        found[part] = json.loads(json.dumps(found[part]).replace(SERVER, OUTSIDE))
    found["settings"].update(addresses=[OUTSIDE], proxy=proxy)
    for path in (one["data"] for one in found["paths"].values()):
        path["addresses"] = [OUTSIDE]
        for kind in ("icmp", "path_mtu", "tcp", "tls", "sip"):
            path[kind] = {where: probe for where, probe in path[kind].items() if SERVER6 not in where}
        for answers in path["dns"].values():
            answers["aaaa"]["data"]["records"] = []
            for record in answers["srv"]["data"]["records"]:
                record["addresses"] = [OUTSIDE]
        path["tls"][PLACE]["data"]["certificates"][0]["fingerprint_sha256"] = "ab" * 32
        path["sip"][WHERE]["data"].update(status=200, reason="Keepalive", server=OWN)
        path["hops"] = {WHERE: [TOO_MANY, FAR]}
    for test in found["registrations"]["601"].values():
        for answer in test["data"]["answers"]:
            answer["server"] = "PrivateServer"
    only = {"address": "0.0.0.0", "id": "transport-udp", "port": 5060, "transport": "udp"}
    found["asterisk"]["transports"]["data"] = [only]
    sockets = found["host"]["sockets"]
    sockets["data"] = [one for one in sockets["data"] if one.get("port") != 5061]
    return found


def lost(site: dict[str, Any], status: int = 0, reason: str = "", hop: Any = None) -> dict[str, Any]:
    """The proxy answers, and what it passes on gets nothing but its own answer, or none."""
    for path in site["paths"].values():
        path["data"]["hops"][WHERE] = [TOO_MANY, hop or (answered(status, reason) if status else SILENT)]
    for test in site["registrations"]["601"].values():
        if status:
            answers = [
                {
                    "expires": None,
                    "status": status,
                    "reason": reason,
                    "seconds": 0.1,
                    "algorithm": None,
                    "server": OWN,
                }
            ]
            test["data"].update(accepted=False, registered=None, listed=False, unregistered=False, answers=answers)
        else:
            test.clear()
            test.update(SILENT)
    return site


def judged(site: dict[str, Any]) -> Judgement:
    found = judge.judge(fitted(site), apply=True)
    assert statuses(found, "evidence.shape") == set()
    return found


def roots(found: Judgement) -> list[str]:
    return [one["cause"] for one in found["verdict"]["root_causes"]]


def symptoms(found: Judgement) -> dict[str | None, str]:
    return {one["cause"]: one["explained_by"] for one in found["verdict"]["symptoms"]}


def summaries(found: Judgement, code: str) -> list[str]:
    return [one["summary"] for one in found["findings"] if one["code"] == code]


def statuses(found: Judgement, code: str) -> set[str]:
    return {one["status"] for one in found["findings"] if one["code"] == code}


def test_a_site_with_a_proxy_is_healthy(site: dict[str, Any]) -> None:
    found = judged(site)
    assert (found["verdict"]["outcome"], roots(found)) == ("healthy", [])
    assert [one for one in found["findings"] if one["status"] == "fail"] == []
    # Its certificate and its addresses are no matter of the server's.
    assert not statuses(found, "tls.served") | statuses(found, "tls.disk") | statuses(found, "host.address")
    assert summaries(found, "sip.proxy")[0] == (
        f"The proxy at {WHERE} ({OWN}) passes on what control sends, and PrivateServer answers behind it."
        + ("" if site["settings"]["proxy"] else " Name its addresses in reconnect_proxy.")
    )
    assert summaries(found, "asterisk.transport") == ["Asterisk listens on udp:5060."]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (0, ""),
        (408, "Request Timeout"),
        (477, "Unfortunately error on sending to next hop occurred (477/SL)"),
        (404, "No destination"),
        (500, "Service Unavailable"),
        (503, "Service Unavailable"),
    ],
)
def test_a_proxy_that_gets_no_answer_is_the_cause(site: dict[str, Any], status: int, reason: str) -> None:
    found = judged(lost(site, status, reason))
    assert roots(found) == ["proxy_cannot_reach_server"]
    assert found["verdict"]["plan"] == []
    (root,) = found["verdict"]["root_causes"]
    assert (f"answers {status} {reason} itself" if status else "no answer to REGISTER") in root["summary"]
    assert ("503 of Asterisk" in root["summary"]) is (status in (500, 503))


@pytest.mark.parametrize("tested", [True, False])
def test_a_proxy_that_passes_on_even_what_is_for_nobody(site: dict[str, Any], tested: bool) -> None:
    for path in lost(site)["paths"].values():
        path["data"]["sip"][WHERE] = {**SILENT, "message": "no answer to OPTIONS within 3.0 s"}
    if not tested:
        site["registrations"] = {}
    assert roots(judged(site)) == ["proxy_cannot_reach_server"]


@pytest.mark.parametrize(
    ("hop", "status"),
    [
        (answered(408, "Request Timeout"), "fail"),
        # A proxy may keep these to itself: that alone shows no fault.
        (SILENT, "warn"),
        (answered(404, "Not Found"), "unknown"),
        (answered(200, "Keepalive"), "unknown"),
        (FAR, "pass"),
    ],
)
def test_without_a_registration_options_for_an_account_tell(site: dict[str, Any], hop: Any, status: str) -> None:
    lost(site, hop=hop)["registrations"] = {}
    assert statuses(judged(site), "sip.proxy") == {status}


def test_a_registration_that_works_says_more_than_options(site: dict[str, Any]) -> None:
    for path in site["paths"].values():
        path["data"]["hops"][WHERE][1] = answered(404, "Not Found")
    assert statuses(judged(site), "sip.proxy") == {"pass"}


def test_an_answer_of_asterisk_is_not_the_proxys(site: dict[str, Any]) -> None:
    for test in lost(site, 500, "Server Internal Error", FAR)["registrations"]["601"].values():
        test["data"]["answers"][0]["server"] = "PrivateServer"
    found = judged(site)
    assert (roots(found), statuses(found, "sip.proxy")) == (["unknown_cause"], {"pass"})


# ------------------------------------------------------------------------------------------------ the proxy itself


def closed(site: dict[str, Any], *vantages: str, error: dict[str, Any] = REFUSED) -> dict[str, Any]:
    for name in vantages:
        data = site["paths"][name]["data"]
        data["tcp"][PLACE] = error
        data["tls"][PLACE] = data["sip"][WHERE] = {**REFUSED, "error": "skipped"}
        data["hops"] = {}
        site["registrations"]["601"][name] = error
    return site


@pytest.mark.parametrize("error", [REFUSED, SILENT])
def test_a_proxy_that_answers_nobody(named: dict[str, Any], error: dict[str, Any]) -> None:
    found = judged(closed(named, "control", "phone", error=error))
    assert roots(found) == ["proxy_down"]
    assert "Look on the proxy" in found["verdict"]["next_step"]


def test_a_proxy_that_answers_others_is_not_down(site: dict[str, Any]) -> None:
    found = judged(closed(site, "phone"))
    assert roots(found) == ["firewall_edge_blocks"]
    assert "the proxy serves others, and it answers from control" in found["verdict"]["root_causes"][0]["summary"]


def test_the_second_of_two_proxies_is_down(site: dict[str, Any]) -> None:
    second = OUTSIDE.replace(".5", ".6")
    for key in ("addresses", "proxy"):
        site["settings"][key] += [second] if site["settings"][key] else []
    for path in site["paths"].values():
        path["data"]["tcp"][f"{second}:5061"] = REFUSED
    found = judged(site)
    assert (roots(found), statuses(found, "asterisk.transport")) == (["proxy_down"], {"pass"})
    assert found["verdict"]["root_causes"][0]["about"] == f"{second}:5061"


@pytest.mark.parametrize("kind", ["tls", "sip"])
def test_a_proxy_that_takes_connections_and_says_nothing(named: dict[str, Any], kind: str) -> None:
    for name, path in named["paths"].items():
        path["data"]["hops"] = {}
        path["data"]["sip"][WHERE] = {**SILENT, "error": "skipped"}
        path["data"][kind][PLACE if kind == "tls" else WHERE] = SILENT
        named["registrations"]["601"][name] = SILENT
    assert roots(judged(named)) == ["proxy_down"]


def test_a_network_that_loses_large_packets_is_not_the_proxys_fault(named: dict[str, Any]) -> None:
    for name, path in named["paths"].items():
        path["data"]["path_mtu"][OUTSIDE]["data"].update(black_hole=True)
        path["data"]["tls"][PLACE], path["data"]["hops"] = SILENT, {}
        path["data"]["sip"][WHERE] = {**SILENT, "error": "skipped"}
        named["registrations"]["601"][name] = SILENT
    found = judged(named)
    assert (roots(found), symptoms(found)) == (
        ["mtu_black_hole"],
        {"proxy_down": "mtu_black_hole", None: "mtu_black_hole"},
    )


@pytest.mark.parametrize("kind", ["tls", "sip"])
def test_a_proxy_that_says_nothing_to_one_is_not_down(site: dict[str, Any], kind: str) -> None:
    data = site["paths"]["phone"]["data"]
    data["hops"] = {}
    data["sip"][WHERE] = {**SILENT, "error": "skipped"}
    data[kind][PLACE if kind == "tls" else WHERE] = site["registrations"]["601"]["phone"] = SILENT
    assert roots(judged(site)) == ["unknown_cause"]


# ------------------------------------------------------------------------------------------------ behind it


def stopped(site: dict[str, Any]) -> None:
    site["asterisk"] = {
        name: {"ok": False, "seconds": 0.1, "error": "missing", "message": "no process asterisk"}
        for name in site["asterisk"]
    }
    site["host"]["sockets"]["data"] = [
        one for one in site["host"]["sockets"]["data"] if one.get("process") != "asterisk"
    ]


def hung(site: dict[str, Any]) -> None:
    site["asterisk"]["control"] = {**SILENT, "message": "no answer"}


def unbound(site: dict[str, Any]) -> None:
    site["host"]["sockets"]["data"] = [one for one in site["host"]["sockets"]["data"] if one.get("port") != 5060]


def taken(site: dict[str, Any]) -> None:
    for one in site["host"]["sockets"]["data"]:
        if one.get("port") == 5060:
            one.update(process="sipp", pid=7, unit="sipp.service")


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (stopped, "asterisk_stopped"),
        (hung, "asterisk_hung"),
        (unbound, "transport_not_bound"),
        (taken, "port_taken"),
    ],
)
def test_what_is_wrong_with_asterisk_explains_the_proxys_answers(
    site: dict[str, Any], change: Callable[[dict[str, Any]], None], cause: str
) -> None:
    change(lost(site, 408, "Request Timeout"))
    found = judged(site)
    assert roots(found) == [cause]
    assert symptoms(found)["proxy_cannot_reach_server"] == cause


def test_whatever_keeps_asterisk_from_answering_explains_the_proxys_answers() -> None:
    causes = judge.catalogue().values()
    server = [
        one for one in causes if one.subject in ("host", "asterisk", "database") and one.explains_code("sip.options")
    ]
    assert {one.name for one in server if not one.explains_cause("proxy_cannot_reach_server")} == set()


def test_a_transport_that_the_proxy_does_not_use_may_be_unbound(site: dict[str, Any]) -> None:
    more = {"address": "0.0.0.0", "id": "transport-ws", "port": 5070, "transport": "tcp"}
    site["asterisk"]["transports"]["data"].append(more)
    found = judged(site)
    assert (roots(found), statuses(found, "asterisk.transport")) == ([], {"warn", "pass"})


def test_a_proxy_on_the_server_itself_is_no_stranger_at_the_port(site: dict[str, Any]) -> None:
    """Ending it would end every registration."""
    links = site["host"]["interfaces"]["data"]
    links[1]["addresses"].append(f"{OUTSIDE}/24")
    own = {"family": 4, "pid": 7, "proto": "tcp", "port": 5061, "process": "kamailio", "unit": "kamailio.service"}
    site["host"]["sockets"]["data"].append({"address": "0.0.0.0", **own})
    for one in site["host"]["sockets"]["data"]:
        if one.get("port") == 5060:
            one["address"] = "127.0.0.1"
    found = judged(site)
    assert (roots(found), found["verdict"]["plan"]) == ([], [])
    (text,) = summaries(found, "asterisk.transport")
    if site["settings"]["proxy"]:
        assert text == "Asterisk listens on udp:5060."
    else:
        assert text.startswith("kamailio (process 7, kamailio.service) listens on tls:5061 instead of Asterisk")
        assert text.endswith("If it is a proxy, name its addresses in reconnect_proxy.")


# ------------------------------------------------------------------------------------------------ bans and rules


def test_a_ban_of_the_proxy_locks_everybody_out(site: dict[str, Any]) -> None:
    lost(site)["host"]["bans"]["data"]["jails"]["asterisk"] = [INSIDE]
    found = judged(site)
    if not site["settings"]["proxy"]:
        assert roots(found) == ["proxy_cannot_reach_server"]
        assert f"The server bans {INSIDE}: is that the proxy's address?" in summaries(found, "sip.proxy")[0]
        return
    assert roots(found) == ["client_banned"]
    assert symptoms(found)["proxy_cannot_reach_server"] == "client_banned"
    (step,) = found["verdict"]["plan"]
    assert (step["remedy"], step["decision"]) == ("unban_client", "approval")
    assert step["arguments"]["targets"] == [{"jail": "asterisk", "member": INSIDE}]
    assert found["verdict"]["root_causes"][0]["summary"] == (
        f"Everybody comes from the proxy, and the server keeps it out: its address {INSIDE} is banned in the jail "
        "asterisk. Have fail2ban ignore the address (ignoreip)."
    )


def test_a_ban_that_keeps_nobody_out_is_worth_a_word(named: dict[str, Any]) -> None:
    named["host"]["bans"]["data"]["jails"]["asterisk"] = [INSIDE]
    found = judged(named)
    assert (roots(found), statuses(found, "path.proxy")) == ([], {"warn"})


def test_a_ban_that_is_not_about_sip_is_none_of_the_proxy(named: dict[str, Any]) -> None:
    lost(named)["host"]["bans"]["data"]["jails"]["sshd"] = [INSIDE]
    assert roots(judged(named)) == ["proxy_cannot_reach_server"]


@pytest.mark.parametrize("sources", [[f"{INSIDE}/32"], []])
def test_a_rule_of_the_server_against_the_proxy(named: dict[str, Any], sources: list[str]) -> None:
    """A rule for everybody may stand behind one that lets the proxy in, as on most such servers."""
    block = {
        "filter": "nft",
        "table": "inet filter",
        "chain": "input",
        "digest": "ab12",
        "text": "udp dport 5060 drop",
        "hook": "input",
        "family": None,
        "policy": None,
        "handle": 7,
        "verdict": "drop",
        "protocol": "udp",
        "ports": [[5060, 5060]],
        "sources": sources,
        "sets": [],
        "accepts": [],
    }
    lost(named)["host"]["firewall"]["data"]["blocks"] = [block]
    found = judged(named)
    assert roots(found) == ["firewall_host_blocks" if sources else "proxy_cannot_reach_server"]
    assert "udp dport 5060 drop" in found["verdict"]["root_causes"][0]["summary"]


def test_a_ban_of_a_phone_is_no_matter_behind_a_proxy(site: dict[str, Any]) -> None:
    phone = site["paths"]["phone"]["data"]["source_address"]
    site["host"]["bans"]["data"]["jails"]["asterisk"] = [phone]
    browser = {"addresses": [phone], "proxy": [], **dict.fromkeys(("ipv4", "ipv6", "provisioning", "clock_offset"))}
    site["client_report"] = {"browser": browser}
    assert roots(judged(closed(site, "phone"))) == ["firewall_edge_blocks"]


# ------------------------------------------------------------------------------------------------ false alarms


def test_a_certificate_that_nobody_sees_is_no_fault(site: dict[str, Any]) -> None:
    files = site["host"]["tls_files"]["data"]
    files["trust"].update(verified=False, verify_code=20, name_matches=False)
    files["certificate"]["not_after"] = "2020-01-01T00:00:00Z"
    files["key"].update(matches=False)
    assert roots(judged(site)) == []
    # The proxy comes over TLS, and Asterisk cannot offer it.
    tls = {"address": "0.0.0.0", "id": "transport-tls", "port": 5061, "transport": "tls"}
    lost(site)["asterisk"]["transports"]["data"].append(tls)
    assert roots(judged(site)) == ["tls_key_unusable"]


@pytest.mark.parametrize(("refused", "cause"), [(False, []), (True, ["identify_matches_clients"])])
def test_an_identify_of_the_proxy(named: dict[str, Any], refused: bool, cause: list[str]) -> None:
    section = {"name": "edge", "endpoint": "edge", "networks": [f"{INSIDE}/32"]}
    told = {"order": ["ip", "username"], "sections": [section]}
    named["asterisk"]["identifies"] = {"ok": True, "seconds": 0.1, "data": told}
    if refused:
        for test in lost(named, 401, "Unauthorized", FAR)["registrations"]["601"].values():
            test["data"]["answers"][0]["server"] = "PrivateServer"
    tried(named, "SuccessfulAuth")
    assert roots(judged(named)) == cause


def test_an_account_may_use_the_transport_of_the_proxy(named: dict[str, Any]) -> None:
    named["settings"]["channel_driver"] = "sip"
    tried(named, "SuccessfulAuth")
    peer = {"name": "1001", "host": "dynamic", "transport": "udp"}
    named["account"]["rows"]["data"].update(endpoint=peer, auth={}, aor={})
    assert "transport_mismatch" not in roots(judged(named))
    named["asterisk"]["transports"]["data"][0]["transport"] = "tcp"
    assert "transport_mismatch" in roots(judged(named))


def test_who_comes_through_the_proxy_may_be_a_stranger(named: dict[str, Any]) -> None:
    tried(named, "ChallengeResponseFailed")
    found = judged(named)
    assert (roots(found), statuses(found, "account.attempts")) == ([], {"warn"})
    # Without the proxy, whose contacts are from there is from there himself.
    named["settings"]["proxy"] = ["203.0.113.6"]
    assert "client_wrong_password" in roots(judged(named))


def tried(site: dict[str, Any], event: str) -> None:
    """The account 1001 has no contact and a login that ended so, from the proxy as everybody's, and one that worked."""
    entry = dict.fromkeys(("at", "seconds_ago", "account", "agent", "cipher", "details"))
    log = {"last": {}, "entries": [{**entry, "event": "REGISTER", "address": INSIDE}]}
    probes: dict[str, Any] = {
        "sessions": {"account": log, "address": {"last": {}, "entries": [], "address": None}},
        "rows": {
            "endpoint": {"id": "1001", "auth": "1001", "aors": "1001"},
            "auth": {"id": "1001", "username": "1001"},
            "aor": {"id": "1001", "max_contacts": 5, "remove_existing": "yes"},
            "contacts": [],
            "hidden": [],
        },
        "registry": {"registered": True, "enabled": True, "findings": []},
        "attempts": {
            "events": {event: 1, "SuccessfulAuth": 1},
            "last": {"event": event, "time": "2026-11-27T00:00:00Z", "address": INSIDE, "detail": ""},
            "addresses": {INSIDE: {event: 1, "SuccessfulAuth": 1}},
        },
    }
    site["account"] = {name: {"ok": True, "seconds": 0.1, "data": data} for name, data in probes.items()}
