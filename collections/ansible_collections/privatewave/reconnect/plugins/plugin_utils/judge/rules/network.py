# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to the server: names, packets, ports, TLS, SIP, provisioning — from every vantage."""

from __future__ import annotations

import ipaddress
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ..evidence import Evidence, Path, Probe, time_of
from ..finding import Finding, Say, rule
from .asterisk import alive

#: Share of the ICMP echoes that may get lost.
LOSS_WARN, LOSS_FAIL = 0.15, 0.3
#: Days before its end that a certificate is worth a word.
EXPIRES_SOON = timedelta(days=30)
#: What a TCP port says when packets do not get through, or are turned away.
SILENT = ("timed_out", "unreachable", "refused", "denied")
#: X509_V_ERR_* of OpenSSL that other checks name better: not yet valid, expired, name mismatch.
NAMED_ELSEWHERE = {9, 10, 62}
#: X509_V_ERR_* for a chain that ends before an authority that is trusted.
CHAIN_ENDS = {20, 21}
#: From the oldest to the newest, as `ssl.SSLSocket.version` says them.
VERSIONS = ("SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")


def split(where: str) -> tuple[str, int]:
    """``address:port`` or ``[address]:port`` in its parts."""
    address, _colon, port = where.rpartition(":")
    return address.strip("[]"), int(port) if port.isdigit() else 0


def sip_ports(evidence: Evidence) -> set[int]:
    """The ports at which clients look for SIP."""
    return {int(one["port"]) for one in evidence.settings.get("sip_transports") or []}


def own_addresses(evidence: Evidence) -> list[str]:
    """The addresses that the server's name must lead to; empty when the inventory does not say."""
    return [_plain(address) for address in evidence.settings.get("addresses") or []]


def _plain(address: object) -> str:
    try:
        return str(ipaddress.ip_address(str(address)))
    except ValueError:
        return str(address)


# ------------------------------------------------------------------------------------------------ names


@rule
def names(evidence: Evidence) -> Iterator[Finding]:
    """Every resolver leads to the server, and to nowhere else."""
    domain = str(evidence.settings.get("sip_domain") or "")
    if not domain:
        return
    wanted = set(own_addresses(evidence))
    for path in evidence.paths:
        for resolver, kind, found in path.dns():
            say = Say(
                f"dns.{kind}",
                "network",
                f"{domain} at {resolver}",
                path.vantage,
                ((found.path, found.data or found.error),),
            )
            if not found.ok:
                yield say.unknown(f"The resolver {resolver} did not answer for {domain} ({found.why}).")
                continue
            records = found.data.get("records") or []
            if kind == "srv":
                yield _srv(evidence, say, records, domain, resolver)
                continue
            addresses = {_plain(record) for record in records}
            family = 6 if kind == "aaaa" else 4
            expected = {one for one in wanted if ipaddress.ip_address(one).version == family}
            rcode = str(found.data.get("rcode") or "no data")
            if strangers := sorted(addresses - wanted if wanted else ()):
                yield say.fails(
                    f"{resolver} leads {domain} to {', '.join(strangers)}, which is none of the server's addresses.",
                    "dns_wrong_address",
                )
            elif not addresses and (expected or (family == 4 and not wanted)):
                yield say.fails(f"{resolver} has no {kind.upper()} record for {domain} ({rcode}).", "dns_no_record")
            elif not addresses:
                yield say.passes(f"{resolver} has no {kind.upper()} record for {domain}, and none is expected.")
            else:
                yield say.passes(f"{resolver} leads {domain} to {', '.join(sorted(addresses))}.")


def _srv(evidence: Evidence, say: Say, records: list[Mapping[str, Any]], domain: str, resolver: str) -> Finding:
    service = f"{evidence.settings.get('srv')}.{domain}"
    if not evidence.settings.get("srv"):
        return say.passes("No SRV record is expected.")
    if not records:
        return say.fails(f"{resolver} has no SRV record for {service}.", "dns_srv_wrong")
    ports = sip_ports(evidence)
    wanted = set(own_addresses(evidence))
    for record in records:
        target, port = str(record.get("target", "")).rstrip("."), int(record.get("port") or 0)
        addresses = {_plain(address) for address in record.get("addresses") or []}
        if port not in ports:
            return say.fails(
                f"{resolver} announces {service} on port {port}, clients need {_either(ports)}.", "dns_srv_wrong"
            )
        if target.lower() != domain.lower() and not (addresses and addresses <= wanted):
            return say.fails(f"{resolver} announces {service} at {target}, which is not the server.", "dns_srv_wrong")
    return say.passes(f"{resolver} announces {service} at the right place.")


def _either(ports: set[int]) -> str:
    return " or ".join(map(str, sorted(ports)))


# ------------------------------------------------------------------------------------------------ packets


@rule
def packets(evidence: Evidence) -> Iterator[Finding]:
    """Loss and path MTU to the server's own addresses."""
    for path in evidence.paths:
        lacking = [address for address in path.probes("icmp") if _ours(evidence, address) and _no_way(path, address)]
        if lacking:
            say = Say("path.family", "network", "IPv6", path.vantage, ((f"paths.{path.vantage}", _seen_as(path)),))
            yield say.warns(f"{path.vantage} has no IPv6 of its own: {', '.join(lacking)} was not judged from there.")
        for address, found in path.probes("icmp").items():
            if not _ours(evidence, address) or address in lacking:
                continue
            say = Say("path.icmp", "network", address, path.vantage, ((found.path, found.data or found.error),))
            if not found.ok:
                # Many networks drop ICMP: only silence on every port as well makes it a failure.
                if not _reached(path, address):
                    yield say.fails(f"{address} does not answer to ICMP from {path.vantage} ({found.why}).")
                else:
                    yield say.warns(f"{address} does not answer to ICMP from {path.vantage}, but its ports do.")
                continue
            loss = float(found.data.get("loss") or 0)
            rtt = (found.data.get("rtt_ms") or {}).get("avg")
            text = f"{loss:.0%} of {found.data.get('sent')} packets from {path.vantage} to {address} got lost"
            if loss >= LOSS_FAIL:
                yield say.fails(f"{text}.", "packet_loss_high")
            elif loss >= LOSS_WARN:
                yield say.warns(f"{text}.")
            else:
                yield say.passes(f"{text}, {rtt} ms on the average.")
        for address, found in path.probes("path_mtu").items():
            if not _ours(evidence, address) or not found.ok:
                continue
            say = Say("path.mtu", "network", address, path.vantage, ((found.path, found.data),))
            if found.data.get("black_hole") and _loses(path, address):
                yield say.unknown(
                    f"Too many packets get lost between {path.vantage} and {address} to tell how large they may be."
                )
                continue
            yield say.either(
                not found.data.get("black_hole"),
                f"Packets of {found.data.get('mtu')} bytes get from {path.vantage} to {address}.",
                f"Packets above {found.data.get('largest_ok')} bytes vanish between {path.vantage} and {address}.",
                "mtu_black_hole",
            )


def _ours(evidence: Evidence, address: str) -> bool:
    wanted = own_addresses(evidence)
    return not wanted or _plain(address) in wanted


def _loses(path: Path, address: str) -> bool:
    """Whether so many packets get lost that a silence says nothing more."""
    echo = path.probes("icmp").get(address)
    return echo is not None and echo.ok and float(echo.data.get("loss") or 0) >= LOSS_FAIL


def _no_way(path: Path, address: str) -> bool:
    """Whether the vantage itself has IPv4 only and the address is of IPv6: that says nothing about the server."""
    own = [one for one in path.data.get("source_addresses") or [] if one]
    return ":" in address and bool(own) and not any(":" in one for one in own)


def _reached(path: Path, address: str) -> bool:
    """Whether any port of the address answered from there, be it with a refusal by the server itself."""
    return any(probe.ok for where, probe in path.probes("tcp").items() if split(where)[0] == address)


# ------------------------------------------------------------------------------------------------ ports


@rule
def ports(evidence: Evidence) -> Iterator[Finding]:
    """Every TCP port from every vantage; where it is silent, who keeps it so."""
    for path in evidence.paths:
        for where, found in path.probes("tcp").items():
            address, port = split(where)
            if not _ours(evidence, address) or _no_way(path, address):
                continue
            say = Say("path.tcp", "network", where, path.vantage, ((found.path, found.data or found.error),))
            if found.ok:
                yield say.passes(f"{where} takes connections from {path.vantage} ({found.data.get('rtt_ms')} ms).")
            elif found.error not in SILENT:
                yield say.unknown(f"Whether {where} takes connections from {path.vantage} is not known ({found.why}).")
            else:
                cause, reason = (
                    (None, ": too many packets get lost.")
                    if found.error == "timed_out" and _loses(path, address)
                    else _who_blocks(evidence, path, address, port)
                )
                yield say.fails(f"{where} takes no connection from {path.vantage} ({found.why}){reason}", cause)


def _who_blocks(evidence: Evidence, path: Path, address: str, port: int) -> tuple[str | None, str]:
    """The cause of a silent port and the end of the sentence about it."""
    listening = evidence.listening("tcp", port)
    if listening is None:
        return None, ", and what the server itself says is not known."
    if not listening:
        return None, ": nothing listens there."
    if not _serves(listening, address):
        if _serves(listening, "::" if ":" not in address else "0.0.0.0") and ":" in address:
            return "aaaa_unreachable", ": the server listens there over IPv4 only, while clients are led to IPv6."
        return None, ": nothing listens at this address."
    if _missing(evidence, address) and ":" in address:
        return "aaaa_unreachable", f": no interface of the server has the address {address}."
    if not alive(evidence) and port in sip_ports(evidence):
        return None, ": Asterisk does not run."
    seen_as = _seen_as(path)
    banned = _bans(evidence, seen_as)
    if banned:
        return "client_banned", f": {banned}."
    blocked = _blocks(evidence, address, port, seen_as)
    if blocked:
        return "firewall_host_blocks", f": the server's own rule says: {blocked}."
    elsewhere = [other.vantage for other in evidence.paths if other is not path and _open(other, address, port)]
    icmp = path.probes("icmp").get(address)
    if icmp is not None and not icmp.ok and not _reached(path, address):
        return "route_down", f", nor does it answer to ICMP, while the server itself is well{_from(elsewhere)}."
    return "firewall_edge_blocks", f"; the server listens and its own rules let it through{_from(elsewhere)}."


def _serves(listening: Iterable[Mapping[str, Any]], address: str) -> bool:
    """Whether one of the sockets takes what is sent to the address; ``::`` takes IPv4, too."""
    wanted = (address, "0.0.0.0", "::", "*") if ":" not in address else (address, "::", "*")
    return any(_plain(one.get("address", "")) in wanted for one in listening)


def _missing(evidence: Evidence, address: str) -> bool:
    """Whether the server should have the address and has others of its family, or none; unknown is no."""
    found = evidence.probe("host", "interfaces")
    if not found.ok or _plain(address) not in own_addresses(evidence):
        return False
    own = {_plain(str(one).partition("/")[0]) for link in found.data for one in link.get("addresses") or []}
    return _plain(address) not in own


def _from(vantages: list[str]) -> str:
    return f", and it answers from {', '.join(vantages)}" if vantages else ""


def _open(path: Path, address: str, port: int) -> bool:
    return any(found.ok for where, found in path.probes("tcp").items() if split(where) == (address, port))


def _seen_as(path: Path) -> list[str]:
    """The addresses under which the server sees this vantage: its own, and those it is translated to."""
    own = path.data.get("source_addresses") or [path.data.get("source_address")]
    found = [*own, *(path.data.get("nat_addresses") or [])]
    return [_plain(address) for address in found if address]


def _bans(evidence: Evidence, addresses: list[str]) -> str:
    """In which list of the server one of the addresses is banned, as the part of a sentence."""
    found = evidence.probe("host", "bans")
    if not found.ok:
        return ""
    for kind, lists in (("jail", found.data.get("jails") or {}), ("set", found.data.get("sets") or {})):
        for name, members in lists.items():
            for address in addresses:
                if any(_within(address, member) for member in members):
                    return f"its address {address} is banned in the {kind} {name}"
    return ""


def _within(address: str, network: object) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(str(network), strict=False)
    except ValueError:
        return False


def _blocks(evidence: Evidence, address: str, port: int, sources: list[str]) -> str:
    """The text of the server's own rule that turns this port away, or nothing."""
    found = evidence.probe("host", "firewall")
    sets = (evidence.probe("host", "bans").data or {}).get("sets") or {}
    for block in found.data.get("blocks") or [] if found.ok else []:
        if str(block.get("hook") or "input").lower() not in ("input", "prerouting", "ingress"):
            continue
        if block.get("protocol") not in (None, "", "tcp", "all"):
            continue
        if block.get("family") not in (None, 6 if ":" in address else 4):
            continue
        ranges = block.get("ports") or []
        if ranges and not _in_ranges(port, ranges):
            continue
        if _in_ranges(port, block.get("accepts") or []):
            continue
        from_sets = [member for name in block.get("sets") or [] for member in sets.get(name) or []]
        wanted = [*(block.get("sources") or []), *from_sets]
        if (wanted or block.get("sets")) and not any(_within(source, one) for source in sources for one in wanted):
            continue
        return str(block.get("text") or block.get("chain"))
    return ""


def _in_ranges(port: int, ranges: Iterable[Sequence[Any]]) -> bool:
    return any(int(first) <= port <= int(last) for first, last in ranges)


# ------------------------------------------------------------------------------------------------ TLS


@rule
def tls(evidence: Evidence) -> Iterator[Finding]:
    """Handshake, trust, name and dates of what is served, and whether it is what lies on the disk."""
    for path in evidence.paths:
        for where, found in path.probes("tls").items():
            if not _ours(evidence, split(where)[0]):
                continue
            say = Say("tls.handshake", "network", where, path.vantage, ((found.path, _short(found)),))
            if found.ok and not found.data.get("alert"):
                yield say.passes(
                    f"TLS at {where} from {path.vantage}: {found.data.get('version')}, {found.data.get('cipher')}."
                )
            elif found.ok:
                yield _disagreement(say, found.data, where, path.vantage)
            elif found.error != "skipped":
                # Nothing more could be seen: this alert alone says what it is about (RFC 8446, 6.2).
                cause = "tls_no_common_version" if "PROTOCOL_VERSION" in _alert(found) else None
                again = ", also on a second connection" if found.asked_twice else ""
                yield say.fails(f"The TLS handshake at {where} from {path.vantage} failed{again} ({found.why}).", cause)
            if found.ok:
                name = str(evidence.settings.get("sip_domain"))
                yield from _certificate(evidence, path.vantage, where, name, f"{found.path}.data", found.data)
    yield from _on_disk(evidence)


def _alert(found: Probe) -> str:
    return str((found.raw or {}).get("alert") or "")


def _disagreement(say: Say, data: Mapping[str, Any], where: str, vantage: str) -> Finding:
    """Why what clients offer came to nothing at a server that takes a client who offers everything."""
    offered = data.get("offered") or {}
    version, cipher = str(data.get("version")), str(data.get("cipher"))
    oldest = str(offered.get("minimum_version"))
    text = f"The TLS handshake at {where} from {vantage} failed as a client makes it ({data.get('verify_message')})"
    if version in VERSIONS and oldest in VERSIONS and VERSIONS.index(version) < VERSIONS.index(oldest):
        return say.fails(
            f"{text}: the server speaks {version} at most, clients {oldest} at least.", "tls_no_common_version"
        )
    if offered.get("ciphers") and cipher not in offered["ciphers"]:
        return say.fails(f"{text}: the server wants {cipher}, which clients do not offer.", "tls_no_shared_cipher")
    return say.fails(f"{text}, while one that offers everything gets {version} with {cipher}.")


def _short(found: Probe) -> Any:
    return _agreed(found.data) if found.ok else found.error


def _agreed(data: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("version", "cipher", "verify_code", "verify_message", *(("alert", "offered") if data.get("alert") else ()))
    return {key: data.get(key) for key in keys}


def _certificate(
    evidence: Evidence, vantage: str, where: str, name: str, probe_path: str, data: Mapping[str, Any]
) -> Iterator[Finding]:
    """The certificate at a place, that of SIP or the URL of provisioning, where clients look for a name."""
    chain = data.get("certificates") or []
    leaf: Mapping[str, Any] = chain[0] if chain else {}
    at = ((f"{probe_path}.certificates", leaf),)
    yield _dates(evidence, Say("tls.validity", "network", where, vantage, at), leaf)
    say = Say("tls.name", "network", where, vantage, at)
    names = ", ".join(map(str, leaf.get("names") or [])) or "no name"
    if data.get("name_matches") is None:
        yield say.unknown("Whether the certificate carries the server's name was not asked.")
    else:
        yield say.either(
            bool(data["name_matches"]),
            f"The certificate carries the name {name}.",
            f"The certificate at {where} is for {names}, not for {name}.",
            "tls_certificate_name_mismatch",
        )
    say = Say("tls.trust", "network", where, vantage, ((probe_path, _agreed(data)),))
    if data.get("verified") is None:
        yield say.unknown(f"Whether the certificate is trusted is not known ({data.get('verify_message')}).")
    elif data["verified"]:
        yield say.passes(f"The certificate at {where} is trusted.")
    elif data.get("verify_code") in NAMED_ELSEWHERE:
        yield say.fails(f"The certificate at {where} does not verify: {data.get('verify_message')}.")
    elif missing := _missing_link(evidence, chain) if data.get("verify_code") in CHAIN_ENDS else "":
        yield say.fails(
            f"The certificate at {where} is sent without the one that links it to its authority: {missing}.",
            "tls_chain_incomplete",
        )
    else:
        yield say.fails(
            f"The certificate at {where} is not trusted: {data.get('verify_message')}.", "tls_certificate_untrusted"
        )
    disk = evidence.probe("host", "tls_files")
    own = ((disk.data or {}).get("certificate") or {}).get("fingerprint_sha256") if disk.ok else None
    served = leaf.get("fingerprint_sha256")
    if not own or not served or split(where)[1] not in sip_ports(evidence):
        return
    say = Say(
        "tls.served",
        "network",
        where,
        vantage,
        ((f"{probe_path}.certificates", served), ("host.tls_files", own)),
    )
    inside = {
        one.data["certificates"][0].get("fingerprint_sha256")
        for other in evidence.paths
        for place, one in other.probes("tls").items()
        if one.ok and one.data.get("certificates") and place == where
    }
    if served == own:
        yield say.passes("The certificate that is served is the one on the disk.")
    elif len(inside) > 1 and own in inside:
        yield say.fails(f"From {vantage} another certificate is seen than the server's own.", "tls_intercepted")
    else:
        yield say.fails("The certificate that is served is not the one on the disk.", "tls_certificate_not_reloaded")


def _missing_link(evidence: Evidence, chain: Sequence[Mapping[str, Any]]) -> str:
    """The intermediate that the server keeps to itself, and where it is; "" when none is known.

    From outside a chain that lacks its intermediate looks like one of a strange authority: only the intermediate
    itself tells them apart, which another service of the server may send or its disk may hold.
    """
    if not chain:
        return ""
    last = chain[0]
    for _one in chain:
        last = next((one for one in chain if one.get("subject") == last.get("issuer")), last)
    issuer = last.get("issuer")
    if not issuer or issuer == last.get("subject"):
        return ""
    for where, seen in (one for path in evidence.paths for one in _handshakes(evidence, path)):
        sent = seen.get("certificates") or []
        if seen.get("verified") and any(one.get("subject") == issuer for one in sent[1:]):
            return f"{issuer}, which {where} does send"
    disk = evidence.probe("host", "tls_files")
    link = (disk.data or {}).get("intermediate") or {} if disk.ok else {}
    if link.get("subject") == issuer:
        return f"{issuer}, which is in {link.get('path')}"
    return ""


def _handshakes(evidence: Evidence, path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Where a vantage shook hands and what it was told, the provisioning service among them."""
    yield from ((where, found.data) for where, found in path.probes("tls").items() if found.ok)
    if path.provisioning.ok and path.provisioning.data.get("tls"):
        yield str(evidence.settings.get("provisioning_url")), path.provisioning.data["tls"]


def _dates(evidence: Evidence, say: Say, leaf: Mapping[str, Any]) -> Finding:
    begins, ends, now = time_of(leaf.get("not_before")), time_of(leaf.get("not_after")), evidence.taken_at
    if begins is None or ends is None or now is None:
        return say.unknown("The certificate's dates are not known.")
    if now > ends:
        return say.fails(f"The certificate expired on {_day(ends)}.", "tls_certificate_expired")
    if now < begins:
        return say.fails(f"The certificate begins on {_day(begins)}.", "tls_certificate_not_yet_valid")
    if ends - now < EXPIRES_SOON:
        return say.warns(f"The certificate expires in {(ends - now).days} days, on {_day(ends)}.")
    return say.passes(f"The certificate is valid until {_day(ends)}.")


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d")


def _on_disk(evidence: Evidence) -> Iterator[Finding]:
    disk = evidence.probe("host", "tls_files")
    certificate = (disk.data or {}).get("certificate") or {} if disk.ok else {}
    if certificate.get("not_after"):
        finding = _dates(
            evidence,
            Say(
                "tls.disk",
                "network",
                str(certificate.get("path")),
                evidence=(("host.tls_files", certificate.get("not_after")),),
            ),
            certificate,
        )
        yield finding


# ------------------------------------------------------------------------------------------------ SIP, provisioning


@rule
def sip(evidence: Evidence) -> Iterator[Finding]:
    """OPTIONS over every transport (RFC 3261, section 11): any final answer shows that SIP is spoken."""
    for path in evidence.paths:
        for where, found in path.probes("sip").items():
            transport, _colon, place = where.partition(":")
            if not _ours(evidence, split(place)[0]):
                continue
            say = Say("sip.options", "network", where, path.vantage, ((found.path, found.data or found.error),))
            again = " on a second connection" if found.asked_twice else ""
            if found.ok:
                status = int(found.data.get("status") or 0)
                text = f"SIP over {transport} at {place} answers {status} {found.data.get('reason')} to {path.vantage}"
                text += again
                # 5xx is an answer of a server that can't serve.
                yield say.either(status < 500, f"{text}.", f"{text}: it cannot serve.")
            elif found.error != "skipped":
                text = f"SIP over {transport} at {place} does not answer {path.vantage}"
                yield say.fails(f"{text}{again and ', nor'}{again} ({found.why}).")


@rule
def provisioning(evidence: Evidence) -> Iterator[Finding]:
    """The HTTPS service from which clients fetch their configuration."""
    if not evidence.settings.get("provisioning_url"):
        return
    unit = evidence.unit("provisioning_unit")
    for path in evidence.paths:
        found = path.provisioning
        say = Say(
            "provisioning.https",
            "network",
            str(evidence.settings["provisioning_url"]),
            path.vantage,
            ((found.path, found.data or found.error),),
        )
        if not found.ok:
            if found.error != "skipped":
                yield say.fails(f"The provisioning service does not answer {path.vantage} ({found.why}).")
            continue
        told = found.data.get("tls")
        if told:
            where, name = str(evidence.settings["provisioning_url"]), _host_of(evidence.settings["provisioning_url"])
            if told.get("alert"):
                shaken = Say(
                    "tls.handshake", "network", where, path.vantage, ((f"{found.path}.data.tls", _agreed(told)),)
                )
                yield _disagreement(shaken, told, where, path.vantage)
            yield from _certificate(evidence, path.vantage, where, name, f"{found.path}.data.tls", told)
        status = int(found.data.get("status") or 0)
        text = f"The provisioning service answers {path.vantage} with {status}"
        if 200 <= status < 400:
            yield say.passes(f"{text}.")
        elif unit and unit.get("active_state") == "active":
            yield say.fails(f"{text}: it runs but cannot serve.")
        else:
            yield say.fails(f"{text}.")


def _host_of(url: object) -> str:
    try:
        return urllib.parse.urlsplit(str(url)).hostname or ""
    except ValueError:
        return ""


@rule
def vantages(evidence: Evidence) -> Iterator[Finding]:
    """Vantages that could not probe: what they would have seen is not known."""
    for name, found in evidence.vantage_failures().items():
        yield Say("path.vantage", "network", name, name).unknown(f"Nothing could be probed from {name} ({found.why}).")
