# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts that several rules read from the evidence."""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.log import NO_AUTH
from ansible_collections.privatewave.reconnect.plugins.module_utils._database.realtime import disagreement
from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import NO_DATABASE, filled
from ansible_collections.privatewave.reconnect.plugins.module_utils._text import is_yes

from .client_log import dialogue
from .client_log.signatures import LINE_LIMIT, signatures
from .evidence import Evidence, plain
from .finding import place

#: A difference from the account registry that keeps no client from registering: rules/idle.py judges it.
KEEP_ALIVE = "nat_idle_drop"
#: Settings that name units of this server which nobody stops for a port.
OWN_UNITS = ("asterisk_unit", "database_unit", "provisioning_unit")
#: Programs that are never ended, whatever they listen on: without them nobody enters the server, or its data are lost.
NEVER = {"init", "sshd", "sshd-session", "sshd-auth", "mariadbd", "mysqld", "postgres", "dbus-daemon", "dbus-broker"}
#: … and the names of their units, without the suffix.
NEVER_UNITS = {"ssh", "sshd", "mariadb", "mysql", "mysqld", "postgresql", "dbus"}
#: SIP servers, which come with a package and take the port of SIP by default.
SIP_SERVERS = {"kamailio", "opensips", "freeswitch", "yate", "repro", "sipp"}
#: Scopes of what a person started, in a session or with systemd-run; any other one may be a container.
SCOPES = ("session-", "run-")
#: Lines of a client log that are looked at, the last ones, and their characters.
LOG_LINES, LOG_CHARACTERS = 20_000, 1024 * 1024


def nothing_checked(evidence: Evidence) -> str:
    """What a server that gave no evidence means, as the beginning of a sentence: many that can be reached give none."""
    how = "ask" if evidence.server.error in ("failed", "invalid") else "log in to"
    return f"Cannot {how} the server, so nothing on it was checked"


def registered_from(evidence: Evidence, vantage: str) -> bool:
    """Whether an account was registered from a vantage."""
    tests = [by_vantage[vantage] for by_vantage in evidence.registrations().values() if vantage in by_vantage]
    return any(found.ok and found.data["registered"] and found.data["listed"] for found in tests)


def asterisk_runs(evidence: Evidence) -> bool:
    """Whether there is an Asterisk process, whether it answers or not."""
    return evidence.probe("asterisk", "process").ok


def connection_lost(evidence: Evidence) -> bool:
    """Whether the account's last connection was lost, by the session log."""
    found = evidence.probe("account", "sessions")
    account = found.data.get("account") if found.ok and isinstance(found.data, Mapping) else None
    entries = account.get("entries") or [] if account else []
    return bool(entries) and entries[0].get("event") == "DISCONNECT" and entries[0].get("details") == "NETWORK_ERROR"


def has_database(evidence: Evidence) -> bool:
    """Whether the server has a database at all, by the inventory."""
    return evidence.settings.get("database_engine") != NO_DATABASE


def own_addresses(evidence: Evidence) -> list[str]:
    """The addresses that the server's name must lead to; empty when the inventory does not say."""
    return [plain(address) for address in evidence.settings.get("addresses") or []]


def proxies(evidence: Evidence) -> list[str]:
    """The addresses of the proxy before Asterisk: those of the settings, else, where one answers, all that clients are
    led to.

    What answers at an address of the server itself is no proxy before it, unless the settings say so.
    """
    if named := evidence.settings.get("proxy"):
        return [plain(address) for address in named]
    own = _interface_addresses(evidence)
    answering = [place(where)[0] for path in evidence.paths for where, hops in path.hops().items() if len(hops) > 1]
    found = [address for address in answering if address not in own]
    others = [address for address in own_addresses(evidence) if address not in own]
    return list(dict.fromkeys([*found, *others])) if found else []


def fronted(evidence: Evidence) -> bool:
    """Whether clients are led to a proxy only, so that none of them reaches Asterisk itself."""
    before = proxies(evidence)
    return bool(before) and set(own_addresses(evidence)) <= set(before)


def wanted_transports(evidence: Evidence) -> list[tuple[str, int]]:
    """The transports that Asterisk must serve, and their ports: those of clients, or behind a proxy all that it has."""
    if not fronted(evidence):
        return [(str(one["transport"]), int(one["port"])) for one in evidence.settings.get("sip_transports") or []]
    found = evidence.probe("asterisk", "transports")
    has = {(str(one["transport"]), int(one["port"])) for one in found.data} if found.ok else set()
    return sorted(one for one in has if one[0] in ("udp", "tcp", "tls"))


def serves(evidence: Evidence, listening: Iterable[Mapping[str, Any]], address: str) -> bool:
    """Whether one of the sockets takes what is sent to the address. ``::`` takes IPv4, too, except that of PJSIP."""
    v6_only = evidence.settings.get("channel_driver") == "pjsip"
    if ":" in address:
        return any(plain(one.get("address", "")) in (address, "::", "*") for one in listening)
    return any(
        where in (address, "0.0.0.0", "*") or (where == "::" and not (v6_only and one.get("process") == "asterisk"))
        for one in listening
        if (where := plain(one.get("address", "")))
    )


def within(address: str, network: object) -> bool:
    """Whether an address is in a network; nothing is in an invalid one."""
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(str(network), strict=False)
    except ValueError:
        return False


def lacks_address(evidence: Evidence, address: str) -> bool:
    """Whether the server should have the address and has others of its family, or none; unknown is no."""
    found = evidence.probe("host", "interfaces")
    if not found.ok or plain(address) not in own_addresses(evidence):
        return False
    return plain(address) not in _interface_addresses(evidence)


def _interface_addresses(evidence: Evidence) -> set[str]:
    """The addresses of the server's interfaces; none where they are not known."""
    found = evidence.probe("host", "interfaces")
    links = found.data if found.ok else []
    return {plain(str(one).partition("/")[0]) for link in links for one in link.get("addresses") or []}


def database_is_here(evidence: Evidence) -> bool | None:
    """Whether Asterisk's data source leads to this server; None when that is not known."""
    place, port = evidence.probe("database", "place"), evidence.probe("database", "port")
    if place.ok:
        return bool(place.data.get("here"))
    address = str(port.data.get("address") or "") if port.ok else ""
    return True if address.startswith(("/", "127.")) or address == "::1" else None


def database_hangs(evidence: Evidence) -> bool | None:
    """Whether the database itself does not answer, as asked on this server past the network; None when not known.

    Whoever answers there vetoes: a refusal is an answer, too.
    """
    process, admin = evidence.probe("database", "process"), evidence.probe("database", "admin")
    if admin.ok:
        return False
    if not process.ok or not database_is_here(evidence):
        return None
    stopped = str(process.data.get("state")) == "T"
    return True if stopped or admin.error == "timed_out" else None


#: Asterisk has lost accounts when it knows fewer than this share of those in the table.
KNOWN_SHARE = 0.5


def lost_mapping(evidence: Evidence) -> str:
    """Why Asterisk does not read its accounts where the inventory says; "" when it does, or when that is not known."""
    found = evidence.probe("asterisk", "sources")
    return disagreement(filled(evidence.settings), found.data) if found.ok else ""


def unknown_accounts(evidence: Evidence) -> tuple[int, int] | None:
    """How many accounts Asterisk knows and how many the table has, where it knows far fewer; else None.

    chan_sip knows an account once it has used it: its number says nothing.
    """
    known, table = evidence.probe("asterisk", "endpoints"), evidence.probe("database", "accounts")
    if str(evidence.settings.get("channel_driver")) == "sip" or not known.ok or not table.ok:
        return None
    numbers = int(known.data.get("total") or 0), int(table.data.get("total") or 0)
    return numbers if numbers[0] < numbers[1] * KNOWN_SHARE else None


def may_be_hidden(evidence: Evidence, kind: str) -> str:
    """Why an object of the account (``endpoint``, ``auth``, ``aor``) that was not found may be there; "" if it is not.

    Who creates what only looks missing writes it into the wrong place, or twice.
    """
    sources, rows = evidence.probe("asterisk", "sources"), evidence.probe("account", "rows")
    if not sources.ok:
        return f"where Asterisk reads its accounts from is not known ({sources.why})"
    if lost := lost_mapping(evidence):
        return f"Asterisk does not read its accounts where the inventory says: {lost}"
    if not rows.ok:
        return f"the database was not asked for its rows ({rows.why})"
    if kind in rows.data.get("hidden", [kind]):
        return "the database may hide rows from Asterisk's user"
    if numbers := unknown_accounts(evidence):
        return f"Asterisk knows {numbers[0]} of {numbers[1]} accounts only"
    return ""


def password_is_right(evidence: Evidence) -> bool:
    """Whether the server has the account registry's password, so that a wrong one is the client's."""
    found = evidence.probe("account", "registry")
    if not found.ok or not found.data.get("registered"):
        return False
    return not any(one.get("cause") not in (None, KEEP_ALIVE) for one in found.data.get("findings") or [])


#: Answers, and signatures of lines, that say: the server did not accept the client's login. A 500 is no such answer.
_NOT_ACCEPTED, _LOGIN_LINES = (401, 403, 407), ("unauthorized", "forbidden")
#: A client that never sent its login.
_NO_LOGIN = ("login_lacking", "login_algorithm")


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """The last lines of what the client reports, cut to `LINE_LIMIT`: its log, and after that the message."""
    lines = [*(report.get("log") or [])[-LOG_LINES:], *str(report.get("error_message") or "").splitlines()]
    cut = [str(line)[:LINE_LIMIT] for line in lines]
    room = itertools.accumulate(map(len, reversed(cut)))
    return cut[len(cut) - sum(length <= LOG_CHARACTERS for length in room) :]


def own_client(evidence: Evidence, address: object) -> str:
    """How we know that an attempt from an address is the user's own client's, as a sentence; "" when we do not.

    Anybody can try a password on any account: a stranger's attempt says nothing of the user's client.
    """
    return _reports_refusal(evidence) or _own_address(evidence, address, claimed=True)


def _reports_refusal(evidence: Evidence) -> str:
    """That the client reports a refused login, as a sentence, or "". From where it tried to log in, it does not say."""
    report = evidence.client_report
    lines = report_lines(report)
    said = dialogue.read(lines)
    left = said.left(lines)
    refused = said.refused is not None and said.refused.code in _NOT_ACCEPTED and not said.refused.challenged
    # Nearly every server is diagnosed without a log: it does not wait for some hundred patterns to be compiled.
    whole = "\n".join(left)

    def says(names: Collection[str]) -> bool:
        known = [one for one in signatures() if one.name in names] if lines else []
        return any(one.last(left, whole) is not None for one in known)

    if (refused or says(_LOGIN_LINES)) and not says(_NO_LOGIN):
        return "The client reports that its login was refused."
    return ""


def _own_address(evidence: Evidence, address: object, claimed: bool) -> str:
    """How we know that an address is the user's own client's, as a sentence; "" when we do not. ``claimed``: one that
    the client names in its contact is its own."""
    host = place(str(address))[0]
    if host and host in set(_addresses_of_account(evidence, claimed)):
        return f"The account has registered from {host} before."
    if host and host in browser_addresses(evidence):
        return f"The browser of the account's user reached us from {host}, too."
    return ""


def client_attempt(evidence: Evidence, claimed: bool = True) -> Mapping[str, Any]:
    """The newest security event of the account's own client; empty without any.

    Anybody can send requests in the account's name: where its client's addresses are known, a stranger's do not count.
    ``claimed`` is as for `_own_address`.
    """
    found = evidence.probe("account", "attempts")
    last: Mapping[str, Any] = (found.data.get("last") or {}) if found.ok else {}
    if not last or _own_address(evidence, last.get("address"), claimed):
        return last
    own = set(_addresses_of_account(evidence, claimed))
    mine = [one for one in (found.data.get("latest") or {}).values() if _host(one.get("address")) in own]
    if _reports_refusal(evidence):
        # What worked is not what the client reports: it may be elsewhere since.
        mine = [one for one in mine if one.get("event") != "SuccessfulAuth"]
    return max(mine, key=lambda one: str(one.get("time") or ""), default=last)


def client_addresses(evidence: Evidence, claimed: bool = True) -> list[str]:
    """Where the account's client was last, by the session log, by its newest attempt, and by the contacts that Asterisk
    has and does not reach.

    Without ``claimed`` its packets came from there: what a client names in its contact may be another's address. Where
    everybody's packets come from, a proxy, no client is.
    """
    sessions, attempt = evidence.probe("account", "sessions"), client_attempt(evidence, claimed)
    live = evidence.probe("account", "live")
    contacts = (live.data.get("contacts") or []) if live.ok else []
    logged: Mapping[str, Any] = {}
    if sessions.ok and isinstance(sessions.data, Mapping):
        logged = sessions.data.get("account") or {}
    found = [_host(one.get("address")) for one in (logged.get("entries") or [])[:1]]
    if _own_address(evidence, attempt.get("address"), claimed):
        found.append(_host(attempt.get("address")))
    away = [one for one in contacts if one.get("status") != "Reachable"]
    found += [_host(one.get(name)) for one in away for name in _places(evidence, claimed)]
    before = proxies(evidence)
    return [address for address in dict.fromkeys(found) if address and address not in before]


def browser(evidence: Evidence) -> Mapping[str, Any]:
    """What the self-check of the user's browser came to; empty without one."""
    found = evidence.client_report.get("browser")
    return found if isinstance(found, Mapping) else {}


def browser_addresses(evidence: Evidence) -> list[str]:
    """Where the user's browser reached us from; an application on the same device may take another path."""
    return [plain(address) for address in browser(evidence).get("addresses") or []]


def attempted_from(evidence: Evidence, addresses: Collection[str]) -> bool | None:
    """Whether the watch saw an attempt from one of these addresses; None where nothing was watched, or where all come
    from a proxy."""
    watched = evidence.probe("account", "watch")
    if not watched.ok or fronted(evidence):
        return None
    return any(_host(one.get("address")) in addresses for one in watched.data.get("attempts") or [])


def account_name(evidence: Evidence) -> str:
    """The name of the account of the incident, by its rows; "" without one."""
    rows = evidence.probe("account", "rows")
    endpoint = (rows.data.get("endpoint") if rows.ok else None) or {}
    # The tables of chan_sip have a number of the row, too.
    return str(endpoint.get("name") or endpoint.get("id") or "")


def has_contacts(evidence: Evidence) -> bool:
    """Whether Asterisk has a contact of the account."""
    live = evidence.probe("account", "live")
    return bool(live.ok and live.data.get("contacts"))


def registered_elsewhere(evidence: Evidence, address: object) -> bool:
    """Whether the account has a live contact, and none of its addresses is this one."""
    return has_contacts(evidence) and _host(address) not in set(_addresses_of_account(evidence))


def account_registers(evidence: Evidence) -> bool:
    """Whether the server took a registration of ours as the account of the incident."""
    own = [tested for name, tested in evidence.registrations().items() if name != evidence.settings.get("test_account")]
    return any(
        found.ok and bool(found.data.get("registered") and found.data.get("listed"))
        for tested in own
        for found in tested.values()
    )


def server_accepts(evidence: Evidence) -> bool:
    """Whether the server accepted a registration of ours, so that a refusal of another client is not its own fault."""
    tests = [found for tested in evidence.registrations().values() for found in tested.values()]
    return any(found.ok and bool(found.data.get("accepted")) for found in tests)


def answered(evidence: Evidence) -> bool:
    """Whether the server answered a registration of ours, be it with a refusal."""
    return any(found.ok for tested in evidence.registrations().values() for found in tested.values())


def registers(evidence: Evidence) -> bool:
    """Whether the server took and kept a registration of ours."""
    tests = [found for tested in evidence.registrations().values() for found in tested.values()]
    return any(found.ok and bool(found.data.get("registered") and found.data.get("listed")) for found in tests)


def _places(evidence: Evidence, claimed: bool) -> list[str]:
    """The fields of a contact that say where its client is; without ``claimed`` those that Asterisk writes there
    itself, from the packets: the URI of chan_pjsip, and the address of chan_sip, where the account says so."""
    rows = evidence.probe("account", "rows")
    endpoint = (rows.data.get("endpoint") if rows.ok else None) or {}
    nat = re.split(r"[,\s]+", str(endpoint.get("nat") or "").lower())
    written = {
        "source": True,
        "uri": claimed or is_yes(endpoint.get("rewrite_contact")),
        "ipaddr": claimed or not {"yes", "route", "force_rport"}.isdisjoint(nat),
        "fullcontact": claimed,
        "via_addr": claimed,
    }
    return [name for name, is_written in written.items() if is_written]


def _addresses_of_account(evidence: Evidence, claimed: bool = True) -> list[str]:
    """The addresses from which the account has a contact, or has logged in; ``claimed`` is as for `_own_address`."""
    before = proxies(evidence)
    return [address for address in _senders(evidence, claimed) if address not in before]


def _senders(evidence: Evidence, claimed: bool) -> Iterator[str]:
    """The same, with that of a proxy, from which everybody's packets come."""
    live, rows, sessions, attempts = (
        evidence.probe("account", name) for name in ("live", "rows", "sessions", "attempts")
    )
    contacts = [
        *((live.data.get("contacts") or []) if live.ok else []),
        *((rows.data.get("contacts") or []) if rows.ok else []),
    ]
    for contact in contacts:
        yield from (_host(contact.get(name)) for name in _places(evidence, claimed))
    logged = (sessions.data.get("account") if sessions.ok and isinstance(sessions.data, Mapping) else None) or {}
    yield from (_host(one.get("address")) for one in logged.get("entries") or [] if one.get("event") == "REGISTER")
    addresses = attempts.data.get("addresses") or {} if attempts.ok else {}
    yield from (_host(address) for address, events in addresses.items() if events.get("SuccessfulAuth"))


def _host(text: object) -> str:
    """The address in a contact's URI, ``address:port`` or an address; "" without one."""
    return place(re.split(r"[;>]", str(text or "").rpartition("@")[2].rpartition("sip:")[2], maxsplit=1)[0])[0]


#: What Asterisk answers to REGISTER where it cannot read or write what it needs.
SERVER_ERROR = 500
#: What the drivers of MariaDB, MySQL and PostgreSQL say of a prepared statement whose table was changed under it.
_STATEMENT = re.compile(
    r"bound buffers differs from number of columns|[Cc]ommands out of sync|needs? to be re-prepared"
    r"|cached plan must not change|[Uu]nknown prepared statement|prepared statement \S{1,80} does not exist"
)


def out_of_step(evidence: Evidence) -> str | None:
    """The line about it where Asterisk's prepared statements no longer fit the tables, "" without a line; else None.

    The database answers, Asterisk is connected, and registers nobody: it fails itself, or does not know the accounts.
    A line alone may be of a change that is over.
    """
    tests = [found for tested in evidence.registrations().values() for found in tested.values() if found.ok]
    failed = any(one.get("status") == SERVER_ERROR for found in tests for one in found.data.get("answers") or [])
    pools, wanted = evidence.probe("asterisk", "odbc"), evidence.settings.get("odbc_class")
    connected = pools.ok and any(one.get("name") == wanted and one.get("connected") for one in pools.data)
    if registers(evidence) or not connected or not evidence.probe("database", "login").ok:
        return None
    if not failed and not (tests and unknown_accounts(evidence)):
        return None
    lines = [text for text in log_lines(evidence, "odbc_failed") if _STATEMENT.search(text)]
    attempts, security = evidence.probe("account", "attempts"), evidence.probe("asterisk", "security_log")
    events = [
        (attempts.data.get("events") or {}) if attempts.ok else {},
        (security.data.get("recent") or {}) if security.ok else {},
    ]
    if lines:
        return lines[-1]
    return "" if any(NO_AUTH in one for one in events) and not server_accepts(evidence) else None


def log_lines(evidence: Evidence, kind: str) -> list[str]:
    """The texts of the lines of a kind in Asterisk's log, the oldest first."""
    found = evidence.probe("asterisk", "log")
    matches = (found.data.get("matches") or []) if found.ok else []
    return [str(one.get("text") or "") for one in matches if one.get("kind") == kind]


def stopped_on_purpose(evidence: Evidence, setting: str) -> str:
    """Who stopped, disabled or masked the unit that a setting names, and when, as a sentence; "" where nobody did."""
    name = str(evidence.settings.get(setting) or "")
    found = evidence.probe("host", "stops")
    stop = found.data.get(name) if found.ok and isinstance(found.data, Mapping) else None
    if not isinstance(stop, Mapping):
        return ""
    how = {"masked": "was masked", "disabled": "is disabled, and was stopped"}.get(str(stop.get("how")), "was stopped")
    at = f" at {stop['at']}" if stop.get("at") else ""
    by = f" by {stop['by']}" if stop.get("by") else ""
    return f"{name} {how}{at}{by}."


# ------------------------------------------------------------------------------------------ who holds a port


class Holder(NamedTuple):
    """A process with a port of Asterisk. ``target`` is what the remedy ends; without it ``by_hand`` says why not."""

    name: str
    target: Mapping[str, Any] | None
    by_hand: str


def holder(evidence: Evidence, socket: Mapping[str, Any]) -> Holder:
    """Who holds a listening socket that should be Asterisk's."""
    process, pid = str(socket.get("process")), socket.get("pid")
    unit = str(socket.get("unit") or "")
    name = f"{process} (process {pid}{f', {unit}' if unit else ''})"
    if refusal := _refusal(evidence, socket, process, unit):
        return Holder(name, None, f"{name} {refusal}")
    if unit.endswith((".service", ".socket")):
        return Holder(name, {"name": name, "unit": unit, "triggers": socket.get("triggers") or ""}, "")
    return Holder(name, {"name": name, "pid": pid, "started": socket["started"]}, "")


def _refusal(evidence: Evidence, socket: Mapping[str, Any], process: str, unit: str) -> str:
    """The rest of a sentence about a holder that no remedy ends; "" where one may."""
    stem, _dot, kind = unit.rpartition(".")
    stem = stem.partition("@")[0]
    own = {str(evidence.settings[setting]) for setting in OWN_UNITS if evidence.settings.get(setting)}
    if socket.get("ours"):
        return "belongs to a run of Reconnect: wait until that run has ended."
    if stem in NEVER_UNITS or process in NEVER or own & {unit, socket.get("triggers")}:
        return "is never ended by Reconnect: move it to another port by hand."
    if kind == "socket":
        return ""
    if socket.get("pid") in (None, 1) or process.startswith("systemd"):
        return "is part of the system: find out what opened the port, and stop that by hand."
    if kind == "service":
        known = process in SIP_SERVERS or socket.get("transient")
        return "" if known else f"is a service that Reconnect does not know: stop {unit} or move it to another port."
    if kind == "scope" and not unit.startswith(SCOPES):
        return f"may be a container: stop it with the program that manages {unit}."
    return "" if socket.get("started") else "cannot be told from a later process: end it by hand."
