# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Asterisk's command line and AMI answer, read. Pure functions: text or events in, data of docs/documents.md out.

Seen with Asterisk 16 (chan_sip) and 22 (chan_pjsip). A text that can't be read raises `ProbeError` ``invalid``.
"""

from __future__ import annotations

import math
import re

from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

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
_SIP_BIND = re.compile(r"^\s+(UDP|TCP SIP|TLS SIP) Bindaddress:\s+(\S+):(\d+)\s*$")
_SIP_PEERS = re.compile(r"(\d+) sip peers \[Monitored: (\d+) online, (\d+) offline Unmonitored: (\d+) online")
_SIP_FIELD = re.compile(r"^\s+(\S[^:]*?)\s*: ?(.*)$")
_NONE_FOUND = re.compile(r"^No objects found", re.MULTILINE)


def parse_version(text):
    """`asterisk -V` (or ``core show version``) as ``{full, major}``; ``major`` is None for an unreleased version."""
    found = re.match(r"\s*Asterisk\s+(\S+)", text)
    if not found:
        raise ProbeError("invalid", "no version in {0!r}".format(text[:80]))
    major = re.match(r"(?:certified[/-])?(\d+)", found.group(1))
    return {"full": found.group(1), "major": int(major.group(1)) if major else None}


def parse_uptime(text):
    """``core show uptime seconds`` as ``{seconds, reload_seconds}``."""
    return {
        "seconds": _number(r"^System uptime:\s+(\d+)", text),
        "reload_seconds": _number(r"^Last reload:\s+(\d+)", text),
    }


def parse_calls(text):
    """``core show channels count`` as ``{channels, calls, processed}``."""
    return {
        "channels": _number(r"^(\d+) active channel", text),
        "calls": _number(r"^(\d+)(?: of \d+ max)? active call", text),
        "processed": _number(r"^(\d+) calls? processed", text),
    }


def parse_modules(text, wanted):
    """``module show`` as ``{name: Running|Not Running|absent}`` for the wanted names."""
    states = dict(match.groups() for match in map(_MODULE.match, text.splitlines()) if match)
    if not states:
        raise ProbeError("invalid", "no modules in the answer")
    return {name: states.get(name, "absent") for name in wanted}


def parse_pjsip_transports(text):
    """``pjsip show transports`` as ``[{id, transport, address, port}]``."""
    found = [match.groups() for match in map(_PJSIP_TRANSPORT.match, text.splitlines()) if match]
    return [
        {"id": name, "transport": kind, "address": address.strip("[]"), "port": int(port)}
        for name, kind, address, port in found
    ]


def parse_sip_transports(text):
    """``sip show settings`` as ``[{id, transport, address, port}]``; what is disabled is left out."""
    found = [match.groups() for match in map(_SIP_BIND.match, text.splitlines()) if match]
    return [
        {"id": kind[:3].lower(), "transport": kind[:3].lower(), "address": address.strip("[]"), "port": int(port)}
        for kind, address, port in found
    ]


def parse_odbc(text):
    """``odbc show all`` as ``[{name, dsn, connected, active, limit, last_error}]``.

    ``connected`` is whether a connection is open, ``last_error`` says when connecting failed last.
    """
    pools = []
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


def parse_realtime(sections):
    """The sections of extconfig.conf as ``{family: {driver, database, table}}``."""
    found = {}
    for family, value in sections.get("settings", {}).items():
        parts = [part.strip().strip('"') for part in value.split(",")]
        parts += [""] * (3 - len(parts))
        found[family] = {"driver": parts[0], "database": parts[1], "table": parts[2] or family}
    return found


def parse_taskprocessors(text):
    """``core show taskprocessors`` as ``{count, worst, over_high_water}``; ``worst`` has the longest queue.

    A task processor counts as over its high water mark from when it reaches it until it is back at its low water mark:
    that long Asterisk has an alert for it (taskprocessor.c).
    """
    found = []
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


def parse_ami_endpoints(events):
    """The events of ``PJSIPShowEndpoints`` as ``{total, available}``."""
    states = [event.get("DeviceState", "") for event in events if event.get("Event") == "EndpointList"]
    return {"total": len(states), "available": sum(_available(state) for state in states)}


def parse_ami_contacts(events):
    """The events of ``PJSIPShowContacts`` as ``{total, reachable}``; what is not qualified counts as reachable."""
    states = [event.get("Status", "") for event in events if event.get("Event") == "ContactList"]
    return {"total": len(states), "reachable": sum(state in ("Reachable", "NonQualified") for state in states)}


def parse_ami_endpoint(events):
    """The events of ``PJSIPShowEndpoint`` as ``{endpoint, device_state, contacts}``."""
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


def parse_pjsip_endpoints(text):
    """``pjsip show endpoints`` as ``{total, available}``."""
    states = [match.group(2) for match in map(_PJSIP_ENDPOINT.match, text.splitlines()) if match]
    if not states and not _NONE_FOUND.search(text):
        raise ProbeError("invalid", "no endpoints in the answer")
    return {"total": len(states), "available": sum(_available(state) for state in states)}


def parse_pjsip_contacts(text):
    """``pjsip show contacts`` as ``{total, reachable}``."""
    states = [one["status"] for one in _pjsip_contacts(text)]
    if not states and not _NONE_FOUND.search(text):
        raise ProbeError("invalid", "no contacts in the answer")
    return {"total": len(states), "reachable": sum(state in ("Reachable", "NonQualified") for state in states)}


def parse_pjsip_endpoint(text):
    """``pjsip show endpoint X`` as ``{endpoint, device_state, contacts}``; long URIs are cut by Asterisk."""
    for match in map(_PJSIP_ENDPOINT.match, text.splitlines()):
        if match:
            name = match.group(1).split("/")[0]
            return {"endpoint": name, "device_state": match.group(2), "contacts": _pjsip_contacts(text)}
    raise ProbeError("missing", "Asterisk has no such endpoint")


def parse_sip_endpoints(text):
    """The last line of ``sip show peers`` as ``{total, available}``."""
    total, online, _offline, unmonitored = _sip_peers(text)
    return {"total": total, "available": online + unmonitored}


def parse_sip_contacts(text):
    """``sip show peers`` as ``{total, reachable}``: the peers that have an address."""
    total, online, _offline, unmonitored = _sip_peers(text)
    lines = [line.split() for line in text.splitlines()[1:]]
    without = sum(len(words) > 1 and words[1] == "(Unspecified)" for words in lines)
    return {"total": total - without, "reachable": online + unmonitored}


def parse_sip_peer(text):
    """``sip show peer X`` as ``{endpoint, device_state, contacts}``."""
    fields = {}
    for match in map(_SIP_FIELD.match, text.splitlines()):
        if match:
            fields.setdefault(match.group(1).lstrip("* "), match.group(2).strip())
    if "Name" not in fields:
        raise ProbeError("missing", "Asterisk has no such peer in memory")
    status = fields.get("Status", "")
    rtt = re.search(r"\((\d+) ms\)", status)
    contact = {
        "uri": fields.get("Reg. Contact", ""),
        "status": _PEER_STATUS.get(status.split(" ")[0], "Unknown"),
        "rtt_ms": float(rtt.group(1)) if rtt else None,
    }
    return {"endpoint": fields["Name"], "device_state": status, "contacts": [contact] if contact["uri"] else []}


def _pjsip_contacts(text):
    return [
        {
            "uri": match.group(1).partition("/")[2],
            "status": _CONTACT_STATUS.get(match.group(2).lower(), match.group(2)),
            "rtt_ms": _milliseconds(match.group(3), 1.0),
        }
        for match in map(_PJSIP_CONTACT.match, text.splitlines())
        if match
    ]


def _sip_peers(text):
    found = _SIP_PEERS.search(text)
    if not found:
        raise ProbeError("invalid", "no count of peers in the answer")
    return tuple(map(int, found.groups()))


def _available(state):
    return state.lower() not in _AWAY


def _milliseconds(text, per_millisecond):
    try:
        value = float(text)
    except ValueError:
        return None
    return None if math.isnan(value) else round(value / per_millisecond, 3)


def _number(pattern, text):
    found = re.search(pattern, text, re.MULTILINE)
    if not found:
        raise ProbeError("invalid", "no match for {0} in {1!r}".format(pattern, text[:80]))
    return int(found.group(1))
