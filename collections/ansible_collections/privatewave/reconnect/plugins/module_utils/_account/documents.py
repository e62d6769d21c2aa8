# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents of an account: what it should be, and what each probe of the subset ``account`` answers."""

from __future__ import annotations

from typing import Any, Dict, List, Literal, Optional, TypedDict, Union

from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.documents import (
    Attempt,
    ContactState,
    EventCounts,
    Live,
    Reconnection,
)
from ansible_collections.privatewave.reconnect.plugins.module_utils._database.documents import OldSessions, Sessions
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import Probe


class _Account(TypedDict):
    username: str
    password: str
    enabled: bool
    security_model: Literal["end_to_end", "end_to_site"]
    keep_alive: bool
    transport: Literal["tls", "tcp", "udp"]
    max_contacts: int


class WantedAccount(_Account, total=False):
    """An account as the account registry wants it, its password in clear text.

    ``keep_alive_seconds``: the server asks the client at least this often, 0 or none: leave it. ``context``, ``codecs``
    and ``acl`` are left alone when empty. The other fields concern the client only.
    """

    keep_alive_seconds: int
    context: str
    codecs: List[str]
    acl: List[str]
    virtual_number: Optional[str]
    edition: Optional[str]
    obfuscation: Optional[Dict[str, Any]]
    server: Optional[str]
    group: Optional[str]
    profile: Optional[Dict[str, Any]]


Kind = Literal["endpoint", "auth", "aor", "peer", "contact"]
#: Columns and their values; None: not set.
Values = Dict[str, Any]


class Change(TypedDict):
    """A change of an object: a row of a table, or a section of a file."""

    kind: Kind
    id: str
    action: Literal["insert", "update", "delete"]
    values: Values


class _Found(TypedDict):
    doubled: List[Kind]


class Found(_Found, total=False):
    """The objects of an account by their ids; ``doubled`` are the kinds of which one id stands twice.

    chan_sip has peers only, chan_pjsip the others.
    """

    peer: Dict[str, Values]
    endpoint: Dict[str, Values]
    auth: Dict[str, Values]
    aor: Dict[str, Values]
    contact: List[Values]


class World(TypedDict, total=False):
    """What an account is compared with beside the account registry: ``transports`` are protocols by name."""

    transports: Optional[Dict[str, str]]
    realm: Optional[str]
    domain: Optional[str]


class KeptChange(TypedDict):
    """A change in a backup: ``before`` is the whole object, ``after`` the columns that were written, None: none."""

    kind: Kind
    id: str
    before: Optional[Values]
    after: Optional[Values]


class Backup(TypedDict):
    """The backup of an account (``reconnect/account-backup/v1``). It holds secrets.

    ``begun`` is a change that was interrupted: the next call finds out how far it came, and completes it or rolls it
    back.
    """

    schema: Literal["reconnect/account-backup/v1"]
    account: str
    began_at: str
    state: Literal["begun", "done", "rolled_back"]
    changes: List[KeptChange]


class Recovered(TypedDict):
    """An interrupted change, how it ended, and a sentence about it."""

    account: str
    state: Literal["done", "rolled_back"]
    sentence: str


class TextDiff(TypedDict):
    """Objects before and after a change, as Ansible shows a difference; secrets are masked."""

    before: str
    after: str
    header: str


class _Applied(TypedDict):
    username: str
    state: Literal["ok", "left", "created", "fixed", "removed", "restored"]
    changed: bool
    findings: List[Difference]


class Applied(_Applied, total=False):
    """What was done with an account; ``backup`` is the path of its backup, ``changed_at`` says when that was made."""

    diff: TextDiff
    backup: str
    changed_at: str


class Reloaded(TypedDict):
    """Whether Asterisk took the changes, and why not."""

    ok: bool
    message: str


class RenderedDocument(TypedDict):
    """A client's document as it should be."""

    username: str
    name: str
    content: str


class Secret(TypedDict):
    """What is told of a secret.

    ``matches``: a stored digest is the one of user, realm and password; null when that cannot be compared.
    """

    set: bool
    matches: Optional[bool]


#: A row of a table by its columns, without secrets.
Row = Dict[str, Union[str, int, float, bool, Secret, None]]


class _Hidden(TypedDict, total=False):
    #: Evidence of an older release lacks it.
    hidden: List[str]


class Rows(_Hidden):
    """The rows of an account. A chan_sip peer is endpoint, auth and AOR in one.

    ``hidden``: those whose table may hide rows from Asterisk's user, by row-level security or because it is a view.
    """

    endpoint: Optional[Row]
    auth: Optional[Row]
    aor: Optional[Row]
    contacts: List[Row]


class Difference(TypedDict):
    """A field that differs from the account registry, as text, secrets masked. ``cause``: a name of the catalogue."""

    field: str
    wanted: Optional[str]
    found: Optional[str]
    cause: Optional[str]


class Diff(TypedDict):
    """What a change would change, as text, secrets masked."""

    before: str
    after: str


class _Compared(TypedDict):
    registered: bool
    enabled: Optional[bool]
    findings: List[Difference]


class Compared(_Compared, total=False):
    """The account compared with the account registry; ``enabled`` is null and ``diff`` missing when it has none."""

    diff: Diff


class DocumentState(TypedDict):
    """A client's document on the server compared with what it should be."""

    name: str
    state: Literal["same", "stale", "missing"]


class ComparedDocuments(TypedDict):
    """A client's documents compared with what they should be; ``diff`` has the fields that differ."""

    documents: List[DocumentState]
    diff: Diff


class _Detailed(TypedDict, total=False):
    #: Evidence of an older release lacks it.
    detail: str


class LastEvent(_Detailed):
    """The newest security event of an account, or of an address; see `SecurityEvent`.

    ``time`` is RFC 3339 in UTC, null when it cannot be read.
    """

    event: str
    time: Optional[str]
    address: str


class _Latest(TypedDict, total=False):
    #: Evidence of an older release lacks it.
    latest: Dict[str, LastEvent]


class Attempts(_Latest):
    """The security events of an account: in total, the newest, and for each address with the most of them.

    ``latest`` is the newest of each of these addresses.
    """

    events: EventCounts
    last: Optional[LastEvent]
    addresses: Dict[str, EventCounts]


class Watched(TypedDict):
    """The answer of the module ``registration_watch``, which took ``seconds``.

    ``sources``: what was followed, ``why``: what was not. ``begun``: what was done to make the client connect again.
    """

    attempts: List[Attempt]
    sources: List[str]
    ended: Literal["registered", "time"]
    seconds: float
    why: List[str]
    begun: Optional[Reconnection]


class Watch(TypedDict):
    """What was seen of an account's attempts during a forced reconnection that took ``seconds``.

    ``sources``: what was followed, ``why``: what was not. ``contacts``: those before it, ``dropped``: the dead ones
    that were removed, ``notified``: NOTIFY was sent to the others, ``left``: what could not be done.
    """

    account: str
    registered: bool
    seconds: float
    attempts: List[Attempt]
    sources: List[str]
    why: List[str]
    contacts: List[ContactState]
    dropped: List[str]
    notified: bool
    left: List[str]


class Account(TypedDict, total=False):
    """The subset ``account``: its probes by name. ``watch`` is there in first level only."""

    rows: Probe[Rows]
    live: Probe[Live]
    sessions: Probe[Union[Sessions, OldSessions]]
    attempts: Probe[Attempts]
    registry: Probe[Compared]
    documents: Probe[ComparedDocuments]
    watch: Probe[Watch]
