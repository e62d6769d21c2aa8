# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server should be like, as the control node tells every probe: the settings of an evidence document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

Transport = Literal["udp", "tcp", "tls"]


class SipTransport(TypedDict):
    """A transport that the server must serve, and its port."""

    transport: Transport
    port: int


class Settings(TypedDict, total=False):
    """The inventory variables ``reconnect_*`` of a server, without their prefix and without secrets.

    Times are seconds. Without a database (``none``) the settings about one are empty, and accounts are in files.
    ``addresses`` are those that clients are led to, ``proxy`` those of the proxy before Asterisk.
    The files are on the server; ``tls_ca_file`` alone is on the control node. ``session_columns`` gives the columns of
    the session log where they have other names. ``client_signatures`` are what the site wrote: the judge checks each
    of them. Evidence of an older release lacks the settings that are newer.
    """

    sip_domain: str
    sip_port: int
    sip_transports: list[SipTransport]
    sip_probe_user: str
    test_account: str
    test_callee: str
    addresses: list[str]
    proxy: list[str]
    srv: str
    resolvers: list[str]
    provisioning_url: str
    provisioning_unit: str
    provisioning_folder: str
    tls_ca_file: str
    tls_certificate_file: str
    tls_key_file: str
    tls_minimum_version: Literal["1.2", "1.3"]
    tls_ciphers: str
    channel_driver: Literal["pjsip", "sip"]
    asterisk_unit: str
    database_unit: str
    database_engine: Literal["mysql", "postgresql", "none"]
    odbc_dsn: str
    odbc_class: str
    account_backend: Literal["realtime", "file"]
    rtp_ports: tuple[int, int]
    fail2ban_jail: str
    session_view: str
    session_columns: dict[str, str]
    client_signatures: dict[str, Any]


#: Two reserved accounts that are always there, for test calls. The first is also who our SIP requests come from:
#: Asterisk calls a request of an unknown user an attack, and fail2ban bans who attacks often.
TEST_CALLER, TEST_CALLEE = "601", "602"
#: By these a registration test is known on the server, and never taken for the user's client: how the user part of its
#: contact and its Call-ID begin, and its User-Agent.
TEST_MARK, TEST_AGENT = "reconnect-", "Reconnect registration test"

#: The defaults of the settings that the probes of a server need.
DEFAULTS: dict[str, Any] = {
    "channel_driver": "pjsip",
    "asterisk_unit": "asterisk.service",
    "database_unit": "mariadb.service",
    "database_engine": "mysql",
    "odbc_dsn": "asterisk",
    "odbc_class": "asterisk",
    "account_backend": "realtime",
    "rtp_ports": [15000, 18000],
    "sip_probe_user": TEST_CALLER,
    "provisioning_folder": "/srv/provisioning",
}


#: The engine of a server that has no database.
NO_DATABASE = "none"
#: What only a server with a database has.
_OF_DATABASE = ("database_unit", "odbc_dsn", "odbc_class", "session_view")


def filled(given: Mapping[str, Any]) -> Settings:
    """Settings with the default of each that is missing or empty: for those that a task wrote by hand."""
    kept = {name: value for name, value in given.items() if value or name not in DEFAULTS}
    return cast("Settings", without_database(dict(DEFAULTS, **kept)))


def without_database(found: dict[str, Any]) -> dict[str, Any]:
    """The settings of a server, nothing of them about a database where it has none."""
    if found["database_engine"] != NO_DATABASE:
        return found
    return {**found, **dict.fromkeys(_OF_DATABASE, ""), "account_backend": "file"}
