# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server should be like: the inventory variables ``reconnect_*`` with their defaults, checked."""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Callable, Mapping
from typing import Any, cast

from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import DEFAULTS as PROBE_DEFAULTS
from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import (
    NO_DATABASE,
    TEST_CALLEE,
    TEST_CALLER,
    Settings,
    SipTransport,
    Transport,
    without_database,
)
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.answers import plain

PREFIX = "reconnect_"

DEFAULTS: dict[str, Any] = {
    **PROBE_DEFAULTS,
    "sip_domain": "",
    "sip_port": 5061,
    "sip_transports": ["tls"],
    # Registers in every diagnosis; empty: none.
    "test_account": TEST_CALLER,
    # Whom it calls in a test call.
    "test_callee": TEST_CALLEE,
    "addresses": [],
    # Of a proxy or session border controller before Asterisk, as clients and as Asterisk see it. Empty: it is found
    # while it answers.
    "proxy": [],
    "srv": "",
    "resolvers": [],
    "provisioning_url": "",
    "provisioning_unit": "",
    "tls_ca_file": "",
    "tls_certificate_file": "",
    "tls_key_file": "",
    # What clients offer in a handshake, as a cipher list of OpenSSL for TLS 1.2: forward secrecy, no SHA-1. It is meant
    # to find a server that has fallen behind its clients, never to bend the clients to an old server.
    "tls_minimum_version": "1.2",
    "tls_ciphers": "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:DHE+AESGCM:DHE+AES:!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM",
    "fail2ban_jail": "asterisk",
    "session_view": "V_SIP_SESSION",
    # The names of its columns, where they are others than those of PrivateServer.
    "session_columns": {},
    # What a site knows of its clients' logs, beside ``judge/client_log/signatures.yml`` and of the same shape.
    "client_signatures": {},
}

_TRANSPORTS = ("udp", "tcp", "tls")
_CHOICES = {
    "channel_driver": ("pjsip", "sip"),
    "database_engine": ("mysql", "postgresql", NO_DATABASE),
    "account_backend": ("realtime", "file"),
    "tls_minimum_version": ("1.2", "1.3"),
}
_LEGACY_PORT = 5060
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_SRV = re.compile(r"_[A-Za-z0-9-]+\._[A-Za-z0-9-]+")


def settings(variables: Mapping[str, Any], template: Callable[[Any], Any] = lambda value: value) -> Settings:
    """The settings of a server from its inventory variables.

    ``template`` resolves a variable's value. Raises `ValueError` with one sentence that names the variable.
    """
    found: dict[str, Any] = {}
    for name, default in DEFAULTS.items():
        variable = PREFIX + name
        value = plain(template(variables[variable])) if variable in variables else default
        found[name] = _checked(variable, value, default) if value is not None else default
    for name, choices in _CHOICES.items():
        if found[name] not in choices:
            raise ValueError(f"{PREFIX}{name} is {found[name]!r}, it must be one of {', '.join(choices)}")
    if found["srv"] and not _SRV.fullmatch(found["srv"]):
        raise ValueError(f"{PREFIX}srv is {found['srv']!r}, it must look like _sips._tcp")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).set_ciphers(found["tls_ciphers"])
    except ssl.SSLError:
        raise ValueError(f"{PREFIX}tls_ciphers is {found['tls_ciphers']!r}, which names no cipher of OpenSSL") from None
    for name in ("addresses", "proxy"):
        found[name] = [_address(PREFIX + name, address) for address in found[name]]
    if found["addresses"] and found["proxy"] and not set(found["addresses"]).intersection(found["proxy"]):
        raise ValueError(
            f"{PREFIX}proxy names a proxy, and none of its addresses is in {PREFIX}addresses: clients are led to those"
        )
    found["sip_transports"] = [_transport(one, found["sip_port"]) for one in found["sip_transports"]]
    if len(found["rtp_ports"]) != 2 or not all(isinstance(port, int) for port in found["rtp_ports"]):
        raise ValueError(f"{PREFIX}rtp_ports must be two ports, the first and the last")
    return cast(Settings, without_database(found))


def _checked(variable: str, value: Any, default: Any) -> Any:
    if isinstance(default, list):
        if isinstance(value, str):
            value = [value] if value else []
        if not isinstance(value, list):
            raise ValueError(f"{variable} must be a list")
        return value
    if isinstance(default, int):
        return _port(variable, value)
    if variable == PREFIX + "client_signatures":
        # The judge checks each entry and says which one is invalid. The evidence is gathered all the same.
        if not isinstance(value, dict):
            raise ValueError(f"{variable} must be signatures by name")
        return value
    if isinstance(default, dict):
        if not isinstance(value, dict) or not all(_COLUMN.fullmatch(str(name)) for name in value.values()):
            raise ValueError(f"{variable} must be names of columns by what they hold")
        return value
    if isinstance(value, (dict, list)):
        raise ValueError(f"{variable} must be text")
    return str(value)


def _port(variable: str, value: Any) -> int:
    try:
        port = int(value)
    except (TypeError, ValueError):
        port = 0
    if not 0 < port < 65536:
        raise ValueError(f"{variable} is {value!r}, it must be a port")
    return port


def _address(variable: str, value: Any) -> str:
    try:
        return str(ipaddress.ip_address(str(value)))
    except ValueError:
        raise ValueError(f"{variable} holds {value!r}, it must hold IP addresses") from None


def _transport(value: Any, sip_port: int) -> SipTransport:
    variable = PREFIX + "sip_transports"
    entry = value if isinstance(value, dict) else {"transport": value}
    name = str(entry.get("transport", "")).lower()
    if name not in _TRANSPORTS:
        raise ValueError(f"{variable} holds {name!r}, it may hold {', '.join(_TRANSPORTS)}")
    port = _port(variable, entry.get("port", sip_port if name == "tls" else _LEGACY_PORT))
    return {"transport": cast(Transport, name), "port": port}
