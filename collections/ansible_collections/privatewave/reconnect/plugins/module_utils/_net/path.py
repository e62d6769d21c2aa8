# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The path to a server as seen from here: DNS, ICMP, TCP, TLS, SIP and provisioning, all asked at the same time."""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
import time
import urllib.parse
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast

from ansible_collections.privatewave.reconnect.plugins.module_utils._net import connections, dns, icmp, sip_client
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import tls as handshakes
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import (
    ProbeError,
    Round,
    failed,
    probe,
    run_all,
)
from ansible_collections.privatewave.reconnect.plugins.module_utils._text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ansible_collections.privatewave.reconnect.plugins.module_utils._net import sip
    from ansible_collections.privatewave.reconnect.plugins.module_utils._net.documents import (
        Addresses,
        Connected,
        Handshake,
        Hop,
        Path,
        Paths,
        Provisioning,
        Resolved,
        Services,
        SipAnswer,
        Target,
    )
    from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import Data, Probe

ADDRESS_LIMIT = 8
TARGET_LIMIT = 500
HEADER_LIMIT = 20
TEXT_LIMIT = 200

DNS_SECONDS = 2.0
ICMP_SECONDS = 3.5
PATH_MTU_SECONDS = 3.5
STEP_SECONDS = 3.0
FLOW_SECONDS = 4.0
HOP_SECONDS = 1.0
TARGET_SECONDS = 8.0

DEFAULT_USER = "reconnect"

#: How a proxy answers what it may not pass on (RFC 3261, 16.3).
TOO_MANY_HOPS = 483
#: Proxies and session border controllers that say who they are. Some answer OPTIONS before they look how far it may go.
PROXY = re.compile(
    r"kamailio|opensips|openser|flexisip|\bsbc\b|session border|audiocodes|acme packet|oracle|ribbon|sonus",
    re.IGNORECASE,
)


class _Steps(TypedDict, total=False):
    """What one flow answers; ``tcp`` is missing over UDP, ``tls`` without TLS, ``hops`` where nobody can be asked."""

    tcp: Probe[Connected]
    tls: Probe[Handshake]
    sip: Probe[SipAnswer]
    hops: list[Probe[Hop]]


def answer(targets: Iterable[Target], vantage: str) -> Paths:
    """The answer of the module path_info."""
    return {"paths": probe_targets(targets, vantage)}


def probe_targets(targets: Iterable[Target], vantage: str, limit: float = TARGET_SECONDS) -> dict[str, Probe[Path]]:
    """Probe all targets at the same time, each within ``limit`` seconds. Returns a probe for each target's name."""
    return run_all({target["name"]: (partial(probe_target, target, vantage), limit) for target in targets})


def probe_target(target: Target, vantage: str) -> Path:
    """Probe one target."""
    asked = Round()
    seen: list[str] = []

    def probe_address(address: str) -> None:
        address = str(ipaddress.ip_address(address))
        if address in seen or len(seen) >= ADDRESS_LIMIT:
            return
        seen.append(address)
        asked.ask(("icmp", address), lambda: icmp.ping(address), ICMP_SECONDS)
        asked.ask(("path_mtu", address), lambda: icmp.path_mtu(address), PATH_MTU_SECONDS)
        for one in target["transports"]:
            transport, port = one["transport"], int(one["port"])
            flow = partial(_probe_flow, target, transport, address, port)
            asked.ask(("flow", transport, address, port), flow, FLOW_SECONDS + 0.5)

    def resolve(resolver: str, name: str, kind: Literal["A", "AAAA"]) -> Addresses:
        found = dns.lookup(resolver, name, kind, DNS_SECONDS)
        for address in found["records"]:
            probe_address(address)
        return found

    def resolve_services(resolver: str, name: str) -> Services:
        found = dns.lookup(resolver, name, "SRV", DNS_SECONDS)
        for record in found["records"]:
            for address in record["addresses"]:
                probe_address(address)
        return found

    taken_at = time.time()
    for address in target["addresses"]:
        probe_address(address)
    domain = target["sip_domain"]
    resolvers = target["resolvers"] or dns.system_resolvers()
    for resolver in resolvers if domain and not connections.is_address(domain) else []:
        questions: dict[str, Callable[[], Any]] = {
            "a": partial(resolve, resolver, domain, "A"),
            "aaaa": partial(resolve, resolver, domain, "AAAA"),
        }
        if target["srv"]:
            questions["srv"] = partial(resolve_services, resolver, "{0}.{1}".format(target["srv"], domain))
        for key, question in questions.items():
            asked.ask(("dns", resolver, key), question, DNS_SECONDS + 0.5)
    if target["provisioning_url"]:
        asked.ask(("provisioning",), lambda: _probe_provisioning(target, resolvers), STEP_SECONDS + 0.5)
    answers = asked.answers()

    data: Path = {
        "vantage": vantage,
        "taken_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(taken_at)),
        "epoch": taken_at,
        "source_address": connections.source_address(seen[0]) if seen else None,
        "source_addresses": sorted({own for own in map(connections.source_address, seen) if own}),
        "dns": {},
        "addresses": list(seen),
        "icmp": {},
        "path_mtu": {},
        "tcp": {},
        "tls": {},
        "sip": {},
        "hops": {},
        "provisioning": answers.pop(("provisioning",), failed("skipped", "no provisioning_url is set for this server")),
    }
    resolved: dict[str, dict[str, Probe[Any]]] = {}
    for (kind, *about), found in answers.items():
        if kind == "dns":
            resolved.setdefault(about[0], {})[about[1]] = found
        elif kind == "flow":
            _spread_flow(data, about[0], connections.endpoint(about[1], about[2]), found)
        elif kind == "icmp":
            data["icmp"][about[0]] = found
        else:
            data["path_mtu"][about[0]] = found
    data["dns"] = cast("dict[str, Resolved]", resolved)
    return data


def _milliseconds(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 3)


def _probe_flow(target: Target, transport: str, address: str, port: int) -> _Steps:
    """TCP, TLS and SIP over one connection: the server sees one client, not three."""
    deadline = time.monotonic() + FLOW_SECONDS
    held: list[socket.socket] = []
    flows: list[sip_client.Flow] = []

    def fresh() -> socket.socket:
        return connections.connect(address, port, min(STEP_SECONDS, deadline - time.monotonic()))

    def connect() -> Connected:
        started = time.monotonic()
        held.append(fresh())
        return {"rtt_ms": _milliseconds(started)}

    def shake_hands() -> Handshake:
        sockets = held[:]
        sock, seen = handshakes.examine(
            lambda: sockets.pop() if sockets else fresh(),
            target["sip_domain"] or address,
            target.get("tls_ca"),
            min(deadline, time.monotonic() + STEP_SECONDS),
            target.get("tls_ca_error"),
            target.get("tls_profile"),
        )
        held[:] = [sock]
        return seen

    def ask_options() -> SipAnswer:
        domain = connections.bracketed(target["sip_domain"] or address)
        flow = sip_client.Flow(held[-1], transport, domain, target.get("user") or DEFAULT_USER)
        flows[:] = [flow]
        started = time.monotonic()
        return _sip_answer(sip_client.options(flow, min(deadline, started + STEP_SECONDS)), _milliseconds(started))

    def connect_again() -> None:
        held.pop().close()
        connect()

    def shake_hands_again() -> Handshake:
        connect_again()
        return shake_hands()

    def ask_again() -> SipAnswer:
        connect_again()
        if transport == "tls":
            shake_hands()
        return ask_options()

    def patiently(ask: Callable[[], Data], again: Callable[[], Data]) -> Probe[Data]:
        # Asterisk sometimes closes a connection right after it accepted it: only a second closed one is a fault.
        first = probe(ask)
        if transport == "udp" or first["ok"] or first["error"] != "refused":
            return first
        second = probe(again)
        second["attempts"] = 2
        return second

    steps: _Steps = {}
    missing = ""
    try:
        if transport == "udp":
            held.append(connections.connected(socket.SOCK_DGRAM, address, port, STEP_SECONDS))
        else:
            steps["tcp"] = probe(connect)
            missing = "" if steps["tcp"]["ok"] else "TCP"
        if transport == "tls":
            steps["tls"] = (
                patiently(shake_hands, shake_hands_again) if held else failed("skipped", "there is no TCP connection")
            )
            missing = missing or ("" if steps["tls"]["ok"] else "TLS")
        steps["sip"] = (
            failed("skipped", "there is no {0} connection".format(missing))
            if missing
            else patiently(ask_options, ask_again)
        )
        if steps["sip"]["ok"] or steps["sip"]["error"] == "timed_out":
            steps["hops"] = _hops(flows[0], steps["sip"], deadline)
    finally:
        for sock in held:
            sock.close()
    return steps


def _spread_flow(data: Path, transport: str, where: str, answer: Probe[_Steps]) -> None:
    """Add the steps of a flow to the path; a flow without an answer counts for each of its steps."""
    steps: _Steps = answer["data"] if answer["ok"] else {"tcp": answer, "tls": answer, "sip": answer}
    if transport != "udp":
        data["tcp"][where] = steps["tcp"]
    if transport == "tls":
        data["tls"][where] = steps["tls"]
    name = "{0}:{1}".format(transport, where)
    data["sip"][name] = steps["sip"]
    if "hops" in steps:
        data["hops"][name] = steps["hops"]


def _sip_answer(response: sip.Message, rtt_ms: float) -> SipAnswer:
    headers: dict[str, str] = {}
    for name, value in response.headers[:HEADER_LIMIT]:
        headers.setdefault(printable(name, TEXT_LIMIT), printable(value, TEXT_LIMIT))
    return {**_hop(response), "rtt_ms": rtt_ms, "headers": headers}


def _hop(response: sip.Message) -> Hop:
    return {
        "status": response.status,
        "reason": printable(response.reason, TEXT_LIMIT),
        "server": printable(response.server, TEXT_LIMIT),
    }


def _hops(flow: sip_client.Flow, whole: Probe[SipAnswer], deadline: float) -> list[Probe[Hop]]:
    """Who answers what no proxy may pass on; where that is a proxy, who answers what goes one hop further.

    ``whole`` is what became of a request that goes all the way.
    """
    until = min(deadline, time.monotonic() + HOP_SECONDS)
    nearest: Probe[Hop] = probe(lambda: _hop(sip_client.options(flow, until, forwards=0)))
    if not nearest["ok"] or not _is_proxy(nearest["data"], whole["data"]["server"] if whole["ok"] else ""):
        return [nearest]
    # For an account: many a proxy answers itself what is for nobody.
    return [nearest, probe(lambda: _hop(sip_client.options(flow, deadline, forwards=1, uri=flow.identity)))]


def _is_proxy(nearest: Hop, last: str) -> bool:
    """Whether the station that answers first is not the ``last`` one, or says itself what it is."""
    first = nearest["server"]
    return nearest["status"] == TOO_MANY_HOPS or bool(first and last and first != last) or bool(PROXY.search(first))


def _probe_provisioning(target: Target, resolvers: Sequence[str]) -> Provisioning:
    """GET the provisioning URL as a client does that fetches its configuration. Raises `ProbeError`."""
    deadline = time.monotonic() + STEP_SECONDS
    try:
        url = urllib.parse.urlsplit(target["provisioning_url"])
        host, port = url.hostname, url.port or (443 if url.scheme == "https" else 80)
    except ValueError as error:
        raise ProbeError("invalid", "provisioning_url: {0}".format(error)) from None
    if url.scheme not in ("http", "https") or not host:
        raise ProbeError("invalid", "provisioning_url is not an http or https URL")
    addresses = _addresses_of(host, target, resolvers, deadline)

    def fresh() -> socket.socket:
        error = None
        for left, address in zip(range(len(addresses), 0, -1), addresses):
            try:
                # The addresses that are left share the time that is left.
                return connections.connect(address, port, (deadline - time.monotonic()) / left)
            except ProbeError as one:
                error = error or one
        raise error or ProbeError("unreachable", "{0} has no address".format(host))

    def ask() -> Provisioning:
        started = time.monotonic()
        sock: socket.socket
        tls: Handshake | None = None
        if url.scheme == "https":
            sock, tls = handshakes.examine(
                fresh, host, target.get("tls_ca"), deadline, target.get("tls_ca_error"), target.get("tls_profile")
            )
        else:
            sock = fresh()
        with sock:
            response = _get(sock, host, url, deadline)
            return {
                "status": response.status,
                "seconds": round(time.monotonic() - started, 4),
                "tls": tls,
                "date": printable(response.getheader("Date") or "", TEXT_LIMIT) or None,
                "server": printable(response.getheader("Server") or "", TEXT_LIMIT),
                "address": str(sock.getpeername()[0]),
            }

    try:
        return ask()
    except http.client.RemoteDisconnected:
        pass
    except ProbeError as error:
        if error.error != "refused":
            raise
    # A service whose database was just restarted closes the connections that waited: only a second one is a fault.
    try:
        return {**ask(), "attempts": 2}
    except http.client.RemoteDisconnected:
        raise ProbeError("invalid", "the server closes the connection without an answer, also a second one") from None


def _get(sock: socket.socket, host: str, url: urllib.parse.SplitResult, deadline: float) -> http.client.HTTPResponse:
    """The answer to GET. Raises `ProbeError`, and `RemoteDisconnected` when the server closes the connection."""
    sock.settimeout(max(0.001, deadline - time.monotonic()))
    connection = http.client.HTTPConnection(host, url.port)
    connection.sock = sock
    path = urllib.parse.quote(url.path or "/", safe="/%:@!$&'()*+,;=~-._") + ("?" + url.query if url.query else "")
    try:
        connection.request("GET", path, headers={"User-Agent": sip_client.USER_AGENT, "Connection": "close"})
        return connection.getresponse()
    except socket.timeout:
        raise ProbeError("timed_out", "no answer to GET {0}".format(path)) from None
    except http.client.RemoteDisconnected:
        raise
    except http.client.HTTPException as error:
        raise ProbeError("invalid", "the answer is not valid HTTP: {0}".format(type(error).__name__)) from None


def _addresses_of(host: str, target: Target, resolvers: Sequence[str], deadline: float) -> list[str]:
    """The addresses of a URL's host: those of the inventory when it is the server, else those of its resolvers."""
    if connections.is_address(host):
        return [host]
    if host == (target["sip_domain"] or "").lower() and target["addresses"]:
        return list(target["addresses"])
    kinds: tuple[Literal["A", "AAAA"], ...] = ("A", "AAAA")
    for resolver in resolvers:
        found: list[str] = []
        for kind in kinds:
            try:
                found += dns.lookup(resolver, host, kind, min(1.0, deadline - time.monotonic()))["records"]
            except ProbeError:
                continue
        if found:
            return found
    raise ProbeError("unreachable", "no resolver knows an address of {0}".format(host))
