# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The path to the server: names, packets, ports, TLS, SIP, provisioning — from every vantage."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ..blocked import (
    Blocked,
    ban_of,
    blocked_by_host,
    blocks_of,
    blocks_of_sip,
    kept_from_sip,
    provisioning_port,
    sip_ports,
)
from ..evidence import Evidence, Path, Probe, plain, time_of
from ..facts import (
    asterisk_runs,
    attempted_from,
    browser_addresses,
    client_addresses,
    fronted,
    lacks_address,
    own_addresses,
    proxies,
    registered_elsewhere,
    registered_from,
    serves,
)
from ..finding import Finding, Say, rule

#: Answers to OPTIONS that may mean that nobody is served.
NO_SERVICE = (403, 404)
#: Share of the ICMP echoes that may get lost.
LOSS_WARN, LOSS_FAIL = 0.15, 0.3
#: Days before its end that a certificate is worth a word.
EXPIRES_SOON = timedelta(days=30)
#: What a TCP port says when packets do not get through, or are turned away.
SILENT = ("timed_out", "unreachable", "refused", "denied")
#: What a rule says that drops some packets by how many there were, in nftables and iptables.
BY_NUMBER = re.compile(r"\b(limit|hashlimit|quota|numgen|statistic|ct count|connlimit|recent|meter)\b")
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
            addresses = {plain(record) for record in records}
            family = 6 if kind == "aaaa" else 4
            expected = {one for one in wanted if ipaddress.ip_address(one).version == family}
            rcode = str(found.data.get("rcode") or "no data")
            if strangers := sorted(addresses - wanted if wanted else ()):
                yield say.fails(
                    f"{resolver} leads {domain} to {', '.join(strangers)}, not to an address of the server.",
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
        addresses = {plain(address) for address in record.get("addresses") or []}
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
            say = Say("path.family", "network", "IPv6", path.vantage, ((f"paths.{path.vantage}", path.seen_as),))
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
        echoes = path.probes("icmp")
        for address, found in path.probes("path_mtu").items():
            if not _ours(evidence, address) or not found.ok:
                continue
            # Some of its packets were answered, and none of those that measure the loss.
            unanswered = address in echoes and not echoes[address].ok
            say = Say("path.mtu", "network", address, path.vantage, ((found.path, found.data),))
            if found.data.get("black_hole") and (unanswered or _loses(path, address)):
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
    return not wanted or plain(address) in wanted


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
    """Every TCP port from every vantage; where it does not answer, what blocks it."""
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
                blocked = (
                    Blocked(None, ": too many packets get lost.")
                    if found.error == "timed_out" and _loses(path, address)
                    else _who_blocks(evidence, path, address, port)
                )
                summary = f"{where} takes no connection from {path.vantage} ({found.why}){blocked.reason}"
                yield say.fails(summary, blocked.cause, blocked.targets, blocked.by_hand)


def _who_blocks(evidence: Evidence, path: Path, address: str, port: int, protocol: str = "tcp") -> Blocked:
    """The cause of a port that does not answer. Silence over UDP shows a firewall only where others get an answer."""
    elsewhere = [
        other.vantage for other in evidence.paths if other is not path and _open(other, address, port, protocol)
    ]
    if address in proxies(evidence):
        # What the server itself says is about its proxy, and not about clients.
        if elsewhere:
            return Blocked("firewall_edge_blocks", f"; the proxy serves others{_from(elsewhere)}.")
        return Blocked("proxy_down", ": the proxy before Asterisk does not answer there.")
    listening = evidence.listening(protocol, port)
    if listening is None:
        return Blocked(None, ", and what the server itself says is not known.")
    if not listening:
        return Blocked(None, ": nothing listens there.")
    if not serves(evidence, listening, address):
        if ":" in address and any(":" not in str(one.get("address")) for one in listening):
            return Blocked(
                "aaaa_unreachable", ": the server listens there over IPv4 only, while clients are led to IPv6."
            )
        return Blocked(None, ": nothing listens at this address.")
    if lacks_address(evidence, address) and ":" in address:
        return Blocked("aaaa_unreachable", f": no interface of the server has the address {address}.")
    if not asterisk_runs(evidence) and port in sip_ports(evidence):
        return Blocked(None, ": Asterisk does not run.")
    seen_as = path.seen_as
    if banned := ban_of(evidence, seen_as):
        return banned
    if blocks := blocks_of(evidence, address, port, seen_as, protocol):
        return blocked_by_host(evidence, blocks)
    # What gets through elsewhere met the same rule: only one that counts packets lets it through at times.
    if drops := _drops_some(evidence, path, address, port, protocol, by_number=bool(elsewhere)):
        return drops
    if protocol == "udp" and not elsewhere:
        return Blocked(None, "; the server listens and its own rules let it through.")
    icmp = path.probes("icmp").get(address)
    if icmp is not None and not icmp.ok and not _reached(path, address):
        return Blocked(
            "route_down", f", nor does it answer to ICMP, while the server itself is well{_from(elsewhere)}."
        )
    return Blocked("firewall_edge_blocks", f"; the server listens and its own rules let it through{_from(elsewhere)}.")


def _from(vantages: list[str]) -> str:
    return f", and it answers from {', '.join(vantages)}" if vantages else ""


def _open(path: Path, address: str, port: int, protocol: str) -> bool:
    kind, begin = ("sip", "udp:") if protocol == "udp" else ("tcp", "")
    return any(
        found.ok
        for where, found in path.probes(kind).items()
        if where.startswith(begin) and split(where[len(begin) :]) == (address, port)
    )


@rule
def banned(evidence: Evidence) -> Iterator[Finding]:
    """Where packets of the account's client came from last, and where its user's browser is: both may be banned while
    every vantage is served. Behind a proxy the server does not see them."""
    if fronted(evidence):
        return
    last = client_addresses(evidence, claimed=False)
    for address in dict.fromkeys([*last, *browser_addresses(evidence)]):
        found = ban_of(evidence, [address])
        if found is None or registered_elsewhere(evidence, address) or not kept_from_sip(evidence, address, found):
            continue
        say = Say("path.client", "network", address, evidence=(("host.bans", evidence.probe("host", "bans").data),))
        who = "The account's client was last" if address in last else "The user's browser is"
        text = f"{who} at {address}{found.reason}"
        yield say.fails(text, found.cause, found.targets, found.by_hand)


@rule
def browser_kept_out(evidence: Evidence) -> Iterator[Finding]:
    """The server's own rules that keep the address of the user's browser from SIP."""
    for address in browser_addresses(evidence) if not fronted(evidence) else ():
        if registered_elsewhere(evidence, address) or ban_of(evidence, [address]):
            continue
        blocks = [one for one in blocks_of_sip(evidence, address) if one.get("sources") or one.get("sets")]
        if not blocks:
            continue
        say = Say("path.browser", "network", address, evidence=(("host.firewall", blocks[:3]),))
        blocked = blocked_by_host(evidence, blocks)
        text = f"The user's browser is at {address}{blocked.reason}"
        if attempted_from(evidence, [address]) is False:
            yield say.fails(text, blocked.cause, blocked.targets, blocked.by_hand)
        else:
            # A rule before it may let the address through, and nobody saw the client fail.
            yield say.warns(text, blocked.cause)


def _drops_some(
    evidence: Evidence, path: Path, address: str, port: int, protocol: str = "tcp", by_number: bool = False
) -> Blocked | None:
    """The server's own rules that drop some packets to this port, which explain a silence that everybody meets; with
    `by_number`, those that count packets."""
    blocks = [
        block
        for block in blocks_of(evidence, address, port, path.seen_as, protocol, partial=True)
        # A person may have written anything between quotes.
        if not by_number or BY_NUMBER.search(re.sub(r'"[^"]*"|--comment \S+', "", str(block.get("text"))))
    ]
    if not blocks:
        return None
    texts = list(dict.fromkeys(f'"{block["text"]}" in the chain {block["chain"]}' for block in blocks))
    by_hand = f"Take it out by hand, or correct its conditions: {'; '.join(texts[:3])}."
    return Blocked(
        "firewall_host_blocks", f": the server's own rules drop some packets: {'; '.join(texts[:3])}.", (), by_hand
    )


# ------------------------------------------------------------------------------------------------ TLS


def _keeps_from_tls(evidence: Evidence, path: Path, where: str, found: Probe[Any]) -> Blocked:
    """Why a handshake failed of which nothing more could be seen."""
    # This alert alone says what it is about (RFC 8446, 6.2).
    if "PROTOCOL_VERSION" in _alert(found):
        return Blocked("tls_no_common_version", ".")
    silent = not any(other.probes("tls")[where].ok for other in evidence.paths if where in other.probes("tls"))
    if silent and found.error in SILENT and split(where)[0] in proxies(evidence):
        return Blocked("proxy_down", ": the proxy before Asterisk takes connections and does not answer.")
    drops = _drops_some(evidence, path, *split(where)) if found.error == "timed_out" and silent else None
    return drops or Blocked(None, ".")


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
                again = ", also on a second connection" if found.asked_twice else ""
                blocked = _keeps_from_tls(evidence, path, where, found)
                summary = (
                    f"The TLS handshake at {where} from {path.vantage} failed{again} ({found.why}){blocked.reason}"
                )
                yield say.fails(summary, blocked.cause, blocked.targets, blocked.by_hand)
            if found.ok:
                name = str(evidence.settings.get("sip_domain"))
                yield from _certificate(evidence, path.vantage, where, name, f"{found.path}.data", found.data)
    yield from _on_disk(evidence)


def _alert(found: Probe[Any]) -> str:
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


def _short(found: Probe[Any]) -> Any:
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
    yield from _loaded(evidence, vantage, where, leaf, f"{probe_path}.certificates", data)


def _loaded(
    evidence: Evidence, vantage: str, where: str, leaf: Mapping[str, Any], probe_path: str, data: Mapping[str, Any]
) -> Iterator[Finding]:
    """Whether the certificate that SIP shows is the one on the disk, and whether that one is better."""
    disk = evidence.probe("host", "tls_files")
    own = ((disk.data or {}).get("certificate") or {}).get("fingerprint_sha256") if disk.ok else None
    served = leaf.get("fingerprint_sha256")
    # A proxy has a certificate of its own.
    if not own or not served or split(where)[1] not in sip_ports(evidence) or split(where)[0] in proxies(evidence):
        return
    say = Say("tls.served", "network", where, vantage, ((probe_path, served), ("host.tls_files", own)))
    inside = {
        one.data["certificates"][0].get("fingerprint_sha256")
        for other in evidence.paths
        for place, one in other.probes("tls").items()
        if one.ok and one.data.get("certificates") and place == where
    }
    if served == own:
        whole = [one.get("fingerprint_sha256") for one in data.get("certificates") or []]
        ends = data.get("verified") is False and data.get("verify_code") in CHAIN_ENDS
        if ends and _fingerprints_on_disk(disk) not in ([], whole) and _verifies_on_disk(evidence):
            yield say.fails(
                "The certificate that is served is the one on the disk, but without the chain that the disk has, which "
                "clients would accept.",
                "tls_certificate_not_reloaded",
            )
        else:
            yield say.passes("The certificate that is served is the one on the disk.")
        return
    if len(inside) > 1 and own in inside:
        yield say.fails(f"From {vantage} another certificate is seen than the server's own.", "tls_intercepted")
        return
    differs = "The certificate that is served is not the one on the disk"
    better = _verifies_on_disk(evidence)
    if data.get("verified") and data.get("name_matches"):
        yield say.warns(f"{differs}; clients accept the one that is served.")
    elif better:
        yield say.fails(f"{differs}, which clients would accept.", "tls_certificate_not_reloaded")
    elif better is None:
        yield say.unknown(f"{differs}. Whether clients would accept that one is not known.")
    else:
        yield say.warns(f"{differs}. Loading that one would not help: clients would not accept it either.")


def _fingerprints_on_disk(disk: Probe[Any]) -> list[str]:
    """Of the whole chain on the disk, the server's certificate first; empty where it is not known."""
    chain = (disk.data.get("certificate") or {}).get("der") or []
    try:
        return [hashlib.sha256(base64.b64decode(str(one))).hexdigest() for one in chain]
    except ValueError:
        return []


def _verifies_on_disk(evidence: Evidence) -> bool | None:
    """Whether clients would accept the certificate on the disk; None when that is not known."""
    disk = evidence.probe("host", "tls_files")
    data: Mapping[str, Any] = disk.data if disk.ok else {}
    key, trust = data.get("key") or {}, data.get("trust") or {}
    dates = _dates(evidence, Say("tls.disk", "network"), data.get("certificate") or {})
    facts = (
        key.get("matches"),
        key.get("readable"),
        trust.get("verified"),
        trust.get("name_matches"),
        {"fail": False, "unknown": None}.get(dates.status, True),
    )
    if False in facts:
        return False
    return None if None in facts else True


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
    link: Mapping[str, Any] = disk.data.get("intermediate") or {} if disk.ok else {}
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
    """What clients would say of the certificate on the disk; where it is served, they have said it already, and where a
    proxy serves its own, they never see it."""
    disk = evidence.probe("host", "tls_files")
    certificate: Mapping[str, Any] = disk.data.get("certificate") or {} if disk.ok else {}
    if not certificate.get("not_after") or fronted(evidence):
        return
    path = str(certificate.get("path"))
    trust: Mapping[str, Any] = disk.data.get("trust") or {}
    say = Say("tls.disk", "network", path, evidence=(("host.tls_files", certificate.get("not_after")),))
    yield _dates(evidence, say, certificate)
    shown = {
        one.data["certificates"][0].get("fingerprint_sha256")
        for seen in evidence.paths
        for one in seen.probes("tls").values()
        if one.ok and one.data.get("certificates")
    }
    if certificate.get("fingerprint_sha256") in shown:
        return
    say = Say("tls.disk", "network", path, evidence=(("host.tls_files.trust", trust),))
    if trust.get("name_matches") is False:
        names = ", ".join(map(str, certificate.get("names") or [])) or "no name"
        wanted = evidence.settings.get("sip_domain")
        yield say.fails(f"The certificate in {path} is for {names}, not for {wanted}.", "tls_certificate_name_mismatch")
    if trust.get("verified") is False and trust.get("verify_code") not in NAMED_ELSEWHERE:
        link = disk.data.get("intermediate") if trust.get("verify_code") in CHAIN_ENDS else None
        if link:
            yield say.fails(
                f"{path} lacks the certificate that links it to its authority: {link.get('subject')}, which is in"
                f" {link.get('path')}.",
                "tls_chain_incomplete",
            )
        else:
            yield say.fails(
                f"The certificate in {path} is not trusted: {trust.get('verify_message')}.", "tls_certificate_untrusted"
            )


# ------------------------------------------------------------------------------------------------ SIP, provisioning


@rule
def sip(evidence: Evidence) -> Iterator[Finding]:
    """OPTIONS over every transport (RFC 3261, section 11): any final answer shows that SIP is spoken.

    A server that turns everybody away may answer 403 or 404. So does chan_sip, where a client registers all the same.
    """
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
                if status in NO_SERVICE and not registered_from(evidence, path.vantage):
                    yield say.warns(f"{text}: that does not say whether it serves clients.")
                    continue
                # 5xx is an answer of a server that can't serve.
                yield say.either(status < 500, f"{text}.", f"{text}: it cannot serve.")
            elif found.error != "skipped":
                text = f"SIP over {transport} at {place} does not answer {path.vantage}{again and ', nor'}{again}"
                blocked = _keeps_from_sip(evidence, path, where, found)
                yield say.fails(
                    f"{text} ({found.why}){blocked.reason}", blocked.cause, blocked.targets, blocked.by_hand
                )


def _keeps_from_sip(evidence: Evidence, path: Path, where: str, found: Probe[Any]) -> Blocked:
    """Why OPTIONS got no answer where that can be seen from here."""
    transport, _colon, place = where.partition(":")
    if split(place)[0] in proxies(evidence):
        if any(hop.ok for hop in path.hops().get(where, [])):
            return Blocked(None, ", while the proxy there answers what it may not pass on.")
        if transport != "udp" and not any(hop.ok for other in evidence.paths for hop in other.hops().get(where, [])):
            return Blocked("proxy_down", ": the proxy before Asterisk takes connections and does not answer.")
    if transport != "udp" or found.error not in SILENT:
        return Blocked(None, ".")
    return _who_blocks(evidence, path, *split(place), "udp")


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
                blocked = _keeps_from_provisioning(evidence, path, found)
                summary = f"The provisioning service does not answer {path.vantage} ({found.why}){blocked.reason}"
                yield say.fails(summary, blocked.cause, blocked.targets, blocked.by_hand)
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


def _keeps_from_provisioning(evidence: Evidence, path: Path, found: Probe[Any]) -> Blocked:
    """The server's own rules and bans for the port of provisioning, of which the path has no probe of its own."""
    port = provisioning_port(evidence) if found.error in SILENT else None
    # The service may be another machine's.
    listening = evidence.listening("tcp", port) if port else None
    for address in own_addresses(evidence):
        if port and listening and (blocks := blocks_of(evidence, address, port, path.seen_as)):
            return ban_of(evidence, path.seen_as) or blocked_by_host(evidence, blocks)
    return Blocked(None, ".")


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
