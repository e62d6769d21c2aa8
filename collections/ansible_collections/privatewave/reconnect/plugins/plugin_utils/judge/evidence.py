# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading an evidence document (docs/reference/documents.md) without ever guessing."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .schemas import MisfitError, fit, known

if TYPE_CHECKING:
    from ansible_collections.privatewave.reconnect.plugins.module_utils._net.documents import (
        Call,
        IdleTest,
        RegistrationTest,
    )

SCHEMA = "reconnect/evidence/v1"


class EvidenceError(ValueError):
    """The document is not evidence; the message is one sentence."""


def check_schema(document: object) -> None:
    """Raises `EvidenceError` when a document is of another schema."""
    if not isinstance(document, Mapping) or document.get("schema") != SCHEMA:
        raise EvidenceError(f"this is not an evidence document: its schema should be {SCHEMA}")


def fitted(document: object) -> dict[str, Any]:
    """An evidence document as its schema describes it, see `schemas.fit`. Raises `EvidenceError`."""
    # Loaded with the first evidence: the catalogue is asked without any.
    from ansible_collections.privatewave.reconnect.plugins.plugin_utils.documents import Evidence

    check_schema(document)
    try:
        found: dict[str, Any] = fit(document, Evidence)
    except MisfitError as error:
        raise EvidenceError(f"this is not an evidence document: {error}") from None
    return found


def prepare() -> None:
    """Derive the schema, so that the processes that are forked from this one need not."""
    from ansible_collections.privatewave.reconnect.plugins.plugin_utils.documents import Evidence

    known(Evidence)


#: What a probe answers, by the documents of its room.
Data = TypeVar("Data")


@dataclass(frozen=True)
class Probe(Generic[Data]):
    """One probe: ``data`` when ``ok``, else ``error`` and ``message``."""

    path: str
    ok: bool
    data: Data
    error: str = ""
    message: str = ""
    seconds: float = 0.0
    raw: Mapping[str, Any] | None = None

    @property
    def asked_twice(self) -> bool:
        """Whether a first connection was closed instead of answered, so that this is what became of a second one."""
        return bool((self.raw or {}).get("attempts", 1) > 1)

    @property
    def why(self) -> str:
        """Why there is no answer, to be put into a sentence."""
        return f"{self.error.replace('_', ' ')}: {self.message}" if self.message else self.error.replace("_", " ")


def _probe(path: str, raw: object) -> Probe[Any]:
    if not isinstance(raw, Mapping):
        return Probe(path, False, None, error="skipped", message="the check did not run")
    return Probe(
        path,
        raw.get("ok") is True,
        raw.get("data"),
        str(raw.get("error", "")),
        str(raw.get("message", "")),
        float(raw.get("seconds") or 0.0),
        raw,
    )


@dataclass(frozen=True)
class Path:
    """What one vantage saw of the path to the server."""

    vantage: str
    data: Mapping[str, Any]

    def probes(self, kind: str) -> dict[str, Probe[Any]]:
        """The probes of a kind (``icmp``, ``tcp``, ``tls``, ``sip``, ``path_mtu``) by what they asked."""
        found = self.data.get(kind)
        if not isinstance(found, Mapping):
            return {}
        return {str(name): _probe(f"paths.{self.vantage}.data.{kind}.{name}", raw) for name, raw in found.items()}

    def hops(self) -> dict[str, list[Probe[Any]]]:
        """Who answered OPTIONS that goes no further, and one that goes one hop further, by place."""
        return {
            str(where): [
                _probe(f"paths.{self.vantage}.data.hops.{where}.{number}", raw) for number, raw in enumerate(hops)
            ]
            for where, hops in dict(self.data.get("hops") or {}).items()
        }

    def dns(self) -> Iterator[tuple[str, str, Probe[Any]]]:
        """(resolver, record type, probe) of every question asked."""
        for resolver, answers in dict(self.data.get("dns") or {}).items():
            for kind, raw in dict(answers).items():
                yield str(resolver), str(kind), _probe(f"paths.{self.vantage}.data.dns.{resolver}.{kind}", raw)

    @property
    def seen_as(self) -> list[str]:
        """The addresses under which the server sees this vantage: its own, and those it is translated to."""
        own = self.data.get("source_addresses") or [self.data.get("source_address")]
        return [plain(address) for address in (*own, *(self.data.get("nat_addresses") or [])) if address]

    @property
    def provisioning(self) -> Probe[Any]:
        """The provisioning service as seen from here."""
        return _probe(f"paths.{self.vantage}.data.provisioning", self.data.get("provisioning"))


class Evidence:
    """An evidence document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Raises `EvidenceError` when the document is of another schema."""
        check_schema(document)
        self.document = document
        self.name = str(document.get("name", ""))
        self.settings: Mapping[str, Any] = document.get("settings") or {}
        self.client_report: Mapping[str, Any] = document.get("client_report") or {}
        self.server = _probe("server", document.get("server"))
        self.paths = [
            Path(str(name), raw["data"])
            for name, raw in dict(document.get("paths") or {}).items()
            if isinstance(raw, Mapping) and raw.get("ok") is True and isinstance(raw.get("data"), Mapping)
        ]

    @property
    def call(self) -> Probe[Call]:
        """The test call, where one was asked for."""
        return _probe("call", self.document.get("call"))

    @property
    def idle(self) -> Probe[IdleTest]:
        """How long a connection may be idle, where that was measured."""
        return _probe("idle", self.document.get("idle"))

    def registrations(self) -> dict[str, dict[str, Probe[RegistrationTest]]]:
        """The registrations that were tested, by account and vantage."""
        found = dict(self.document.get("registrations") or {})
        return {
            str(account): {
                str(vantage): _probe(f"registrations.{account}.{vantage}", raw) for vantage, raw in dict(tests).items()
            }
            for account, tests in found.items()
        }

    def probe(self, subset: str, name: str) -> Probe[Any]:
        """A probe of the server by subset and name; tests/setup/evidence_types.py tells mypy the type of its data."""
        path = f"{subset}.{name}"
        raw = dict(self.document.get(subset) or {}).get(name)
        if raw is None and not self.server.ok:
            # Never the server's own error: a refused SSH login is not the database's refusal.
            return Probe(path, False, None, error="skipped", message="cannot log in to the server")
        return _probe(path, raw)

    def vantage_failures(self) -> dict[str, Probe[Any]]:
        """The vantages from which nothing could be probed."""
        found = {
            str(name): _probe(f"paths.{name}", raw) for name, raw in dict(self.document.get("paths") or {}).items()
        }
        return {name: probe for name, probe in found.items() if not probe.ok}

    @property
    def taken_at(self) -> datetime | None:
        """When the evidence was taken, by the control node's clock."""
        return time_of(self.document.get("taken_at"))

    # What several rules ask

    def unit(self, setting: str) -> Mapping[str, Any] | None:
        """The unit that a setting (``asterisk_unit``…) names, or None when units are unknown."""
        units = self.probe("host", "units")
        name = str(self.settings.get(setting) or "")
        found = units.data.get(name) if units.ok and name else None
        return found if isinstance(found, Mapping) else None

    def listening(self, proto: str, port: int, loopback: bool = False) -> list[Mapping[str, Any]] | None:
        """Who listens on a port, without those bound to loopback only unless `loopback`; None: sockets are unknown."""
        sockets = self.probe("host", "sockets")
        if not sockets.ok:
            return None
        return [
            one
            for one in sockets.data
            if one.get("proto") == proto
            and one.get("port") == port
            and (loopback or not str(one.get("address", "")).startswith(("127.", "::1")))
        ]


def plain(address: object) -> str:
    """An address in its one spelling; any other text stays as it is."""
    try:
        return str(ipaddress.ip_address(str(address)))
    except ValueError:
        return str(address)


def time_of(value: object) -> datetime | None:
    """An RFC 3339 time, or None."""
    try:
        return datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        return None
