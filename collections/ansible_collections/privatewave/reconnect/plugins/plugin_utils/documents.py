# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The evidence of one server, as the action `gather` gives it back; ``docs/reference/documents.md`` describes it."""

from __future__ import annotations

from typing import Literal, TypedDict

from ansible_collections.privatewave.reconnect.plugins.module_utils._account.documents import Account
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.documents import Asterisk
from ansible_collections.privatewave.reconnect.plugins.module_utils._database.documents import Database
from ansible_collections.privatewave.reconnect.plugins.module_utils._host.documents import Host
from ansible_collections.privatewave.reconnect.plugins.module_utils._net.documents import (
    Call,
    IdleTest,
    Path,
    RegistrationTest,
)
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import Failed, Probe
from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import Settings


class Reached(TypedDict):
    """The server answered, after ``seconds``."""

    ok: Literal[True]
    seconds: float


class Browser(TypedDict):
    """What the self-check of a browser on the user's device came to; null: not tested.

    ``addresses`` are the browser's, as the service saw them. ``ipv4`` and ``ipv6``: it reached the service by that
    protocol alone; ``provisioning``: it reached the provisioning service. ``proxy``: what a proxy on the path added to
    its requests. ``clock_offset``: by how many seconds the device's clock is ahead.
    """

    addresses: list[str]
    ipv4: bool | None
    ipv6: bool | None
    provisioning: bool | None
    proxy: list[str]
    clock_offset: float | None


class ClientReport(TypedDict, total=False):
    """What the user or the device says, which is hostile text; null: unknown.

    ``internet``: the device reaches the internet. ``reconnected``: a forced reconnection succeeded. ``settings`` are
    those of the client, ``log`` the lines of its log.
    """

    internet: bool | None
    reconnected: bool | None
    error_message: str | None
    settings: dict[str, str | int | float | bool | None]
    log: list[str]
    browser: Browser | None


class Earlier(TypedDict):
    """A failure that the first look found and the second one did not; the fields are those of a finding."""

    code: str
    subject: Literal["network", "host", "asterisk", "database", "account", "client"]
    about: str
    vantage: str
    summary: str


class _About(TypedDict, total=False):
    #: Only where an account was named.
    account: Account
    #: Only where a test call was placed, or idle connections were measured.
    call: Probe[Call]
    idle: Probe[IdleTest]
    #: By account and vantage point. Evidence of an older release lacks it.
    registrations: dict[str, dict[str, Probe[RegistrationTest]]]
    #: Only where a first look found failures without a cause that this one, the second, did not find.
    earlier: list[Earlier]


class Evidence(_About):
    """The evidence of one server: probes by subset and name, and what was known before.

    ``taken_at`` is UTC, ``seconds`` is how long it took. ``server`` says whether the server itself answered, ``paths``
    how it is seen from each vantage point.
    """

    schema: Literal["reconnect/evidence/v1"]
    name: str
    taken_at: str
    seconds: float
    settings: Settings
    server: Reached | Failed
    host: Host
    asterisk: Asterisk
    database: Database
    paths: dict[str, Probe[Path]]
    client_report: ClientReport | None
