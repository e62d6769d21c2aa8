# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One account: its rows in the realtime tables, what Asterisk has of it, and what its attempts to register came to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.log import NO_AUTH, NO_LIST
from ansible_collections.privatewave.reconnect.plugins.module_utils._text import is_yes, listed

from ..evidence import Evidence
from ..facts import (
    KEEP_ALIVE,
    account_name,
    account_registers,
    client_attempt,
    has_contacts,
    log_lines,
    may_be_hidden,
    out_of_step,
    own_client,
    password_is_right,
    registered_elsewhere,
    server_accepts,
    wanted_transports,
)
from ..finding import Finding, Say, counted, rule

#: What is called otherwise by people than by the account registry.
WORDS = {
    "aor": "address of record (AOR)",
    "auth": "login (auth)",
    "auth_name": "login name",
    "max_contacts": "number of contacts",
    "security_model": "media encryption",
}
#: What an auth row holds, by the words of the comparison with the registry.
AUTH_FIELDS = ("auth_name", "password")
#: What a cause says is missing.
MISSING = {"account_missing": "endpoint", "auth_missing": "auth", "aor_missing": "aor"}
#: Security events of an attempt that the password or the digest made fail, on chan_pjsip and chan_sip.
WRONG_PASSWORD = ("ChallengeResponseFailed", "InvalidPassword")
CONTACT = "contact_invalid"
#: What the registrar refuses, by the names that Asterisk gives its reasons (res_pjsip_registrar.c, chan_sip.c).
REFUSALS = {
    "registrar_attempt_exceeds_maximum_configured_contacts": (
        "it would have more contacts than its max_contacts allows, and none gives way",
        "max_contacts_reached",
    ),
    "registrar_attempt_without_registration_permitted": ("its max_contacts is 0", "max_contacts_zero"),
    "registrar_attempt_without_configured_aors": ("its endpoint names no AOR", "aor_missing"),
    "registrar_requested_aor_not_found": ("its endpoint has no AOR with the name that it asked for", "aor_missing"),
    "registrar_invalid_contacts_provided": ("the contact in its request is invalid", CONTACT),
    "registrar_invalid_uri_in_to_received": ("the address in its request is no SIP address", CONTACT),
    "peer_not_dynamic": ("only a dynamic peer may register", "peer_not_dynamic"),
}
#: Further security events of a request that was refused; the password was not the reason.
REFUSED = (
    *("RequestNotSupported", "RequestNotAllowed", "RequestBadFormat", "AuthMethodNotAllowed", "InvalidTransport"),
    *("SessionLimit", "LoadAverageLimit", "MemoryLimit", "UnexpectedAddress"),
)


@rule
def rows(evidence: Evidence) -> Iterator[Finding]:
    """The account is there, whole, and such that a client can register."""
    found = evidence.probe("account", "rows")
    if "account" not in evidence.document:
        return
    if not found.ok:
        yield Say("account.rows", "account", "rows").unknown(f"The account's rows could not be read ({found.why}).")
        return
    endpoint, auth, aor = found.data.get("endpoint"), found.data.get("auth"), found.data.get("aor")
    say = Say("account.rows", "account", "account", evidence=(("account.rows", _short(found.data)),))
    if not endpoint:
        yield _missing(evidence, say, "endpoint", "The database answers and has no such account.", "account_missing")
        return
    yield say.passes("The account is in the database.")
    if str(evidence.settings.get("channel_driver")) == "sip":
        yield from _peer(evidence, endpoint)
    else:
        yield from _endpoint(evidence, endpoint, auth, aor, found.data.get("contacts") or [])
        yield from _identified_by(evidence, endpoint)
        yield from _algorithms(evidence, auth or {})
    yield from _digest(auth or {})


def _short(data: Mapping[str, Any]) -> dict[str, bool]:
    return {name: bool(data.get(name)) for name in ("endpoint", "auth", "aor")}


def _missing(evidence: Evidence, say: Say, kind: str, text: str, cause: str) -> Finding:
    """What was not found is missing where its reader sees everything."""
    why = may_be_hidden(evidence, kind)
    return say.unknown(f"{text} It may be there all the same: {why}.") if why else say.fails(text, cause)


def _endpoint(
    evidence: Evidence, endpoint: Mapping[str, Any], auth: object, aor: object, contacts: list[Any]
) -> Iterator[Finding]:
    """chan_pjsip: an endpoint, the auth and the address of record that it names."""
    say = Say("account.auth", "account", str(endpoint.get("auth") or ""))
    if not isinstance(auth, Mapping):
        yield _missing(evidence, say, "auth", f"It names the auth {say.about!r}, which is not there.", "auth_missing")
    else:
        yield say.passes("Its auth is there.")
        user, name = str(auth.get("username") or ""), str(endpoint.get("id") or "")
        yield Say("account.auth_name", "account", user).either(
            user == name,
            f"It authenticates as {user}.",
            f"The account is {name}, its auth expects the user name {user!r}.",
            "auth_name_mismatch",
        )
    say = Say("account.aor", "account", str(endpoint.get("aors") or ""))
    if "aors" in endpoint and str(endpoint.get("id")) not in listed(endpoint["aors"]):
        # The registrar takes the AOR with the name that the client asks for, among those of its endpoint.
        yield say.fails(
            f"Its endpoint names the AOR {say.about!r}; clients register to that of the account's name.", "aor_missing"
        )
    elif not isinstance(aor, Mapping):
        yield _missing(evidence, say, "aor", f"It names the AOR {say.about!r}, which is not there.", "aor_missing")
    else:
        yield say.passes("Its AOR is there.")
        limit = int(aor.get("max_contacts") or 0)
        say = Say(
            "account.max_contacts", "account", str(limit), evidence=(("account.rows.aor", {"max_contacts": limit}),)
        )
        replaces = is_yes(aor.get("remove_existing"))
        if limit < 1:
            yield say.fails("max_contacts is 0: no contact at all may register.", "max_contacts_zero")
        elif len(contacts) >= limit and not replaces:
            taken = "Its only contact is taken" if limit == 1 else f"All {limit} contacts are taken"
            yield say.fails(f"{taken} and none gives way to a new one.", "max_contacts_reached")
        else:
            yield say.passes(f"{len(contacts)} of {limit} contacts are taken.")


def _identified_by(evidence: Evidence, endpoint: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether Asterisk looks for the endpoint by what its client sends; an empty column: by user name and address."""
    ways = listed(endpoint.get("identify_by"))
    say = Say("account.identify_by", "account", ",".join(ways), evidence=(("account.rows.endpoint.identify_by", ways),))
    if not ways or {"username", "auth_username"}.intersection(ways):
        return
    text = f"Asterisk finds it by {' or '.join(ways)} only, and not by its user name"
    if has_contacts(evidence) or account_registers(evidence):
        yield say.warns(f"{text}; a client registers as it all the same.")
    else:
        yield say.fails(f"{text}.", "identify_by_mismatch")


def _algorithms(evidence: Evidence, auth: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether its login offers a digest that every client knows (RFC 3261); an empty column: the server's default."""
    offered = listed(auth.get("supported_algorithms_uas"))
    if not offered:
        return
    say = Say("account.algorithms", "account", ",".join(offered), evidence=(("account.rows.auth", offered),))
    text = f"Its login offers {' and '.join(offered)}"
    if "MD5" in map(str.upper, offered):
        yield say.passes(f"{text}.")
    elif has_contacts(evidence):
        yield say.warns(f"{text} only; its client knows that.")
    else:
        yield say.fails(f"{text} only, and clients that know MD5 alone cannot answer.", "digest_mismatch")


def _peer(evidence: Evidence, peer: Mapping[str, Any]) -> Iterator[Finding]:
    """chan_sip: a peer that may register, over the transports that clients, or the proxy before Asterisk, may use."""
    host = str(peer.get("host") or "")
    yield Say("account.host", "account", host).either(
        host == "dynamic",
        "Its host is dynamic, so it may register.",
        f"Its host is {host!r}: only a dynamic peer may register.",
        "peer_not_dynamic",
    )
    allowed = {one.strip().lower() for one in str(peer.get("transport") or "udp").split(",")}
    wanted = {transport for transport, _port in wanted_transports(evidence)}
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

    Its attempts show whom the access list lets in, the idle test whether it is asked often enough.
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
        if kind := MISSING.get(str(one["cause"])):
            yield _missing(evidence, about, kind, _differs(one), str(one["cause"]))
        else:
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
    last: Mapping[str, Any] = found.data.get("last") or {}
    own = client_attempt(evidence)
    say = Say("account.attempts", "account", "attempts", evidence=(("account.attempts", found.data),))
    if not found.data.get("events"):
        yield say.passes("The security log has no attempt of this account.")
        return
    yield _ended(evidence, say, own)
    if own is not last and last.get("event") != "SuccessfulAuth":
        stranger = Say("account.strangers", "account", str(last.get("address")), evidence=say.evidence)
        yield stranger.warns(
            f"The newest attempt came from {last.get('address')}, which is no address of the account, and ended with"
            f" {last.get('event')}."
        )


def _ended(evidence: Evidence, say: Say, last: Mapping[str, Any]) -> Finding:
    """How an attempt ended, by the security event ``last``."""
    event, detail, address = (str(last.get(name) or "") for name in ("event", "detail", "address"))
    if event in WRONG_PASSWORD:
        return _wrong_password(evidence, say, address)
    if detail in REFUSALS:
        why, cause = REFUSALS[detail]
        return _refused(evidence, say, f"The server refused the account's last attempt, from {address}: {why}.", cause)
    if event == "FailedACL" and not detail.startswith(NO_LIST):
        text = f"An access list turned away the account's last attempt, from {address}."
        if registered_elsewhere(evidence, address):
            return say.warns(f"{text} Its client is registered from elsewhere.")
        return say.fails(text, "acl_denies")
    if event == "InvalidAccountID":
        return _unknown_to_asterisk(evidence, say, f"Asterisk found no such account for {address}.")
    if event == NO_AUTH:
        return _auth_not_loaded(evidence, say, f"Asterisk could not load the account's login (auth) for {address}.")
    if event in ("FailedACL", *REFUSED):
        return _refused(
            evidence, say, f"The server refused the account's last attempt, from {address} ({event} {detail})."
        )
    return say.passes(f"The account's last attempt ended with {event}.")


def _refused(evidence: Evidence, say: Say, text: str, cause: str | None = None) -> Finding:
    """A refusal, which is over once the account registers, unless it is about what its own client sends."""
    if account_registers(evidence) and cause != CONTACT:
        return say.warns(f"{text} The account registers from our side now.")
    if cause is None and has_contacts(evidence):
        return say.warns(f"{text} A client is registered as it.")
    return say.fails(text, cause)


def _unknown_to_asterisk(evidence: Evidence, say: Say, text: str) -> Finding:
    """An account that Asterisk did not find: the rows say whether it is missing."""
    rows = evidence.probe("account", "rows")
    if not rows.ok or not rows.data.get("endpoint"):
        return say.warns(text)
    return _refused(evidence, say, f"{text} The database has it.")


def _auth_not_loaded(evidence: Evidence, say: Say, text: str) -> Finding:
    """An auth that is there and that Asterisk could not load: its connection to the database, or the row itself."""
    rows = evidence.probe("account", "rows")
    if not rows.ok or not rows.data.get("auth"):
        return say.warns(text)
    registry = evidence.probe("account", "registry")
    differences = registry.data.get("findings") or [] if registry.ok else []
    # Asterisk loads no row without a password, for example.
    wrong = next((one.get("cause") for one in differences if one.get("field") in AUTH_FIELDS), None)
    cause = wrong if out_of_step(evidence) is None else "odbc_out_of_step"
    return _refused(evidence, say, f"{text} The database has it.", cause)


def _wrong_password(evidence: Evidence, say: Say, address: object) -> Finding:
    """Whose mistake a wrong password is: the client's, the server's, or a stranger's guess."""
    text = f"The account's last attempt used another password than it has, from {address}."
    own, rows, registry = (
        own_client(evidence, address),
        *(evidence.probe("account", one) for one in ("rows", "registry")),
    )
    if not rows.ok:
        return say.unknown(f"{text} What the server has is not known ({rows.why}).")
    if not own:
        return say.warns(f"{text} Nothing shows that it was the user's own client: it may be a stranger's guess.")
    if password_is_right(evidence):
        if not server_accepts(evidence):
            return say.unknown(f"{text} {own} It may be the server's fault: it accepted no registration of ours.")
        client = Say("client.password", "client", "password", evidence=say.evidence)
        return client.fails(f"{text} {own}", "client_wrong_password")
    if not registry.ok:
        return say.unknown(f"{text} {own} Which password is right is not known ({registry.why}).")
    return say.fails(f"{text} {own}", "password_mismatch")


@rule
def live(evidence: Evidence) -> Iterator[Finding]:
    """The contact that Asterisk really has: a 200 to a REGISTER alone verifies nothing."""
    found = evidence.probe("account", "live")
    if "account" not in evidence.document:
        return
    contacts = found.data.get("contacts") or [] if found.ok else []
    say = Say("account.live", "account", "contacts", evidence=(("account.live", found.data or found.error),))
    if contacts:
        yield say.passes(f"Asterisk has {counted(len(contacts), 'live contact')} of the account.")
    elif not_stored := _not_stored(evidence):
        yield say.fails(
            f"Asterisk could not store the contact of the account, last: {not_stored[:200]}",
            "contact_write_failed",
            by_hand="See why Asterisk cannot store this account's contact: the log line and those before it say so.",
        )
    elif found.ok or found.error == "missing":
        yield say.warns("Asterisk has no live contact of the account: no client is registered as it now.")
    else:
        yield say.unknown(f"Whether the account is registered is not known ({found.why}).")


def _not_stored(evidence: Evidence) -> str:
    """Asterisk's newest line about a contact of the account that it could not store; "" where the account registers."""
    name = account_name(evidence)
    lines = [line for line in log_lines(evidence, "contact_failed") if f"to AOR '{name}'" in line]
    return lines[-1] if lines and name and not account_registers(evidence) else ""


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
