# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client's own configuration (L1.6): what it reports, field by field, against what it should be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from ..evidence import Evidence, time_of
from ..facts import (
    account_name,
    attempted_from,
    browser,
    browser_addresses,
    connection_lost,
    own_client,
    password_is_right,
    server_accepts,
)
from ..finding import Finding, Say, counted, rule

#: A client's clock that is wrong by more than this many seconds takes good certificates for expired ones.
CLOCK_FAIL = 86400.0
CLOCK_WARN = 300.0
#: How an attempt ended, by the outcomes of the module registration_watch.
ENDED = {
    "registered": "registered",
    "unregistered": "removed its contact",
    "challenged": "never answered the server's challenge",
    "unknown_account": "named an account that the server does not know",
    "wrong_password": "came with another password than the server's",
    "acl_denied": "was refused by an access list",
    "tls_failed": "failed in the TLS handshake",
    "not_found": "was refused: the account has no address of record or no login data",
    "no_contact": "was accepted, but the server did not store the contact",
    "forbidden": "was refused",
}
#: Those that keep nobody out: a challenge may be answered after the watch.
WORKED = ("registered", "unregistered", "challenged")
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
    if account := account_name(evidence):
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
        yield say.fails("The client's keep-alive is off, and its connections are lost.", "client_keepalive_off")
    else:
        yield say.warns("The client's keep-alive is off.", "client_keepalive_off")


def _clock(evidence: Evidence, said: Mapping[str, Any]) -> Iterator[Finding]:
    clock, taken = time_of(said.get("clock")), evidence.taken_at
    if "clock" not in said or taken is None:
        return
    say = Say("client.clock", "client", "clock", evidence=(("client_report.settings.clock", str(said["clock"])[:80]),))
    if clock is None:
        yield say.unknown("The client's clock is not given as an RFC 3339 time.")
        return
    off = (clock.replace(tzinfo=clock.tzinfo or UTC) - taken.astimezone(UTC)).total_seconds()
    yield _clock_finding(say, off, f"The client's clock is right ({_iso(clock)}).")


def _clock_finding(say: Say, ahead: float, right: str) -> Finding:
    """What a clock that is ahead by so many seconds means; ``right`` is the sentence where it means nothing."""
    off = abs(ahead)
    text = f"The client's clock is wrong by {off:.0f} s."
    if off > CLOCK_FAIL:
        return say.fails(text, "client_clock_wrong")
    return say.warns(text, "client_clock_wrong") if off > CLOCK_WARN else say.passes(right)


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
        yield say.warns("No attempt of the client was seen: it did not reach the server, or it did not try.")
        return
    last = seen[-1]
    outcome = str(last.get("outcome") or "")
    ended = ENDED.get(outcome, f"ended with {outcome}")
    which = f"last of {len(seen)} attempts" if len(seen) > 1 else "only attempt"
    text = f"The client's {which} {ended}."
    if outcome == "wrong_password" and last.get("account") not in (None, "", account_name(evidence)):
        yield say.warns(f"{text} It names another account: it may be somebody else's, behind the same address.")
    elif outcome == "wrong_password" and password_is_right(evidence):
        right = "The server has the password of the account registry."
        own = own_client(evidence, last.get("address"))
        if own and server_accepts(evidence):
            yield say.fails(f"{text} {right} {own}", "client_wrong_password")
        elif own:
            yield say.unknown(
                f"{text} {right} {own} It may be the server's fault: it accepted no registration of ours."
            )
        else:
            yield say.warns(f"{text} {right} Nothing shows that it was the user's own client.")
    elif outcome == "no_contact":
        yield say.fails(text, "contact_write_failed")
    elif outcome in WORKED:
        yield say.passes(text)
    else:
        yield say.warns(text)


@rule
def checked_itself(evidence: Evidence) -> Iterator[Finding]:
    """What the self-check of the user's browser came to, beside what the application did meanwhile."""
    found, addresses = browser(evidence), browser_addresses(evidence)
    if not addresses:
        return
    reached = f"The user's browser reached us from {', '.join(addresses)}"
    say = partial(Say, "client.browser", "client", evidence=(("client_report.browser", dict(found)),))
    if attempted_from(evidence, addresses) is False:
        yield say("application").warns(
            f"{reached}, and the application made no attempt from there. "
            "It was not opened, something on its path keeps it out, or a VPN gives the two different addresses."
        )
    else:
        yield say("application").passes(f"{reached}.")
    for name, what in (("ipv4", "us over IPv4"), ("ipv6", "us over IPv6"), ("provisioning", "provisioning")):
        if found.get(name) is not None:
            good, bad = f"The user's browser reached {what}.", f"The user's browser did not reach {what}."
            yield say(name).passes(good) if found[name] else say(name).warns(bad)
    if found.get("proxy"):
        added = ", ".join(str(one)[:80] for one in found["proxy"])
        yield say("proxy").warns(f"A proxy is on the path of the user's browser: it added {added}.")
    if (ahead := found.get("clock_offset")) is not None:
        yield _clock_finding(say("clock"), float(ahead), "The clock of the user's device is right.")


@rule
def made_to_reconnect(evidence: Evidence) -> Iterator[Finding]:
    """The server's half of the forced reconnection (L1.3), where there was something to do."""
    found = evidence.probe("account", "watch")
    if not found.ok:
        return
    say = Say("client.reconnect", "client", "contacts", evidence=(("account.watch", found.data),))
    dropped, left = len(found.data.get("dropped") or []), found.data.get("left") or []
    if dropped:
        yield say.passes(f"The server removed {counted(dropped, 'contact')} that no longer answered.")
    if found.data.get("notified"):
        yield say.passes("The server told the client to check its configuration and connect again (NOTIFY check-sync).")
    for why in left:
        yield say.warns(f"The server could not do all it can to make the client connect again: {why}.")


def _name(value: object) -> str:
    return str(value or "").strip().rstrip(".").lower()


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
