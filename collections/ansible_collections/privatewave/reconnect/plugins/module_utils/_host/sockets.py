# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens on which port, read from /proc alone: it works when the processes do not answer."""

from __future__ import annotations

import ipaddress
import os
import re
import struct
import sys
from typing import TYPE_CHECKING, TypedDict

from ansible_collections.privatewave.reconnect.plugins.module_utils._host import files, process
from ansible_collections.privatewave.reconnect.plugins.module_utils._host.run import run
from ansible_collections.privatewave.reconnect.plugins.module_utils._lease.processes import RUN_VARIABLE
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

if TYPE_CHECKING:
    from collections.abc import Collection

    from ansible_collections.privatewave.reconnect.plugins.module_utils._host.documents import (
        Family,
        ListeningSocket,
        Owner,
        Protocol,
    )


class OpenSocket(TypedDict):
    """A listening socket as the kernel lists it."""

    proto: Protocol
    family: Family
    address: str
    port: int
    inode: int


#: States of include/net/tcp_states.h: a listening TCP socket, and a UDP socket that is not connected.
_LISTENING: dict[Protocol, str] = {"tcp": "0A", "udp": "07"}
#: Where systemd keeps the units that have no file, such as those of systemd-run.
_TRANSIENT = "/run/systemd/transient/"
_SOCKET = re.compile(r"^Listen=.*:([0-9]+) \((Stream|Datagram)\)$", re.MULTILINE)
_LIMIT = 2.0
_RUN = RUN_VARIABLE + "="
_SERVICE = re.compile(r"/([^/\n]+\.(?:service|scope))(?=/|$)", re.MULTILINE)


def sockets() -> list[ListeningSocket]:
    """The listening sockets of both families, with the process and the unit that hold them."""
    found: list[OpenSocket] = []
    families: tuple[Family, ...] = (4, 6)
    for proto in _LISTENING:
        for family in families:
            path = "/proc/net/" + proto + ("6" if family == 6 else "")
            try:
                found.extend(parse_sockets(files.read(path, 16 * 1024 * 1024), proto, family))
            except FileNotFoundError:
                continue
    owners = _owners({one["inode"] for one in found})
    of_systemd = _socket_units() if any(owner["pid"] == 1 for owner in owners.values()) else {}
    nobody: Owner = {"pid": None, "process": None, "unit": None}
    listed: list[ListeningSocket] = [
        {
            "proto": one["proto"],
            "family": one["family"],
            "address": one["address"],
            "port": one["port"],
            **owners.get(one["inode"], nobody),
        }
        for one in found
    ]
    for socket in listed:
        unit = of_systemd.get((socket["proto"], socket["port"])) if socket["pid"] == 1 else None
        if unit:
            socket["unit"], socket["triggers"] = unit
    return listed


def _socket_units() -> dict[tuple[str, int], tuple[str, str]]:
    """The socket units and their services by protocol and port; empty when systemd does not answer."""
    try:
        return parse_socket_units(run(["systemctl", "show", "--property=Id,Triggers,Listen", "*.socket"], _LIMIT))
    except ProbeError:
        return {}


def parse_socket_units(text: str) -> dict[tuple[str, int], tuple[str, str]]:
    """The units of ``systemctl show *.socket`` and the services that they start, by protocol and port."""
    found: dict[tuple[str, int], tuple[str, str]] = {}
    for block in text.split("\n\n"):
        values = dict(line.partition("=")[::2] for line in block.splitlines())
        for port, kind in _SOCKET.findall(block):
            proto = "tcp" if kind == "Stream" else "udp"
            found[proto, int(port)] = (values.get("Id", ""), values.get("Triggers", ""))
    return found


def parse_sockets(text: str, proto: Protocol, family: Family, byteorder: str = sys.byteorder) -> list[OpenSocket]:
    """The listening sockets in the text of ``/proc/net/{tcp,udp}{,6}``."""
    found: list[OpenSocket] = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 10 or fields[3] != _LISTENING[proto]:
            continue
        address, _colon, port = fields[1].partition(":")
        found.append(
            {
                "proto": proto,
                "family": family,
                "address": _address(address, byteorder),
                "port": int(port, 16),
                "inode": int(fields[9]),
            }
        )
    return found


def unit_of(pid: int) -> str | None:
    """The service or scope that a process belongs to, or None. Raises `OSError` when the process is gone."""
    return parse_unit(files.read("/proc/{0}/cgroup".format(pid)))


def parse_unit(text: str) -> str | None:
    """The service or scope in the text of ``/proc/PID/cgroup``, in any of its hierarchies, or None."""
    found = _SERVICE.findall(text)
    return found[-1] if found else None


def _address(text: str, byteorder: str) -> str:
    """The kernel prints an address as 32-bit words, each in the byte order of the machine."""
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    order = "<" if byteorder == "little" else ">"
    return str(ipaddress.ip_address(struct.pack("{0}{1}I".format(order, len(words)), *words)))


def _owners(wanted: Collection[int]) -> dict[int, Owner]:
    """The owners of the sockets with the inodes ``wanted``; the oldest process that holds one counts."""
    owners: dict[int, Owner] = {}
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        missing = set(wanted) - set(owners)
        if not missing:
            break
        try:
            held = process.socket_inodes(pid) & missing
            if held:
                name = files.read("/proc/{0}/comm".format(pid)).strip()
                unit = unit_of(pid)
                owner: Owner = {
                    "pid": pid,
                    "process": name,
                    "unit": unit,
                    "started": process.started(pid),
                    "transient": bool(unit) and os.path.exists(_TRANSIENT + str(unit)),
                    "ours": _is_ours(pid),
                }
                owners.update((inode, owner) for inode in held)
        except (OSError, ProbeError):
            # The process has ended, or we may not see its files.
            continue
    return owners


def _is_ours(pid: int) -> bool:
    """Whether a run of Reconnect started the process."""
    return any(one.startswith(_RUN) for one in files.read("/proc/{0}/environ".format(pid), 128 * 1024).split("\0"))
