# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host a server runs on: its units, load, memory, clock, network and what its kernel says.

Every ``parse_…`` is a pure function of what the host answered; the shapes are those of ``host`` in docs/documents.md.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import re
import time

from ansible_collections.privatewave.reconnect.plugins.module_utils import (
    _disks,
    _firewall,
    _process,
    _sockets,
    _tls_files,
)
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._run import run

LIMIT = 3.0
#: What a program may take: less than its question, so that the question can still say which program was silent.
PROGRAM_LIMIT = 2.7

FAIL2BAN_UNIT = "fail2ban.service"
#: Debian and Red Hat call it differently; one is an alias of the other, or not there.
SSH_UNITS = ("ssh.service", "sshd.service")

_UNIT_TEXTS = {
    "LoadState": "load_state",
    "ActiveState": "active_state",
    "SubState": "sub_state",
    "Result": "result",
    "UnitFileState": "unit_file_state",
}
_UNIT_NUMBERS = {
    "MainPID": "main_pid",
    "NRestarts": "n_restarts",
    "ExecMainStatus": "exec_main_status",
    "ExecMainCode": "exec_main_code",
}
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
#: Beyond this error (microseconds) the kernel's clock counts as synchronized with nobody: NTP_PHASE_LIMIT of Linux.
_CLOCK_ERROR = 16000000


def questions(settings, account=None):
    """``{probe: (function, limit in seconds)}`` of the subset ``host``."""
    del account
    filters = _firewall.Firewall()
    return {
        "os": (system, LIMIT),
        "units": (lambda: units(settings), LIMIT),
        "failed_units": (failed_units, LIMIT),
        "sockets": (_sockets.sockets, LIMIT),
        "disks": (lambda: _disks.disks(settings), LIMIT),
        "largest_files": (lambda: _disks.largest_files(settings), LIMIT),
        "memory": (memory, LIMIT),
        "largest_processes": (lambda: _process.largest(_PROCESSES), LIMIT),
        "load": (load, LIMIT),
        "clock": (clock, LIMIT),
        "interfaces": (interfaces, LIMIT),
        "routes": (routes, LIMIT),
        "firewall": (filters.firewall, LIMIT),
        "bans": (filters.bans, LIMIT),
        "kernel_log": (kernel_log, LIMIT),
        "tls_files": (lambda: _tls_files.tls_files(settings), LIMIT),
    }


def system():
    """The operating system, its kernel, and when it was started."""
    release = {}
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        if os.path.exists(path):
            release = parse_os_release(_read(path))
            break
    return {
        "id": release.get("ID", "linux"),
        "version": release.get("VERSION_ID") or release.get("VERSION_CODENAME") or "",
        "kernel": platform.release(),
        "boot_time": _moment(time.time() - float(_read("/proc/uptime").split()[0])),
        "python": platform.python_version(),
    }


def parse_os_release(text):
    """The assignments of os-release(5), without their quotes."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            found[name] = value.strip().strip("\"'")
    return found


def units(settings):
    """The states of the units that matter, in one question to systemd."""
    own = [settings.get(name) for name in ("asterisk_unit", "database_unit", "provisioning_unit")]
    names = [name for name in [*own, FAIL2BAN_UNIT] if name]
    properties = ",".join([*_UNIT_TEXTS, *_UNIT_NUMBERS, "ActiveEnterTimestamp", "RestartUSec"])
    asked = [*names, *SSH_UNITS]
    found = parse_units(run(["systemctl", "show", "--property=" + properties, "--", *asked], PROGRAM_LIMIT), asked)
    ssh = next((name for name in SSH_UNITS if found[name]["load_state"] != "not-found"), SSH_UNITS[0])
    return {name: found[name] for name in [*names, ssh]}


def parse_units(text, names):
    """``{unit: {…}}`` of ``systemctl show`` of several units, which answers in the order of asking."""
    blocks = [block for block in text.split("\n\n") if block.strip()]
    if len(blocks) != len(names):
        raise ProbeError("invalid", "systemctl described {0} of {1} units".format(len(blocks), len(names)))
    return {name: _unit(block) for name, block in zip(names, blocks)}


def _unit(block):
    values = dict(line.partition("=")[::2] for line in block.strip().splitlines())
    found = {key: values.get(name) or None for name, key in _UNIT_TEXTS.items()}
    found.update((key, _number(values.get(name))) for name, key in _UNIT_NUMBERS.items())
    found["active_enter"] = _timestamp(values.get("ActiveEnterTimestamp", ""))
    found["restart_usec"] = _span(values.get("RestartUSec", ""))
    return found


def _number(text):
    return int(text) if text and text.lstrip("-").isdigit() else None


def _timestamp(text):
    """RFC 3339 of systemd's ``Mon 2026-01-31 03:00:00 UTC``, None when it never happened."""
    words = text.split()
    return "{0}T{1}Z".format(words[1], words[2]) if len(words) == 4 else None


def _span(text):
    """Microseconds of systemd's ``1min 30s``; None for ``infinity``."""
    parts = re.findall(r"([0-9.]+)([a-z]+)", text)
    if not parts:
        return 0 if text == "0" else None
    return int(sum(float(number) * _SPANS.get(unit, 0) for number, unit in parts))


def failed_units():
    """The names of the units that have failed."""
    return parse_failed_units(
        run(["systemctl", "list-units", "--failed", "--plain", "--no-legend", "--full"], PROGRAM_LIMIT)
    )


def parse_failed_units(text):
    """The first word of each line; old releases put a dot before it."""
    rows = [line.replace("\u25cf", " ").split() for line in text.splitlines()]
    return [row[0] for row in rows if row]


def memory():
    """Memory and swap, in bytes."""
    return parse_memory(_read("/proc/meminfo"))


def parse_memory(text):
    """The four figures of ``/proc/meminfo`` (which counts in KiB)."""
    values = {}
    for line in text.splitlines():
        name, _colon, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            values[name] = int(words[0]) * 1024
    names = {"total": "MemTotal", "available": "MemAvailable", "swap_total": "SwapTotal", "swap_free": "SwapFree"}
    return {key: values.get(name) for key, name in names.items()}


def load():
    """How many processes wanted to run, over one, five and fifteen minutes."""
    one, five, fifteen = (float(word) for word in _read("/proc/loadavg").split()[:3])
    return {"one": one, "five": five, "fifteen": fifteen, "cpus": os.cpu_count()}


def clock():
    """The time of this host, and whether its kernel is being told the time."""
    return {"epoch": round(time.time(), 3), "synchronized": _synchronized()}


def _synchronized():
    """What ``timedatectl`` would say, asked of the kernel itself (adjtimex(2), nothing is adjusted); None: unknown."""
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


def interfaces():
    """The links with their addresses."""
    return parse_interfaces(run(["ip", "-j", "addr"], PROGRAM_LIMIT))


def parse_interfaces(text):
    """The links of ``ip -j addr``."""
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


def routes():
    """The main routing tables of both families."""
    found = []
    for family in (4, 6):
        answer = run(["ip", "-j", "-{0}".format(family), "route", "show", "table", "main"], PROGRAM_LIMIT / 2)
        found.extend(parse_routes(answer, family))
    return found


def parse_routes(text, family):
    """The routes of ``ip -j route show``; one over several gateways is several routes."""
    found = []
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


def kernel_log():
    """What the kernel said in the last hour about memory and connections it could not give."""
    # The last lines, asked for backwards: older releases take -n with --since for the first ones.
    last = ["journalctl", "-k", "-q", "-r", "-n", str(_KERNEL_LINES), "--since=-1h", "--no-pager", "-o", "short-iso"]
    try:
        lines = run(last, PROGRAM_LIMIT).splitlines()[::-1]
    except ProbeError as error:
        if error.error != "missing":
            raise
        lines = run(["dmesg"], PROGRAM_LIMIT).splitlines()[-_KERNEL_LINES:]
    return parse_kernel_log(lines)


def parse_kernel_log(lines):
    """The lines about processes ended for want of memory (the last ones), and whether connection tracking was full."""
    return {
        "oom": [line[:300] for line in lines if _OOM.search(line)][-_OOM_LINES:],
        "conntrack_full": any("nf_conntrack: table full" in line for line in lines),
    }


def _json(text):
    try:
        return [one for one in json.loads(text or "[]") if isinstance(one, dict)]
    except ValueError as error:
        raise ProbeError("invalid", "this is not the JSON that was asked for: {0}".format(error)) from None


def _read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(1024 * 1024)


def _moment(epoch):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))
