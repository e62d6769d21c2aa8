# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asterisk: its process, modules, transports, database connection and load."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..evidence import Evidence, Probe
from ..facts import (
    account_name,
    asterisk_runs,
    client_addresses,
    fronted,
    has_contacts,
    holder,
    lacks_address,
    log_lines,
    lost_mapping,
    out_of_step,
    own_addresses,
    proxies,
    registers,
    serves,
    unknown_accounts,
    wanted_transports,
    within,
)
from ..finding import Finding, Say, are, counted, place, rule

#: The release that each channel driver is tested with; docs/how-to/install.md has the whole matrix.
TESTED = {"pjsip": 22, "sip": 16}
#: Restarts of the unit within its life that make a loop, when it has not been up for long since.
LOOP_RESTARTS = 2
#: Seconds after which a service that was restarted counts as standing.
STANDING = 120
#: Share of the open files that may be in use.
FILES_WARN, FILES_FAIL = 0.8, 0.97

#: What the log's kinds of lines mean for somebody who wants to connect.
LOG_KINDS = {
    "bind_failed": "could not bind a port",
    "transport_failed": "could not start a transport",
    "module_failed": "could not load a module",
    "config_error": "found a mistake in its configuration",
    "odbc_failed": "had trouble with ODBC",
    "database_lost": "lost its database",
    "contact_failed": "could not store a contact",
    "tls_failed": "had trouble with TLS",
    "files_exhausted": "had no file descriptor left",
    "registration_failed": "refused registrations",
    "request_refused": "turned requests away",
    "client_certificate": "asked clients for a certificate that they do not have",
    "resolver_failed": "could not resolve a name",
}
#: Lines that only repeat that something failed; the line that says why stands before them.
_REPEATS = re.compile(
    r"(?:SQL \w+ |Row Count )error -?\d*!|Some non-required modules failed|Could not create an object of type"
    r"|object of type 'transport'|- Failed to authenticate$|No database handle available"
)


#: The parts of Asterisk that a line of its log is about: its source file, a module, a configuration file.
NAMED = re.compile(
    r"\A(?!(?:loader|config|config_options|sorcery)\.c)(\w+)\.c:|(\w+) declined to load|'(\w+)\.so'|(\w+)\.conf\b"
)
#: Those that no client needs to register, whether they fail to load or their configuration is wrong.
APART = re.compile(
    r"(?:cdr|cel|app|func|format|codec|bridge|pbx(?!_config\Z)|chan_(?!sip\Z|pjsip\Z)|res_(?!pjsip|sorcery|rtp_|srtp|timing))"
    r"\w*\Z|(?:dundi|iax\w*|mgcp|minivm|musiconhold|phoneprov|queue\w*|skinny|unistim|voicemail|xmpp)\Z"
)


def answers(evidence: Evidence) -> bool:
    """Whether Asterisk answers on its control socket."""
    control = evidence.probe("asterisk", "control")
    return control.ok and bool(control.data.get("answered", True))


def crash_loops(evidence: Evidence) -> bool:
    """Whether systemd starts Asterisk again and again."""
    unit = evidence.unit("asterisk_unit") or {}
    restarts = int(unit.get("n_restarts") or 0)
    if unit.get("result") == "start-limit-hit" or (
        # One crash is no loop: systemd is about to start it again.
        unit.get("sub_state") == "auto-restart" and restarts >= LOOP_RESTARTS
    ):
        return True
    uptime = evidence.probe("asterisk", "uptime")
    standing = uptime.ok and float(uptime.data.get("seconds") or 0) >= STANDING
    crashes = evidence.probe("asterisk", "crashes")
    lately = int(crashes.data.get("restarts_last_hour") or 0) if crashes.ok else 0
    return not standing and min(restarts, lately) >= LOOP_RESTARTS and not answers(evidence)


@rule
def process(evidence: Evidence) -> Iterator[Finding]:
    """Stopped, hung and crash looping are told apart here."""
    name = str(evidence.settings.get("asterisk_unit") or "asterisk")
    found = evidence.probe("asterisk", "process")
    unit = evidence.unit("asterisk_unit")
    say = Say(
        "asterisk.process",
        "asterisk",
        name,
        evidence=(("asterisk.process", found.data), (f"host.units.{name}", unit and unit.get("active_state"))),
    )
    if not found.ok and found.error != "missing":
        yield say.unknown(f"Whether Asterisk runs is not known ({found.why}).")
        return
    if crash_loops(evidence):
        restarts = (unit or {}).get("n_restarts")
        yield say.fails(
            f"{name} ends soon after each start; systemd has restarted it {restarts} times.", "asterisk_crash_looping"
        )
        return
    if not found.ok:
        state = f"{unit.get('active_state')} ({unit.get('result')})" if unit else "in a state that is not known"
        yield say.fails(f"No Asterisk process runs; {name} is {state}.", "asterisk_stopped")
        return
    yield say.passes(f"Asterisk runs as process {found.data.get('pid')}.")
    control = evidence.probe("asterisk", "control")
    say = Say("asterisk.control", "asterisk", name, evidence=(("asterisk.control", control.data or control.error),))
    if answers(evidence):
        yield say.passes("Asterisk answers on its control socket.")
    elif control.error == "timed_out":
        state = {"T": "it is stopped by a signal", "D": "it waits for a device"}.get(
            str(found.data.get("state")), "it does not say why"
        )
        yield say.fails(
            f"Asterisk runs as process {found.data.get('pid')} but does not answer within its limit: {state}.",
            "asterisk_hung",
        )
    else:
        yield say.unknown(f"Asterisk's control socket could not be asked ({control.why}).")


@rule
def version(evidence: Evidence) -> Iterator[Finding]:
    """Which Asterisk, since when, and how it was asked."""
    found = evidence.probe("asterisk", "version")
    if found.ok:
        yield Say("asterisk.version", "asterisk", "version").passes(f"Asterisk {found.data.get('full')} is installed.")
        wanted = str(evidence.settings.get("channel_driver") or "")
        major = found.data.get("major")
        if wanted == "sip" and isinstance(major, int) and major >= 21:
            yield Say("asterisk.driver", "asterisk", "chan_sip").fails(
                f"The inventory expects chan_sip, which Asterisk {major} does not have any more."
            )
        elif wanted:
            yield Say("asterisk.driver", "asterisk", f"chan_{wanted}").passes(f"Its driver is chan_{wanted}.")
            if major != TESTED.get(wanted, major):
                yield Say("asterisk.release", "asterisk", "version").warns(
                    f"With chan_{wanted}, Reconnect is tested on Asterisk {TESTED[wanted]}, not on this release. "
                    "A check that does not know the form of an answer says unknown."
                )
    uptime = evidence.probe("asterisk", "uptime")
    if uptime.ok:
        seconds = float(uptime.data.get("seconds") or 0)
        yield Say("asterisk.uptime", "asterisk", "uptime").passes(f"Asterisk has been up for {seconds:.0f} s.")
    ami = evidence.probe("asterisk", "ami")
    if ami.ok:
        how = "over AMI" if ami.data.get("used") else "over its command line"
        yield Say("asterisk.ami", "asterisk", "ami").passes(f"Asterisk was asked {how}.")


@rule
def modules(evidence: Evidence) -> Iterator[Finding]:
    """Every module that registration needs."""
    found = evidence.probe("asterisk", "modules")
    if not found.ok:
        yield from _no_answer("asterisk.modules", "asterisk", "modules", found, evidence)
        return
    for name, state in sorted(found.data.items()):
        say = Say("asterisk.module", "asterisk", name, evidence=((f"asterisk.modules.{name}", state),))
        yield say.either(
            state == "Running", f"{name} runs.", f"{name} is not running ({state}).", "asterisk_module_missing"
        )


@rule
def transports(evidence: Evidence) -> Iterator[Finding]:
    """Every SIP port that clients, or the proxy before it, use is bound, and by Asterisk."""
    found, behind = evidence.probe("asterisk", "transports"), fronted(evidence)
    if behind and not wanted_transports(evidence):
        say = Say("asterisk.transport", "asterisk", "transport", evidence=(("asterisk.transports", found.data),))
        yield (
            say.fails("Asterisk has no SIP transport for the proxy before it.", "transport_not_bound")
            if found.ok
            else say.unknown(f"What Asterisk should listen on behind the proxy is not known ({found.why}).")
        )
    for transport, port in wanted_transports(evidence):
        about = f"{transport}:{port}"
        sockets = evidence.listening("udp" if transport == "udp" else "tcp", port, loopback=behind)
        say = Say("asterisk.transport", "asterisk", about, evidence=(("host.sockets", sockets),))
        if sockets is None:
            yield say.unknown(f"Who listens on {about} is not known ({evidence.probe('host', 'sockets').why}).")
            continue
        strangers = [one for one in sockets if one.get("process") and one.get("process") != "asterisk"]
        holders = [holder(evidence, one) for one in strangers]
        names = ", ".join(sorted({one.name for one in holders}))
        if strangers and _registered_over(evidence, transport, port):
            yield say.warns(
                f"{names} listens on {about} instead of Asterisk, and clients register over it. If it is a proxy, name "
                "its addresses in reconnect_proxy."
            )
        elif strangers:
            yield say.fails(
                f"{names} listens on {about} instead of Asterisk.",
                "port_taken",
                targets=[one.target for one in holders if one.target],
                by_hand=" ".join(dict.fromkeys(one.by_hand for one in holders if one.by_hand)),
            )
        elif sockets:
            yield from _at_every_address(evidence, say, transport, port, sockets)
        elif behind and registers(evidence):
            yield say.warns(f"Nothing listens on {about}, which Asterisk has; clients register through the proxy.")
        elif not behind and (moved := _elsewhere(evidence, transport)):
            yield say.fails(f"Asterisk listens on {moved}, and clients come to {about}.", "port_mismatch")
        elif asterisk_runs(evidence) and not crash_loops(evidence):
            yield say.fails(f"Asterisk runs but nothing listens on {about}.", "transport_not_bound")
        else:
            yield say.fails(f"Nothing listens on {about}.")
    for one in found.data if found.ok else []:
        yield Say("asterisk.transport.configured", "asterisk", str(one.get("id"))).passes(
            f"Asterisk has the transport {one.get('id')} ({one.get('transport')} on port {one.get('port')})."
        )


def _registered_over(evidence: Evidence, transport: str, port: int) -> bool:
    """Whether a registration of ours worked over a transport at this port."""
    tests = [found for tested in evidence.registrations().values() for found in tested.values() if found.ok]
    return any(
        one.data["listed"] and (one.data["transport"], place(one.data["address"])[1]) == (transport, port)
        for one in tests
    )


def _at_every_address(
    evidence: Evidence, say: Say, transport: str, port: int, sockets: Sequence[Mapping[str, Any]]
) -> Iterator[Finding]:
    """Whether Asterisk listens at each of the server's addresses; IPv6 beside IPv4 is told by the path to it."""
    found = evidence.probe("host", "interfaces")
    unserved = [
        address
        for address in own_addresses(evidence)
        if found.ok and ":" not in address and address not in proxies(evidence) and not lacks_address(evidence, address)
        if not serves(evidence, sockets, address)
    ]
    there = ", ".join(sorted({str(one.get("address")) for one in sockets}))
    for address in unserved:
        about = f"{transport}:{address}:{port}"
        yield replace(say, about=about).fails(
            f"Asterisk listens on {transport}:{port} at {there} only, and not at {address}.",
            "transport_not_bound",
            by_hand=f"Correct the address ({there}) that the {transport} transport binds to, then restart Asterisk.",
        )
    if not unserved:
        yield say.passes(f"Asterisk listens on {say.about}.")


def _elsewhere(evidence: Evidence, transport: str) -> str:
    """The other ports at which Asterisk has the transport; "" without one that is really bound."""
    found = evidence.probe("asterisk", "transports")
    ports = {int(one["port"]) for one in found.data if one.get("transport") == transport} if found.ok else set()
    sockets = {port: evidence.listening("udp" if transport == "udp" else "tcp", port) or [] for port in sorted(ports)}
    bound = [port for port, some in sockets.items() if any(one.get("process") == "asterisk" for one in some)]
    return ", ".join(f"{transport}:{port}" for port in bound)


@rule
def odbc(evidence: Evidence) -> Iterator[Finding]:
    """Asterisk's own connection to its database."""
    found = evidence.probe("asterisk", "odbc")
    wanted = str(evidence.settings.get("odbc_class") or "")
    if not wanted:
        return
    if not found.ok:
        yield from _no_answer("asterisk.odbc", "asterisk", wanted, found, evidence)
        return
    pools = [one for one in found.data if one.get("name") == wanted]
    say = Say("asterisk.odbc", "asterisk", wanted, evidence=(("asterisk.odbc", found.data),))
    if not pools:
        yield say.fails(f"Asterisk has no ODBC class {wanted}.", "odbc_disconnected")
    for pool in pools:
        connected = bool(pool.get("connected"))
        error = f" ({pool['last_error']})" if pool.get("last_error") else ""
        text = f"Asterisk's ODBC class {wanted} has no live connection{error}"
        if connected:
            yield say.passes(f"Asterisk's ODBC class {wanted} is connected.")
        elif unloaded := _driver_manager(evidence):
            yield say.fails(f"{text}: the driver manager found no driver, last: {unloaded}", "odbc_driver_unusable")
        else:
            yield say.fails(f"{text}.", "odbc_disconnected")


def _driver_manager(evidence: Evidence) -> str:
    """The last line about a connection where unixODBC's driver manager itself failed, so that no driver was asked."""
    last = next((line for line in reversed(log_lines(evidence, "odbc_failed")) if "SQLConnect" in line), "")
    return last[:200] if "[Driver Manager]" in last else ""


@rule
def statements(evidence: Evidence) -> Iterator[Finding]:
    """A connection that is open, and over which nothing can be read: the tables were changed under its statements."""
    line = out_of_step(evidence)
    if line is None:
        return
    wanted = str(evidence.settings.get("odbc_class"))
    say = Say("asterisk.statements", "asterisk", wanted, evidence=(("asterisk.log.matches", line),))
    said = f", last: {line[:200]}" if line else "; it could not load the login (auth) of accounts that are there."
    yield say.fails(f"Asterisk is connected to its database and its statements fail{said}", "odbc_out_of_step")


@rule
def identified(evidence: Evidence) -> Iterator[Finding]:
    """Whether an ``identify`` takes clients' requests for another endpoint, whatever account they name."""
    found = evidence.probe("asterisk", "identifies")
    order = found.data["order"] if found.ok else []
    if "ip" not in order or ("username" in order and order.index("username") < order.index("ip")):
        return
    # Behind a proxy every request comes from it.
    before = proxies(evidence) if fronted(evidence) else []
    for one in found.data["sections"]:
        say = Say("asterisk.identify", "asterisk", one["name"], evidence=(("asterisk.identifies", one),))
        networks = one["networks"]
        text = f"The identify {one['name']} takes requests from {', '.join(networks)} for {one['endpoint']}"
        out = [
            path.vantage
            for path in evidence.paths
            if _inside(before or path.seen_as, networks) and _refused_from(evidence, path.vantage)
        ]
        for vantage in out:
            yield replace(say, vantage=vantage).fails(f"{text}, those of {vantage} too.", "identify_matches_clients")
        clients = _inside(client_addresses(evidence), networks) if one["endpoint"] != account_name(evidence) else []
        if clients and not out and not has_contacts(evidence):
            yield say.fails(f"{text}, and {clients[0]} is where the account's client was.", "identify_matches_clients")
        elif not out:
            yield say.passes(f"{text}.")


def _inside(addresses: Iterable[str], networks: Iterable[str]) -> list[str]:
    """The addresses that are in one of the networks."""
    return [address for address in addresses if any(within(address, network) for network in networks)]


def _refused_from(evidence: Evidence, vantage: str) -> bool:
    """Whether registrations of ours were refused from a vantage, or answered without any effect."""
    tests = [by_vantage[vantage] for by_vantage in evidence.registrations().values() if vantage in by_vantage]
    return any(found.ok and not found.data["accepted"] for found in tests)


@rule
def realtime(evidence: Evidence) -> Iterator[Finding]:
    """Which tables Asterisk reads its accounts from."""
    found = evidence.probe("asterisk", "realtime")
    for family, where in sorted(found.data.items()) if found.ok else []:
        yield Say("asterisk.realtime", "asterisk", family).passes(
            f"{family} comes from the table {where.get('table')} of {where.get('database')} over {where.get('driver')}."
        )


@rule
def sources(evidence: Evidence) -> Iterator[Finding]:
    """Asterisk reads its accounts from where the inventory says."""
    found = evidence.probe("asterisk", "sources")
    if found.error == "skipped":
        return
    backend = str(evidence.settings.get("account_backend") or "realtime")
    say = Say("asterisk.sources", "asterisk", backend, evidence=(("asterisk.sources", found.data or found.error),))
    if not found.ok:
        yield say.unknown(f"Where Asterisk reads its accounts from is not known ({found.why}).")
        return
    lost = lost_mapping(evidence)
    yield say.either(
        not lost,
        "Asterisk reads its accounts where the inventory says.",
        f"Asterisk does not read its accounts where the inventory says: {lost}.",
        "account_mapping_lost",
    )


@rule
def accounts(evidence: Evidence) -> Iterator[Finding]:
    """How many accounts Asterisk knows and how many are registered."""
    for name, key, word in (("endpoints", "available", "available"), ("contacts", "reachable", "reachable")):
        found = evidence.probe("asterisk", name)
        say = Say(f"asterisk.{name}", "asterisk", name, evidence=((f"asterisk.{name}", found.data),))
        few = unknown_accounts(evidence) if name == "endpoints" else None
        if few:
            yield say.fails(f"Asterisk knows {few[0]} accounts only, while the table has {few[1]}.")
        elif found.ok:
            yield say.passes(f"Asterisk knows {found.data.get('total')} {name}, {found.data.get(key)} of them {word}.")
        elif answers(evidence):
            yield say.unknown(f"How many {name} there are is not known ({found.why}).")


@rule
def load(evidence: Evidence) -> Iterator[Finding]:
    """Calls, media ports, task processors and file descriptors."""
    calls = evidence.probe("asterisk", "calls")
    if calls.ok:
        up = calls.data.get("calls")
        yield Say("asterisk.calls", "asterisk", "calls").passes(
            f"{counted(up, 'call')} {are(up)} up on {counted(calls.data.get('channels'), 'channel')}."
        )
    media = evidence.probe("asterisk", "rtp_sockets")
    if media.ok:
        first, last = media.data.get("from"), media.data.get("to")
        room = max(1, int(last or 0) - int(first or 0) + 1)
        used = 2 * int(media.data["pairs"]) if "pairs" in media.data else int(media.data.get("open") or 0)
        say = Say("asterisk.rtp", "asterisk", f"{first}-{last}", evidence=(("asterisk.rtp_sockets", media.data),))
        if used >= room * 0.97:
            yield say.fails(
                f"{used} of {room} media ports are taken: no further call finds one.", "rtp_ports_exhausted"
            )
        elif used >= room * 0.8:
            yield say.warns(f"{used} of {room} media ports are taken.")
        else:
            yield say.passes(f"{used} of {room} media ports are taken.")
    tasks = evidence.probe("asterisk", "taskprocessors")
    if tasks.ok:
        over = int(tasks.data.get("over_high_water") or 0)
        say = Say(
            "asterisk.taskprocessors", "asterisk", "taskprocessors", evidence=(("asterisk.taskprocessors", tasks.data),)
        )
        worst = tasks.data.get("worst") or {}
        text = f"{over} task processors are behind; {worst.get('name')} has {worst.get('queued')} tasks queued"
        if over and evidence.settings.get("channel_driver") == "sip":
            yield say.warns(f"{text}.")
        elif over:
            # res_pjsip's distributor: no new request is taken while any task processor has its alert.
            yield say.fails(f"{text}: Asterisk drops new SIP requests until it has caught up.", "asterisk_overloaded")
        else:
            yield say.passes(f"None of {tasks.data.get('count')} task processors is behind.")
    found = evidence.probe("asterisk", "process")
    if found.ok and (limit := found.data.get("open_files_limit")):
        share = int(found.data.get("open_files") or 0) / int(limit)
        say = Say("asterisk.files", "asterisk", "files")
        text = f"Asterisk uses {found.data.get('open_files')} of {limit} file descriptors."
        if share >= FILES_FAIL:
            yield say.fails(text, "asterisk_files_exhausted")
        elif share >= FILES_WARN:
            yield say.warns(text)
        else:
            yield say.passes(text)


def lacks_something(evidence: Evidence) -> bool:
    """Whether Asterisk answers and has a needed module not running, or nothing bound on a port that clients use."""
    modules = evidence.probe("asterisk", "modules")
    if not answers(evidence) or not modules.ok:
        return False
    if any(state != "Running" for state in modules.data.values()):
        return True
    behind = fronted(evidence)
    return any(
        evidence.listening("udp" if transport == "udp" else "tcp", port, loopback=behind) == []
        for transport, port in wanted_transports(evidence)
    )


@rule
def log(evidence: Evidence) -> Iterator[Finding]:
    """What Asterisk itself complains about since its start, by kind."""
    found = evidence.probe("asterisk", "log")
    if not found.ok:
        if found.error != "missing":
            yield Say("asterisk.log", "asterisk", "log").unknown(f"Asterisk's log could not be read ({found.why}).")
        return
    needed = {name.rpartition(".")[0] for name in evidence.probe("asterisk", "modules").data or {}}
    matches = [one for one in found.data.get("matches") or [] if not _stands_apart(one, needed)]
    # What cannot be bound or loaded for another reason is complained of as a mistake of the configuration as well.
    other_reasons = any(
        one.get("kind") in ("bind_failed", "tls_failed") or "could not be started" in str(one.get("text"))
        for one in matches
    )
    for kind, meaning in LOG_KINDS.items():
        lines = [one for one in matches if one.get("kind") == kind]
        decisive = [one for one in lines if not _REPEATS.search(str(one.get("text")))] or lines
        last = str(decisive[-1].get("text", ""))[:200] if decisive else ""
        say = Say(f"asterisk.log.{kind}", "asterisk", kind, evidence=(("asterisk.log.matches", decisive[-2:]),))
        if lines and kind == "config_error" and lacks_something(evidence) and not other_reasons:
            # A mistake that keeps nobody out is worth a word only.
            yield say.fails(
                f"Asterisk {meaning} and lacks a part of itself since, last: {last}",
                "asterisk_config_invalid",
            )
        elif lines and kind == "client_certificate" and not registers(evidence):
            yield say.fails(
                f"Asterisk {meaning}, and nobody registers without one, last: {last}", "client_certificate_required"
            )
        elif lines:
            yield say.warns(f"Asterisk logged that it {meaning}, last: {last}")
        else:
            yield say.passes(f"Asterisk's log does not say that it {meaning}.")


def _stands_apart(line: Mapping[str, Any], needed: Collection[str]) -> bool:
    """Whether a line is about a module or a file that no client needs. ``needed`` are modules, none: not known."""
    text = str(line.get("text"))
    if not needed or line.get("kind") not in ("module_failed", "config_error"):
        return False
    named = {name for found in NAMED.findall(text) for name in found if name}
    apart = all(APART.match(name) and name not in needed for name in named)
    return apart if named else "non-required modules" in text


@rule
def security_log(evidence: Evidence) -> Iterator[Finding]:
    """Whether the security log is on: without it, an unknown account and a wrong password look the same."""
    found = evidence.probe("asterisk", "security_log")
    if found.ok:
        say = Say(
            "asterisk.security_log",
            "asterisk",
            "security",
            evidence=(("asterisk.security_log.recent", found.data.get("recent")),),
        )
        if found.data.get("enabled"):
            yield say.passes("The security log is on.")
        else:
            yield say.warns("The security log is off: unknown accounts and wrong passwords cannot be told apart.")


@rule
def crashes(evidence: Evidence) -> Iterator[Finding]:
    """Core files and restarts of the last hour."""
    found = evidence.probe("asterisk", "crashes")
    if found.ok:
        cores = found.data.get("core_files") or []
        say = Say("asterisk.crashes", "asterisk", "core files", evidence=(("asterisk.crashes", found.data),))
        if cores:
            yield say.warns(f"Asterisk has left {len(cores)} core files, last {cores[-1]}.")
        else:
            yield say.passes("Asterisk has left no core file.")


def _no_answer(code: str, subject: str, about: str, found: Probe[Any], evidence: Evidence) -> Iterator[Finding]:
    """A question that Asterisk did not answer: unknown, and its silence is a finding of its own rule."""
    why = found.why if answers(evidence) else "Asterisk does not answer"
    yield Say(code, subject, about).unknown(f"Not known: {why}.")
