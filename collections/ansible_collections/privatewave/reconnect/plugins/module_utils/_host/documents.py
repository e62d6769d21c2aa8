# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents of the host: what each probe of the subset ``host`` answers.

Sizes are bytes and times RFC 3339 in UTC, unless a document says otherwise.
"""

from __future__ import annotations

from typing import Literal, TypedDict

from ansible_collections.privatewave.reconnect.plugins.module_utils._net.documents import CertificateDetails
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import Probe

Protocol = Literal["tcp", "udp"]
Family = Literal[4, 6]
Filter = Literal["nft", "iptables"]


class System(TypedDict):
    """The operating system, its kernel, the time of its start, and the Python that asked."""

    id: str
    version: str
    kernel: str
    boot_time: str
    python: str


class Unit(TypedDict):
    """A unit as systemd describes it (org.freedesktop.systemd1(5)); ``restart_usec`` is microseconds, null: never."""

    load_state: str | None
    active_state: str | None
    sub_state: str | None
    result: str | None
    unit_file_state: str | None
    main_pid: int | None
    n_restarts: int | None
    exec_main_status: int | None
    exec_main_code: int | None
    active_enter: str | None
    restart_usec: int | None


class Stop(TypedDict):
    """A unit that does not run because a person or a cluster wanted it.

    ``how`` is ``stopped``, ``disabled`` or ``masked``; ``at`` when it was stopped, or masked, ``by`` who wanted it and
    how that is known. Both are null where nothing tells.
    """

    how: Literal["stopped", "disabled", "masked"]
    at: str | None
    by: str | None


class _Owner(TypedDict, total=False):
    started: int
    transient: bool
    ours: bool
    triggers: str


class Owner(_Owner):
    """The process and the unit that hold a socket; null where they are unknown.

    The unit of a socket that systemd itself holds is the socket unit, and ``triggers`` its service. ``started`` is when
    the process was started, in clock ticks since the boot: with its id that names one process. ``transient`` says that
    the unit has no file, as one of systemd-run; ``ours`` that a run of Reconnect started the process. Evidence of an
    older release lacks these four.
    """

    pid: int | None
    process: str | None
    unit: str | None


class ListeningSocket(Owner):
    """A listening socket, and who holds it."""

    proto: Protocol
    family: Family
    address: str
    port: int


class Mount(TypedDict):
    """A mounted file system (proc(5), mountinfo)."""

    mount: str
    device: str | None
    fstype: str | None
    read_only: bool


class Space(TypedDict, total=False):
    """What a service can use of a file system, without what is reserved for root; ``error`` when it does not answer."""

    size: int
    available: int
    inodes: int
    inodes_available: int
    error: str


class Disk(Mount, Space):
    """A file system that matters. ``role`` holds all its roles, a blank between them: ``root log database spool tmp``;
    ``path`` is what was looked at."""

    path: str
    role: str


class LargeFile(TypedDict):
    """A file and the bytes that it takes on the disk."""

    path: str
    size: int


class Memory(TypedDict):
    """Memory and swap in bytes."""

    total: int | None
    available: int | None
    swap_total: int | None
    swap_free: int | None


class LargeProcess(TypedDict):
    """A process and the memory that it holds, ``rss`` in bytes."""

    pid: int
    name: str
    rss: int


class ProcessFacts(TypedDict):
    """A process. ``state`` is the letter of proc(5), ``rss`` bytes, ``start_time`` seconds since 1970."""

    pid: int
    state: str
    threads: int
    open_files: int
    open_files_limit: int | None
    cpu_seconds: float
    rss: int
    start_time: float


class Load(TypedDict):
    """How many processes wanted to run, on average over 1, 5 and 15 minutes."""

    one: float
    five: float
    fifteen: float
    cpus: int | None


class Clock(TypedDict):
    """The server's time in seconds since 1970; ``synchronized`` is null when the kernel does not tell."""

    epoch: float
    synchronized: bool | None


class _Enabled(TypedDict, total=False):
    #: False: it was switched off. Evidence of an older release lacks it.
    enabled: bool


class Interface(_Enabled):
    """A network interface with its addresses as CIDR. One that is ``enabled`` and down has no carrier."""

    name: str
    state: str
    mtu: int | None
    addresses: list[str]


class Route(TypedDict):
    """A route of the main table; ``kind`` is ``unicast``, ``unreachable``, ``blackhole``, ``prohibit``…"""

    family: Family
    destination: str | None
    gateway: str | None
    device: str | None
    kind: str


class Resolver(TypedDict):
    """Whether a resolver of the server answered it, and why it did not."""

    answers: bool
    message: str


class _Removable(TypedDict, total=False):
    #: The filter that the rule was read from. Evidence of an older release lacks it and the next.
    filter: Filter
    #: What is in the rule, by which it can be removed; null for a policy, and a rule that cannot be removed alone.
    digest: str | None
    #: True where the rule has further conditions: it drops some packets of its ports, nobody knows which.
    partial: bool


class Block(_Removable):
    """A rule or policy that can drop or reject a packet, for one protocol.

    ``ports`` are ranges of destination ports, empty: any. ``sources`` are networks and ``sets`` names of sets that the
    source must be in, both empty: anybody. ``accepts`` are the ports that rules before it accept from anybody.
    ``policy`` is null unless the block is the chain's policy, ``family`` null where a table holds both families,
    ``handle`` nftables' number of the rule in its table.
    """

    chain: str
    table: str
    family: Family | None
    hook: str
    policy: str | None
    text: str
    handle: int | None
    verdict: str
    protocol: str
    ports: list[list[int]]
    sources: list[str]
    sets: list[str]
    accepts: list[list[int]]


class FirewallFacts(TypedDict):
    """What the host's own packet filter blocks."""

    backend: Literal["nft", "iptables", "none"]
    blocks: list[Block]


class _HalfOfBans(TypedDict, total=False):
    #: Why one of the two could not be asked.
    error: str


class Bans(_HalfOfBans):
    """Banned addresses: those of each fail2ban jail, and those of each set of nftables that a rule blocks."""

    jails: dict[str, list[str]]
    sets: dict[str, list[str]]


class KernelLog(TypedDict):
    """What the kernel said in the last hour: lines about a lack of memory, and whether connection tracking was full."""

    oom: list[str]
    conntrack_full: bool


class CertificateFile(CertificateDetails):
    """A certificate file. ``der`` is every certificate in it as base64, the leaf first; the details are the leaf's."""

    path: str
    der: list[str]
    mtime: str


class KeyFile(TypedDict):
    """A private key. ``readable`` (by Asterisk) and ``matches`` (the certificate) are null when nobody can tell."""

    path: str
    readable: bool | None
    encrypted: bool | None
    matches: bool | None
    error: str | None


class IntermediateFile(TypedDict):
    """A certificate in the same folder that belongs between the last one of the file and its authority."""

    path: str
    subject: str
    issuer: str


class Trust(TypedDict):
    """Whether a client would accept the certificate on the disk, by a handshake in memory with its key.

    ``verified`` is null when it could not be judged, and ``verify_message`` says why; ``verify_code`` is OpenSSL's.
    ``name_matches`` is null where the settings name no domain.
    """

    verified: bool | None
    verify_code: int | None
    verify_message: str
    name_matches: bool | None


class _Newer(TypedDict, total=False):
    #: Evidence of an older release lacks them.
    intermediate: IntermediateFile | None
    trust: Trust


class TlsFiles(_Newer):
    """The certificate and the key that Asterisk is configured to use."""

    certificate: CertificateFile
    key: KeyFile


class Host(TypedDict, total=False):
    """The subset ``host``: its probes by name. A server that cannot be reached has none; an older release has fewer."""

    os: Probe[System]
    units: Probe[dict[str, Unit]]
    failed_units: Probe[list[str]]
    stops: Probe[dict[str, Stop]]
    sockets: Probe[list[ListeningSocket]]
    disks: Probe[list[Disk]]
    largest_files: Probe[list[LargeFile]]
    memory: Probe[Memory]
    largest_processes: Probe[list[LargeProcess]]
    load: Probe[Load]
    clock: Probe[Clock]
    interfaces: Probe[list[Interface]]
    routes: Probe[list[Route]]
    resolvers: Probe[dict[str, Resolver]]
    firewall: Probe[FirewallFacts]
    bans: Probe[Bans]
    kernel_log: Probe[KernelLog]
    tls_files: Probe[TlsFiles]
