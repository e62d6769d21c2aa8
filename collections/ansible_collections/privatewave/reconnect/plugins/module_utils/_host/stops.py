# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which services do not run because a person or a cluster wanted it, as far as journal, disk and systemd tell.

systemd does not log who asked it to stop a unit. sudo, polkit and PAM log what a person did right then: a command that
stops units, or a root session that was open. A crash, a kill, a dependency and a stop without such a trace have no
author. Sessions from the address that this collector is connected from say nothing: those are Reconnect's own.
What decides on which node of a cluster a service runs stops it on all others: without another author, it is the author.
"""

from __future__ import annotations

import calendar
import os
import re
import time
from typing import TYPE_CHECKING, TypedDict

from ansible_collections.privatewave.reconnect.plugins.module_utils._common import plain_json
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import files
from ansible_collections.privatewave.reconnect.plugins.module_utils._host.run import run
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Literal

    from ansible_collections.privatewave.reconnect.plugins.module_utils._host.documents import Stop

    How = Literal["stopped", "disabled", "masked"]


class Line(TypedDict):
    """A line of the journal: seconds since 1970, the process that logged it, and what it said."""

    at: float
    pid: str
    text: str


_LIMIT = 1.3
_LINES = 2000
_OUTPUT_LIMIT = 4 * 1024 * 1024
_PROPERTIES = "Id,LoadState,ActiveState,Result,UnitFileState,ActiveExitTimestamp"
#: What decides on which node of a cluster a service runs.
_CLUSTERS = ("pacemaker", "keepalived", "heartbeat", "rgmanager", "vcs")
#: Where a link to /dev/null masks a unit: for ever, or until the next boot.
_FOLDERS = ("/etc/systemd/system/", "/run/systemd/system/")
#: A command that stops a unit was logged within so many seconds before and after the stop began.
_BEFORE, _AFTER = 5.0, 2.0
#: A session that is open may have begun so many seconds before the stop.
_SESSION = 12 * 3600
_PROGRAMS = ("sudo", "su", "login", "polkitd", "sshd", "sshd-session")
_TOOLS = ("systemctl", "service", "invoke-rc.d")
_STOPS = {"stop", "disable", "mask", "kill", "isolate"}
_SUDO = re.compile(r"\s*(\S{1,64}) : .{0,2000}?COMMAND=(.{1,2000})")
_POLKIT = re.compile(
    r".{0,300}for action org\.freedesktop\.systemd1\.manage-unit.{0,300}?"
    r"\[(.{1,2000})\] \(owned by unix-user:([^)]{1,64})\)"
)
_OPENED = re.compile(r"pam_unix\(([a-z-]{1,20}):session\): session opened for user root(?:\(uid=0\))? by (\S{0,64})")
_CLOSED = re.compile(r"pam_unix\([a-z-]{1,20}:session\): session closed for user root")
_ACCEPTED = re.compile(r"Accepted \S{1,40} for root from (\S{1,64}) port")


def stops(units: Sequence[str]) -> dict[str, Stop]:
    """The units that do not run because somebody wanted it. An instance stands for its template's unit."""
    names = [name for unit in units for name in (unit, unit.replace(".service", "@*.service"))]
    found: dict[str, Stop] = {}
    for values in parse_stopped(run(["systemctl", "show", "--property=" + _PROPERTIES, "--", *names], _LIMIT)):
        name = next((unit for unit in units if _is_of(values["Id"], unit)), None)
        if name is None or name in found:
            continue
        how = _how(values)
        at = _masked_at(values["Id"]) if how == "masked" else _seconds(values.get("ActiveExitTimestamp", ""))
        by = (author(_journal(at), at, _own_address()) if at is not None else None) or _cluster()
        if how != "stopped" or by:
            found[name] = {"how": how, "at": None if at is None else _rfc3339(at), "by": by}
    return found


def parse_stopped(text: str) -> list[dict[str, str]]:
    """The units of ``systemctl show`` that are masked, or that ended without a fault of their own."""
    blocks = [dict(line.partition("=")[::2] for line in block.splitlines() if line) for block in text.split("\n\n")]
    return [
        values
        for values in blocks
        if values.get("LoadState") == "masked"
        or (values.get("ActiveState") == "inactive" and values.get("Result") == "success" and values.get("Id"))
    ]


def _cluster() -> str | None:
    """What runs here and decides where services run."""
    units = [name + ".service" for name in _CLUSTERS]
    for block in run(["systemctl", "show", "--property=Id,ActiveState", "--", *units], _LIMIT).split("\n\n"):
        values = dict(line.partition("=")[::2] for line in block.splitlines())
        if values.get("ActiveState") == "active":
            return "{0}, which decides on which node it runs".format(values.get("Id", "").rpartition(".")[0])
    return None


def author(lines: Iterable[Line], at: float, own_address: str) -> str | None:
    """Who wanted the stop that began in the second ``at``, and how that is known; None where nothing was logged.

    ``lines`` are in the order of time, ``own_address`` is where Reconnect's own sessions come from, "" where unknown.
    A session counts that was open at any time of that second: systemd tells no more.
    """
    command = session = None
    opened: dict[str, str] = {}
    addresses: dict[str, str] = {}
    for line in lines:
        text, pid = line["text"], line["pid"]
        if at - _BEFORE <= line["at"] <= at + _AFTER:
            command = _command(text) or command
        if line["at"] >= at + 1:
            continue
        accepted = _ACCEPTED.match(text)
        start = _OPENED.match(text)
        if accepted:
            addresses[pid] = accepted.group(1)
        elif start:
            who = _opened_by(start.group(1), start.group(2), addresses.get(pid, ""), own_address)
            if who:
                opened[pid] = who
        elif _CLOSED.match(text) and line["at"] < at:
            opened.pop(pid, None)
    session = next(reversed(list(opened.values())), None)
    found = command or session
    return printable(found)[:200] if found else None


def _command(text: str) -> str | None:
    """Who ran a command that stops units, by a line of sudo or polkit, and the command."""
    sudo, polkit = _SUDO.match(text), _POLKIT.match(text)
    who, words = (sudo.group(1), sudo.group(2)) if sudo else (polkit.group(2), polkit.group(1)) if polkit else ("", "")
    first = [os.path.basename(word) for word in words.split()]
    tool = bool(first) and (first[0] in _TOOLS or "/init.d/" in words.split()[0])
    return "{0} ({1})".format(who, words.strip()) if tool and _STOPS.intersection(first[1:]) else None


def _opened_by(service: str, by: str, address: str, own_address: str) -> str:
    """Whose root session was opened; "" where it may be Reconnect's own."""
    if service == "sshd":
        return "root from {0} (an SSH session)".format(address) if address and own_address not in ("", address) else ""
    return "{0} (a root session of {1})".format(by.partition("(")[0] or "root", service)


def _is_of(name: str, unit: str) -> bool:
    return name == unit or name.startswith(unit.rpartition(".")[0] + "@")


def _how(values: Mapping[str, str]) -> How:
    if values.get("LoadState") == "masked":
        return "masked"
    return "disabled" if values.get("UnitFileState") == "disabled" else "stopped"


def _masked_at(name: str) -> float | None:
    """When the link to /dev/null was made."""
    for folder in _FOLDERS:
        try:
            return os.lstat(folder + name).st_mtime
        except OSError:
            continue
    return None


def _seconds(stamp: str) -> float | None:
    """Seconds since 1970 of systemd's ``Mon 2026-01-31 03:00:00 UTC``; None: never."""
    try:
        return calendar.timegm(time.strptime(stamp, "%a %Y-%m-%d %H:%M:%S UTC"))
    except ValueError:
        return None


def _rfc3339(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _journal(at: float) -> list[Line]:
    """What sudo, su, login, polkit and sshd logged before the stop; nothing where the journal does not answer."""
    # Asked for backwards: older releases print the first lines for -n with --since.
    command = ["journalctl", "-q", "-r", "--no-pager", "-o", "json", "--output-fields=MESSAGE,_PID,SYSLOG_PID"]
    command += ["-n", str(_LINES), "--since=@{0:.0f}".format(at - _SESSION), "--until=@{0:.0f}".format(at + _AFTER + 1)]
    for program in _PROGRAMS:
        command += ["-t", program]
    try:
        return parse_journal(run(command, _LIMIT, _OUTPUT_LIMIT))
    except ProbeError:
        return []


def parse_journal(text: str) -> list[Line]:
    """The lines of ``journalctl -r -o json``, the oldest first; what is not text is left out."""
    found: list[Line] = []
    for line in text.splitlines():
        try:
            entry = plain_json(line)
            message, at = entry["MESSAGE"], int(entry["__REALTIME_TIMESTAMP"]) / 1e6
        except (ValueError, KeyError, TypeError):
            continue
        if isinstance(message, str):
            found.append({"at": at, "pid": str(entry.get("SYSLOG_PID") or entry.get("_PID")), "text": message})
    return found[::-1]


def _own_address() -> str:
    """The address from which SSH led to this process; "" where it was started otherwise."""
    pid = os.getpid()
    while pid > 1:
        try:
            for one in files.read("/proc/{0}/environ".format(pid), 128 * 1024).split("\0"):
                if one.startswith("SSH_CONNECTION="):
                    return one.partition("=")[2].split(" ")[0]
            pid = int(files.read("/proc/{0}/stat".format(pid)).rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            break
    return ""
