# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host: units, disks, memory, clock, interfaces, routes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..evidence import Evidence, plain
from ..facts import answered, log_lines, nothing_checked, proxies, registers, wanted_transports
from ..finding import Finding, Say, rule

#: Share of a disk or of its inodes in use.
DISK_WARN, DISK_FAIL = 0.90, 0.995
#: Bytes below which nothing can be relied on to write, whatever the share.
DISK_FLOOR = 2 * 1024 * 1024
#: Seconds that the server's clock may differ from the control node's.
SKEW_WARN, SKEW_FAIL = 5.0, 60.0
MEMORY_WARN = 0.05

UNIT_SETTINGS = ("asterisk_unit", "database_unit", "provisioning_unit")
#: The programs of the units that the kernel may have ended, and how it tells of it.
PROGRAMS = {"asterisk_unit": {"asterisk"}, "database_unit": {"mariadbd", "mysqld", "postgres"}}
#: How the drivers of MariaDB, MySQL and PostgreSQL tell that they cannot look up their host.
UNKNOWN_HOST = re.compile(r"Unknown (?:MySQL )?server host|could not translate host name")
VICTIM = re.compile(r"[Kk]illed process \d+ \(([^)]{1,40})\)")
SIGKILL = 9


@rule
def entered(evidence: Evidence) -> Iterator[Finding]:
    """Whether the server could be entered at all."""
    say = Say("host.ssh", "host", evidence.name, evidence=(("server", evidence.server.error or "ok"),))
    if evidence.server.ok:
        yield say.passes("The server could be entered over SSH.")
    else:
        yield say.unknown(f"{nothing_checked(evidence)} ({evidence.server.why}).")


@rule
def system(evidence: Evidence) -> Iterator[Finding]:
    """What it runs."""
    found = evidence.probe("host", "os")
    if found.ok:
        yield Say("host.os", "host", "os").passes(
            f"{found.data.get('id')} {found.data.get('version')}, Linux {found.data.get('kernel')}."
        )


@rule
def resolvers(evidence: Evidence) -> Iterator[Finding]:
    """Whether the server itself can resolve names: of its database, of contacts, of its own."""
    found = evidence.probe("host", "resolvers")
    if not found.ok or not found.data:
        return
    say = Say("host.resolvers", "host", "resolvers", evidence=(("host.resolvers", found.data),))
    silent = [f"{address} ({one['message']})" for address, one in found.data.items() if not one["answers"]]
    text = f"Of the server's own resolvers, {', '.join(silent)} did not answer it"
    unknown_hosts = [line for line in log_lines(evidence, "odbc_failed") if UNKNOWN_HOST.search(line)]
    lines = [*log_lines(evidence, "resolver_failed"), *unknown_hosts]
    if not silent:
        yield say.passes("The server's own resolvers answer it.")
    elif len(silent) < len(found.data) or registers(evidence) or not (lines or answered(evidence)):
        # What keeps the server's packets from everybody keeps its questions from its resolver, too.
        yield say.warns(f"{text}.")
    else:
        yield say.fails(f"{text}{f', last: {lines[-1][:200]}' if lines else '.'}", "server_resolver_down")


@rule
def units(evidence: Evidence) -> Iterator[Finding]:
    """The units that matter; Asterisk and the database have rules of their own for the cause."""
    found = evidence.probe("host", "units")
    if not found.ok:
        yield Say("host.unit", "host", "units").unknown(f"The state of the units is not known ({found.why}).")
        return
    provisioning = str(evidence.settings.get("provisioning_unit") or "")
    own = {str(evidence.settings.get(setting) or "") for setting in UNIT_SETTINGS}
    for name, unit in sorted(found.data.items()):
        if unit.get("load_state") == "not-found" and name not in own:
            continue
        say = Say("host.unit", "host", name, evidence=((f"host.units.{name}", unit),))
        state = f"{unit.get('active_state')} ({unit.get('sub_state')})"
        if unit.get("active_state") == "active":
            yield say.passes(f"{name} is {state}.")
        elif name == provisioning:
            yield say.fails(f"{name} is {state}: {unit.get('result')}.", "provisioning_down")
        elif name in own:
            # The rules of Asterisk and of the database say what it means.
            yield say.warns(f"{name} is {state}: {unit.get('result')}.")
        else:
            yield say.warns(f"{name} is {state}; clients can connect all the same.")
    failed = evidence.probe("host", "failed_units")
    others = [name for name in failed.data if name not in own] if failed.ok else []
    if failed.ok:
        say = Say("host.failed_units", "host", "units", evidence=(("host.failed_units", others),))
        if others:
            yield say.warns(f"Units that have failed, beside the ones that matter here: {', '.join(others[:8])}.")
        else:
            yield say.passes("No other unit has failed.")


@rule
def disks(evidence: Evidence) -> Iterator[Finding]:
    """Space and inodes where the database, the logs and the spool live."""
    found = evidence.probe("host", "disks")
    if not found.ok:
        yield Say("host.disk", "host", "disks").unknown(f"How full the disks are is not known ({found.why}).")
        return
    largest = evidence.probe("host", "largest_files")
    for disk in found.data:
        path = str(disk.get("path"))
        size, available = int(disk.get("size") or 0), int(disk.get("available") or 0)
        share = 1 - available / size if size else 0.0
        say = Say("host.disk", "host", path, evidence=(("host.disks", disk), ("host.largest_files", largest.data)))
        text = f"{path} is {share:.0%} full, {available // 1024**2} MiB are left."
        if size and (share >= DISK_FAIL or available < min(DISK_FLOOR, size // 20)):
            yield say.fails(text, "disk_full")
        elif share >= DISK_WARN:
            yield say.warns(text)
        else:
            yield say.passes(text)
        inodes, left = int(disk.get("inodes") or 0), int(disk.get("inodes_available") or 0)
        if inodes:
            say = Say("host.inodes", "host", path, evidence=(("host.disks", disk),))
            text = f"{path} has {left} of {inodes} inodes left."
            yield say.either(left > inodes * 0.002, text, text, "inodes_exhausted")
        if disk.get("read_only"):
            say = Say("host.disk.read_only", "host", path, evidence=(("host.disks", disk),))
            yield say.fails(f"{path} is mounted read-only.")


@rule
def memory(evidence: Evidence) -> Iterator[Finding]:
    """Memory that is left, and processes that the kernel ended for want of it."""
    found = evidence.probe("host", "memory")
    if found.ok and (total := found.data.get("total")):
        share = int(found.data.get("available") or 0) / int(total)
        say = Say("host.memory", "host", "memory", evidence=(("host.memory", found.data),))
        text = f"{share:.0%} of the memory is available."
        yield say.warns(text) if share < MEMORY_WARN else say.passes(text)
    kernel = evidence.probe("host", "kernel_log")
    if kernel.ok:
        lines = kernel.data.get("oom") or []
        say = Say("host.oom", "host", "kernel", evidence=(("host.kernel_log.oom", lines[-3:]),))
        if lines:
            yield say.warns(f"The kernel ended processes for want of memory, last: {str(lines[-1])[:200]}")
        else:
            yield say.passes("The kernel has not ended a process for want of memory.")
        yield from _ended_by_the_kernel(evidence, {match[1] for line in lines if (match := VICTIM.search(str(line)))})
        if kernel.data.get("conntrack_full"):
            yield Say("host.conntrack", "host", "kernel").warns("The kernel's connection table was full.")


def _ended_by_the_kernel(evidence: Evidence, victims: set[str]) -> Iterator[Finding]:
    """The units that the kernel ended: by systemd's own word, else by a SIGKILL that the kernel told of."""
    largest = evidence.probe("host", "largest_processes")
    for setting, programs in PROGRAMS.items():
        name, unit = str(evidence.settings.get(setting) or ""), evidence.unit(setting)
        if unit is None or unit.get("active_state") == "active":
            continue
        told = unit.get("exec_main_status") == SIGKILL and programs & victims
        if unit.get("result") == "oom-kill" or told:
            eaters = (
                [f"{one['name']} ({int(one['rss']) // 1024**2} MiB)" for one in largest.data[:3]] if largest.ok else []
            )
            most = f" Most memory is held by {', '.join(eaters)}." if eaters else ""
            say = Say(
                "host.memory.unit",
                "host",
                name,
                evidence=((f"host.units.{name}", unit), ("host.largest_processes", largest.data)),
            )
            yield say.fails(f"The kernel ended {name} for want of memory.{most}", "memory_exhausted")


@rule
def load(evidence: Evidence) -> Iterator[Finding]:
    """How busy it is; a busy server alone refuses no client."""
    found = evidence.probe("host", "load")
    if found.ok:
        cpus = max(1, int(found.data.get("cpus") or 1))
        one = float(found.data.get("one") or 0)
        say = Say("host.load", "host", "load", evidence=(("host.load", found.data),))
        text = f"The load is {one:.1f} on {cpus} processors."
        yield say.warns(text) if one > 4 * cpus else say.passes(text)


@rule
def clock(evidence: Evidence) -> Iterator[Finding]:
    """The server's clock against the control node's, taken in the same round."""
    found = evidence.probe("host", "clock")
    if not found.ok:
        yield Say("host.clock", "host", "clock").unknown(f"The server's time is not known ({found.why}).")
        return
    taken = evidence.taken_at
    if taken is None:
        return
    # The evidence was taken over a span: within it no skew can be told.
    span = float(evidence.document.get("seconds") or 0)
    skew = float(found.data.get("epoch") or 0) - taken.timestamp()
    skew = skew - span if skew > span else min(skew, 0.0) if skew < 0 else 0.0
    say = Say("host.clock", "host", "clock", evidence=(("host.clock", found.data),))
    text = f"The server's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the control node's."
    if abs(skew) > SKEW_FAIL:
        yield say.fails(text, "clock_skew")
    elif abs(skew) > SKEW_WARN:
        yield say.warns(text)
    else:
        yield say.passes("The server's clock agrees with the control node's.")


@rule
def interfaces(evidence: Evidence) -> Iterator[Finding]:
    """Links and addresses, and the way out."""
    found = evidence.probe("host", "interfaces")
    wanted = [str(address) for address in evidence.settings.get("addresses") or []]
    links = [link for link in found.data if link.get("name") != "lo" and link.get("addresses")] if found.ok else []
    working = {_bare(address) for link in links if _is_up(link) for address in link["addresses"]}
    for link in links:
        name, seen = str(link.get("name")), (("host.interfaces", link),)
        lost = [address for address in map(_bare, link["addresses"]) if address in wanted and address not in working]
        if _is_up(link):
            yield Say("host.interface", "host", name, evidence=seen).passes(
                f"{name} is up with {', '.join(map(str, link['addresses']))}."
            )
        elif not lost:
            # A bridge without a container, a port that nobody uses: clients don't come that way.
            yield Say("host.interface", "host", name, evidence=seen).warns(
                f"{name} is {link.get('state')}; no address that clients use is on it."
            )
        reasons: dict[bool | None, str] = {False: ": it is switched off", True: ": it has no carrier"}
        why = reasons.get(link.get("enabled"), "")
        for address in lost if not _is_up(link) else ():
            yield Say("host.interface", "host", address, evidence=seen).fails(
                f"{name}, which has the server's address {address}, is {link.get('state')}{why}.", "interface_down"
            )
    if found.ok and wanted:
        own = {_bare(address) for link in found.data for address in link.get("addresses") or []}
        before = proxies(evidence)
        for address in [one for one in wanted if plain(one) not in before]:
            # Behind address translation a server does not know its public address: no failure by itself.
            say = Say("host.address", "host", address, evidence=(("host.interfaces", sorted(own)),))
            yield (
                say.passes(f"The server has the address {address}.")
                if address in own
                else say.warns(f"No interface of the server has the address {address}.")
            )
    routes = evidence.probe("host", "routes")
    if routes.ok:
        default = [
            one
            for one in routes.data
            if one.get("destination") in ("default", "0.0.0.0/0") and one.get("kind", "unicast") == "unicast"
        ]
        say = Say("host.default_route", "host", "default", evidence=(("host.routes", routes.data[:20]),))
        gateway = default[0].get("gateway") if default else None
        yield say.either(
            bool(default),
            f"The default route leads over {gateway}.",
            "The server has no default route.",
            "default_route_missing",
        )


def _is_up(link: Mapping[str, Any]) -> bool:
    """Whether a link carries packets; one without a notion of it (a tunnel) is ``unknown``."""
    return str(link.get("state")).lower() in ("up", "unknown")


def _bare(address: object) -> str:
    return str(address).partition("/")[0]


@rule
def tls_files(evidence: Evidence) -> Iterator[Finding]:
    """The certificate and key on the disk, whatever is being served."""
    found = evidence.probe("host", "tls_files")
    path = str(evidence.settings.get("tls_certificate_file") or "")
    # Behind a proxy that does not come over TLS nobody sees them.
    if not path or all(transport != "tls" for transport, _port in wanted_transports(evidence)):
        return
    if not found.ok:
        say = Say("tls.files", "network", path, evidence=(("host.tls_files", found.error),))
        if found.error in ("invalid", "missing"):
            yield say.fails(f"Asterisk cannot use the certificate file ({found.message}).", "tls_certificate_unusable")
        else:
            yield say.unknown(f"The certificate on the disk could not be read ({found.why}).")
        return
    key = found.data.get("key") or {}
    say = Say(
        "tls.key",
        "network",
        str(key.get("path") or evidence.settings.get("tls_key_file")),
        evidence=(("host.tls_files.key", key),),
    )
    problem = (
        "cannot be read by Asterisk"
        if key.get("readable") is False
        else "is encrypted"
        if key.get("encrypted")
        else "does not belong to the certificate"
        if key.get("matches") is False
        else ""
    )
    if problem:
        error = f" ({key['error']})" if key.get("error") else ""
        yield say.fails(f"The certificate's private key {problem}{error}.", "tls_key_unusable")
    elif key.get("matches") is None:
        yield say.unknown(
            f"Whether the key belongs to the certificate is not known ({key.get('error') or 'it was not compared'})."
        )
    else:
        yield say.passes("The private key belongs to the certificate and can be used.")
