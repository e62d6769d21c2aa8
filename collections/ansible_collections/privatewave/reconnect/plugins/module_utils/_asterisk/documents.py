# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents of Asterisk: what each probe of the subset ``asterisk`` answers.

Times are RFC 3339 in UTC and durations seconds, unless a document says otherwise.
"""

from __future__ import annotations

from typing import Dict, List, Literal, Optional, TypedDict

from ansible_collections.privatewave.reconnect.plugins.module_utils._database.documents import RealtimeTable, Source
from ansible_collections.privatewave.reconnect.plugins.module_utils._host.documents import ProcessFacts
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import Probe

ModuleState = Literal["Running", "Not Running", "absent"]
LogKind = Literal[
    "files_exhausted",
    "bind_failed",
    "tls_failed",
    "transport_failed",
    "contact_failed",
    "database_lost",
    "odbc_failed",
    "module_failed",
    "config_error",
    "registration_failed",
    "request_refused",
    "client_certificate",
    "resolver_failed",
]
LogLevel = Literal["NOTICE", "WARNING", "ERROR", "SECURITY"]
#: How often each security event was seen, by its name.
EventCounts = Dict[str, int]


class Greeting(TypedDict):
    """The first line on the control socket: the host name, the process id and the version of Asterisk."""

    host: str
    pid: int
    version: str


class Control(TypedDict):
    """Asterisk answers on its control socket, with its version."""

    answered: Literal[True]
    version: str


class Version(TypedDict):
    """The version of Asterisk; ``major`` is null for a version without a release number."""

    full: str
    major: Optional[int]


class _AmiState(TypedDict):
    enabled: bool
    used: bool


class AmiState(_AmiState, total=False):
    """Whether manager.conf enables AMI, and whether the lists came over it; ``why`` when enabled and not used."""

    why: str


class Uptime(TypedDict):
    """Seconds since the start and since the last reload."""

    seconds: int
    reload_seconds: int


class Calls(TypedDict):
    """Active channels and calls, and the calls processed since the start."""

    channels: int
    calls: int
    processed: int


_RtpRange = TypedDict("_RtpRange", {"open": int, "from": int, "to": int})


class RtpSockets(_RtpRange, total=False):
    """Open UDP ports of Asterisk in the RTP range ``from`` to ``to``.

    ``pairs`` counts even ports together with the next odd one, of which a stream takes one; older evidence has none.
    """

    pairs: int


class Transport(TypedDict):
    """A transport that Asterisk has bound, by its own account."""

    id: str
    transport: str
    address: str
    port: int


class Identify(TypedDict):
    """An ``identify`` of chan_pjsip: requests from these networks are the endpoint's, whoever they name."""

    name: str
    endpoint: str
    networks: List[str]


class Identifies(TypedDict):
    """How chan_pjsip finds the endpoint of a request: its ways in their order, and each ``identify``."""

    order: List[str]
    sections: List[Identify]


class OdbcPool(TypedDict):
    """A class of res_odbc.

    ``connected``: a connection is open. ``limit``: connections allowed, null where Asterisk does not say.
    ``last_error``: when connecting failed last.
    """

    name: str
    dsn: str
    connected: bool
    active: int
    limit: Optional[int]
    last_error: Optional[str]


class Endpoints(TypedDict):
    """Endpoints (chan_sip: peers), and those that can be reached."""

    total: int
    available: int


class Contacts(TypedDict):
    """Registered contacts, and those that are reachable or not qualified."""

    total: int
    reachable: int


class Taskprocessor(TypedDict):
    """A task processor with its queue: now, at its longest, and its high water mark, in tasks."""

    name: str
    queued: int
    maximum: int
    high_water: int


class Taskprocessors(TypedDict):
    """The task processors.

    ``worst`` has the longest queue. ``over_high_water`` counts those with an alert: from the high water mark until they
    are back at the low one.
    """

    count: int
    worst: Taskprocessor
    over_high_water: int


class LogMatch(TypedDict):
    """A line of the log that matters for a registration; ``text`` is the line without its time."""

    time: str
    level: LogLevel
    kind: LogKind
    text: str


class LogTail(TypedDict):
    """The end of the log: lines read in the last ``window_seconds``, and those that matter, the oldest first."""

    path: str
    lines_read: int
    window_seconds: int
    matches: List[LogMatch]


class SecurityLog(TypedDict):
    """The security events of the last ten minutes: in total, and for each address with the most of them."""

    enabled: bool
    path: Optional[str]
    recent: EventCounts
    addresses: Dict[str, EventCounts]


class Crashes(TypedDict):
    """Core files, the newest last, restarts by systemd within the last hour, and the end of the unit's journal."""

    core_files: List[str]
    restarts_last_hour: int
    journal: List[str]


class Asterisk(TypedDict, total=False):
    """The subset ``asterisk``: its probes by name. A server that cannot be reached has none."""

    process: Probe[ProcessFacts]
    control: Probe[Control]
    version: Probe[Version]
    ami: Probe[AmiState]
    uptime: Probe[Uptime]
    calls: Probe[Calls]
    rtp_sockets: Probe[RtpSockets]
    modules: Probe[Dict[str, ModuleState]]
    transports: Probe[List[Transport]]
    identifies: Probe[Identifies]
    odbc: Probe[List[OdbcPool]]
    realtime: Probe[Dict[str, RealtimeTable]]
    sources: Probe[Dict[str, Source]]
    endpoints: Probe[Endpoints]
    contacts: Probe[Contacts]
    taskprocessors: Probe[Taskprocessors]
    log: Probe[LogTail]
    security_log: Probe[SecurityLog]
    crashes: Probe[Crashes]


class _Source(TypedDict, total=False):
    source: str


class Contact(_Source):
    """A contact of an account. ``status`` is Asterisk's word, ``rtt_ms`` milliseconds of its last answer or null.

    ``source``: where its packets came from, where chan_sip keeps that; the URI is what the client says.
    """

    uri: str
    status: str
    rtt_ms: Optional[float]


class Live(TypedDict):
    """An account as the running Asterisk has it."""

    endpoint: str
    device_state: str
    contacts: List[Contact]


class MediaCounts(TypedDict):
    """Packets of a call as Asterisk counts them."""

    received: int
    received_lost: int
    sent: int
    sent_lost: int


class ContactState(TypedDict):
    """A contact, and whether it answered."""

    uri: str
    status: str


class Reconnection(TypedDict):
    """The server's half of a forced reconnection.

    ``contacts``: before it. ``dropped``: the contacts that did not answer and were removed. ``notified``: NOTIFY was
    sent to the others. ``why``: what could not be done.
    """

    contacts: List[ContactState]
    dropped: List[str]
    notified: bool
    why: List[str]


class SecurityEvent(TypedDict):
    """A SIP event of the security log; ``time`` is seconds since 1970, null when it cannot be read.

    ``event`` is Asterisk's name, or ``AuthNotLoaded`` where it could not load the account's auth. ``detail`` is its
    reason for a refusal (``ACLName``, ``RequestType``, ``AttemptedTransport``), empty for other events.
    """

    event: str
    time: Optional[float]
    account: str
    address: str
    detail: str


class LogFiles(TypedDict):
    """The paths of the logs; null: off."""

    messages: Optional[str]
    security: Optional[str]


class AmiAccess(TypedDict):
    """Where and as whom AMI can be asked; ``read``: the classes of events that the user receives."""

    enabled: bool
    host: str
    port: int
    user: str
    secret: str
    read: List[str]


Outcome = Literal[
    "registered",
    "unregistered",
    "challenged",
    "unknown_account",
    "wrong_password",
    "acl_denied",
    "tls_failed",
    "not_found",
    "no_contact",
    "forbidden",
]


class Seen(TypedDict):
    """A request that may become an attempt. ``at`` is null when its time cannot be read, ``port`` when it has none."""

    at: Optional[str]
    account: str
    address: str
    port: Optional[int]
    transport: str
    cipher: Optional[str]
    event: str


class Attempt(Seen):
    """An attempt to register. ``event`` is what reported it, ``detail`` Asterisk's own word for the outcome."""

    outcome: Outcome
    detail: str
