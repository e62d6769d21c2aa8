# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may mend this server, and what was mended lately.

Both live on the server being mended, in one file under one lock, so that every control node that comes sees the same.

State (``reconnect/state/v1``)::

    {"schema": "reconnect/state/v1",
     "lease": {"holder", "run_id", "control_node", "acquired_at", "expires_at", "ttl", "stamp"} or null,
     "journal": [{"remedy", "cause", "run_id", "state", "began_at", "ended_at", "rungs", "stamp"}]}

Times are the server's own (RFC 3339, UTC); the clocks of control nodes are never asked. A ``stamp`` keeps the time
since boot beside the wall clock: as long as the server has not been booted in between, durations come from that clock,
which nobody can set, so that a stepped wall clock neither ends a lease nor keeps it for ever.

Standard library only, Python 3.8 and later: it runs on the server.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import signal
import subprocess
import tempfile
import time
from datetime import datetime, timezone

SCHEMA = "reconnect/state/v1"
DEFAULT_PATH = "/var/lib/reconnect/state.json"
RUN_VARIABLE = "RECONNECT_RUN_ID"
#: Entries of the journal that are kept, the newest.
JOURNAL_LENGTH = 200
OPEN = "begun"


class Refused(Exception):
    """A guardrail said no; the message is the sentence for a person."""

    #: Whether somebody who knows more should look at it.
    escalate = False


class BudgetSpent(Refused):
    """The same remedy was carried out too often."""

    escalate = True


class StateError(Exception):
    """The state cannot be read, locked or written; the message is the sentence for a person."""


class Clock:
    """The server's time: the wall clock, the time since boot and which boot that was."""

    def wall(self):
        """Seconds since the epoch."""
        return time.time()

    def since_boot(self):
        """Seconds since boot, suspension included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def boot_id(self):
        """A name that changes with every boot (proc(5), ``random/boot_id``)."""
        try:
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
                return file.read().strip()
        except OSError:
            return ""

    def stamp(self):
        """The present moment, to be measured from later."""
        return {"wall": self.wall(), "since_boot": self.since_boot(), "boot_id": self.boot_id()}

    def elapsed(self, stamp):
        """Seconds since ``stamp``, never negative."""
        if stamp["boot_id"] and stamp["boot_id"] == self.boot_id():
            return max(0.0, self.since_boot() - stamp["since_boot"])
        # Booted since: at least the time since that boot has passed, whatever the wall clock says.
        return max(self.since_boot(), self.wall() - stamp["wall"])


def utc(seconds):
    """RFC 3339 in UTC of seconds since the epoch."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class State:
    """The state file of a server, opened with :func:`locked`."""

    def __init__(self, path, clock, writable):
        self.path = path
        self.clock = clock
        self.writable = writable
        self.warnings = []
        self.lease = None
        self.journal = []

    # Reading and writing

    def load(self):
        """Read the file. One that cannot be understood is kept aside and told in :attr:`warnings`."""
        try:
            with open(self.path, encoding="utf-8") as file:
                document = json.load(file)
            _check(document)
        except FileNotFoundError:
            return
        except ValueError as problem:
            kept = self.path + ".unreadable"
            self.warnings.append(
                "The state file {0} could not be understood ({1}): lease and journal start anew, what was there is "
                "kept in {2}.".format(self.path, problem, kept)
            )
            if self.writable:
                with _sentence("keep the unreadable state file as", kept):
                    os.replace(self.path, kept)
            return
        except OSError as problem:
            raise StateError("The state file {0} cannot be read: {1}.".format(self.path, problem.strerror)) from problem
        self.lease = document["lease"]
        self.journal = document["journal"]

    def save(self):
        """Replace the file as a whole, so that a crash leaves the old state or the new one; nothing unless writable."""
        if not self.writable:
            return
        document = {"schema": SCHEMA, "lease": self.lease, "journal": self.journal[-JOURNAL_LENGTH:]}
        folder = os.path.dirname(self.path)
        with _sentence("write the state file", self.path):
            handle, name = tempfile.mkstemp(prefix=".state-", dir=folder)
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(document, file, indent=1)
                    file.write("\n")
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(name, self.path)
            except BaseException:
                os.unlink(name)
                raise

    # The lease

    def holder(self):
        """The lease in force, or None when nobody holds one or it has expired."""
        if self.lease and self.clock.elapsed(self.lease["stamp"]) < self.lease["ttl"]:
            return self.lease
        return None

    def acquire(self, run_id, holder, control_node, ttl):
        """Take the lease for ``ttl`` seconds; True when it was not this run's before.

        Raises :class:`Refused` while another run holds it.
        """
        current = self.holder()
        if current and current["run_id"] != run_id:
            raise Refused(
                "This server is being mended by {holder} (run {run_id}, from {control_node}) since {acquired_at}, "
                "until {expires_at} at the latest.".format(**current)
            )
        fresh = current is None
        now = self.clock.stamp()
        self.lease = {
            "holder": holder,
            "run_id": run_id,
            "control_node": control_node,
            "acquired_at": utc(now["wall"]) if fresh else current["acquired_at"],
            "expires_at": utc(now["wall"] + ttl),
            "ttl": ttl,
            "stamp": now,
        }
        return fresh

    def renew(self, run_id, ttl):
        """Hold the lease for another ``ttl`` seconds from now. Raises :class:`Refused` when it is not this run's."""
        current = self._own(run_id)
        self.acquire(run_id, current["holder"], current["control_node"], ttl)

    def release(self, run_id):
        """Give the lease back; False when this run has none. What the run left open in the journal ends as failed."""
        changed = bool(self.close(run_id, "failed"))
        if self.lease and self.lease["run_id"] == run_id:
            self.lease = None
            changed = True
        return changed

    def _own(self, run_id):
        current = self.holder()
        if current is None:
            raise Refused("Run {0} holds no lease on this server, or it has expired.".format(run_id))
        if current["run_id"] != run_id:
            raise Refused(
                "Run {0} has lost its lease on this server: {holder} (run {run_id}) holds it until "
                "{expires_at}.".format(run_id, **current)
            )
        return current

    # The journal

    def begin(self, run_id, remedy, cause, budget, window, again=False):
        """Write down that a remedy begins and return its entry.

        ``again`` says that doing it twice does no harm. Raises :class:`Refused` without the lease, or when ``budget``
        of the remedy began within ``window`` seconds.
        """
        self._own(run_id)
        recent = self.recent(remedy, window)
        # Of a run that was killed and begun anew nobody knows whether it came to carry the remedy out.
        before = [entry["began_at"] for entry in recent if entry["run_id"] == run_id and entry["cause"] == cause]
        if before and cause and not again:
            raise Refused(
                "This run began {0} for {1} at {2} already and was interrupted: it is not done twice.".format(
                    remedy, cause, before[-1]
                )
            )
        if len(recent) >= budget:
            raise BudgetSpent(
                "{0} was done {1} within the last {2}, at {3}: that is the limit. A server that keeps needing the same "
                "remedy is not mended by it.".format(
                    remedy, _times(len(recent)), _span(window), ", ".join(entry["began_at"] for entry in recent)
                )
            )
        now = self.clock.stamp()
        entry = {
            "remedy": remedy,
            "cause": cause,
            "run_id": run_id,
            "state": OPEN,
            "began_at": utc(now["wall"]),
            "ended_at": None,
            "rungs": [],
            "stamp": now,
        }
        self.journal.append(entry)
        return entry

    def recent(self, remedy, window):
        """Entries of a remedy that was really carried out and began within the last ``window`` seconds."""
        return [
            entry
            for entry in self.journal
            if entry["remedy"] == remedy
            and entry["state"] not in ("refused", "not_needed")
            and self.clock.elapsed(entry["stamp"]) < window
        ]

    def mended_since(self, run_id, epoch):
        """Whether another run carried out a remedy that ended after ``epoch``, by the server's wall clock."""
        return any(
            entry["run_id"] != run_id and entry["ended_at"] is not None and entry["ended_at"] >= utc(epoch)
            for entry in self.journal
        )

    def note(self, run_id, rung, calls):
        """Write down the rung that is tried next and the calls that were up; None when nothing is open."""
        for entry in reversed(self.journal):
            if entry["run_id"] == run_id and entry["state"] == OPEN:
                entry["rungs"].append({"rung": rung, "calls": calls, "at": utc(self.clock.wall())})
                return entry
        return None

    def close(self, run_id, state):
        """End what the run has open in the journal and return those entries."""
        entries = [entry for entry in self.journal if entry["run_id"] == run_id and entry["state"] == OPEN]
        for entry in entries:
            entry["state"] = state
            entry["ended_at"] = utc(self.clock.wall())
        return entries


@contextlib.contextmanager
def locked(path=DEFAULT_PATH, limit=10.0, clock=None, writable=True):
    """Open the state at ``path`` alone: nobody else reads or writes it before the block ends.

    The lock is on the folder, because the file itself is replaced by every write. Waits ``limit`` seconds for it, then
    raises :class:`StateError`. Unless ``writable`` nothing is created or changed.
    """
    folder = os.path.dirname(path)
    state = State(path, clock or Clock(), writable)
    if not writable and not os.path.isdir(folder):
        yield state
        return
    with _sentence("open the folder", folder):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        deadline = time.monotonic() + limit
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as problem:
                if problem.errno not in (errno.EAGAIN, errno.EACCES):
                    raise StateError("{0} cannot be locked: {1}.".format(folder, problem.strerror)) from problem
            if time.monotonic() > deadline:
                raise StateError("{0} has been locked by another process for more than {1:g} s.".format(folder, limit))
            time.sleep(0.02)
        state.load()
        yield state
    finally:
        os.close(handle)


def end_processes(run_id, limit=5.0):
    """End what a run left on this server and return ``[{pid, command, ended_by}]``.

    A process belongs to the run when its environment has ``RECONNECT_RUN_ID`` of the run. Each is asked with SIGTERM
    and, when it is still there after ``limit`` seconds, killed. This process and its ancestors are spared: they may
    carry the same variable.
    """
    spared = _ancestors()
    left = {pid: _command(pid) for pid in processes_of(run_id) if pid not in spared}
    ended = []
    for number, name, patience in ((signal.SIGTERM, "SIGTERM", limit), (signal.SIGKILL, "SIGKILL", 1.0)):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + patience
        while left and time.monotonic() < deadline:
            for pid in [pid for pid in left if not _alive(pid)]:
                ended.append({"pid": pid, "command": left.pop(pid), "ended_by": name})
            if left:
                time.sleep(0.02)
        # What a dying process started on its way out belongs to the run, too.
        left.update((pid, _command(pid)) for pid in processes_of(run_id) if pid not in spared)
    return ended


def processes_of(run_id):
    """Process ids whose environment carries the run's ``RECONNECT_RUN_ID``."""
    wanted = "{0}={1}".format(RUN_VARIABLE, run_id).encode()
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open("/proc/{0}/environ".format(name), "rb") as file:
                if wanted in file.read().split(b"\0"):
                    found.append(int(name))
    return found


def abort_shutdown(limit=5.0):
    """Take back a shutdown of Asterisk that waits for its calls to end; True when it was told."""
    try:
        asked = subprocess.run(
            ["asterisk", "-rx", "core abort shutdown"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=limit,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def _ancestors():
    """This process and everything above it."""
    pids = set()
    pid = os.getpid()
    while pid > 0 and pid not in pids:
        pids.add(pid)
        pid = _parent(pid)
    return pids


def _parent(pid):
    try:
        with open("/proc/{0}/stat".format(pid), encoding="utf-8", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _alive(pid):
    """Whether a process runs; one that is dead and only waits for its parent does not."""
    try:
        with open("/proc/{0}/stat".format(pid), encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (OSError, IndexError):
        return False


def _command(pid):
    """The program's name only: an argument may be a secret."""
    try:
        with open("/proc/{0}/comm".format(pid), encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _check(document):
    """Raise ValueError unless the document is a state that can be worked with."""
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ValueError("it is not a {0} document".format(SCHEMA))
    lease = document.get("lease")
    journal = document.get("journal")
    if lease is not None:
        _check_fields("lease", lease, ("holder", "run_id", "control_node", "acquired_at", "expires_at"))
        if not isinstance(lease.get("ttl"), (int, float)):
            raise ValueError("its lease has no ttl")
    if not isinstance(journal, list):
        raise ValueError("it has no journal")
    for entry in journal:
        _check_fields("journal", entry, ("remedy", "run_id", "state", "began_at"))
        if not isinstance(entry.get("rungs"), list):
            raise ValueError("an entry of its journal has no rungs")


def _check_fields(name, entry, texts):
    if not isinstance(entry, dict):
        raise ValueError("its {0} is malformed".format(name))
    stamp = entry.get("stamp")
    if not isinstance(stamp, dict) or not isinstance(stamp.get("boot_id"), str):
        raise ValueError("its {0} has no stamp".format(name))
    if not all(isinstance(stamp.get(key), (int, float)) for key in ("wall", "since_boot")):
        raise ValueError("its {0} has no stamp".format(name))
    for text in texts:
        if not isinstance(entry.get(text), str):
            raise ValueError("its {0} has no {1}".format(name, text))


@contextlib.contextmanager
def _sentence(action, path):
    try:
        yield
    except OSError as problem:
        raise StateError("Cannot {0} {1}: {2}.".format(action, path, problem.strerror)) from problem


def _times(count):
    return "once" if count == 1 else "{0} times".format(count)


def _span(seconds):
    if seconds == 3600:
        return "hour"
    return "{0:g} minutes".format(seconds / 60) if seconds % 60 == 0 else "{0:g} seconds".format(seconds)
