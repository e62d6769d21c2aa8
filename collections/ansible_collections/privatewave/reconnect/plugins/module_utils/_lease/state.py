# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may work on this server, and which remedies ran lately.

Both are kept on the server, in one file under one lock: every control node sees the same. ``documents.StateDocument``
is the file's shape.

Times are the server's own; the clocks of control nodes do not count. A ``stamp`` keeps the time since boot beside the
wall clock. Until the next boot, durations come from the time since boot, which nobody can set: a stepped wall clock
neither ends a lease nor keeps it.

Every acquisition of the lease gets the next fencing number. The number stays when the lease is released, and is never
given out again. A process that lost the lease, even to another process of the same run, carries an older number: its
steps are refused.

The file also says which server this is: a random id, made with the first lease. Two inventory names of one machine
find the same file, so a run that knows the machine by both names gets one lease.

Standard library only, Python 3.8 and later: it runs on the server.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import re
import secrets
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal, cast

from ansible_collections.privatewave.reconnect.plugins.module_utils import _files
from ansible_collections.privatewave.reconnect.plugins.module_utils._common import plain_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible_collections.privatewave.reconnect.plugins.module_utils._lease.documents import (
        Entry,
        Identity,
        Lease,
        Stamp,
        StateDocument,
    )

SCHEMA: Literal["reconnect/state/v1"] = "reconnect/state/v1"
DEFAULT_PATH = "/var/lib/reconnect/state.json"
#: Entries of the journal that are kept, the newest.
JOURNAL_LENGTH = 200
OPEN = "begun"

_FENCE = re.compile(rb'"fence": ?(\d{1,15})\b')
_ID = re.compile(r"[0-9a-f]{32}")
#: machine-id(5): it is confidential, and a program keeps a hash of it that is keyed with a name of its own.
_MACHINE_ID = "/etc/machine-id"
_KEY = b"privatewave.reconnect"


class Refused(Exception):
    """A guardrail refuses the step; the message is a sentence for a person."""

    #: Whether the next level should look at it.
    escalate = False
    #: Whether waiting does not help.
    final = False


class SameServer(Refused):
    """The run works on this server already, under another name of the inventory."""

    final = True


class BudgetSpent(Refused):
    """The same remedy ran too often."""

    escalate = True


class StateError(Exception):
    """The state cannot be read, locked or written; the message is a sentence for a person."""


class Clock:
    """The server's time: the wall clock, the time since boot, and the boot it counts from."""

    def wall(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def since_boot(self) -> float:
        """Seconds since boot, suspension included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def boot_id(self) -> str:
        """A name that changes with every boot (proc(5), ``random/boot_id``)."""
        try:
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
                return file.read().strip()
        except OSError:
            return ""

    def machine(self) -> str:
        """A keyed hash of the machine's id (machine-id(5)), empty when it has none."""
        try:
            with open(_MACHINE_ID, "rb") as file:
                content = file.read(64).strip()
        except OSError:
            return ""
        return hmac.new(content, _KEY, hashlib.sha256).hexdigest()[:32] if content else ""

    def stamp(self) -> Stamp:
        """The present moment, to measure from later."""
        return {"wall": self.wall(), "since_boot": self.since_boot(), "boot_id": self.boot_id()}

    def elapsed(self, stamp: Stamp) -> float:
        """Seconds since ``stamp``, never negative."""
        if stamp["boot_id"] and stamp["boot_id"] == self.boot_id():
            return max(0.0, self.since_boot() - stamp["since_boot"])
        # The server was booted since: at least the time since that boot has passed, whatever the wall clock says.
        return max(self.since_boot(), self.wall() - stamp["wall"])


def utc(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class State:
    """The state file of a server, opened with :func:`locked`."""

    def __init__(self, path: str, clock: Clock, writable: bool) -> None:
        self.path = path
        self.clock = clock
        self.writable = writable
        self.warnings: list[str] = []
        self.lease: Lease | None = None
        self.journal: list[Entry] = []
        #: The newest fencing number that was given out.
        self.fence = 0
        #: Which server this is; None before its first lease.
        self.server: Identity | None = None

    # Reading and writing

    def load(self) -> None:
        """Read the file. An invalid one is moved aside, with a sentence in :attr:`warnings`."""
        try:
            with open(self.path, "rb", opener=_files.opener) as file:
                content = file.read()
            document = _checked(plain_json(content))
        except FileNotFoundError:
            return
        except ValueError as problem:
            # Even then no number is given out twice.
            self.fence = max([0, *map(int, _FENCE.findall(content))])
            kept = self.path + ".unreadable"
            self.warnings.append(
                "The state file {0} is invalid ({1}). Lease and journal are now empty; the old file is kept as "
                "{2}.".format(self.path, problem, kept)
            )
            if self.writable:
                with _sentence("keep the unreadable state file as", kept):
                    os.replace(self.path, kept)
            return
        except OSError as problem:
            raise StateError("The state file {0} cannot be read: {1}.".format(self.path, problem.strerror)) from problem
        self.lease = document["lease"]
        self.journal = document["journal"]
        self.fence = document.get("fence", 0)
        self.server = document.get("server")

    def save(self) -> None:
        """Replace the whole file: a crash leaves the old state or the new one. Does nothing unless writable."""
        if not self.writable:
            return
        document: StateDocument = {
            "schema": SCHEMA,
            "lease": self.lease,
            "journal": self.journal[-JOURNAL_LENGTH:],
            "fence": self.fence,
        }
        if self.server is not None:
            document["server"] = self.server
        with _sentence("write the state file", self.path):
            _files.replace(self.path, json.dumps(document, indent=1) + "\n")

    # The lease

    def check_fence(self, run_id: str | None, fence: int | None) -> None:
        """Raise :class:`Refused` when a step names an older fencing number than the newest; None names none."""
        if fence is not None and fence < self.fence:
            raise Refused(
                "Run {0} acts with lease number {1}, but number {2} was given out since: another process took over "
                "this server. Stop here.".format(run_id, fence, self.fence)
            )

    def holder(self) -> Lease | None:
        """The lease in force, or None when nobody holds one or it has expired."""
        if self.lease and self.clock.elapsed(self.lease["stamp"]) < self.lease["ttl"]:
            return self.lease
        return None

    def acquire(self, run_id: str, holder: str, control_node: str, ttl: float, name: str = "") -> bool:
        """Take the lease for ``ttl`` seconds, with the next :attr:`fence`; True when this run did not hold it before.

        ``name`` is what the run calls this server. Raises :class:`Refused` while another run holds it, or the same run
        under another name.
        """
        current = self.holder()
        if current and current["run_id"] == run_id and not _is_called(current, name):
            raise SameServer(
                "{0} and {1} are two names of one server. Run {2} works on it as {1}; nothing is done twice.".format(
                    name, current["server_name"], run_id
                )
            )
        fresh = self._hold(run_id, holder, control_node, ttl, name)
        self.fence += 1
        self._identify()
        return fresh

    def _identify(self) -> None:
        """Give the server its id; a clone of another machine gets one of its own."""
        machine = self.clock.machine()
        if self.server is None or (machine and self.server["machine"] not in ("", machine)):
            if self.server is not None:
                self.warnings.append(
                    "The state file {0} comes from another machine: this server is a clone of it, or its machine-id "
                    "was made again. It gets an id of its own.".format(self.path)
                )
            self.server = {"id": secrets.token_hex(16), "machine": machine}

    def _hold(self, run_id: str, holder: str, control_node: str, ttl: float, name: str) -> bool:
        current = self.holder()
        if current and current["run_id"] != run_id:
            raise Refused(
                "{holder} (run {run_id}, from {control_node}) works on this server since {acquired_at}, until "
                "{expires_at} at the latest.".format(**current)
            )
        now = self.clock.stamp()
        self.lease = {
            "holder": holder,
            "run_id": run_id,
            "control_node": control_node,
            "acquired_at": current["acquired_at"] if current else utc(now["wall"]),
            "expires_at": utc(now["wall"] + ttl),
            "ttl": ttl,
            "stamp": now,
            "server_name": name,
        }
        return current is None

    def renew(self, run_id: str, ttl: float) -> None:
        """Hold the lease for another ``ttl`` seconds from now. Raises :class:`Refused` unless this run holds it."""
        current = self._own(run_id)
        self._hold(run_id, current["holder"], current["control_node"], ttl, current.get("server_name", ""))

    def release(self, run_id: str, name: str = "") -> bool:
        """Release the lease; False when this run has none. What the run left open in the journal ends as failed.

        ``name`` is what the run calls this server: what it holds under another name stays.
        """
        if self.lease and self.lease["run_id"] == run_id and not _is_called(self.lease, name):
            return False
        changed = bool(self.close(run_id, "failed"))
        if self.lease and self.lease["run_id"] == run_id:
            self.lease = None
            changed = True
        return changed

    def _own(self, run_id: str) -> Lease:
        current = self.holder()
        if current is None:
            raise Refused("Run {0} holds no lease on this server, or it has expired.".format(run_id))
        if current["run_id"] != run_id:
            raise Refused(
                "Run {0} has lost its lease on this server: {1} (run {2}) holds it until {3}.".format(
                    run_id, current["holder"], current["run_id"], current["expires_at"]
                )
            )
        return current

    # The journal

    def begin(
        self,
        run_id: str,
        remedy: str,
        cause: str,
        budget: int,
        window: float,
        again: bool = False,
        account: str = "",
    ) -> Entry:
        """Note that a remedy begins and return its entry.

        ``again``: the remedy may run twice without harm. ``account``: the one that it is about, empty for the server.
        Raises :class:`Refused` without the lease, or when the remedy began ``budget`` times for it within ``window``
        seconds.
        """
        self._own(run_id)
        recent = self.recent(remedy, window, account)
        # Nobody knows whether a run that was killed and started again got as far as the remedy itself.
        before = [entry["began_at"] for entry in recent if entry["run_id"] == run_id and entry["cause"] == cause]
        if before and cause and not again:
            raise Refused(
                "This run was interrupted after it began {0} for {1} at {2}. The remedy is not done twice.".format(
                    remedy, cause, before[-1]
                )
            )
        if len(recent) >= budget:
            raise BudgetSpent(
                "{0} ran {1} within the last {2}, at {3}. That is the limit: {4} that keeps needing the same remedy is "
                "not fixed by it.".format(
                    remedy,
                    _times(len(recent)),
                    _span(window),
                    ", ".join(entry["began_at"] for entry in recent),
                    "an account" if account else "a server",
                )
            )
        now = self.clock.stamp()
        entry: Entry = {
            "remedy": remedy,
            "cause": cause,
            "run_id": run_id,
            "state": OPEN,
            "began_at": utc(now["wall"]),
            "ended_at": None,
            "rungs": [],
            "stamp": now,
        }
        if account:
            entry["account"] = account
        self.journal.append(entry)
        return entry

    def recent(self, remedy: str, window: float, account: str = "") -> list[Entry]:
        """The entries of a remedy, of the server or an account, that really ran and began ``window`` seconds ago."""
        return [
            entry
            for entry in self.journal
            if entry["remedy"] == remedy
            and entry.get("account", "") == account
            and entry["state"] not in ("refused", "not_needed")
            and self.clock.elapsed(entry["stamp"]) < window
        ]

    def fixed_since(self, run_id: str, epoch: float) -> bool:
        """Whether a remedy of another run ended after ``epoch``, seconds since 1970 by the server's wall clock."""
        return any(
            entry["run_id"] != run_id and entry["ended_at"] is not None and entry["ended_at"] >= utc(epoch)
            for entry in self.journal
        )

    def note(self, run_id: str, rung: str, calls: int | None) -> Entry | None:
        """Note the rung that is tried next and the active calls; None when nothing is open."""
        for entry in reversed(self.journal):
            if entry["run_id"] == run_id and entry["state"] == OPEN:
                entry["rungs"].append({"rung": rung, "calls": calls, "at": utc(self.clock.wall())})
                return entry
        return None

    def close(self, run_id: str, state: str) -> list[Entry]:
        """End what the run has open in the journal and return those entries."""
        entries = [entry for entry in self.journal if entry["run_id"] == run_id and entry["state"] == OPEN]
        for entry in entries:
            entry["state"] = state
            entry["ended_at"] = utc(self.clock.wall())
        return entries


@contextlib.contextmanager
def locked(
    path: str = DEFAULT_PATH, limit: float = 10.0, clock: Clock | None = None, writable: bool = True
) -> Iterator[State]:
    """Open the state at ``path`` alone: nobody else reads or writes it before the block ends.

    The lock is on the folder, because every write replaces the file. Waits ``limit`` seconds for it, then raises
    :class:`StateError`. Unless ``writable`` nothing is created or changed.
    """
    folder = os.path.dirname(path)
    state = State(path, clock or Clock(), writable)
    if not writable and not os.path.isdir(folder):
        yield state
        return
    with _sentence("open the folder", folder):
        with _files.private(folder) as ours:
            handle = os.dup(ours)
    try:
        with _sentence("lock", folder):
            alone = _files.lock(handle, limit)
        if not alone:
            raise StateError("{0} has been locked by another process for more than {1:g} s.".format(folder, limit))
        state.load()
        yield state
    finally:
        os.close(handle)


def _checked(document: Any) -> StateDocument:
    """The document, when it is a valid state file. Raises ValueError."""
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ValueError("it is not a {0} document".format(SCHEMA))
    lease = document.get("lease")
    journal = document.get("journal")
    if lease is not None:
        _check_fields("lease", lease, ("holder", "run_id", "control_node", "acquired_at", "expires_at"))
        if not isinstance(lease.get("ttl"), (int, float)):
            raise ValueError("its lease has no ttl")
        if not isinstance(lease.get("server_name", ""), str):
            raise ValueError("its lease has no server_name")
    if not isinstance(journal, list):
        raise ValueError("it has no journal")
    for entry in journal:
        _check_fields("journal", entry, ("remedy", "run_id", "state", "began_at"))
        if not isinstance(entry.get("rungs"), list):
            raise ValueError("an entry of its journal has no rungs")
    fence = document.get("fence", 0)
    if not isinstance(fence, int) or isinstance(fence, bool) or fence < 0:
        raise ValueError("its fencing number is not a number")
    server = document.get("server")
    if server is not None and not (
        isinstance(server, dict) and _ID.fullmatch(str(server.get("id"))) and isinstance(server.get("machine"), str)
    ):
        raise ValueError("its server has no id")
    return cast("StateDocument", document)


def _is_called(lease: Lease, name: str) -> bool:
    """Whether a lease may be the one of that name; where one of them is unknown, it may."""
    return not name or lease.get("server_name", "") in ("", name)


def _check_fields(name: str, entry: Any, texts: tuple[str, ...]) -> None:
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
def _sentence(action: str, path: str) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise StateError("Cannot {0} {1}: {2}.".format(action, path, problem.strerror)) from problem


def _times(count: int) -> str:
    return "once" if count == 1 else "{0} times".format(count)


def _span(seconds: float) -> str:
    if seconds == 3600:
        return "hour"
    return "{0:g} minutes".format(seconds / 60) if seconds % 60 == 0 else "{0:g} seconds".format(seconds)
