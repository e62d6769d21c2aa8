# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions about Asterisk: the subset ``asterisk`` of docs/documents.md.

Lists whose table on the command line is cut come over AMI when manager.conf lets us, everything else over the control
socket. What doesn't need Asterisk's cooperation (its process, sockets, logs, core files) is answered without it.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import threading
import time

from ansible_collections.privatewave.reconnect.plugins.module_utils import _asterisk_answers as answers
from ansible_collections.privatewave.reconnect.plugins.module_utils import _asterisk_log as log
from ansible_collections.privatewave.reconnect.plugins.module_utils import _config, _control, _process
from ansible_collections.privatewave.reconnect.plugins.module_utils._ami import Ami, parse_manager_conf
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._run import run

#: Seconds for the control socket's greeting, for a question that needs no control socket, and for one that does.
CONTROL_LIMIT = 3.0
LIMIT = 3.0
COMMAND_LIMIT = 4.0
#: Seconds that the log and the journal are read back, and the security log.
LOG_WINDOW = 3600
SECURITY_WINDOW = 600
CORE_FILES = 20
JOURNAL_LINES = 30

#: What the questions need to know of a server, and what it is when nobody says.
DEFAULTS = {
    "channel_driver": "pjsip",
    "asterisk_unit": "asterisk.service",
    "rtp_ports": [15000, 18000],
    "sip_probe_user": "601",
}

NAME = re.compile(r"[A-Za-z0-9._+-]{1,80}\Z")

MODULES = {
    "pjsip": (
        "chan_pjsip.so",
        "res_pjsip.so",
        "res_pjsip_registrar.so",
        "res_pjsip_session.so",
        "res_pjsip_authenticator_digest.so",
        "res_odbc.so",
        "res_config_odbc.so",
    ),
    "sip": ("chan_sip.so", "res_odbc.so", "res_config_odbc.so"),
}


def questions(settings, account=None):
    """``{probe name: (function, limit in seconds)}`` for a server with these settings."""
    asterisk = Asterisk(settings)
    local = ("process", "version", "rtp_sockets", "realtime", "log", "security_log", "crashes")
    needing_control = (
        "ami",
        "uptime",
        "calls",
        "modules",
        "transports",
        "odbc",
        "endpoints",
        "contacts",
        "taskprocessors",
    )
    found = {"control": (asterisk.control, CONTROL_LIMIT + 0.5)}
    found.update((name, (getattr(asterisk, name), LIMIT)) for name in local)
    found.update((name, (getattr(asterisk, name), COMMAND_LIMIT)) for name in needing_control)
    return found


class Once:
    """A function that is called once, by whoever needs its answer first. Later callers wait and get the same."""

    def __init__(self, function):
        self._function = function
        self._lock = threading.Lock()
        self._answer = None

    def __call__(self):
        with self._lock:
            if self._answer is None:
                try:
                    self._answer = (self._function(), None)
                except ProbeError as error:
                    self._answer = (None, error)
        value, error = self._answer
        if error is not None:
            raise ProbeError(error.error, str(error))
        return value


class Asterisk:
    """The Asterisk of this host; every public method answers one probe or raises `ProbeError`."""

    def __init__(self, settings):
        self._settings = settings = dict(DEFAULTS, **settings)
        self._pjsip = settings["channel_driver"] == "pjsip"
        directories = _config.read("asterisk.conf").get("directories", {})
        run_directory = directories.get("astrundir", "/var/run/asterisk")
        self._socket = os.path.join(run_directory, "asterisk.ctl")
        self._pid_file = os.path.join(run_directory, "asterisk.pid")
        self._log_directory = directories.get("astlogdir", log.DEFAULT_DIRECTORY)
        self._data = [
            directories.get("astvarlibdir", "/var/lib/asterisk"),
            directories.get("astspooldir", "/var/spool/asterisk"),
        ]
        self._greeting = Once(lambda: _control.greeting(self._socket, CONTROL_LIMIT))
        self._pid = Once(lambda: _process.main_pid(settings["asterisk_unit"], (self._pid_file,), ("asterisk",)))
        self._lists = Once(self._ask_lists)

    # What needs no cooperation

    def process(self):
        return _process.facts(self._pid())

    def version(self):
        return answers.parse_version(run(["asterisk", "-V"], LIMIT))

    def rtp_sockets(self):
        general = _config.read("rtp.conf").get("general", {})
        first, last = (
            int(general[name]) if general.get(name, "").isdigit() else default
            for name, default in zip(("rtpstart", "rtpend"), self._settings["rtp_ports"])
        )
        try:
            owned = _process.socket_inodes(self._pid())
        except ProbeError as error:
            if error.error != "missing":
                raise
            owned = set()
        taken = []
        for path in ("/proc/net/udp", "/proc/net/udp6"):
            with open(path, encoding="ascii", errors="replace") as file:
                taken.extend(port for port, inode in parse_udp(file) if first <= port <= last and inode in owned)
        # A stream takes an even port, and the next one for its reports is nobody else's, open or not.
        return {"open": len(taken), "pairs": len({port // 2 for port in taken}), "from": first, "to": last}

    def realtime(self):
        return answers.parse_realtime(_config.read("extconfig.conf"))

    def log(self):
        configured = log.files(_config.read("logger.conf"), self._log_directory)["messages"]
        names = [os.path.join(self._log_directory, name) for name in ("messages.log", "messages")]
        path = configured or next(filter(os.path.exists, names), names[0])
        now = time.time()
        since = now - LOG_WINDOW
        # When nothing runs, its last words are what matters.
        with contextlib.suppress(ProbeError):
            since = max(since, self.process()["start_time"] - 1)
        read, matches = log.parse_messages(log.read(path), since, now)
        return {"path": path, "lines_read": read, "window_seconds": round(now - since), "matches": matches}

    def security_log(self):
        path = log.files(_config.read("logger.conf"), self._log_directory)["security"]
        if not path:
            return {"enabled": False, "path": None, "recent": {}, "addresses": {}}
        now = time.time()
        events = log.parse_security(log.read(path), now)
        recent, addresses = log.count_events(
            [one for one in events if one["time"] is not None and one["time"] >= now - SECURITY_WINDOW]
        )
        return {"enabled": True, "path": path, "recent": recent, "addresses": addresses}

    def log_files(self):
        """The paths of the logs: ``{messages, security}``, each None when it is off."""
        return log.files(_config.read("logger.conf"), self._log_directory)

    def knows(self, account):
        """Whether Asterisk finds the account, in memory or in the database."""
        if self._pjsip:
            return "Unable to find object" not in self.command("pjsip show endpoint " + account)
        return "not found" not in self.command("sip show peer {0} load".format(account)).split("\n\n")[0]

    def security_events(self):
        """The events of the end of the security log (see ``_asterisk_log.parse_security``)."""
        path = log.files(_config.read("logger.conf"), self._log_directory)["security"]
        if not path:
            raise ProbeError("missing", "Asterisk's security log is off")
        return log.parse_security(log.read(path), time.time())

    def crashes(self):
        unit = self._settings["asterisk_unit"]
        text = run(
            ["journalctl", "--no-pager", "--quiet", "--since=-1h", "--lines=300", "--output=short-iso", "--unit", unit],
            LIMIT - 0.5,
            accept=None,
        )
        lines = [log.printable(line) for line in text.split("\n") if line]
        return {
            "core_files": core_files(["/", "/tmp", *self._data]),
            "restarts_last_hour": sum("Scheduled restart job" in line for line in lines),
            "journal": lines[-JOURNAL_LINES:],
        }

    # What Asterisk must answer

    def control(self):
        return {"answered": True, "version": self._greeting()["version"]}

    def ami(self):
        enabled = parse_manager_conf(_config.read("manager.conf"))["enabled"]
        try:
            self._lists()
        except ProbeError as error:
            return dict({"enabled": enabled, "used": False}, **({"why": log.printable(str(error))} if enabled else {}))
        return {"enabled": enabled, "used": True}

    def uptime(self):
        return answers.parse_uptime(self.command("core show uptime seconds"))

    def calls(self):
        return answers.parse_calls(self.command("core show channels count"))

    def modules(self):
        wanted = MODULES[self._settings["channel_driver"]]
        sorcery = _config.read("sorcery.conf").values()
        if self._pjsip and any(value.startswith("realtime") for values in sorcery for value in values.values()):
            wanted += ("res_sorcery_realtime.so",)
        return answers.parse_modules(self.command("module show"), wanted)

    def transports(self):
        if self._pjsip:
            return answers.parse_pjsip_transports(self.command("pjsip show transports"))
        return answers.parse_sip_transports(self.command("sip show settings"))

    def odbc(self):
        """Asterisk's connections, after it was made to use the one its accounts come over.

        A connection that died unused counts as open until somebody asks over it, and Asterisk 16 finds out one by one.
        """
        family, where = self._accounts_table()
        line = ""
        if where["driver"] == "odbc" and NAME.match(self._settings["sip_probe_user"]):
            column = {"ps_endpoints": "id", "sippeers": "name"}[family]
            line = "realtime load {0} {1} {2}".format(family, column, self._settings["sip_probe_user"])
        tries = None
        while True:
            row = bool(line) and "Column Value" in self.command(line)
            pools = answers.parse_odbc(self.command("odbc show all"))
            mine = next((pool for pool in pools if pool["name"] == where["database"]), None)
            if row or not line or mine is None or not mine["connected"]:
                return pools
            # Without a row the account may be missing, or the connection dead: then the next one is tried.
            tries = mine["active"] if tries is None else tries - 1
            if not tries:
                return pools

    def _accounts_table(self):
        family = "ps_endpoints" if self._pjsip else "sippeers"
        return family, self.realtime().get(family, {"driver": "", "database": "", "table": ""})

    def endpoints(self):
        if not self._pjsip:
            return answers.parse_sip_endpoints(self.command("sip show peers"))
        try:
            return answers.parse_ami_endpoints(self._lists()["endpoints"])
        except ProbeError as error:
            _unless_silent(error)
            return answers.parse_pjsip_endpoints(self.command("pjsip show endpoints"))

    def contacts(self):
        if not self._pjsip:
            return answers.parse_sip_contacts(self.command("sip show peers"))
        try:
            return answers.parse_ami_contacts(self._lists()["contacts"])
        except ProbeError as error:
            _unless_silent(error)
            return answers.parse_pjsip_contacts(self.command("pjsip show contacts"))

    def taskprocessors(self):
        return answers.parse_taskprocessors(self.command("core show taskprocessors"))

    def live(self, account):
        """An account as Asterisk has it: ``{endpoint, device_state, contacts}``."""
        if not self._pjsip:
            return answers.parse_sip_peer(self.command("sip show peer " + account))
        try:
            with self._session() as session:
                return answers.parse_ami_endpoint(session.listed("PJSIPShowEndpoint", Endpoint=account))
        except ProbeError as error:
            _unless_silent(error)
            return answers.parse_pjsip_endpoint(self.command("pjsip show endpoint " + account))

    def command(self, line):
        """A command's text, unless the control socket is already known to be silent."""
        self._greeting()
        return _control.command(line, self._socket, CONTROL_LIMIT)

    def manage(self, action, **fields):
        """Have an action of AMI carried out; ``missing`` where AMI can't be asked."""
        with self._session() as session:
            session.done(action, **fields)

    def _session(self):
        access = parse_manager_conf(_config.read("manager.conf"))
        if not access["enabled"] or not access["user"]:
            raise ProbeError("missing", "AMI is off or has no user that may ask")
        self._greeting()
        return Ami(access, CONTROL_LIMIT)

    def _ask_lists(self):
        """Endpoints and contacts over one session of AMI: each login is a line in the security log."""
        if not self._pjsip:
            raise ProbeError("skipped", "the command line tells all there is to know of chan_sip")
        with self._session() as session:
            return {
                "endpoints": session.listed("PJSIPShowEndpoints"),
                "contacts": session.listed("PJSIPShowContacts"),
            }


def _unless_silent(error):
    """Raise what AMI raised when there is no use in asking again on the command line: nobody answers there either."""
    if error.error == "timed_out":
        raise error


def parse_udp(lines):
    """The sockets of /proc/net/udp as (local port, inode)."""
    for line in lines:
        fields = line.split()
        if len(fields) > 9 and fields[0].endswith(":"):
            yield int(fields[1].rpartition(":")[2], 16), int(fields[9])


def core_files(directories):
    """The core dumps in these directories and where the kernel and systemd put them, the newest last."""
    patterns = [os.path.join(directory, "core*") for directory in directories]
    patterns.append("/var/lib/systemd/coredump/core.asterisk.*")
    with open("/proc/sys/kernel/core_pattern", encoding="utf-8", errors="replace") as file:
        pattern = file.read().strip()
    if pattern.startswith("/"):
        patterns.append(re.sub("%.", "*", pattern))
    found = {}
    for path in {path for one in patterns for path in glob.glob(one)}:
        try:
            if os.path.isfile(path) and not os.path.islink(path) and _is_core(path):
                found[path] = os.stat(path).st_mtime
        except OSError:
            continue
    return sorted(found, key=found.__getitem__)[-CORE_FILES:]


def _is_core(path):
    if path.startswith("/var/lib/systemd/coredump/"):
        return True
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"
