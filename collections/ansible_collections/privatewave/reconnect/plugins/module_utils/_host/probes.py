# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host of a server: its units, load, memory, clock, network and kernel log.

Every ``parse_…`` is a pure function of what the host answered.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import time
from typing import TYPE_CHECKING, Any

from ansible_collections.privatewave.reconnect.plugins.module_utils._common import plain_json
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import (
    disks,
    files,
    firewall,
    process,
    sockets,
    stops,
)
from ansible_collections.privatewave.reconnect.plugins.module_utils._host.run import run
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import dns
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ansible_collections.privatewave.reconnect.plugins.module_utils._host.documents import (
        Clock,
        Family,
        Interface,
        KernelLog,
        Load,
        Memory,
        Resolver,
        Route,
        System,
        Unit,
    )
    from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import Question
    from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import Settings

LIMIT = 3.0
#: The limit of a program is shorter than its question's: the question can then say which program did not answer.
PROGRAM_LIMIT = 2.7

FAIL2BAN_UNIT = "fail2ban.service"
#: Resolvers that a program asks (resolv.conf(5), MAXNS).
RESOLVERS = 3
#: The names of Debian and Red Hat. One is an alias of the other, or is missing.
SSH_UNITS = ("ssh.service", "sshd.service")

_UNIT_PROPERTIES = (
    "LoadState,ActiveState,SubState,Result,UnitFileState,MainPID,NRestarts,ExecMainStatus,ExecMainCode,"
    "ActiveEnterTimestamp,RestartUSec"
)
_SPANS = {
    "us": 1,
    "ms": 10**3,
    "s": 10**6,
    "min": 60 * 10**6,
    "h": 3600 * 10**6,
    "d": 86400 * 10**6,
    "w": 7 * 86400 * 10**6,
}
_PROCESSES = 5
_KERNEL_LINES = 1000
_OOM_LINES = 20
_OOM = re.compile(r"out of memory|oom-kill|oom_reaper|killed process", re.IGNORECASE)
#: From this error on (microseconds) the kernel's clock is not synchronized: NTP_PHASE_LIMIT of Linux.
_CLOCK_ERROR = 16000000


def questions(settings: Settings, account: str | None = None) -> dict[str, Question]:
    """The questions of the subset ``host`` by the name of their probe, see `documents.Host`."""
    del account
    filters = firewall.Firewall()
    return {
        "os": (system, LIMIT),
        "units": (lambda: units(settings), LIMIT),
        "failed_units": (failed_units, LIMIT),
        "stops": (lambda: stops.stops([name for name in _own_units(settings) if name]), LIMIT),
        "sockets": (sockets.sockets, LIMIT),
        "disks": (lambda: disks.disks(settings), LIMIT),
        "largest_files": (lambda: disks.largest_files(settings), LIMIT),
        "memory": (memory, LIMIT),
        "largest_processes": (lambda: process.largest(_PROCESSES), LIMIT),
        "load": (load, LIMIT),
        "clock": (clock, LIMIT),
        "interfaces": (interfaces, LIMIT),
        "routes": (routes, LIMIT),
        "resolvers": (lambda: resolvers(settings), LIMIT),
        "firewall": (filters.firewall, LIMIT),
        "bans": (filters.bans, LIMIT),
        "kernel_log": (kernel_log, LIMIT),
    }


def system() -> System:
    """The operating system, its kernel, and the time of its start."""
    release: dict[str, str] = {}
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        if os.path.exists(path):
            release = parse_os_release(files.read(path))
            break
    return {
        "id": release.get("ID", "linux"),
        "version": release.get("VERSION_ID") or release.get("VERSION_CODENAME") or "",
        "kernel": platform.release(),
        "boot_time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(process.boot_time())),
        "python": platform.python_version(),
    }


def parse_os_release(text: str) -> dict[str, str]:
    """The assignments of os-release(5), without their quotes."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            found[name] = value.strip().strip("\"'")
    return found


def units(settings: Settings) -> dict[str, Unit]:
    """The states of the units of Asterisk, database, provisioning, fail2ban and SSH; systemd is asked once."""
    names = [name for name in (*_own_units(settings), FAIL2BAN_UNIT) if name]
    asked = [*names, *SSH_UNITS]
    command = ["systemctl", "show", "--property=" + _UNIT_PROPERTIES, "--", *asked]
    found = parse_units(run(command, PROGRAM_LIMIT), asked)
    ssh = next((name for name in SSH_UNITS if found[name]["load_state"] != "not-found"), SSH_UNITS[0])
    return {name: found[name] for name in [*names, ssh]}


def _own_units(settings: Settings) -> tuple[str | None, ...]:
    return settings.get("asterisk_unit"), settings.get("database_unit"), settings.get("provisioning_unit")


def parse_units(text: str, names: Sequence[str]) -> dict[str, Unit]:
    """The units of ``systemctl show``, which answers in the order of asking. Raises `ProbeError`."""
    blocks = [block for block in text.split("\n\n") if block.strip()]
    if len(blocks) != len(names):
        raise ProbeError("invalid", "systemctl described {0} of {1} units".format(len(blocks), len(names)))
    return {name: _unit(block) for name, block in zip(names, blocks)}


def _unit(block: str) -> Unit:
    values = {name: value for name, _equals, value in (line.partition("=") for line in block.strip().splitlines())}
    return {
        "load_state": values.get("LoadState") or None,
        "active_state": values.get("ActiveState") or None,
        "sub_state": values.get("SubState") or None,
        "result": values.get("Result") or None,
        "unit_file_state": values.get("UnitFileState") or None,
        "main_pid": _number(values.get("MainPID")),
        "n_restarts": _number(values.get("NRestarts")),
        "exec_main_status": _number(values.get("ExecMainStatus")),
        "exec_main_code": _number(values.get("ExecMainCode")),
        "active_enter": _timestamp(values.get("ActiveEnterTimestamp", "")),
        "restart_usec": _span(values.get("RestartUSec", "")),
    }


def _number(text: str | None) -> int | None:
    return int(text) if text and text.lstrip("-").isdigit() else None


def _timestamp(text: str) -> str | None:
    """RFC 3339 of systemd's ``Mon 2026-01-31 03:00:00 UTC``; None: never."""
    words = text.split()
    return "{0}T{1}Z".format(words[1], words[2]) if len(words) == 4 else None


def _span(text: str) -> int | None:
    """Microseconds of systemd's ``1min 30s``; None for ``infinity``."""
    parts = re.findall(r"([0-9.]+)([a-z]+)", text)
    if not parts:
        return 0 if text == "0" else None
    return int(sum(float(number) * _SPANS.get(unit, 0) for number, unit in parts))


def failed_units() -> list[str]:
    """The names of the units that have failed."""
    return parse_failed_units(
        run(["systemctl", "list-units", "--failed", "--plain", "--no-legend", "--full"], PROGRAM_LIMIT)
    )


def parse_failed_units(text: str) -> list[str]:
    """The first word of each line; old releases print a dot before it."""
    rows = [line.replace("\u25cf", " ").split() for line in text.splitlines()]
    return [row[0] for row in rows if row]


def memory() -> Memory:
    """Memory and swap, in bytes."""
    return parse_memory(files.read("/proc/meminfo"))


def parse_memory(text: str) -> Memory:
    """The four figures of ``/proc/meminfo`` (which counts in KiB)."""
    values: dict[str, int] = {}
    for line in text.splitlines():
        name, _colon, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            values[name] = int(words[0]) * 1024
    return {
        "total": values.get("MemTotal"),
        "available": values.get("MemAvailable"),
        "swap_total": values.get("SwapTotal"),
        "swap_free": values.get("SwapFree"),
    }


def load() -> Load:
    """How many processes wanted to run, over one, five and fifteen minutes."""
    one, five, fifteen = (float(word) for word in files.read("/proc/loadavg").split()[:3])
    return {"one": one, "five": five, "fifteen": fifteen, "cpus": os.cpu_count()}


def clock() -> Clock:
    """The time of this host, and whether its clock is synchronized."""
    return {"epoch": round(time.time(), 3), "synchronized": _synchronized()}


def _synchronized() -> bool | None:
    """What ``timedatectl`` reports, read from the kernel (adjtimex(2), nothing is adjusted); None: unknown."""
    timex = ctypes.create_string_buffer(512)
    try:
        state = ctypes.CDLL(None).adjtimex(timex)
    except (OSError, AttributeError):
        return None
    if state < 0:
        return None
    # struct timex: modes (int, padded), offset, frequency, maximum error (long).
    long_size = ctypes.sizeof(ctypes.c_long)
    return ctypes.c_long.from_buffer(timex, 3 * long_size).value < _CLOCK_ERROR


def interfaces() -> list[Interface]:
    """The network interfaces with their addresses."""
    return parse_interfaces(run(["ip", "-j", "addr"], PROGRAM_LIMIT))


def parse_interfaces(text: str) -> list[Interface]:
    """The interfaces of ``ip -j addr``. Raises `ProbeError`."""
    return [
        {
            "name": link["ifname"],
            "state": str(link.get("operstate", "unknown")).lower(),
            "enabled": "UP" in (link.get("flags") or ()),
            "mtu": link.get("mtu"),
            "addresses": [
                "{0}/{1}".format(one["local"], one.get("prefixlen"))
                for one in link.get("addr_info", ())
                if one.get("local")
            ],
        }
        for link in _json(text)
        if link.get("ifname")
    ]


def routes() -> list[Route]:
    """The main routing tables of both families."""
    found: list[Route] = []
    families: tuple[Family, ...] = (4, 6)
    for family in families:
        answer = run(["ip", "-j", "-{0}".format(family), "route", "show", "table", "main"], PROGRAM_LIMIT / 2)
        found.extend(parse_routes(answer, family))
    return found


def parse_routes(text: str, family: Family) -> list[Route]:
    """The routes of ``ip -j route show``; a route over several gateways becomes several. Raises `ProbeError`."""
    found: list[Route] = []
    for route in _json(text):
        for hop in route.get("nexthops") or [route]:
            found.append(
                {
                    "family": family,
                    "destination": route.get("dst"),
                    "gateway": hop.get("gateway") or (hop.get("via") or {}).get("host"),
                    "device": hop.get("dev"),
                    "kind": route.get("type", "unicast"),
                }
            )
    return found


def resolvers(settings: Settings) -> dict[str, Resolver]:
    """Whether each resolver of this server answers a question, whatever its answer is."""
    # Where none is named, programs ask the server itself: resolv.conf(5).
    asked = dns.system_resolvers()[:RESOLVERS] or ["127.0.0.1"]
    found: dict[str, Resolver] = {}
    for address in asked:
        found[address] = {"answers": True, "message": ""}
        try:
            dns.lookup(address, settings.get("sip_domain") or "localhost", "A", PROGRAM_LIMIT / len(asked))
        except ProbeError as error:
            found[address] = {"answers": error.error == "invalid", "message": str(error)}
    return found


def kernel_log() -> KernelLog:
    """What the kernel logged in the last hour about a lack of memory or of tracked connections."""
    # The last lines are asked for backwards: older releases print the first ones for -n with --since.
    last = ["journalctl", "-k", "-q", "-r", "-n", str(_KERNEL_LINES), "--since=-1h", "--no-pager", "-o", "short-iso"]
    try:
        lines = run(last, PROGRAM_LIMIT).splitlines()[::-1]
    except ProbeError as error:
        if error.error != "missing":
            raise
        lines = run(["dmesg"], PROGRAM_LIMIT).splitlines()[-_KERNEL_LINES:]
    return parse_kernel_log(lines)


def parse_kernel_log(lines: Iterable[str]) -> KernelLog:
    """The last lines about processes killed for a lack of memory, and whether connection tracking was full."""
    return {
        "oom": [line[:300] for line in lines if _OOM.search(line)][-_OOM_LINES:],
        "conntrack_full": any("nf_conntrack: table full" in line for line in lines),
    }


def _json(text: str) -> list[dict[str, Any]]:
    try:
        return [one for one in plain_json(text or "[]") if isinstance(one, dict)]
    except ValueError as error:
        raise ProbeError("invalid", "the answer is not valid JSON: {0}".format(error)) from None
