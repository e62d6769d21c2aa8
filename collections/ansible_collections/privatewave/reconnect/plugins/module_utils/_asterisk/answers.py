# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The answers of Asterisk's command line and AMI. Pure functions: text or events in, documents out.

The forms are those of Asterisk 16 (chan_sip) and 22 (chan_pjsip). An unknown form raises `ProbeError` ``invalid``.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.documents import (
        Calls,
        Contact,
        Contacts,
        Endpoints,
        Identify,
        Live,
        ModuleState,
        OdbcPool,
        Taskprocessor,
        Taskprocessors,
        Transport,
        Uptime,
        Version,
    )

#: Device states of an endpoint that nobody can reach.
_AWAY = ("unavailable", "unknown", "invalid")
#: Contact status as AMI and the command line spell it.
_CONTACT_STATUS = {
    "avail": "Reachable",
    "unavail": "Unreachable",
    "nonqual": "NonQualified",
    "unknown": "Unknown",
    "created": "Created",
    "removed": "Removed",
}
#: The same for what chan_sip says of a peer.
_PEER_STATUS = {
    "OK": "Reachable",
    "LAGGED": "Reachable",
    "UNREACHABLE": "Unreachable",
    "Unmonitored": "NonQualified",
}

_MODULE = re.compile(r"^(\S+)\s.*\s\d+\s+(Not Running|Running)\b.*$")
_TASKPROCESSOR = re.compile(r"^(\S.*?)\s+\d+\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)(?:\s+\d+\s+\d+)?\s*$")
_PJSIP_TRANSPORT = re.compile(r"^Transport:\s+(\S+)\s+(\S+)\s+\S+\s+\S+\s+(\S+):(\d+)\s*$")
_PJSIP_ENDPOINT = re.compile(r"^ Endpoint:\s+(\S+)\s+(\S.*?)\s+\d+ of \S+\s*$")
_PJSIP_CONTACT = re.compile(r"^\s+Contact:\s+(\S+)\s+(?:[0-9a-f]{6,}\s+)?(\w+)\s+([\d.]+|-?nan)\s*$")
_IDENTIFY = re.compile(r"^\s*(Identify|Match):\s+(\S+)\s*$", re.MULTILINE)
_SIP_BIND = re.compile(r"^\s+(UDP|TCP SIP|TLS SIP) Bindaddress:\s+(\S+):(\d+)\s*$")
_SIP_PEERS = re.compile(
    r"(?<!\d)(\d{1,9}) sip peers \[Monitored: (\d+) online, (\d+) offline Unmonitored: (\d+) online"
)
_SIP_FIELD = re.compile(r"^\s+(\S[^:]*?)\s*: ?(.*)$")
_NONE_FOUND = re.compile(r"^No objects found", re.MULTILINE)


def parse_version(text: str) -> Version:
    """``asterisk -V`` or ``core show version``."""
    found = re.match(r"\s*Asterisk\s+(\S+)", text)
    if not found:
        raise ProbeError("invalid", "no version in {0!r}".format(text[:80]))
    major = re.match(r"(?:certified[/-])?(\d+)", found.group(1))
    return {"full": found.group(1), "major": int(major.group(1)) if major else None}


def parse_uptime(text: str) -> Uptime:
    """``core show uptime seconds``."""
    return {
        "seconds": _number(r"^System uptime:\s+(\d+)", text),
        "reload_seconds": _number(r"^Last reload:\s+(\d+)", text),
    }


def parse_calls(text: str) -> Calls:
    """``core show channels count``."""
    return {
        "channels": _number(r"^(\d+) active channel", text),
        "calls": _number(r"^(\d+)(?: of \d+ max)? active call", text),
        "processed": _number(r"^(\d+) calls? processed", text),
    }


def parse_modules(text: str, wanted: Iterable[str]) -> dict[str, ModuleState]:
    """``module show``: the states of the wanted modules."""
    states: dict[str, ModuleState] = {}
    for match in map(_MODULE.match, text.splitlines()):
        if match:
            states[match.group(1)] = "Running" if match.group(2) == "Running" else "Not Running"
    if not states:
        raise ProbeError("invalid", "no modules in the answer")
    return {name: states.get(name, "absent") for name in wanted}


def parse_pjsip_transports(text: str) -> list[Transport]:
    """``pjsip show transports``."""
    found = [match.groups() for match in map(_PJSIP_TRANSPORT.match, text.splitlines()) if match]
    return [
        {"id": name, "transport": kind, "address": address.strip("[]"), "port": int(port)}
        for name, kind, address, port in found
    ]


def parse_sip_transports(text: str) -> list[Transport]:
    """``sip show settings``: the transports that are not disabled."""
    found = [match.groups() for match in map(_SIP_BIND.match, text.splitlines()) if match]
    return [
        {"id": kind[:3].lower(), "transport": kind[:3].lower(), "address": address.strip("[]"), "port": int(port)}
        for kind, address, port in found
    ]


def parse_identifies(text: str) -> list[Identify]:
    """``pjsip show identifies``: the networks whose requests are another endpoint's; a header counts for none."""
    found: list[Identify] = []
    for kind, value in _IDENTIFY.findall(text):
        if kind == "Identify" and not value.startswith("<"):
            name, _slash, endpoint = value.partition("/")
            found.append({"name": name, "endpoint": endpoint, "networks": []})
        elif kind == "Match" and found and not value.startswith(("<", "!")):
            found[-1]["networks"].append(value)
    return found


def parse_odbc(text: str) -> list[OdbcPool]:
    """``odbc show all``."""
    pools: list[OdbcPool] = []
    for line in text.splitlines():
        name, _colon, value = line.strip().partition(":")
        value = value.strip()
        if name == "Name":
            pools.append(
                {
                    "name": value,
                    "dsn": "",
                    "connected": False,
                    "active": 0,
                    "limit": None,
                    "last_error": None,
                }
            )
        elif not pools:
            continue
        elif name == "DSN":
            pools[-1]["dsn"] = value
        elif name == "Last fail connection attempt":
            pools[-1]["last_error"] = "connecting failed at {0}".format(value)
        elif name == "Number of active connections":
            found = re.match(r"(\d+)(?: \(out of (\d+)\))?", value)
            if found:
                pools[-1]["active"] = int(found.group(1))
                pools[-1]["limit"] = int(found.group(2)) if found.group(2) else None
                pools[-1]["connected"] = pools[-1]["active"] > 0
    return pools


def parse_taskprocessors(text: str) -> Taskprocessors:
    """``core show taskprocessors``.

    A task processor counts as over its high water mark from when it reaches it until it is back at its low water mark.
    Asterisk raises an alert for that time (taskprocessor.c).
    """
    found: list[Taskprocessor] = []
    over = 0
    for match in map(_TASKPROCESSOR.match, text.splitlines()):
        if match:
            queued, maximum, low_water, high_water = map(int, match.groups()[1:])
            over += queued >= high_water or (queued > low_water and maximum >= high_water)
            found.append({"name": match.group(1), "queued": queued, "maximum": maximum, "high_water": high_water})
    if not found:
        raise ProbeError("invalid", "no task processors in the answer")
    return {
        "count": len(found),
        "worst": max(found, key=lambda one: (one["queued"], one["maximum"])),
        "over_high_water": over,
    }


def parse_ami_endpoints(events: Iterable[Mapping[str, str]]) -> Endpoints:
    """The events of ``PJSIPShowEndpoints``."""
    states = [event.get("DeviceState", "") for event in events if event.get("Event") == "EndpointList"]
    return {"total": len(states), "available": sum(_available(state) for state in states)}


def parse_ami_contacts(events: Iterable[Mapping[str, str]]) -> Contacts:
    """The events of ``PJSIPShowContacts``."""
    states = [event.get("Status", "") for event in events if event.get("Event") == "ContactList"]
    return {"total": len(states), "reachable": sum(state in ("Reachable", "NonQualified") for state in states)}


def parse_ami_endpoint(events: Iterable[Mapping[str, str]]) -> Live:
    """The events of ``PJSIPShowEndpoint``. Raises `ProbeError` ``missing``."""
    events = list(events)
    details = [event for event in events if event.get("Event") == "EndpointDetail"]
    if not details:
        raise ProbeError("missing", "Asterisk has no such endpoint")
    contacts = [event for event in events if event.get("Event") == "ContactStatusDetail"]
    return {
        "endpoint": details[0].get("ObjectName", ""),
        "device_state": details[0].get("DeviceState", ""),
        "contacts": [
            {
                "uri": one.get("URI", ""),
                "status": one.get("Status", ""),
                "rtt_ms": _milliseconds(one.get("RoundtripUsec", ""), 1000.0),
            }
            for one in contacts
        ],
    }


def parse_pjsip_endpoints(text: str) -> Endpoints:
    """``pjsip show endpoints``."""
    states = [match.group(2) for match in map(_PJSIP_ENDPOINT.match, text.splitlines()) if match]
    if not states and not _NONE_FOUND.search(text):
        raise ProbeError("invalid", "no endpoints in the answer")
    return {"total": len(states), "available": sum(_available(state) for state in states)}


def parse_pjsip_contacts(text: str) -> Contacts:
    """``pjsip show contacts``."""
    states = [one["status"] for one in _pjsip_contacts(text)]
    if not states and not _NONE_FOUND.search(text):
        raise ProbeError("invalid", "no contacts in the answer")
    return {"total": len(states), "reachable": sum(state in ("Reachable", "NonQualified") for state in states)}


def parse_pjsip_endpoint(text: str) -> Live:
    """``pjsip show endpoint X``; Asterisk cuts long URIs. Raises `ProbeError` ``missing``."""
    for match in map(_PJSIP_ENDPOINT.match, text.splitlines()):
        if match:
            name = match.group(1).split("/")[0]
            return {"endpoint": name, "device_state": match.group(2), "contacts": _pjsip_contacts(text)}
    raise ProbeError("missing", "Asterisk has no such endpoint")


def parse_sip_endpoints(text: str) -> Endpoints:
    """The last line of ``sip show peers``."""
    total, online, _offline, unmonitored = _sip_peers(text)
    return {"total": total, "available": online + unmonitored}


def parse_sip_contacts(text: str) -> Contacts:
    """``sip show peers``: the peers that have an address."""
    total, online, _offline, unmonitored = _sip_peers(text)
    lines = [line.split() for line in text.splitlines()[1:]]
    without = sum(len(words) > 1 and words[1] == "(Unspecified)" for words in lines)
    return {"total": total - without, "reachable": online + unmonitored}


def parse_sip_peer(text: str) -> Live:
    """``sip show peer X``. Raises `ProbeError` ``missing``."""
    fields: dict[str, str] = {}
    for match in map(_SIP_FIELD.match, text.splitlines()):
        if match:
            fields.setdefault(match.group(1).lstrip("* "), match.group(2).strip())
    if "Name" not in fields:
        raise ProbeError("missing", "Asterisk has no such peer in memory")
    status = fields.get("Status", "")
    rtt = re.search(r"\((\d+) ms\)", status)
    contact: Contact = {
        "uri": fields.get("Reg. Contact", ""),
        "status": _PEER_STATUS.get(status.split(" ")[0], "Unknown"),
        "rtt_ms": float(rtt.group(1)) if rtt else None,
    }
    # Otherwise the address is what the contact says. "Auto (Yes)" comes and goes with any request in the name of the
    # account, also a refused one, and the address stays.
    if fields.get("Force rport") == "Yes" and fields.get("Addr->IP", "(null)") != "(null)":
        contact["source"] = fields["Addr->IP"]
    return {"endpoint": fields["Name"], "device_state": status, "contacts": [contact] if contact["uri"] else []}


def _pjsip_contacts(text: str) -> list[Contact]:
    return [
        {
            "uri": match.group(1).partition("/")[2],
            "status": _CONTACT_STATUS.get(match.group(2).lower(), match.group(2)),
            "rtt_ms": _milliseconds(match.group(3), 1.0),
        }
        for match in map(_PJSIP_CONTACT.match, text.splitlines())
        if match
    ]


def _sip_peers(text: str) -> tuple[int, int, int, int]:
    """The total of the peers, those online and offline, and those that are not monitored."""
    found = _SIP_PEERS.search(text)
    if not found:
        raise ProbeError("invalid", "no count of peers in the answer")
    total, online, offline, unmonitored = map(int, found.groups())
    return total, online, offline, unmonitored


def _available(state: str) -> bool:
    return state.lower() not in _AWAY


def _milliseconds(text: str, per_millisecond: float) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return None if math.isnan(value) else round(value / per_millisecond, 3)


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text, re.MULTILINE)
    if not found:
        raise ProbeError("invalid", "no match for {0} in {1!r}".format(pattern, text[:80]))
    return int(found.group(1))
