# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state file (``reconnect/state/v1``) and what the room ``_lease`` returns.

A time is text in RFC 3339, UTC, by the server's wall clock, unless a field says otherwise.
"""

from __future__ import annotations

from typing import Literal, TypedDict


class Stamp(TypedDict):
    """A moment to measure a duration from: the wall clock alone could be stepped.

    ``wall``: seconds since the epoch. ``since_boot``: seconds since boot, suspension included. ``boot_id``: the
    kernel's name of that boot, empty when unknown.
    """

    wall: float
    since_boot: float
    boot_id: str


class _LeaseV1(TypedDict):
    holder: str
    run_id: str
    control_node: str
    acquired_at: str
    expires_at: str
    ttl: float
    stamp: Stamp


class Lease(_LeaseV1, total=False):
    """Who works on the server. ``ttl``: seconds from ``stamp`` to its end.

    ``server_name``: what the run calls the server; a lease of an older release has none.
    """

    server_name: str


class Identity(TypedDict):
    """Which server this is, however it is called. ``id``: 32 random hexadecimal digits, made with the first lease.

    ``machine``: a keyed hash of the machine's id, empty when unknown: another one beside the same ``id`` is a clone.
    """

    id: str
    machine: str


class Rung(TypedDict):
    """A rung of the restart ladder, noted before it is tried.

    ``calls``: active calls before the rung, None when they could not be counted.
    """

    rung: str
    calls: int | None
    at: str


class _OfAccount(TypedDict, total=False):
    account: str


class Entry(_OfAccount):
    """A remedy in the journal. ``state`` is ``begun`` while it is open; ``ended_at`` is None until then.

    ``account`` is there where the remedy is about an account, and not about the server.
    """

    remedy: str
    cause: str
    run_id: str
    state: str
    began_at: str
    ended_at: str | None
    rungs: list[Rung]
    stamp: Stamp


class _StateV1(TypedDict):
    schema: Literal["reconnect/state/v1"]
    lease: Lease | None
    journal: list[Entry]


class StateDocument(_StateV1, total=False):
    """The state file. The journal's oldest entry comes first.

    ``fence``: the newest fencing number that was given out; a file of an older release has none, which stands for 0.
    ``server`` is missing until the first lease.
    """

    fence: int
    server: Identity


class EndedProcess(TypedDict):
    """A process of a run that was ended. ``command``: the program's name, without arguments."""

    pid: int
    command: str
    ended_by: Literal["SIGTERM", "SIGKILL"]
