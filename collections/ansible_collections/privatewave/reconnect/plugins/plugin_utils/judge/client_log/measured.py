# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client's log hints at, beside what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..finding import Finding

#: The findings of what a log says.
CODE = "client.log"
#: Which checks would show it too, by the cause that a line hints at, or by the signature of a line without one.
SHOWN_BY = {
    "dns_no_record": ("dns.a", "dns.aaaa"),
    "tls_certificate_expired": ("tls.validity",),
    "tls_certificate_not_yet_valid": ("tls.validity",),
    "tls_certificate_name_mismatch": ("tls.name",),
    "tls_certificate_untrusted": ("tls.trust",),
    "tls_chain_incomplete": ("tls.trust",),
    "tls_no_common_version": ("tls.handshake",),
    "tls_no_shared_cipher": ("tls.handshake",),
    "account_missing": ("account.rows", "registration.account"),
    "aor_missing": ("account.aor", "registration.account"),
    "digest_mismatch": ("account.algorithms",),
    "password_mismatch": ("account.registry", "registration.account"),
    "realm_mismatch": ("account.digest", "registration.account"),
    "certificate_refused": ("tls.validity", "tls.name", "tls.trust"),
    "certificate_dates": ("tls.validity",),
    "tls_handshake": ("tls.handshake",),
    "tls_not_spoken": ("tls.handshake",),
    "connection_refused": ("path.tcp",),
    "connection_timed_out": ("path.tcp", "sip.options"),
    "network_unreachable": ("path.tcp",),
    "unreached": ("path.tcp", "sip.options"),
}


def compared(findings: Sequence[Finding]) -> list[Finding]:
    """The findings; a hint that every check of its cause contradicts says so, and names the cause no more."""
    return [_compared(one, findings) if one.code == CODE and one.status == "warn" else one for one in findings]


def _compared(hint: Finding, findings: Sequence[Finding]) -> Finding:
    codes = SHOWN_BY.get(hint.cause or hint.about, ())
    seen = [one for one in findings if one.code in codes]
    passed = [one for one in seen if one.status == "pass"]
    if not passed or any(one.status == "fail" or (hint.cause and one.cause == hint.cause) for one in seen):
        return hint
    return replace(
        hint, summary=f"{hint.summary} The server's own measurement contradicts that: {passed[0].summary}", cause=None
    )


def with_decisive(next_step: str, findings: Sequence[Finding]) -> str:
    """The next step, with the line of the client's log that means most unless it is quoted there already."""
    found = next((one for one in findings if one.code == CODE and one.status == "warn" and one.evidence), None)
    line = str(found.evidence[0][1]).strip() if found else ""
    return next_step if line in next_step else f"{next_step} The client's decisive line: {line!r}."
