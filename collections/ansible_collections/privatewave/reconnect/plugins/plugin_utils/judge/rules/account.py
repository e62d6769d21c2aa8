# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One account: its rows in the realtime tables, what Asterisk has of it, and what its attempts to register came to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..evidence import Evidence
from ..finding import Finding, Say, counted, rule
from .client_settings import KEEP_ALIVE, password_is_right

#: What is called otherwise by people than by the account registry.
WORDS = {
    "aor": "address of record (AOR)",
    "auth": "login (auth)",
    "auth_name": "login name",
    "max_contacts": "number of contacts",
    "security_model": "media encryption",
}
#: Security events of an attempt that the password or the digest made fail, on chan_pjsip and chan_sip.
WRONG_PASSWORD = ("ChallengeResponseFailed", "InvalidPassword")


@rule
def rows(evidence: Evidence) -> Iterator[Finding]:
    """The account is there, whole, and such that a client can register."""
    found = evidence.probe("account", "rows")
    if "account" not in evidence.document:
        return
    if not found.ok:
        yield Say("account.rows", "account", "rows").unknown(f"The account's rows could not be read ({found.why}).")
        return
    endpoint, auth, aor = (found.data.get(name) for name in ("endpoint", "auth", "aor"))
    say = Say("account.rows", "account", "account", evidence=(("account.rows", _short(found.data)),))
    if not endpoint:
        yield say.fails("The database answers and has no such account.", "account_missing")
        return
    yield say.passes("The account is in the database.")
    if str(evidence.settings.get("channel_driver")) == "sip":
        yield from _peer(evidence, endpoint)
    else:
        yield from _endpoint(endpoint, auth, aor, found.data.get("contacts") or [])
    yield from _digest(auth or {})


def _short(data: Mapping[str, Any]) -> dict[str, bool]:
    return {name: bool(data.get(name)) for name in ("endpoint", "auth", "aor")}


def _endpoint(endpoint: Mapping[str, Any], auth: object, aor: object, contacts: list[Any]) -> Iterator[Finding]:
    """chan_pjsip: an endpoint, the auth and the address of record that it names."""
    say = Say("account.auth", "account", str(endpoint.get("auth") or ""))
    yield say.either(
        isinstance(auth, Mapping),
        "Its auth is there.",
        f"It names the auth {say.about!r}, which is not there.",
        "auth_missing",
    )
    if isinstance(auth, Mapping):
        user, name = str(auth.get("username") or ""), str(endpoint.get("id") or "")
        yield Say("account.auth_name", "account", user).either(
            user == name,
            f"It authenticates as {user}.",
            f"The account is {name}, its auth expects the user name {user!r}.",
            "auth_name_mismatch",
        )
    say = Say("account.aor", "account", str(endpoint.get("aors") or ""))
    yield say.either(
        isinstance(aor, Mapping),
        "Its AOR is there.",
        f"It names the AOR {say.about!r}, which is not there.",
        "aor_missing",
    )
    if isinstance(aor, Mapping):
        limit = int(aor.get("max_contacts") or 0)
        say = Say(
            "account.max_contacts", "account", str(limit), evidence=(("account.rows.aor", {"max_contacts": limit}),)
        )
        replaces = str(aor.get("remove_existing") or "").lower() in ("yes", "true", "1", "on")
        if limit < 1:
            yield say.fails("max_contacts is 0: no contact at all may register.", "max_contacts_zero")
        elif len(contacts) >= limit and not replaces:
            taken = "Its only contact is taken" if limit == 1 else f"All {limit} contacts are taken"
            yield say.fails(f"{taken} and none gives way to a new one.", "max_contacts_reached")
        else:
            yield say.passes(f"{len(contacts)} of {limit} contacts are taken.")


def _peer(evidence: Evidence, peer: Mapping[str, Any]) -> Iterator[Finding]:
    """chan_sip: a peer that may register, over the transports that clients use."""
    host = str(peer.get("host") or "")
    yield Say("account.host", "account", host).either(
        host == "dynamic",
        "Its host is dynamic, so it may register.",
        f"Its host is {host!r}: only a dynamic peer may register.",
        "peer_not_dynamic",
    )
    allowed = {one.strip().lower() for one in str(peer.get("transport") or "udp").split(",")}
    wanted = {str(one["transport"]) for one in evidence.settings.get("sip_transports") or []}
    yield Say("account.transport", "account", ",".join(sorted(allowed))).either(
        not wanted or bool(wanted & allowed),
        f"It may use {', '.join(sorted(allowed))}.",
        f"It may use {', '.join(sorted(allowed))} only; clients come over {', '.join(sorted(wanted))}.",
        "transport_mismatch",
    )


def _digest(auth: Mapping[str, Any]) -> Iterator[Finding]:
    for column, value in sorted(auth.items()):
        if isinstance(value, Mapping) and value.get("matches") is not None:
            yield Say("account.digest", "account", column).either(
                bool(value["matches"]),
                "Its stored digest belongs to its user name, realm and password.",
                "Its stored digest was made for another user name, realm or password.",
                "realm_mismatch",
            )


@rule
def registry(evidence: Evidence) -> Iterator[Finding]:
    """The account is what the account registry wants.

    Whom its access list lets in shows in its attempts only, whether it is asked often enough in the way there.
    """
    found = evidence.probe("account", "registry")
    if found.error == "skipped" or "account" not in evidence.document:
        return
    say = Say("account.registry", "account", "registry", evidence=(("account.registry", found.data or found.error),))
    if not found.ok:
        yield say.unknown(f"The account could not be compared with the account registry ({found.why}).")
        return
    if not found.data.get("registered"):
        yield say.warns("The account registry has no such account, so there is nothing to compare it with.")
        return
    wrong = [
        one for one in found.data.get("findings") or [] if one.get("cause") not in (None, "acl_denies", KEEP_ALIVE)
    ]
    for one in wrong:
        if one["cause"] == "account_disabled":
            yield say.fails("The account registry has disabled the account.", "account_disabled")
            continue
        about = Say("account.registry", "account", str(one["field"]), evidence=say.evidence)
        yield about.fails(_differs(one), one["cause"])
    if not wrong:
        yield say.passes("The account is what the account registry wants.")


def _differs(one: Mapping[str, Any]) -> str:
    """A difference between registry and server as a sentence."""
    field, there, cause = str(one["field"]), one.get("found"), one["cause"]
    if cause == "account_missing":
        return "The account registry has the account, the server has not."
    if cause == "account_doubled":
        return "The server has the account more than once."
    if cause == "realm_mismatch":
        return "The digest that the server keeps of its password was made for another realm."
    if field == "password":
        return "The server has another password than the account registry."
    if field == "contacts":
        return f"There is no room for a new contact ({there})."
    name = WORDS.get(field, field.replace("_", " "))
    has = f"Its {name} is {'missing' if there is None else there} on the server"
    return f"{has}; by the account registry it should be {one.get('wanted')}."


@rule
def documents(evidence: Evidence) -> Iterator[Finding]:
    """What its client would fetch is what the registry and the server say; it may never have been given one."""
    found = evidence.probe("account", "documents")
    if found.error == "skipped" or "account" not in evidence.document:
        return
    say = Say("account.documents", "account", "documents", evidence=(("account.documents", found.data or found.error),))
    if not found.ok:
        yield say.unknown(f"The documents of its client could not be compared ({found.why}).")
        return
    stale = [str(one["name"]) for one in found.data.get("documents") or [] if one.get("state") == "stale"]
    differ = "differs" if len(stale) == 1 else "differ"
    yield say.either(
        not stale,
        "What its client fetches is what the account registry and the server say.",
        f"{' and '.join(stale)} of its client {differ} from what the account registry and the server say.",
        "provisioning_stale",
    )


@rule
def attempts(evidence: Evidence) -> Iterator[Finding]:
    """What the account's own attempts to register came to lately."""
    found = evidence.probe("account", "attempts")
    if not found.ok or "account" not in evidence.document:
        return
    events = found.data.get("events") or {}
    last = str((found.data.get("last") or {}).get("event") or "")
    say = Say("account.attempts", "account", "attempts", evidence=(("account.attempts", found.data),))
    if not events:
        yield say.passes("The security log has no attempt of this account.")
    elif last == "FailedACL":
        yield say.fails("An access list turned the account's last attempt away.", "acl_denies")
    elif last in WRONG_PASSWORD and password_is_right(evidence):
        client = Say("client.password", "client", "password", evidence=say.evidence)
        yield client.fails("The account's last attempt used another password than it has.", "client_wrong_password")
    elif last in WRONG_PASSWORD:
        yield say.fails("The account's last attempt used a wrong password.", "password_mismatch")
    else:
        yield say.passes(f"The account's last attempt ended with {last}.")


@rule
def live(evidence: Evidence) -> Iterator[Finding]:
    """The contact that Asterisk really has: a 200 to a REGISTER alone proves nothing."""
    found = evidence.probe("account", "live")
    if "account" not in evidence.document:
        return
    contacts = found.data.get("contacts") or [] if found.ok else []
    say = Say("account.live", "account", "contacts", evidence=(("account.live", found.data or found.error),))
    if contacts:
        yield say.passes(f"Asterisk has {counted(len(contacts), 'live contact')} of the account.")
    elif found.ok or found.error == "missing":
        yield say.warns("Asterisk has no live contact of the account: nobody is registered as it now.")
    else:
        yield say.unknown(f"Whether the account is registered is not known ({found.why}).")


@rule
def sessions(evidence: Evidence) -> Iterator[Finding]:
    """What the session log says of the account: a lost connection is told, and never taken for its reason."""
    found = evidence.probe("account", "sessions")
    if "account" not in evidence.document or found.error == "skipped":
        return
    say = Say("account.sessions", "account", "sessions")
    if not found.ok or not isinstance(found.data, Mapping):
        yield say.unknown(f"The session log could not be read ({found.why or 'it is of an older form'}).")
        return
    entries = (found.data.get("account") or {}).get("entries") or []
    if not entries:
        yield say.warns("The session log has nothing of this account: no device has lately registered as it.")
        return
    newest = entries[0]
    say = Say("account.sessions", "account", str(newest.get("address") or ""), evidence=(("account.sessions", newest),))
    event, details = str(newest.get("event")), str(newest.get("details") or "")
    when = _ago(newest.get("seconds_ago"))
    if event in ("REGISTER", "CONNECT"):
        yield say.passes(f"By the session log it is connected from {say.about}, since {when}.")
    elif event == "UNREGISTER":
        yield say.warns(f"By the session log it went offline by itself, {when}.")
    else:
        lost = sum(one.get("event") == "DISCONNECT" and one.get("details") == newest.get("details") for one in entries)
        why = f" ({details})" if details else ""
        yield say.warns(f"By the session log its connection was lost{why} {when}, {lost} times in the last entries.")


def _ago(seconds: object) -> str:
    if not isinstance(seconds, (int, float)):
        return "at a time that is not known"
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} seconds ago"
