# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asterisk's own logs: the end of them, read within bounds and sorted by what it means for who wants to connect."""

from __future__ import annotations

import collections
import datetime
import os
import re
import time

from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

TAIL = 256 * 1024
TEXT_LIMIT = 400
#: Lines kept of each kind, the last ones: ten kinds, at most 40 lines.
PER_KIND = 4
ADDRESSES = 50
DEFAULT_DIRECTORY = "/var/log/asterisk"

#: What a line stands for; the first pattern that is found counts. Texts of Asterisk 16 and 22.
KINDS = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("files_exhausted", r"Too many open files"),
        (
            "bind_failed",
            r"Address already in use|Failed to bind to |Unable to bind (?:SIP )?socket"
            r"|Unable to bind SIP \S+ server|Cannot assign requested address",
        ),
        (
            "tls_failed",
            r"TLS/SSL error loading|TLS/SSL CA file|\w+_file \S+ is either missing or not readable"
            r"|Failed to stat (?:certificate|private key) file|Unable to restart TLS transport"
            r"|[Ee]rror loading (?:certificate|private key)|Error parsing (?:cert|priv_key|ca_list)_\w+=",
        ),
        (
            "transport_failed",
            r"Transport '.*' could not be started|object of type 'transport'"
            r"|(?:SIP TCP|TLS) Server start failed",
        ),
        ("contact_failed", r"Unable to bind contact"),
        ("database_lost", r"gone away|Lost connection to|[Cc]onnection (?:was )?dead|server closed the connection"),
        (
            "odbc_failed",
            r"res_odbc: Error SQLConnect|No database handle available|Unable to retrieve database handle"
            r"|SQL (?:Exec|Prepare|Alloc Handle|Bind|Fetch|Row Count|NumResultCols|Describe Column)\w*"
            r" ?(?:error|failed|Error|\d)",
        ),
        (
            "module_failed",
            r"Error loading module|declined to load|Failed to load (?:\S*module|\S+\.so)"
            r"|Module '.*' could not be loaded|Some non-required modules failed to load",
        ),
        (
            "config_error",
            r"parse error:|No category context|Unknown directive|Error parsing \S+=|Could not find option"
            r"|Could not find config type|Could not create an object of type|Could not apply"
            r"|Contents of \S+ are invalid|Could not create object",
        ),
        ("registration_failed", r"Registration from .* failed for|Request 'REGISTER' from .* failed for"),
    )
)

_LINE = re.compile(r"\[([^\]]{5,40})\] (NOTICE|WARNING|ERROR|SECURITY)\[\d+\](?:\[[^\]]*\])? (\S+?): (.*)", re.DOTALL)
_FIELD = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text, limit=TEXT_LIMIT):
    """A text without anything that moves a cursor, cut at ``limit`` characters."""
    escaped = _CONTROL.sub(lambda found: "\\x{0:02x}".format(ord(found.group())), text)
    return escaped if len(escaped) <= limit else escaped[:limit] + "…"


def files(sections, directory=DEFAULT_DIRECTORY):
    """From the sections of logger.conf: ``{messages: path or None, security: path or None}``."""
    found = {"messages": None, "security": None}
    for name, value in sections.get("logfiles", {}).items():
        levels = {level.split("(")[0].strip().lower() for level in value.split("]")[-1].split(",")}
        if name == "console" or name.startswith("syslog"):
            continue
        path = os.path.join(directory, name)
        if levels & {"security", "*"} and not found["security"]:
            found["security"] = path
        if levels & {"error", "warning", "*"} and not found["messages"]:
            found["messages"] = path
    return found


def tail(path, size=TAIL):
    """The whole lines among the last ``size`` bytes of a file. Raises `OSError`."""
    with open(path, "rb") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - size))
        text = file.read(size)
    if length > size:
        text = text.partition(b"\n")[2]
    return text.decode("utf-8", "replace").split("\n")


def seconds(stamp, now):
    """A log's local time stamp as seconds since 1970, or None: ISO 8601, or the default form that lacks the year."""
    text = stamp.strip().replace("T", " ", 1) if stamp[:4].isdigit() else stamp.strip()
    fraction = 0.0
    found = re.match(r"(.*:\d\d)[.,](\d+)$", text)
    if found:
        text, fraction = found.group(1), float("0." + found.group(2))
    try:
        return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M:%S")) + fraction
    except ValueError:
        pass
    try:
        year = time.localtime(now).tm_year
        value = time.mktime(time.strptime("{0} {1}".format(year, text), "%Y %b %d %H:%M:%S"))
        if value > now + 86400:
            value = time.mktime(time.strptime("{0} {1}".format(year - 1, text), "%Y %b %d %H:%M:%S"))
        return value + fraction
    except (ValueError, OverflowError):
        return None


def parse_messages(lines, since, now):
    """The lines after ``since`` (seconds since 1970) that mean something: ``(how many were read, matches)``.

    A match is ``{time, level, kind, text}``; of each kind the last few are kept, of equal texts the last. A line whose
    time can't be read is taken to be as old as the one before it.
    """
    kept = {kind: collections.OrderedDict() for kind, _pattern in KINDS}
    read = 0
    last = 0.0
    for number, line in enumerate(lines):
        found = _LINE.match(line)
        if not found:
            continue
        stamp, level, source, text = found.groups()
        last = seconds(stamp, now) or last
        if last < since:
            continue
        read += 1
        for kind, pattern in KINDS:
            if pattern.search(text):
                text = printable(source + ": " + text)
                kept[kind].pop(text, None)
                kept[kind][text] = (number, {"time": utc(last), "level": level, "kind": kind, "text": text})
                if len(kept[kind]) > PER_KIND:
                    kept[kind].popitem(last=False)
                break
    matches = sorted((one for some in kept.values() for one in some.values()), key=lambda one: one[0])
    return read, [match for _number, match in matches]


def parse_security(lines, now):
    """The SIP events of a security log: ``[{event, time, account, address}]``, ``time`` seconds since 1970 or None."""
    events = []
    for line in lines:
        if 'SecurityEvent="' not in line:
            continue
        fields = security_fields(line)
        if fields.get("Service", "").upper() == "AMI":
            continue
        stamp = _LINE.match(line)
        remote = fields.get("RemoteAddress", "").split("/")
        events.append(
            {
                "event": printable(fields.get("SecurityEvent", ""), 60),
                "time": event_time(fields.get("EventTV", "")) or (seconds(stamp.group(1), now) if stamp else None),
                "account": fields.get("AccountID", ""),
                "address": printable(remote[2], 60) if len(remote) > 2 else "",
            }
        )
    return events


def security_fields(line):
    """The fields of a line of the security log; the first of a name counts, since values come from strangers."""
    fields = {}
    for name, value in _FIELD.findall(line):
        fields.setdefault(name, value)
    return fields


def count_events(events):
    """Events as ``({event: count}, {address: {event: count}})``, of the addresses with most events."""
    total = collections.Counter()
    addresses = {}
    for one in events:
        total[one["event"]] += 1
        addresses.setdefault(one["address"], collections.Counter())[one["event"]] += 1
    busiest = sorted(addresses.items(), key=lambda item: -sum(item[1].values()))[:ADDRESSES]
    return dict(total), {address: dict(counts) for address, counts in busiest}


def utc(value):
    """Seconds since 1970 as RFC 3339."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(value))


def read(path, size=TAIL):
    """`tail`, with `ProbeError` for what can't be read."""
    try:
        return tail(path, size)
    except FileNotFoundError:
        raise ProbeError("missing", "there is no {0}".format(path)) from None


def event_time(text):
    """The time of a security event as seconds since 1970, or None."""
    try:
        return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()
    except ValueError:
        return None
