"""The path from the device to its account, station by station, as a result describes it.

The page draws it. It judges nothing; it only sorts findings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from reconnect.result import UNKNOWN_CAUSE, Finding, Result, RootCause
from reconnect.text import one_line

#: The state of a station. `broken`: a root cause is here; `affected`: it fails because of another station's, or without
#: a named cause; `fixed`: a root cause was here; `unknown`: a check could not run; `unseen`: no check ran.
Condition = Literal["fine", "warned", "broken", "affected", "fixed", "unknown", "unseen"]

#: Worst first, for a station with several findings. A check that could not run hides no failure, and never looks fine.
WORST_FIRST: tuple[Condition, ...] = ("broken", "affected", "fixed", "warned", "unknown", "fine", "unseen")

#: In the order of the legend.
CONDITIONS: tuple[Condition, ...] = get_args(Condition)

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
    "proxy": ("sip.proxy", "path.proxy", "proxy_"),
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

STATIONS = tuple(_STATIONS)
#: On the path of some sites only: drawn where something was seen of it.
_SOME = ("proxy",)


@dataclass(frozen=True)
class Seen:
    """What one vantage saw of one station."""

    vantage: str
    condition: Condition
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Station:
    """One station of the path; `summary` is the sentence that decided its condition, empty where it is fine."""

    name: str
    condition: Condition
    summary: str
    seen: tuple[Seen, ...]


def stations_of(result: Result) -> list[Station]:
    """The stations in their order, each with what every vantage saw of it; the server itself is a vantage too."""
    found = result.verdict.root_causes if result.verdict else []
    # An unknown cause has no station: the station fails without a named cause.
    causes = [cause for cause in found if cause.cause != UNKNOWN_CAUSE]
    fixed = bool(result.verdict and result.verdict.outcome.startswith("fixed_"))
    sorted_findings: dict[str, list[Finding]] = {name: [] for name in STATIONS}
    for finding in result.findings:
        # That provisioning answers says nothing about the device.
        if not (finding.code.startswith("provisioning.") and finding.status == "pass"):
            sorted_findings[station_of(finding)].append(finding)
    at = {name: [cause for cause in causes if _of_cause(cause, result.findings) == name] for name in STATIONS}
    roots = {cause.cause for cause in causes}
    stations = [_station(name, sorted_findings[name], at[name], roots, fixed, result.server) for name in STATIONS]
    if result.state == "unreachable" and not result.findings:
        stations[1] = Station("internet", "broken", one_line(result.error_message or ""), ())
    return [one for one in stations if one.name not in _SOME or one.condition != "unseen"]


def vantages(stations: Iterable[Station]) -> list[str]:
    """Every vantage, in the order of their first finding; a server comes after those outside."""
    met = dict.fromkeys(seen.vantage for station in stations for seen in station.seen)
    return sorted(met, key=lambda name: name.startswith("on "))


def station_of(finding: Finding) -> str:
    """The station that a finding belongs to."""
    return _found(finding.code) or _OF_SUBJECT.get(finding.subject, "Asterisk")


def condition_of(finding: Finding, roots: Iterable[str] = ()) -> Condition:
    """The condition that one finding gives its station; `roots` are the names of the root causes."""
    if finding.status == "pass":
        return "fine"
    if finding.status == "unknown":
        return "unknown"
    if finding.cause and finding.cause in roots:
        return "broken"
    return "affected" if finding.status == "fail" else "warned"


def worst(conditions: Iterable[Condition]) -> Condition:
    """The worst of `conditions`."""
    met = set(conditions)
    return next((condition for condition in WORST_FIRST if condition in met), "unseen")


def _station(
    name: str,
    findings: Sequence[Finding],
    causes: Sequence[RootCause],
    roots: set[str],
    fixed: bool,
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
        return Station(name, "fixed" if fixed else "broken", one_line(causes[0].summary), seen)
    condition = _overall(seen)
    speaking = [one for one in findings if condition_of(one, roots) == condition]
    summary = one_line(speaking[0].summary) if speaking and condition not in {"fine", "unseen"} else ""
    return Station(name, condition, summary, seen)


def _overall(seen: Sequence[Seen]) -> Condition:
    # A finding of this station may name a root cause of another one: a refused login empties the account's rows, for
    # example. Then this station is only affected.
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
