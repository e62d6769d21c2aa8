# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents of the network: what is probed, and what each probe answers.

Times are RFC 3339 in UTC and sizes bytes, unless a document says otherwise.
"""

from __future__ import annotations

from typing import Literal, TypedDict

from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import Probe
from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import SipTransport, Transport


class TlsProfile(TypedDict):
    """What clients offer in a TLS handshake; ``ciphers`` is a cipher list of OpenSSL for TLS 1.2."""

    minimum_version: Literal["1.2", "1.3"]
    ciphers: str


class _TargetOptions(TypedDict, total=False):
    tls_ca: str | None
    tls_ca_error: str | None
    tls_profile: TlsProfile | None
    user: str | None


class Target(_TargetOptions):
    """A server to probe the path to.

    ``sip_domain`` is the name that clients use, ``srv`` a service such as ``_sips._tcp`` or empty, ``tls_ca`` the
    trusted authorities as PEM text (null: those of the system), ``tls_ca_error`` why there are none, ``user`` the user
    part of the From field of SIP OPTIONS.
    """

    name: str
    sip_domain: str
    addresses: list[str]
    transports: list[SipTransport]
    resolvers: list[str]
    srv: str
    provisioning_url: str


class _Aliases(TypedDict):
    rcode: str
    aliases: list[str]


class Addresses(_Aliases):
    """The addresses that a resolver has for a name; ``aliases`` are the names that a CNAME led to.

    ``rcode`` is ``NOERROR`` or ``NXDOMAIN``: no record is an answer, too.
    """

    records: list[str]


class Service(TypedDict):
    """An SRV record (RFC 2782) and the addresses of its target."""

    priority: int
    weight: int
    port: int
    target: str
    addresses: list[str]


class Services(_Aliases):
    """The SRV records that a resolver has for a name, see `Addresses`."""

    records: list[Service]


class Resolved(TypedDict, total=False):
    """What one resolver answers for the server's name; ``srv`` where the settings name a service."""

    a: Probe[Addresses]
    aaaa: Probe[Addresses]
    srv: Probe[Services]


class RoundTrips(TypedDict):
    """Round trip times in milliseconds."""

    min: float
    avg: float
    max: float


class Echo(TypedDict):
    """Echo requests and their replies; ``loss`` is a share from 0 to 1."""

    sent: int
    received: int
    loss: float
    rtt_ms: RoundTrips


class PathMtu(TypedDict):
    """The largest packet that arrives unfragmented, in bytes with its IP header.

    ``local_mtu`` is what the kernel here believes of the route, ``reported_mtu`` what a router reported, or null.
    ``black_hole``: larger packets are lost and no router reports it.
    """

    mtu: int
    black_hole: bool
    largest_ok: int
    local_mtu: int
    reported_mtu: int | None


class Connected(TypedDict):
    """A TCP connection; ``rtt_ms`` is how long it took to open, in milliseconds."""

    rtt_ms: float


class CertificateDetails(TypedDict):
    """What a certificate says (RFC 5280).

    ``subject`` and ``issuer`` are RFC 4514 text, ``serial`` upper-case hexadecimal, ``names`` the DNS names and IP
    addresses it is for, ``fingerprint_sha256`` lower-case hexadecimal of the whole certificate, ``key_bits`` null when
    unknown, ``self_signed`` whether it names itself as its issuer, ``signature`` the algorithm.
    """

    subject: str
    issuer: str
    serial: str
    not_before: str
    not_after: str
    names: list[str]
    fingerprint_sha256: str
    key_type: str
    key_bits: int | None
    self_signed: bool
    signature: str


class InvalidCertificate(TypedDict):
    """A certificate that cannot be read, and why."""

    fingerprint_sha256: str
    names: list[str]
    subject: str
    error: str


class Offer(TypedDict):
    """What a client offered in the handshake; ``minimum_version`` is null when any version would do."""

    minimum_version: str | None
    ciphers: list[str]


class _Offered(TypedDict, total=False):
    offered: Offer


class Handshake(_Offered):
    """A TLS handshake, and the certificates that the server sent, the leaf first.

    ``verified`` is null when it could not be judged, and ``verify_message`` says why; ``verify_code`` is OpenSSL's.
    ``alert`` is how the handshake of a client ended, in OpenSSL's words, and ``offered`` what it offered; ``version``
    and ``cipher`` are those of a second handshake then, which offers everything.
    """

    version: str | None
    cipher: str | None
    certificates: list[CertificateDetails | InvalidCertificate]
    verified: bool | None
    verify_code: int | None
    verify_message: str | None
    name_matches: bool
    alert: str | None


class Hop(TypedDict):
    """How a station on the path answers OPTIONS; ``server`` is what it calls itself, empty where it does not say."""

    status: int
    reason: str
    server: str


class SipAnswer(Hop):
    """The answer to SIP OPTIONS, and the time in milliseconds that it took."""

    rtt_ms: float
    headers: dict[str, str]


class _SecondConnection(TypedDict, total=False):
    #: 2: the server closed the first connection without an answer, so this is the answer on a second one.
    attempts: int


class Provisioning(_SecondConnection):
    """The answer to GET of the provisioning URL; ``seconds`` is how long it took, ``tls`` null over plain HTTP."""

    status: int
    seconds: float
    tls: Handshake | None
    date: str | None
    server: str
    address: str


class _NewerPath(TypedDict, total=False):
    #: Added by the control node.
    nat_addresses: list[str]
    #: Evidence of an older release lacks it.
    hops: dict[str, list[Probe[Hop]]]


class Path(_NewerPath):
    """The path to one server, seen from one vantage point.

    ``epoch`` is ``taken_at`` in seconds since 1970. ``source_addresses`` are the vantage point's own addresses towards
    those of the server, ``source_address`` the one towards the first. ``nat_addresses`` are those that servers see it
    under. ``dns`` is by resolver, ``icmp`` and ``path_mtu`` by address, ``tcp`` and ``tls`` by ``address:port``,
    ``sip`` and ``hops`` by ``transport:address:port``; an IPv6 address stands in brackets there. ``hops`` are the
    answers to OPTIONS that no proxy may pass on (RFC 3261, 16.3), and only where that is a proxy's, to OPTIONS for an
    account that goes one hop further.
    """

    vantage: str
    taken_at: str
    epoch: float
    source_address: str | None
    source_addresses: list[str]
    dns: dict[str, Resolved]
    addresses: list[str]
    icmp: dict[str, Probe[Echo]]
    path_mtu: dict[str, Probe[PathMtu]]
    tcp: dict[str, Probe[Connected]]
    tls: dict[str, Probe[Handshake]]
    sip: dict[str, Probe[SipAnswer]]
    provisioning: Probe[Provisioning]


class Paths(TypedDict):
    """What the module path_info answers: a probe of the path to each target, by the target's name."""

    paths: dict[str, Probe[Path]]


class _Signed(TypedDict, total=False):
    #: What the station calls itself that answered. Evidence of an older release lacks it.
    server: str


class RegisterAnswer(_Signed):
    """A final answer to REGISTER after ``seconds``.

    ``expires`` is the requested interval, seconds: 0 removes the contact, null asks for the contacts. ``algorithm`` is
    that of the digest, null without one.
    """

    expires: int | None
    status: int
    reason: str
    seconds: float
    algorithm: str | None


class Contact(TypedDict):
    """A contact of an account; ``expires`` is seconds."""

    uri: str
    expires: int | None


class Registration(TypedDict):
    """A registration. ``registered``: a 200 listed our contact. ``contacts`` are all that it listed."""

    registered: bool
    answers: list[RegisterAnswer]
    contact: str
    contacts: list[Contact]
    unregistered: bool


class KnownContacts(TypedDict):
    """The contacts of an account on its server: those that Asterisk has, and those that are stored.

    ``where`` is the table, ``astdb``, or empty when it is not known; ``stored`` is null when that could not be read,
    and ``why`` says why not.
    """

    live: list[str]
    where: str
    stored: list[str] | None
    why: str


class _OnServer(TypedDict, total=False):
    #: What the server had of the account while our contact was registered; added by the control node.
    server: Probe[KnownContacts]
    #: How often the run has sent the password and was refused; added by the control node.
    refused: int


class RegistrationTest(_OnServer):
    """A registration as a client makes it at ``address``, with its port, and its end.

    ``accepted``: the server accepted the password. ``others`` is how many contacts other clients had: with any, nothing
    was registered. ``registered``: the 200 to our contact listed it, null when none was sent. ``listed``: the server
    listed it when it was asked again. ``unregistered``: our contact was removed, and no other.
    """

    address: str
    transport: Transport
    accepted: bool
    others: int
    contact: str
    registered: bool | None
    listed: bool
    unregistered: bool
    answers: list[RegisterAnswer]


class CallClient(TypedDict):
    """One client of a test call; ``status`` is that of the last final answer to REGISTER, null without one."""

    registered: bool
    status: int | None
    reason: str


class CallSetup(TypedDict):
    """How the call was set up, after ``seconds``; ``status`` is that of the last final answer to INVITE."""

    answered: bool
    seconds: float
    status: int | None
    reason: str
    encrypted: bool
    dropped: bool


class Media(TypedDict):
    """RTP packets, counted on the wire; ``lost`` are those whose numbers are missing in what was received."""

    sent: int
    received: int
    lost: int


class ServerMedia(TypedDict):
    """RTP packets as Asterisk counted them until a second or two before the end of the call."""

    received: int
    received_lost: int
    sent: int
    sent_lost: int


class _Vantage(TypedDict, total=False):
    #: The vantage point that measured; added by the control node.
    vantage: str


class _Call(_Vantage, total=False):
    #: By account; added by the control node.
    server: Probe[dict[str, ServerMedia]]


class Call(_Call):
    """A test call of ``seconds``; ``clients`` and ``media`` are by account. ``setup`` is null when no call was tried,
    ``media`` when it was not answered."""

    caller: str
    callee: str
    seconds: float
    clients: dict[str, CallClient]
    setup: CallSetup | None
    media: dict[str, Media] | None


class Ended(TypedDict):
    """What became of a connection: ``alive``, ``closed`` (by the server) or ``lost`` (no answer any more)."""

    ended: Literal["alive", "closed", "lost"]
    message: str


class IdleConnection(Ended):
    """A connection that was idle for ``seconds``."""

    seconds: float


class KeptConnection(IdleConnection):
    """A connection that was kept alive for ``seconds``, with a keep-alive ``every`` so many seconds."""

    every: float


class IdleTest(_Vantage):
    """How long a connection may be idle; ``silent`` holds the idle connections, the shortest time first.

    ``keep_alive_seconds`` is the longest time that a connection survived where every longer one was lost and the one
    that was kept alive survived; 0 otherwise.
    """

    transport: Transport
    account: str
    kept: KeptConnection
    silent: list[IdleConnection]
    keep_alive_seconds: int


class Capture(TypedDict):
    """Packets in libpcap's file format: ``pcap`` is the file in base64, ``bytes`` its size, ``cut``: there was more."""

    packets: int
    bytes: int
    cut: bool
    pcap: str
