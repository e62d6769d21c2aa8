"""The way from the device to its account, station by station, as a result tells it.

Part of the story: the page draws it, other reports may say it in words. It judges nothing; it only sorts findings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from reconnect.result import Finding, Result, RootCause
from reconnect.text import one_line

#: How a station was found. `broken`: a root cause lies here; `affected`: fails because of one that lies elsewhere, or
#: fails without a name; `mended`: a root cause lay here; `unseen`: nobody looked.
Condition = Literal["fine", "warned", "broken", "affected", "mended", "unknown", "unseen"]

#: Worst first: what one station is when several findings speak of it. What nobody could know hides nothing that is
#: known to be wrong, and is never told as fine.
_WORST: tuple[Condition, ...] = ("broken", "affected", "mended", "warned", "unknown", "fine", "unseen")

WORDS: dict[Condition, str] = {
    "fine": "fine",
    "warned": "worth a look",
    "broken": "the fault is here",
    "affected": "fails",
    "mended": "was broken, is mended",
    "unknown": "could not be known",
    "unseen": "not looked at",
}

#: The stations in the order in which a registration passes them, with the beginnings of the finding codes and the
#: names of the causes that belong to them. The first beginning that fits counts, over all stations, longest first.
_STATIONS: dict[str, tuple[str, ...]] = {
    "device": ("client.", "provisioning.", "device_offline", "provisioning_", "client_"),
    "internet": (
        *("path.icmp", "path.mtu", "path.vantage", "host.address", "host.interface", "host.default_route"),
        *("route_down", "packet_loss", "mtu_", "interface_", "default_route", "temporary_network"),
    ),
    "DNS": ("dns.", "dns_", "aaaa_"),
    "edge": ("path.tcp", "firewall.", "ban", "host.conntrack", "firewall_", "client_banned", "nat_"),
    "TLS": ("tls.", "tls_", "host.clock", "clock_"),
    "SIP": ("sip.", "asterisk.transport", "port_taken", "transport_not_bound"),
    "Asterisk": ("asterisk.", "asterisk_", "host.", "rtp_", "disk_", "inodes_", "memory_"),
    "database": ("database.", "asterisk.odbc", "asterisk.realtime", "database_", "odbc_", "contact_write"),
    "account": ("account.",),
}
_BEGINNINGS = sorted(
    ((beginning, station) for station, beginnings in _STATIONS.items() for beginning in beginnings),
    key=lambda pair: -len(pair[0]),
)
_OF_SUBJECT = {
    "network": "edge",
    "host": "Asterisk",
    "asterisk": "Asterisk",
    "database": "database",
    "account": "account",
    "client": "device",
}

#: The judge's name for what no rule explains.
_UNKNOWN = "unknown_cause"

STATIONS = tuple(_STATIONS)


@dataclass(frozen=True)
class Seen:
    """What one vantage saw of one station."""

    vantage: str
    condition: Condition
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Station:
    """One station of the way; `summary` is the sentence that made it what it is, empty where all is well."""

    name: str
    condition: Condition
    summary: str
    seen: tuple[Seen, ...]


def way(result: Result) -> list[Station]:
    """The stations in their order, each with what every vantage saw of it; the server itself is a vantage, too."""
    found = result.verdict.root_causes if result.verdict else []
    # A cause that nobody knows lies nowhere: its station fails without a name.
    causes = [cause for cause in found if cause.cause != _UNKNOWN]
    mended = bool(result.verdict and result.verdict.outcome.startswith("fixed_"))
    sorted_findings: dict[str, list[Finding]] = {name: [] for name in STATIONS}
    for finding in result.findings:
        # That provisioning answers says nothing about a device nobody looked at.
        if not (finding.code.startswith("provisioning.") and finding.status == "pass"):
            sorted_findings[station_of(finding)].append(finding)
    at = {name: [cause for cause in causes if _of_cause(cause, result.findings) == name] for name in STATIONS}
    roots = {cause.cause for cause in causes}
    stations = [_station(name, sorted_findings[name], at[name], roots, mended, result.server) for name in STATIONS]
    if result.state == "unreachable" and not result.findings:
        stations[1] = Station("internet", "broken", one_line(result.error_message or ""), ())
    return stations


def vantages(stations: Iterable[Station]) -> list[str]:
    """Everyone who looked, in the order in which they are first met; a server comes after those outside."""
    met = dict.fromkeys(seen.vantage for station in stations for seen in station.seen)
    return sorted(met, key=lambda name: name.startswith("on "))


def station_of(finding: Finding) -> str:
    """The station that a finding belongs to."""
    return _found(finding.code) or _OF_SUBJECT.get(finding.subject, "Asterisk")


def condition_of(finding: Finding, roots: Iterable[str] = ()) -> Condition:
    """What one finding says of its station; `roots` are the names of the root causes."""
    if finding.status == "pass":
        return "fine"
    if finding.status == "unknown":
        return "unknown"
    if finding.cause and finding.cause in roots:
        return "broken"
    return "affected" if finding.status == "fail" else "warned"


def worst(conditions: Iterable[Condition]) -> Condition:
    """The condition that tells most of a trouble."""
    met = set(conditions)
    return next((condition for condition in _WORST if condition in met), "unseen")


def _station(
    name: str,
    findings: Sequence[Finding],
    causes: Sequence[RootCause],
    roots: set[str],
    mended: bool,
    server: str,
) -> Station:
    by_vantage: dict[str, list[Finding]] = {}
    for finding in findings:
        who = one_line(finding.vantage, 40) if finding.vantage else f"on {one_line(server, 40)}"
        by_vantage.setdefault(who, []).append(finding)
    seen = tuple(
        Seen(who, worst(condition_of(one, roots) for one in told), tuple(told)) for who, told in by_vantage.items()
    )
    if causes:
        return Station(name, "mended" if mended else "broken", one_line(causes[0].summary), seen)
    condition = _overall(seen)
    speaking = [one for one in findings if condition_of(one, roots) == condition]
    summary = one_line(speaking[0].summary) if speaking and condition not in {"fine", "unseen"} else ""
    return Station(name, condition, summary, seen)


def _overall(seen: Sequence[Seen]) -> Condition:
    # A root cause's name on a finding of another station (a refused login that empties the account's rows, say) makes
    # that station one that fails because of it.
    condition = worst(one.condition for one in seen)
    return "affected" if condition == "broken" else condition


def _of_cause(cause: RootCause, findings: Sequence[Finding]) -> str:
    named = _found(cause.cause)
    if named:
        return named
    own = [finding for finding in findings if finding.cause == cause.cause]
    return station_of(own[0]) if own else _OF_SUBJECT.get(cause.subject, "Asterisk")


def _found(name: str) -> str | None:
    return next((station for beginning, station in _BEGINNINGS if name.startswith(beginning)), None)
