# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client's own configuration (L1.6): what it reports, field by field, against what it should be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from ..evidence import Evidence, time_of
from ..finding import Finding, Say, counted, rule

#: A client's clock that is wrong by more than this many seconds takes good certificates for expired ones.
CLOCK_FAIL = 86400.0
CLOCK_WARN = 300.0
#: How an attempt ended, by the outcomes of the module registration_watch.
ENDED = {
    "registered": "registered",
    "unregistered": "took its contact away",
    "challenged": "never answered the server's challenge",
    "unknown_account": "named an account that the server does not know",
    "wrong_password": "came with another password than the server's",
    "acl_denied": "was turned away by an access list",
    "tls_failed": "failed in the TLS handshake, before any SIP",
    "not_found": "was turned away: the account has no address of record or no login data",
    "no_contact": "was let in, but the server did not store the contact",
    "forbidden": "was turned away",
}
#: A difference from the account registry that keeps nobody from registering, see rules/idle.py.
KEEP_ALIVE = "nat_idle_drop"
#: What no server of ours speaks any more.
OLD_TLS = ("sslv3", "ssl3", "tlsv1", "tlsv1.0", "tls1.0", "tlsv1.1", "tls1.1")


@rule
def settings(evidence: Evidence) -> Iterator[Finding]:
    """Every setting that the client reports and that decides whether it can register."""
    reported = evidence.client_report.get("settings")
    if not isinstance(reported, Mapping):
        return
    said = {str(name).lower(): value for name, value in reported.items() if value is not None}
    wanted = evidence.settings
    domain = _name(wanted.get("sip_domain"))
    transports = {str(one["transport"]): int(one["port"]) for one in wanted.get("sip_transports") or []}
    if domain:
        places = {domain, *map(_name, wanted.get("addresses") or [])}
        yield from _compare(said, "address", places, domain, "client_wrong_address", _name)
        yield from _compare(said, "domain", {domain}, domain, "client_wrong_domain", _name)
    if transports:
        names = set(transports)
        yield from _compare(said, "transport", names, " or ".join(sorted(names)), "client_wrong_transport", _name)
        used = _name(said.get("transport"))
        ports = {str(transports[used])} if used in transports else {str(port) for port in transports.values()}
        yield from _compare(said, "port", ports, " or ".join(sorted(ports)), "client_wrong_port", _name)
    if account := _account(evidence):
        yield from _compare(said, "username", {account}, account, "client_wrong_username", str)
    yield from _compare(said, "tls_version", None, "TLS 1.2 or newer", "client_tls_profile_old", _name)
    yield from _keep_alive(evidence, said)
    yield from _clock(evidence, said)


def _compare(
    said: Mapping[str, Any], field: str, right: set[str] | None, wanted: str, cause: str, form: Any
) -> Iterator[Finding]:
    """A field that the client reports; ``right`` None stands for every version of TLS that is not old."""
    if field not in said:
        return
    value = form(said[field])
    good = value.replace(" ", "") not in OLD_TLS if right is None else value in right
    say = Say(f"client.{field}", "client", value[:80], evidence=((f"client_report.settings.{field}", value[:200]),))
    yield say.either(
        good,
        f"The client's {field} is {value[:80]!r}.",
        f"The client's {field} is {value[:80]!r}, not {wanted}.",
        cause,
    )


def _keep_alive(evidence: Evidence, said: Mapping[str, Any]) -> Iterator[Finding]:
    if not isinstance(said.get("keep_alive"), bool):
        return
    say = Say("client.keep_alive", "client", "keep-alive", evidence=(("client_report.settings", said["keep_alive"]),))
    if said["keep_alive"]:
        yield say.passes("The client's keep-alive is on.")
    elif connection_lost(evidence):
        # Off alone keeps nobody from registering; together with lost connections it is what loses them.
        yield say.fails("The client's keep-alive is off, and its connections get lost.", "client_keepalive_off")
    else:
        yield say.warns("The client's keep-alive is off.", "client_keepalive_off")


def connection_lost(evidence: Evidence) -> bool:
    """Whether the account's last connection was lost, by the session log."""
    found = evidence.probe("account", "sessions")
    account = found.data.get("account") if found.ok and isinstance(found.data, Mapping) else None
    entries = (account or {}).get("entries") or []
    return bool(entries) and entries[0].get("event") == "DISCONNECT" and entries[0].get("details") == "NETWORK_ERROR"


def _clock(evidence: Evidence, said: Mapping[str, Any]) -> Iterator[Finding]:
    clock, taken = time_of(said.get("clock")), evidence.taken_at
    if "clock" not in said or taken is None:
        return
    say = Say("client.clock", "client", "clock", evidence=(("client_report.settings.clock", str(said["clock"])[:80]),))
    if clock is None:
        yield say.unknown("The client's clock is not given as an RFC 3339 time.")
        return
    off = abs((clock.replace(tzinfo=clock.tzinfo or UTC) - taken.astimezone(UTC)).total_seconds())
    text = f"The client's clock is wrong by {off:.0f} s."
    if off > CLOCK_FAIL:
        yield say.fails(text, "client_clock_wrong")
    elif off > CLOCK_WARN:
        yield say.warns(text, "client_clock_wrong")
    else:
        yield say.passes(f"The client's clock is right ({_iso(clock)}).")


@rule
def watched(evidence: Evidence) -> Iterator[Finding]:
    """What the forced reconnection came to, as `registration_watch` saw it (L1.3)."""
    found = evidence.probe("account", "watch")
    if found.error == "skipped" or "account" not in evidence.document:
        return
    say = Say("client.watch", "client", "attempts", evidence=(("account.watch", found.data or found.error),))
    if not found.ok:
        yield say.unknown(f"The client's attempts could not be watched ({found.why}).")
        return
    seen = found.data.get("attempts") or []
    if not seen:
        yield say.warns("No attempt of the client was seen: it did not reach the server, or nobody tried.")
        return
    last = seen[-1]
    outcome = str(last.get("outcome") or "")
    ended = ENDED.get(outcome, f"ended with {outcome}")
    which = f"last of {len(seen)} attempts" if len(seen) > 1 else "only attempt"
    text = f"The client's {which} {ended}."
    if outcome == "wrong_password" and password_is_right(evidence):
        yield say.fails(f"{text} The server has the password of the account registry.", "client_wrong_password")
    else:
        yield say.passes(text)


@rule
def made_to_reconnect(evidence: Evidence) -> Iterator[Finding]:
    """The server's half of the forced reconnection (L1.3), where there was something to do."""
    found = evidence.probe("account", "watch")
    if not found.ok:
        return
    say = Say("client.reconnect", "client", "contacts", evidence=(("account.watch", found.data),))
    dropped, left = len(found.data.get("dropped") or []), found.data.get("left") or []
    if dropped:
        yield say.passes(f"The server took away {counted(dropped, 'contact')} that no longer answered.")
    if found.data.get("notified"):
        yield say.passes("The server told the client to check its configuration and connect anew (NOTIFY check-sync).")
    for why in left:
        yield say.warns(f"The server could not do all it can to make the client connect anew: {why}.")


def password_is_right(evidence: Evidence) -> bool:
    """Whether the server has the account registry's password, so that a wrong one is the client's."""
    found = evidence.probe("account", "registry")
    if not found.ok or not found.data.get("registered"):
        return False
    return not any(one.get("cause") not in (None, KEEP_ALIVE) for one in found.data.get("findings") or [])


def _account(evidence: Evidence) -> str:
    rows = evidence.probe("account", "rows")
    endpoint = (rows.data.get("endpoint") if rows.ok else None) or {}
    # The tables of chan_sip have a number of the row, too.
    return str(endpoint.get("name") or endpoint.get("id") or "")


def _name(value: object) -> str:
    return str(value or "").strip().rstrip(".").lower()


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
