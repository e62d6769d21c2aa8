# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens on which port, from /proc alone: it works whatever the processes do."""

from __future__ import annotations

import ipaddress
import os
import re
import struct
import sys

#: States of include/net/tcp_states.h: a listening TCP socket, and a UDP socket that is connected to nobody.
_LISTENING = {"tcp": "0A", "udp": "07"}
_SOCKET = re.compile(r"socket:\[(\d+)\]")
_SERVICE = re.compile(r"/([^/\n]+\.(?:service|scope))(?=/|$)", re.MULTILINE)


def sockets():
    """The listening sockets of both families with the process and unit they belong to (None where unknown)."""
    found = []
    for proto in _LISTENING:
        for family in (4, 6):
            path = "/proc/net/" + proto + ("6" if family == 6 else "")
            try:
                with open(path, encoding="ascii") as file:
                    found.extend(parse_sockets(file.read(16 * 1024 * 1024), proto, family))
            except FileNotFoundError:
                continue
    owners = _owners({one["inode"] for one in found})
    for one in found:
        one.update(owners.get(one.pop("inode"), {"pid": None, "process": None, "unit": None}))
    return found


def parse_sockets(text, proto, family, byteorder=sys.byteorder):
    """The listening sockets in the text of ``/proc/net/{tcp,udp}{,6}``, with their ``inode``."""
    found = []
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


def unit_of(pid):
    """The service or scope that a process belongs to, or None."""
    return parse_unit(_text("/proc/{0}/cgroup".format(pid)))


def parse_unit(text):
    """The service or scope in the text of ``/proc/PID/cgroup``, in whatever hierarchy it is, or None."""
    found = _SERVICE.findall(text)
    return found[-1] if found else None


def _address(text, byteorder):
    """The kernel prints an address as 32-bit words, each in the byte order of the machine."""
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    order = "<" if byteorder == "little" else ">"
    return str(ipaddress.ip_address(struct.pack("{0}{1}I".format(order, len(words)), *words)))


def _owners(wanted):
    """``{inode: {pid, process, unit}}`` of the sockets ``wanted``; the oldest process that holds one counts."""
    owners = {}
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        if not wanted - set(owners):
            break
        base = "/proc/{0}/".format(pid)
        held = set()
        try:
            for number in os.listdir(base + "fd"):
                match = _SOCKET.match(_link(base + "fd/" + number))
                if match and int(match.group(1)) in wanted and int(match.group(1)) not in owners:
                    held.add(int(match.group(1)))
            if held:
                unit = parse_unit(_text(base + "cgroup"))
                owner = {"pid": pid, "process": _text(base + "comm").strip(), "unit": unit}
                owners.update((inode, owner) for inode in held)
        except OSError:
            # It has ended, or is not ours to look at.
            continue
    return owners


def _link(path):
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _text(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(65536)
