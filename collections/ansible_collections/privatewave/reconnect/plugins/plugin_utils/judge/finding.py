# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rule says, and how rules are found."""

from __future__ import annotations

import ipaddress
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .documents import FindingDocument, Status
from .evidence import Evidence

Rule = Callable[[Evidence], Iterator["Finding"]]


@dataclass(frozen=True)
class Finding:
    """One judged fact; the fields are those of docs/reference/documents.md, but for two that the plan is made of.

    ``targets`` are what a remedy acts upon, as the role's entry point takes them. ``by_hand`` is why no remedy may end
    this instance of the cause, and what a person does instead; empty: the catalogue says what ends it.
    """

    code: str
    status: Status
    subject: str
    summary: str
    about: str = ""
    cause: str | None = None
    evidence: tuple[tuple[str, Any], ...] = ()
    vantage: str = ""
    runbook_step: str = ""
    targets: tuple[Mapping[str, Any], ...] = ()
    by_hand: str = ""

    def as_dict(self) -> FindingDocument:
        """The finding as plain data."""
        return {
            "code": self.code,
            "status": self.status,
            "subject": self.subject,
            "about": self.about,
            "summary": self.summary,
            "cause": self.cause,
            "evidence": [{"path": path, "value": value} for path, value in self.evidence],
            "vantage": self.vantage,
            "runbook_step": self.runbook_step,
        }


def counted(number: object, word: str) -> str:
    """A number and what it counts: ``1 call``, ``2 calls``."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def are(number: object) -> str:
    """The verb for so many."""
    return "is" if number == 1 else "are"


def place(about: str) -> tuple[str, int]:
    """The address and port that a finding is about; "" and 0 where it is about none.

    Understood are ``address``, ``address:port``, ``[address]:port``, ``transport:address:port`` and a URL.
    """
    if "://" in about:
        try:
            url = urllib.parse.urlsplit(about)
            port = url.port or {"https": 443, "http": 80}.get(url.scheme, 0)
        except ValueError:
            return "", 0
        return _address(url.hostname or ""), port
    if address := _address(about):
        return address, 0
    rest, _colon, port_text = about.rpartition(":")
    transport, colon, inner = rest.partition(":")
    for text in (rest, inner if colon and transport.isalpha() else ""):
        if (address := _address(text)) and port_text.isdecimal():
            return address, int(port_text)
    return "", 0


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        return ""


STEPS = {
    "network": "L2.1",
    "host": "L2.2",
    "asterisk": "L2.2",
    "database": "L2.3",
    "account": "L1.9",
    "client": "L2.4",
}


@dataclass(frozen=True)
class Say:
    """Makes the findings of one check, so that a rule states its code and subject once."""

    code: str
    subject: str
    about: str = ""
    vantage: str = ""
    evidence: tuple[tuple[str, Any], ...] = field(default=())

    def _finding(
        self,
        status: Status,
        summary: str,
        cause: str | None = None,
        targets: Iterable[Mapping[str, Any]] = (),
        by_hand: str = "",
    ) -> Finding:
        return Finding(
            self.code,
            status,
            self.subject,
            summary,
            self.about,
            cause,
            self.evidence,
            self.vantage,
            STEPS[self.subject],
            tuple(targets),
            by_hand,
        )

    def passes(self, summary: str) -> Finding:
        """It is as it should be."""
        return self._finding("pass", summary)

    def warns(self, summary: str, cause: str | None = None) -> Finding:
        """Nobody is kept out by it yet."""
        return self._finding("warn", summary, cause)

    def fails(
        self,
        summary: str,
        cause: str | None = None,
        targets: Iterable[Mapping[str, Any]] = (),
        by_hand: str = "",
    ) -> Finding:
        """It is not as it should be; without ``cause`` the catalogue has no name for it."""
        return self._finding("fail", summary, cause, targets, by_hand)

    def unknown(self, why: str) -> Finding:
        """It could not be known, and why."""
        return self._finding("unknown", why)

    def either(self, good: bool, passes: str, fails: str, cause: str | None = None) -> Finding:
        """Pass or fail, each with its sentence."""
        return self.passes(passes) if good else self.fails(fails, cause)


RULES: list[Rule] = []


def rule(function: Rule) -> Rule:
    """Register a rule: a generator of findings over the evidence, without I/O."""
    RULES.append(function)
    return function
