# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of Asterisk's own logs, and the lines in it that matter for a registration."""

from __future__ import annotations

import collections
import datetime
import os
import re
import time
from typing import TYPE_CHECKING, Pattern, cast

from ansible_collections.privatewave.reconnect.plugins.module_utils import _files
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import TEST_MARK
from ansible_collections.privatewave.reconnect.plugins.module_utils._text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.documents import (
        EventCounts,
        LogFiles,
        LogKind,
        LogLevel,
        LogMatch,
        SecurityEvent,
    )

#: Bytes of a log that are read.
TAIL = 256 * 1024
#: Lines kept of each kind, the last ones.
PER_KIND = 4
ADDRESSES = 50
DEFAULT_DIRECTORY = "/var/log/asterisk"

#: The kind of a line; the first pattern that matches counts. Texts of Asterisk 16 and 22.
_PATTERNS: tuple[tuple[LogKind, str], ...] = (
    ("files_exhausted", r"Too many open files"),
    (
        "bind_failed",
        r"Address already in use|Failed to bind to |Unable to bind (?:SIP )?socket"
        r"|Unable to bind SIP \S{1,40} server|Cannot assign requested address",
    ),
    (
        "tls_failed",
        r"TLS/SSL error loading|TLS/SSL CA file|\w{1,40}_file \S{1,400} is either missing or not readable"
        r"|Failed to stat (?:certificate|private key) file|Unable to restart TLS transport"
        r"|[Ee]rror loading (?:certificate|private key)|Error parsing (?:cert|priv_key|ca_list)_\w+=",
    ),
    (
        "transport_failed",
        r"Transport '.{0,400}' could not be started|object of type 'transport'"
        r"|(?:SIP TCP|TLS) Server start failed",
    ),
    ("contact_failed", r"Unable to bind contact|Failed to update contact"),
    ("database_lost", r"gone away|Lost connection to|[Cc]onnection (?:was )?dead|server closed the connection"),
    (
        "odbc_failed",
        r"res_odbc: Error SQLConnect|No database handle available|Unable to retrieve database handle"
        r"|SQL (?:Exec|Prepare|Alloc Handle|Bind|Fetch|Row Count|NumResultCols|Describe Column)\w*"
        r" ?(?:error|failed|Error|\d|returned an error)",
    ),
    ("client_certificate", r"peer did not return a certificate"),
    ("resolver_failed", r"getaddrinfo|Temporary failure in name resolution|Unable to (?:lookup|resolve) '?\S{1,200}"),
    (
        "request_refused",
        r"AOR '.{0,200}' not found for endpoint|has no configured (?:AORs|max_contacts)|did not pass ACL test"
        r"|Failed to validate contacts|will exceed max contacts|with a non-SIP URI|Couldn't find auth",
    ),
    (
        "module_failed",
        r"Error loading module|declined to load|Failed to load (?:\S{0,400}module|\S{1,400}\.so)"
        r"|Module '.{0,400}' could not be loaded|Some non-required modules failed to load",
    ),
    (
        "config_error",
        r"parse error:|No category context|Unknown directive|Error parsing \S{1,400}=|Could not find option"
        r"|Could not find config type|Could not create an object of type|Could not apply"
        r"|Contents of \S{1,400} are invalid|Could not create object",
    ),
    ("registration_failed", r"Registration from .{0,400} failed for|Request 'REGISTER' from .{0,400} failed for"),
)
KINDS: tuple[tuple[LogKind, Pattern[str]], ...] = tuple((kind, re.compile(pattern)) for kind, pattern in _PATTERNS)

_LINE = re.compile(r"\[([^\]]{5,40})\] (NOTICE|WARNING|ERROR|SECURITY)\[\d+\](?:\[[^\]]*\])? (\S+?): (.*)", re.DOTALL)
_FIELD = re.compile(r'(?<!\w)(\w{1,80})="((?:[^"\\]|\\.)*)"')


def files(sections: Mapping[str, Mapping[str, str]], directory: str = DEFAULT_DIRECTORY) -> LogFiles:
    """The paths of the logs, from the sections of logger.conf."""
    found: LogFiles = {"messages": None, "security": None}
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


def tail(path: str, size: int = TAIL) -> list[str]:
    """The whole lines among the last ``size`` bytes of a file. Raises `OSError`."""
    with open(path, "rb", opener=_files.opener) as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - size))
        text = file.read(size)
    if length > size:
        text = text.partition(b"\n")[2]
    return text.decode("utf-8", "replace").split("\n")


def seconds(stamp: str, now: float) -> float | None:
    """A log's local time stamp (ISO 8601, or the default form without a year) as seconds since 1970, or None."""
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


def parse_messages(lines: Iterable[str], since: float, now: float) -> tuple[int, list[LogMatch]]:
    """How many lines came after ``since`` (seconds since 1970), and those that matter.

    Of each kind the last few are kept, of equal texts the last. A line without a readable time counts as old as the one
    before it.
    """
    kept: dict[LogKind, collections.OrderedDict[str, tuple[int, LogMatch]]]
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
                kept[kind][text] = (
                    number,
                    {"time": utc(last), "level": cast("LogLevel", level), "kind": kind, "text": text},
                )
                if len(kept[kind]) > PER_KIND:
                    kept[kind].popitem(last=False)
                break
    matches = sorted((one for some in kept.values() for one in some.values()), key=lambda one: one[0])
    return read, [match for _number, match in matches]


#: The fields of a security event in which Asterisk says why it refused a request.
REASONS = ("ACLName", "RequestType", "AttemptedTransport")
#: How ``ACLName`` begins where no access list was asked: the registrar, or chan_sip, refused the request itself.
NO_LIST = ("registrar_", "peer_not_dynamic")
#: Our name for the event of an account whose auth could not be loaded: no password was compared.
NO_AUTH = "AuthNotLoaded"


def parse_security(lines: Iterable[str], now: float) -> list[SecurityEvent]:
    """The SIP events of a security log, the oldest first, without those of our registration tests.

    The session of chan_pjsip is the Call-ID; that of chan_sip is a number, so its events are all there.
    """
    events: list[SecurityEvent] = []
    for line in lines:
        if 'SecurityEvent="' not in line:
            continue
        fields = security_fields(line)
        if fields.get("Service", "").upper() == "AMI" or fields.get("SessionID", "").startswith(TEST_MARK):
            continue
        stamp = _LINE.match(line)
        remote = fields.get("RemoteAddress", "").split("/")
        events.append(
            {
                "event": NO_AUTH if no_auth(fields) else printable(fields.get("SecurityEvent", ""), 60),
                "time": event_time(fields.get("EventTV", "")) or (seconds(stamp.group(1), now) if stamp else None),
                "account": fields.get("AccountID", ""),
                "address": printable(remote[2], 60) if len(remote) > 2 else "",
                "detail": printable(next((fields[name] for name in REASONS if name in fields), ""), 80),
            }
        )
    return events


def no_auth(fields: Mapping[str, str]) -> bool:
    """Whether a ChallengeResponseFailed of PJSIP says that the auth could not be loaded: it has no challenge then."""
    return (
        fields.get("SecurityEvent") == "ChallengeResponseFailed"
        and fields.get("Service", "").upper() == "PJSIP"
        and not fields.get("Challenge")
    )


def security_fields(line: str) -> dict[str, str]:
    """The fields of a line of the security log. The first of a name counts: values come from strangers."""
    fields: dict[str, str] = {}
    for name, value in _FIELD.findall(line):
        fields.setdefault(name, value)
    return fields


def count_events(events: Iterable[SecurityEvent]) -> tuple[EventCounts, dict[str, EventCounts]]:
    """How often each event was seen: in total, and by address for those with the most events."""
    total: collections.Counter[str] = collections.Counter()
    addresses: dict[str, collections.Counter[str]] = {}
    for one in events:
        total[one["event"]] += 1
        addresses.setdefault(one["address"], collections.Counter())[one["event"]] += 1
    busiest = sorted(addresses.items(), key=lambda item: -sum(item[1].values()))[:ADDRESSES]
    return dict(total), {address: dict(counts) for address, counts in busiest}


def utc(value: float) -> str:
    """Seconds since 1970 as RFC 3339."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(value))


def read(path: str, size: int = TAIL) -> list[str]:
    """`tail`. Raises `ProbeError` ``missing`` when there is no such file."""
    try:
        return tail(path, size)
    except FileNotFoundError:
        raise ProbeError("missing", "there is no {0}".format(path)) from None


def event_time(text: str) -> float | None:
    """The time of a security event as seconds since 1970, or None."""
    try:
        return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()
    except ValueError:
        return None
