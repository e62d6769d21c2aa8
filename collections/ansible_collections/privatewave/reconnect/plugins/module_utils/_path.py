# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to a server as seen from here: DNS, ICMP, TCP, TLS, SIP and provisioning, all asked at the same time.

A target is a dict: ``name``, ``sip_domain`` (the name clients use), ``addresses``, ``transports`` (``[{transport,
port}]``), ``resolvers``, ``srv`` (``_sips._tcp``, or empty), ``provisioning_url``, ``tls_ca`` (PEM text, None: the
system's authorities), ``tls_ca_error`` (why there is no CA), ``tls_profile`` (what clients offer, see `_tls.examine`),
``user`` (who the SIP probe says it is). What comes back is described in docs/documents.md, ``paths``.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import time
import urllib.parse

from ansible_collections.privatewave.reconnect.plugins.module_utils import (
    _dns,
    _icmp,
    _net,
    _sip,
    _sip_client,
    _tls,
)
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import (
    ProbeError,
    Round,
    failed,
    probe,
    run_all,
)

ADDRESS_LIMIT = 8
TARGET_LIMIT = 500
HEADER_LIMIT = 20
TEXT_LIMIT = 200

DNS_SECONDS = 2.0
ICMP_SECONDS = 3.5
PATH_MTU_SECONDS = 3.5
STEP_SECONDS = 3.0
FLOW_SECONDS = 4.0
TARGET_SECONDS = 8.0

DEFAULT_USER = "reconnect"


def answer(targets, vantage):
    """What the module path_info answers: ``{paths: {target name: probe of its paths data}}``."""
    return {"paths": probe_targets(targets, vantage)}


def probe_targets(targets, vantage, limit=TARGET_SECONDS):
    """Probe every target at the same time. Returns ``{target name: probe of its paths data}``."""
    return run_all({target["name"]: (lambda target=target: probe_target(target, vantage), limit) for target in targets})


def probe_target(target, vantage):
    """Probe one target. Returns the ``data`` of ``paths.<vantage>``, see docs/documents.md."""
    asked = Round()
    seen = []

    def probe_address(address):
        address = str(ipaddress.ip_address(address))
        if address in seen or len(seen) >= ADDRESS_LIMIT:
            return
        seen.append(address)
        asked.ask(("icmp", address), lambda: _icmp.ping(address), ICMP_SECONDS)
        asked.ask(("path_mtu", address), lambda: _icmp.path_mtu(address), PATH_MTU_SECONDS)
        for one in target["transports"]:
            transport, port = one["transport"], int(one["port"])
            asked.ask(
                ("flow", transport, address, port),
                lambda transport=transport, port=port: _probe_flow(target, transport, address, port),
                FLOW_SECONDS + 0.5,
            )

    def resolve(resolver, name, kind):
        answer = _dns.lookup(resolver, name, kind, DNS_SECONDS)
        for record in answer["records"]:
            for address in record["addresses"] if kind == "SRV" else [record]:
                probe_address(address)
        return answer

    taken_at = time.time()
    for address in target["addresses"]:
        probe_address(address)
    domain = target["sip_domain"]
    resolvers = target["resolvers"] or _dns.system_resolvers()
    names = {"a": (domain, "A"), "aaaa": (domain, "AAAA")}
    if target["srv"]:
        names["srv"] = ("{0}.{1}".format(target["srv"], domain), "SRV")
    if domain and not _net.is_address(domain):
        for resolver in resolvers:
            for key, (name, kind) in names.items():
                asked.ask(
                    ("dns", resolver, key),
                    lambda resolver=resolver, name=name, kind=kind: resolve(resolver, name, kind),
                    DNS_SECONDS + 0.5,
                )
    if target["provisioning_url"]:
        asked.ask(("provisioning",), lambda: _probe_provisioning(target, resolvers), STEP_SECONDS + 0.5)
    answers = asked.answers()

    data = {
        "vantage": vantage,
        "taken_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(taken_at)),
        "epoch": taken_at,
        "source_address": _net.source_address(seen[0]) if seen else None,
        "source_addresses": sorted({own for own in map(_net.source_address, seen) if own}),
        "dns": {},
        "addresses": list(seen),
        "icmp": {},
        "path_mtu": {},
        "tcp": {},
        "tls": {},
        "sip": {},
        "provisioning": answers.pop(("provisioning",), failed("skipped", "no provisioning_url is set for this server")),
    }
    for key, answer in answers.items():
        if key[0] == "dns":
            data["dns"].setdefault(key[1], {})[key[2]] = answer
        elif key[0] == "flow":
            _spread_flow(data, key[1], _net.endpoint(key[2], key[3]), answer)
        else:
            data[key[0]][key[1]] = answer
    return data


def _milliseconds(started):
    return round((time.monotonic() - started) * 1000, 3)


def _probe_flow(target, transport, address, port):
    """TCP, TLS and SIP over one connection, so that a server sees one client and not three."""
    deadline = time.monotonic() + FLOW_SECONDS
    steps = {}
    held = []

    def connect():
        started = time.monotonic()
        held.append(_net.connect(address, port, min(STEP_SECONDS, deadline - time.monotonic())))
        return {"rtt_ms": _milliseconds(started)}

    def shake_hands():
        sockets = held[:]

        def fresh():
            if sockets:
                return sockets.pop()
            return _net.connect(address, port, min(STEP_SECONDS, deadline - time.monotonic()))

        sock, seen = _tls.examine(
            fresh,
            target["sip_domain"] or address,
            target.get("tls_ca"),
            min(deadline, time.monotonic() + STEP_SECONDS),
            target.get("tls_ca_error"),
            target.get("tls_profile"),
        )
        held[:] = [sock]
        return seen

    def ask_options():
        domain = _net.bracketed(target["sip_domain"] or address)
        flow = _sip_client.Flow(held[-1], transport, domain, target.get("user") or DEFAULT_USER)
        started = time.monotonic()
        return _sip_answer(_sip_client.options(flow, min(deadline, started + STEP_SECONDS)), _milliseconds(started))

    def connect_anew():
        held.pop().close()
        connect()

    def shake_hands_anew():
        connect_anew()
        return shake_hands()

    def ask_anew():
        connect_anew()
        if transport == "tls":
            shake_hands()
        return ask_options()

    def patiently(ask, anew):
        # Asterisk now and then closes a connection that it has just accepted: only a second one that ends so says more.
        first = probe(ask)
        if transport == "udp" or first.get("error") != "refused":
            return first
        return dict(probe(anew), attempts=2)

    try:
        if transport == "udp":
            held.append(_net.connected(socket.SOCK_DGRAM, address, port, STEP_SECONDS))
        else:
            steps["tcp"] = probe(connect)
        if transport == "tls":
            steps["tls"] = (
                patiently(shake_hands, shake_hands_anew) if held else failed("skipped", "there is no TCP connection")
            )
        ready = all(step["ok"] for step in steps.values())
        missing = "TLS" if "tls" in steps and steps["tcp"]["ok"] else "TCP"
        steps["sip"] = (
            patiently(ask_options, ask_anew)
            if ready
            else failed("skipped", "there is no {0} connection".format(missing))
        )
    finally:
        for sock in held:
            sock.close()
    return steps


def _spread_flow(data, transport, where, answer):
    kinds = {"udp": ("sip",), "tcp": ("tcp", "sip"), "tls": ("tcp", "tls", "sip")}[transport]
    for kind in kinds:
        key = "{0}:{1}".format(transport, where) if kind == "sip" else where
        data[kind][key] = answer["data"][kind] if answer["ok"] else dict(answer)


def _sip_answer(response, rtt_ms):
    headers = {}
    for name, value in response.headers[:HEADER_LIMIT]:
        headers.setdefault(_sip.printable(name, TEXT_LIMIT), _sip.printable(value, TEXT_LIMIT))
    return {
        "status": response.status,
        "reason": _sip.printable(response.reason, TEXT_LIMIT),
        "server": _sip.printable(response.get("Server") or response.get("User-Agent") or "", TEXT_LIMIT),
        "rtt_ms": rtt_ms,
        "headers": headers,
    }


def _probe_provisioning(target, resolvers):
    """GET the provisioning URL as a client does when it fetches its configuration."""
    deadline = time.monotonic() + STEP_SECONDS
    try:
        url = urllib.parse.urlsplit(target["provisioning_url"])
        host, port = url.hostname, url.port or (443 if url.scheme == "https" else 80)
    except ValueError as error:
        raise ProbeError("invalid", "provisioning_url: {0}".format(error)) from None
    if url.scheme not in ("http", "https") or not host:
        raise ProbeError("invalid", "provisioning_url is no http or https URL")
    addresses = _addresses_of(host, target, resolvers, deadline)
    started = time.monotonic()

    def fresh():
        error = None
        for left, address in zip(range(len(addresses), 0, -1), addresses):
            try:
                # What time is left is shared by the addresses that are left.
                return _net.connect(address, port, (deadline - time.monotonic()) / left)
            except ProbeError as one:
                error = error or one
        raise error or ProbeError("unreachable", "{0} has no address".format(host))

    def ask():
        if url.scheme == "https":
            sock, tls = _tls.examine(
                fresh, host, target.get("tls_ca"), deadline, target.get("tls_ca_error"), target.get("tls_profile")
            )
        else:
            sock, tls = fresh(), None
        with sock:
            response = _get(sock, host, url, deadline)
            return {
                "status": response.status,
                "seconds": round(time.monotonic() - started, 4),
                "tls": tls,
                "date": _sip.printable(response.getheader("Date") or "", TEXT_LIMIT) or None,
                "server": _sip.printable(response.getheader("Server") or "", TEXT_LIMIT),
                "address": sock.getpeername()[0],
            }

    try:
        return ask()
    except http.client.RemoteDisconnected:
        pass
    except ProbeError as error:
        if error.error != "refused":
            raise
    # A service whose database was just started anew closes what waited for it: only a second one says more.
    started = time.monotonic()
    try:
        return dict(ask(), attempts=2)
    except http.client.RemoteDisconnected:
        raise ProbeError(
            "invalid", "the server closes the connection instead of answering, also a second one"
        ) from None


def _get(sock, host, url, deadline):
    """The answer to GET. Raises ProbeError, and RemoteDisconnected where the server closes the connection instead."""
    sock.settimeout(max(0.001, deadline - time.monotonic()))
    connection = http.client.HTTPConnection(host, url.port)
    connection.sock = sock
    path = urllib.parse.quote(url.path or "/", safe="/%:@!$&'()*+,;=~-._") + ("?" + url.query if url.query else "")
    try:
        connection.request("GET", path, headers={"User-Agent": _sip_client.USER_AGENT, "Connection": "close"})
        return connection.getresponse()
    except socket.timeout:
        raise ProbeError("timed_out", "no answer to GET {0}".format(path)) from None
    except http.client.RemoteDisconnected:
        raise
    except http.client.HTTPException as error:
        raise ProbeError("invalid", "the answer is no HTTP: {0}".format(type(error).__name__)) from None


def _addresses_of(host, target, resolvers, deadline):
    """Where a URL's host is: what the inventory says of the server itself, else what its resolvers say."""
    if _net.is_address(host):
        return [host]
    if host == (target["sip_domain"] or "").lower() and target["addresses"]:
        return list(target["addresses"])
    for resolver in resolvers:
        found = []
        for kind in ("A", "AAAA"):
            try:
                found += _dns.lookup(resolver, host, kind, min(1.0, deadline - time.monotonic()))["records"]
            except ProbeError:
                continue
        if found:
            return found
    raise ProbeError("unreachable", "no resolver knows an address of {0}".format(host))
