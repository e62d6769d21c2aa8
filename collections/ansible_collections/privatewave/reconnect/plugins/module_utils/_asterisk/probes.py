# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions about Asterisk: the subset ``asterisk``.

Lists that the command line cuts come over AMI when manager.conf allows it, everything else over the control socket.
Asterisk's process, sockets, logs and core files are read without it.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import threading
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ansible_collections.privatewave.reconnect.plugins.module_utils import _files
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import answers, log
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import control as control_socket
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.ami import Ami, parse_manager_conf
from ansible_collections.privatewave.reconnect.plugins.module_utils._common import ACCOUNT_NAME
from ansible_collections.privatewave.reconnect.plugins.module_utils._database.realtime import parse_realtime, sources
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import config
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import process as processes
from ansible_collections.privatewave.reconnect.plugins.module_utils._host.run import run
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import TEST_MARK
from ansible_collections.privatewave.reconnect.plugins.module_utils._text import listed, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.ami import Message
    from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.documents import (
        AmiState,
        Calls,
        Contacts,
        Control,
        Crashes,
        Endpoints,
        Identifies,
        Live,
        LogFiles,
        LogTail,
        ModuleState,
        OdbcPool,
        RtpSockets,
        SecurityEvent,
        SecurityLog,
        Taskprocessors,
        Transport,
        Uptime,
        Version,
    )
    from ansible_collections.privatewave.reconnect.plugins.module_utils._database.documents import (
        RealtimeTable,
        Source,
    )
    from ansible_collections.privatewave.reconnect.plugins.module_utils._host.documents import ProcessFacts
    from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import Settings

Value = TypeVar("Value")

#: Seconds for the control socket's greeting, for a question without the control socket, and for one with it.
CONTROL_LIMIT = 3.0
LIMIT = 3.0
COMMAND_LIMIT = 4.0
#: Seconds before now from which the log, and the security log, count.
LOG_WINDOW = 3600
SECURITY_WINDOW = 600
CORE_FILES = 20
#: The option of chan_pjsip for the order in which it looks for the endpoint of a request, and what it is without one.
ORDER = "endpoint_identifier_order"
DEFAULT_ORDER = ("ip", "username", "anonymous")
JOURNAL_LINES = 30

MODULES = {
    "pjsip": (
        "chan_pjsip.so",
        "res_pjsip.so",
        "res_pjsip_registrar.so",
        "res_pjsip_session.so",
        "res_pjsip_authenticator_digest.so",
    ),
    "sip": ("chan_sip.so",),
}
#: What reads accounts from a database, by the driver that extconfig.conf names.
REALTIME_MODULES = {
    "odbc": ("res_odbc.so", "res_config_odbc.so"),
    "mysql": ("res_config_mysql.so",),
    "pgsql": ("res_config_pgsql.so",),
}


def questions(settings: Settings, account: str | None = None) -> dict[str, tuple[Callable[[], Any], float]]:
    """``{probe name: (function, limit in seconds)}`` for a server with these settings."""
    del account
    asterisk = Asterisk(settings)
    local = ("process", "version", "rtp_sockets", "realtime", "sources", "log", "security_log", "crashes")
    needing_control = (
        "ami",
        "uptime",
        "calls",
        "modules",
        "transports",
        "identifies",
        "odbc",
        "endpoints",
        "contacts",
        "taskprocessors",
    )
    found: dict[str, tuple[Callable[[], Any], float]] = {"control": (asterisk.control, CONTROL_LIMIT + 0.5)}
    found.update((name, (getattr(asterisk, name), LIMIT)) for name in local)
    found.update((name, (getattr(asterisk, name), COMMAND_LIMIT)) for name in needing_control)
    return found


class Once(Generic[Value]):
    """A function that the first caller calls. Later callers wait and get the same answer, or the same `ProbeError`."""

    def __init__(self, function: Callable[[], Value]) -> None:
        self._function = function
        self._lock = threading.Lock()
        self._answers: list[Value] = []
        self._error: ProbeError | None = None

    def __call__(self) -> Value:
        with self._lock:
            if self._error is None and not self._answers:
                try:
                    self._answers.append(self._function())
                except ProbeError as error:
                    self._error = error
        if self._error is not None:
            raise ProbeError(self._error.error, str(self._error))
        return self._answers[0]


class Asterisk:
    """The Asterisk of this host. A method named like a probe answers it; all of them raise `ProbeError`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pjsip = settings["channel_driver"] == "pjsip"
        directories = config.read("asterisk.conf").get("directories", {})
        run_directory = directories.get("astrundir", "/var/run/asterisk")
        self._socket = os.path.join(run_directory, "asterisk.ctl")
        self._pid_file = os.path.join(run_directory, "asterisk.pid")
        self._log_directory = directories.get("astlogdir", log.DEFAULT_DIRECTORY)
        self._data = [
            directories.get("astvarlibdir", "/var/lib/asterisk"),
            directories.get("astspooldir", "/var/spool/asterisk"),
        ]
        self._greeting = Once(lambda: control_socket.greeting(self._socket, CONTROL_LIMIT))
        self._pid = Once(lambda: processes.main_pid(settings["asterisk_unit"], (self._pid_file,), ("asterisk",)))
        self._lists = Once(self._ask_lists)

    # Without Asterisk's cooperation

    def process(self) -> ProcessFacts:
        facts: ProcessFacts = processes.facts(self._pid())
        return facts

    def version(self) -> Version:
        return answers.parse_version(run(["asterisk", "-V"], LIMIT))

    def rtp_sockets(self) -> RtpSockets:
        general = config.read("rtp.conf").get("general", {})
        first, last = (
            int(general[name]) if general.get(name, "").isdigit() else default
            for name, default in zip(("rtpstart", "rtpend"), self._settings["rtp_ports"])
        )
        try:
            owned = processes.socket_inodes(self._pid())
        except ProbeError as error:
            if error.error != "missing":
                raise
            owned = set()
        taken: list[int] = []
        for path in ("/proc/net/udp", "/proc/net/udp6"):
            with open(path, encoding="ascii", errors="replace") as file:
                taken.extend(port for port, inode in parse_udp(file) if first <= port <= last and inode in owned)
        # A stream takes an even port and the next one, for its reports, whether that is open or not.
        return {"open": len(taken), "pairs": len({port // 2 for port in taken}), "from": first, "to": last}

    def realtime(self) -> dict[str, RealtimeTable]:
        return parse_realtime(config.read("extconfig.conf"))

    def sources(self) -> dict[str, Source]:
        """Where each object of an account is read from, by the configuration."""
        return sources(self._settings)

    def log(self) -> LogTail:
        configured = self.log_files()["messages"]
        names = [os.path.join(self._log_directory, name) for name in ("messages.log", "messages")]
        path = configured or next(filter(os.path.exists, names), names[0])
        now = time.time()
        since = now - LOG_WINDOW
        with contextlib.suppress(ProbeError):
            since = max(since, self._started() - 1)
        read, matches = log.parse_messages(log.read(path), since, now)
        return {"path": path, "lines_read": read, "window_seconds": round(now - since), "matches": matches}

    def _started(self) -> float:
        """When the Asterisk that runs was started, or the one that ran last: of an earlier one no line counts."""
        try:
            return self.process()["start_time"]
        except ProbeError:
            return processes.last_start(self._settings["asterisk_unit"])

    def security_log(self) -> SecurityLog:
        path = self.log_files()["security"]
        if not path:
            return {"enabled": False, "path": None, "recent": {}, "addresses": {}}
        now = time.time()
        events = log.parse_security(log.read(path), now)
        recent, addresses = log.count_events(
            [one for one in events if one["time"] is not None and one["time"] >= now - SECURITY_WINDOW]
        )
        return {"enabled": True, "path": path, "recent": recent, "addresses": addresses}

    def log_files(self) -> LogFiles:
        """The paths of the logs, by logger.conf."""
        return log.files(config.read("logger.conf"), self._log_directory)

    def knows(self, account: str) -> bool:
        """Whether Asterisk finds the account, in memory or in the database."""
        if self._pjsip:
            return "Unable to find object" not in self.command("pjsip show endpoint " + account)
        return "not found" not in self.command("sip show peer {0} load".format(account)).split("\n\n")[0]

    def security_events(self) -> list[SecurityEvent]:
        """The events at the end of the security log, the oldest first."""
        path = self.log_files()["security"]
        if not path:
            raise ProbeError("missing", "Asterisk's security log is off")
        return log.parse_security(log.read(path), time.time())

    def crashes(self) -> Crashes:
        unit = self._settings["asterisk_unit"]
        text = run(
            ["journalctl", "--no-pager", "--quiet", "--since=-1h", "--lines=300", "--output=short-iso", "--unit", unit],
            LIMIT - 0.5,
            accept=None,
        )
        lines = [printable(line) for line in text.split("\n") if line]
        return {
            "core_files": core_files(["/", "/tmp", *self._data]),
            "restarts_last_hour": sum("Scheduled restart job" in line for line in lines),
            "journal": lines[-JOURNAL_LINES:],
        }

    # With Asterisk's answer

    def control(self) -> Control:
        return {"answered": True, "version": self._greeting()["version"]}

    def ami(self) -> AmiState:
        enabled = parse_manager_conf(config.read("manager.conf"))["enabled"]
        try:
            self._lists()
        except ProbeError as error:
            state: AmiState = {"enabled": enabled, "used": False}
            if enabled:
                state["why"] = printable(str(error))
            return state
        return {"enabled": enabled, "used": True}

    def uptime(self) -> Uptime:
        return answers.parse_uptime(self.command("core show uptime seconds"))

    def calls(self) -> Calls:
        return answers.parse_calls(self.command("core show channels count"))

    def modules(self) -> dict[str, ModuleState]:
        wanted = MODULES[self._settings["channel_driver"]]
        tables = [one["table"] for one in self.sources().values() if one["table"]]
        for driver in dict.fromkeys(one["driver"] for one in tables):
            wanted += REALTIME_MODULES.get(driver, ())
        sorcery = config.read("sorcery.conf").values()
        if self._pjsip and any(value.startswith("realtime") for values in sorcery for value in values.values()):
            wanted += ("res_sorcery_realtime.so",)
        return answers.parse_modules(self.command("module show"), wanted)

    def transports(self) -> list[Transport]:
        if self._pjsip:
            return answers.parse_pjsip_transports(self.command("pjsip show transports"))
        return answers.parse_sip_transports(self.command("sip show settings"))

    def identifies(self) -> Identifies:
        if not self._pjsip:
            raise ProbeError("skipped", "chan_sip has no identify")
        named = [value for _section, name, value in config.options(config.text("pjsip.conf")) if name == ORDER]
        return {
            "order": listed(named[-1]) if named else list(DEFAULT_ORDER),
            "sections": answers.parse_identifies(self.command("pjsip show identifies")),
        }

    def odbc(self) -> list[OdbcPool]:
        """Asterisk's connections, after it used the one that its accounts come over.

        A connection that died unused counts as open until the next query, and Asterisk 16 notices one by one.
        """
        family = "ps_endpoints" if self._pjsip else "sippeers"
        where = self.realtime().get(family)
        line = ""
        if where and where["driver"] == "odbc" and ACCOUNT_NAME.match(self._settings["sip_probe_user"]):
            column = {"ps_endpoints": "id", "sippeers": "name"}[family]
            line = "realtime load {0} {1} {2}".format(family, column, self._settings["sip_probe_user"])
        tries: int | None = None
        while True:
            row = bool(line) and "Column Value" in self.command(line)
            pools = answers.parse_odbc(self.command("odbc show all"))
            mine = next((pool for pool in pools if where and pool["name"] == where["database"]), None)
            if row or not line or mine is None or not mine["connected"]:
                return pools
            # Without a row the account is missing or the connection dead: the next one is tried.
            tries = mine["active"] if tries is None else tries - 1
            if not tries:
                return pools

    def endpoints(self) -> Endpoints:
        if not self._pjsip:
            return answers.parse_sip_endpoints(self.command("sip show peers"))
        return _over_ami_or(
            lambda: answers.parse_ami_endpoints(self._lists()["endpoints"]),
            lambda: answers.parse_pjsip_endpoints(self.command("pjsip show endpoints")),
        )

    def contacts(self) -> Contacts:
        if not self._pjsip:
            return answers.parse_sip_contacts(self.command("sip show peers"))
        return _over_ami_or(
            lambda: answers.parse_ami_contacts(self._lists()["contacts"]),
            lambda: answers.parse_pjsip_contacts(self.command("pjsip show contacts")),
        )

    def taskprocessors(self) -> Taskprocessors:
        return answers.parse_taskprocessors(self.command("core show taskprocessors"))

    def live(self, account: str) -> Live:
        """An account as Asterisk has it, without the contact of a registration test.

        Raises `ProbeError`, ``missing`` when Asterisk does not have it.
        """
        found = self.everything_live(account)
        found["contacts"] = [one for one in found["contacts"] if TEST_MARK not in one["uri"].partition("@")[0]]
        return found

    def everything_live(self, account: str) -> Live:
        """See `live`; contacts of registration tests are there, too."""
        if not self._pjsip:
            return answers.parse_sip_peer(self.command("sip show peer " + account))
        return _over_ami_or(
            lambda: self._live_over_ami(account),
            lambda: answers.parse_pjsip_endpoint(self.command("pjsip show endpoint " + account)),
        )

    def _live_over_ami(self, account: str) -> Live:
        with self._session() as session:
            return answers.parse_ami_endpoint(session.listed("PJSIPShowEndpoint", Endpoint=account))

    def command(self, line: str) -> str:
        """A command's text, unless the control socket is known not to answer."""
        self._greeting()
        return control_socket.command(line, self._socket, CONTROL_LIMIT)

    def manage(self, action: str, **fields: str) -> None:
        """Carry out an action of AMI. Raises `ProbeError`, ``missing`` where AMI has no user that may."""
        with self._session() as session:
            session.done(action, **fields)

    def _session(self) -> Ami:
        access = parse_manager_conf(config.read("manager.conf"))
        if not access["enabled"] or not access["user"]:
            raise ProbeError("missing", "AMI is off or has no user that may ask")
        self._greeting()
        return Ami(access, CONTROL_LIMIT)

    def _ask_lists(self) -> dict[str, list[Message]]:
        """Endpoints and contacts over one session of AMI: each login is a line in the security log."""
        if not self._pjsip:
            raise ProbeError("skipped", "chan_sip needs no AMI: the command line has everything")
        with self._session() as session:
            return {
                "endpoints": session.listed("PJSIPShowEndpoints"),
                "contacts": session.listed("PJSIPShowContacts"),
            }


def _over_ami_or(ask: Callable[[], Value], ask_otherwise: Callable[[], Value]) -> Value:
    """The answer of AMI, or of the command line where AMI has none. Where AMI hangs, so does the command line."""
    try:
        return ask()
    except ProbeError as error:
        if error.error == "timed_out":
            raise
        return ask_otherwise()


def parse_udp(lines: Iterable[str]) -> Iterator[tuple[int, int]]:
    """The sockets of /proc/net/udp as (local port, inode)."""
    for line in lines:
        fields = line.split()
        if len(fields) > 9 and fields[0].endswith(":"):
            yield int(fields[1].rpartition(":")[2], 16), int(fields[9])


def core_files(directories: Iterable[str]) -> list[str]:
    """The core dumps in these directories and where the kernel and systemd put them, the newest last."""
    patterns = [os.path.join(directory, "core*") for directory in directories]
    patterns.append("/var/lib/systemd/coredump/core.asterisk.*")
    with open("/proc/sys/kernel/core_pattern", encoding="utf-8", errors="replace") as file:
        pattern = file.read().strip()
    if pattern.startswith("/"):
        patterns.append(re.sub("%.", "*", pattern))
    found: dict[str, float] = {}
    for path in {path for one in patterns for path in glob.glob(one)}:
        try:
            if os.path.isfile(path) and not os.path.islink(path) and _is_core(path):
                found[path] = os.stat(path).st_mtime
        except OSError:
            continue
    return sorted(found, key=found.__getitem__)[-CORE_FILES:]


def _is_core(path: str) -> bool:
    if path.startswith("/var/lib/systemd/coredump/"):
        return True
    with open(path, "rb", opener=_files.opener) as file:
        return file.read(4) == b"\x7fELF"
