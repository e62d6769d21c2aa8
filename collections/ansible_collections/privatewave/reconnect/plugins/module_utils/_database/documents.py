# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents of the database: what each probe of the subset ``database`` answers, and the SIP session log."""

from __future__ import annotations

from typing import Dict, List, Literal, Optional, TypedDict, Union

from ansible_collections.privatewave.reconnect.plugins.module_utils._host.documents import ProcessFacts
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import Probe

Engine = Literal["mysql", "postgresql"]
Missing = Literal["auth", "password", "aor", "max_contacts", "secret", "host"]
Verb = Literal["INSERT", "UPDATE", "DELETE"]


class RealtimeTable(TypedDict):
    """Where extconfig.conf keeps a family: its driver, the driver's database, and the table."""

    driver: str
    database: str
    table: str


class Source(TypedDict):
    """Where Asterisk reads an object of an account from: a configuration file, a family of extconfig.conf, or both.

    ``table`` is what extconfig.conf says of the family, null where it has none.
    """

    file: bool
    family: Optional[str]
    table: Optional[RealtimeTable]


class DatabaseProcess(ProcessFacts, total=False):
    """The server's process and the systemd unit it belongs to; evidence of an older release has no ``unit``."""

    unit: Optional[str]


class Place(TypedDict):
    """Where Asterisk's data source leads: its host's ``address`` or a socket's path; ``here``: on this server."""

    address: str
    here: bool


class Port(TypedDict):
    """Where the server takes connections: an address and its port, or the path of a socket and null."""

    address: str
    port: Optional[int]


class LoggedIn(TypedDict):
    """The login that Asterisk uses; ``host`` is an address, or the path of a socket."""

    user: str
    host: str
    engine: Engine
    server_version: str


class Query(TypedDict):
    """Seconds that a query took which reads nothing."""

    seconds: float


class Status(TypedDict):
    """Connections in use and allowed, switches that stop writes, seconds since the start, and slow queries.

    Null: this server does not say. On PostgreSQL ``max_connections`` leaves out those reserved for administrators.
    """

    threads_connected: Optional[int]
    max_connections: Optional[int]
    max_used_connections: Optional[int]
    read_only: Optional[bool]
    super_read_only: Optional[bool]
    innodb_read_only: Optional[bool]
    uptime: Optional[int]
    slow: Optional[int]


class Lookup(TypedDict):
    """The query by which Asterisk finds an account: its table, how many seconds it took, and whether it found one."""

    table: str
    seconds: float
    found: bool


class IncompleteAccount(TypedDict):
    """An account, and what it lacks to register."""

    id: str
    missing: List[Missing]


class _MoreOfAccounts(TypedDict, total=False):
    #: Evidence of an older release lacks them.
    incomplete_total: int
    hidden: List[str]


class Accounts(_MoreOfAccounts):
    """How many accounts there are, how many of them cannot register, and up to 50 of those.

    ``hidden``: tables that may hide rows from Asterisk's user, by row-level security or because they are views.
    """

    total: int
    incomplete: List[IncompleteAccount]


class Refusal(TypedDict):
    """The server's error number or SQLSTATE, and its words."""

    code: str
    text: str


class Refused(TypedDict, total=False):
    """The statements that the server refuses to Asterisk's user."""

    INSERT: Refusal
    UPDATE: Refusal
    DELETE: Refusal


class Writes(TypedDict):
    """The table that registrations are written to, and what Asterisk's user may not do with it."""

    table: str
    refused: Refused


class TableState(TypedDict):
    """Whether a table is damaged, and what the server says of it."""

    damaged: bool
    text: str


class Session(TypedDict):
    """A session that works: its user, for how many seconds, and its state; never its statement."""

    user: str
    seconds: float
    state: str


class Busy(TypedDict, total=False):
    """Connections by user, and the sessions that have worked longest."""

    connections: Dict[str, int]
    longest: List[Session]


class _Reached(TypedDict):
    reached: bool
    error: Optional[str]


class Admin(_Reached, Busy):
    """Whether the administrator can log in over the server's own socket: ``error`` when not, else who is busy."""


class Database(TypedDict, total=False):
    """The subset ``database``: its probes by name. A server that cannot be reached has none; an older release fewer."""

    process: Probe[DatabaseProcess]
    place: Probe[Place]
    port: Probe[Port]
    login: Probe[LoggedIn]
    query: Probe[Query]
    status: Probe[Status]
    schema: Probe[Dict[str, List[str]]]
    lookup: Probe[Lookup]
    accounts: Probe[Accounts]
    writes: Probe[Writes]
    tables: Probe[Dict[str, TableState]]
    admin: Probe[Admin]


class SessionEntry(TypedDict):
    """An entry of the SIP session log; null: the view has no such column.

    ``event`` is ``CONNECT``, ``REGISTER``, ``UNREGISTER`` or ``DISCONNECT``. ``at`` is the database's local time.
    """

    event: str
    at: Optional[str]
    seconds_ago: Optional[int]
    account: Optional[str]
    address: Optional[str]
    agent: Optional[str]
    cipher: Optional[str]
    details: Optional[str]


class AccountSessions(TypedDict):
    """The entries of an account, the newest first, and the newest of each event."""

    last: Dict[str, SessionEntry]
    entries: List[SessionEntry]


class AddressSessions(AccountSessions):
    """The entries of an address, without its port; null when the account has none."""

    address: Optional[str]


class Sessions(TypedDict):
    """The SIP session log: of an account, and of the address that it came from last."""

    account: AccountSessions
    address: AddressSessions


#: Rows of the view as they are: evidence of an older release.
OldSessions = List[Dict[str, Union[str, int, None]]]
