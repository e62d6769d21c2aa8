# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Echo requests (RFC 792, RFC 4443) on Linux: loss, round trip time and the path MTU.

A ping socket needs no privilege where ``net.ipv4.ping_group_range`` allows it, a raw socket needs CAP_NET_RAW. Without
either the ``ping`` command of iputils runs, which has its own privilege.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import struct
import subprocess
import time
from typing import TYPE_CHECKING

from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from ansible_collections.privatewave.reconnect.plugins.module_utils._net.documents import Echo, PathMtu

    #: The shortest, the mean and the longest round trip in milliseconds.
    Times = tuple[float, float, float]

PACKETS = 5
INTERVAL = 0.1
#: What is sent in addition when one of them was lost: five packets cannot tell a bad link from bad luck.
MORE_PACKETS = 15
MORE_INTERVAL = 0.05
MORE_WAIT = 1.0
WAIT = 1.0
PATIENCE = 1.5
SMALLEST = 576
LARGEST = 9000

# Numbers of linux/in.h, linux/in6.h and linux/errqueue.h that the socket module does not name.
_IP_MTU_DISCOVER, _IP_RECVERR, _IP_MTU = 10, 11, 14
_IPV6_MTU_DISCOVER, _IPV6_MTU, _IPV6_RECVERR, _IPV6_DONTFRAG = 23, 24, 25, 62
_PMTUDISC_PROBE = 3
_ORIGIN_LOCAL = 1
_EXTENDED_ERROR = struct.Struct("=IBBBBII")
_ECHO = struct.Struct("!BBHHH")
_IP_HEADER = {4: 20, 6: 40}


def ping(address: str, count: int = PACKETS, interval: float = INTERVAL) -> Echo:
    """Send ``count`` echo requests, one every ``interval`` seconds, and more when one was lost.

    Raises `ProbeError`: ``timed_out`` when no reply arrived, ``unreachable`` when a router reported it.
    """
    try:
        pinger = _Pinger(address)
    except PermissionError:
        return _ping_by_command(address, count)
    with pinger:
        pinger.send_paced(count, interval)
        pinger.listen(time.monotonic() + WAIT, enough=lambda: len(pinger.replies) == count)
        if len(pinger.replies) < count and not pinger.unreachable:
            pinger.send_paced(MORE_PACKETS, MORE_INTERVAL)
            count += MORE_PACKETS
            # A router reports late when it had to look up its neighbour first.
            pinger.listen(
                time.monotonic() + MORE_WAIT,
                enough=lambda: len(pinger.replies) == count or bool(pinger.unreachable and not pinger.replies),
            )
        times = list(pinger.replies.values())
        if not times:
            if pinger.unreachable:
                raise ProbeError("unreachable", "{0}: {1}".format(address, os.strerror(pinger.unreachable)))
            raise ProbeError("timed_out", "{0} answered none of {1} echo requests".format(address, count))
        return _loss(count, len(times), min(times), sum(times) / len(times), max(times))


def path_mtu(address: str) -> PathMtu:
    """The largest packet that reaches ``address`` unfragmented.

    Raises `ProbeError` when not even small packets are answered.
    """
    local = min(_route_mtu(address), LARGEST)
    try:
        pinger = _Pinger(address, do_not_fragment=True)
    except PermissionError:
        return _path_mtu_by_command(address, local)
    with pinger:
        found = _try_sizes(pinger, [local] * 3 + [SMALLEST] * 2, None, {local})
        if local not in found:
            times = [4 * milliseconds / 1000 for milliseconds in pinger.replies.values()]
            wait = min(WAIT, max(0.3, *times)) if times else WAIT
            if pinger.reported:
                found |= _try_sizes(pinger, [pinger.reported] * 2, wait, {pinger.reported})
            if not found:
                if pinger.unreachable:
                    raise ProbeError("unreachable", "{0}: {1}".format(address, os.strerror(pinger.unreachable)))
                raise ProbeError("timed_out", "{0} answers no echo request".format(address))
            if not pinger.reported or pinger.reported not in found:
                found |= _search(pinger, max(found), pinger.reported or local, wait)
        return _judge_sizes(max(found), local, pinger.reported)


def _judge_sizes(largest: int, local: int, reported: int | None) -> PathMtu:
    return {
        "mtu": largest,
        "black_hole": largest < local and not reported,
        "largest_ok": largest,
        "local_mtu": local,
        "reported_mtu": reported,
    }


def _search(pinger: _Pinger, low: int, high: int, wait: float) -> set[int]:
    """The sizes that arrive between ``low``, which does, and ``high``, which does not, to within four bytes."""
    found: set[int] = set()
    while high - low > 4:
        step = max(4, (high - low) // 16)
        # Multiples of four, as link MTUs are.
        sizes = list(range((low + step) // 4 * 4, high, step // 4 * 4))
        arrived = _try_sizes(pinger, sizes * 2, wait, {sizes[-1]})
        found |= arrived
        low = max(arrived, default=low)
        high = min([size for size in sizes if size > low], default=high)
        if not arrived and step == 4:
            break
    return found


def _try_sizes(pinger: _Pinger, sizes: Sequence[int], wait: float | None, enough: Collection[int]) -> set[int]:
    """Send one packet of each size. Returns the sizes that were answered after ``wait`` seconds (None: patiently).

    It returns at once when all sizes of ``enough`` were answered, or when a router reports its MTU.
    """
    first, reported_before = pinger.next_number, pinger.reported
    by_number = dict(enumerate(sizes, first))
    for number, size in by_number.items():
        pinger.send(number, size)

    def arrived() -> set[int]:
        return {by_number[number] for number in pinger.replies if number in by_number}

    def answered() -> bool:
        return arrived().issuperset(enough) or pinger.reported != reported_before

    if wait is None:
        pinger.listen_patiently(answered)
    else:
        pinger.listen(time.monotonic() + wait, answered)
    return arrived()


def _loss(sent: int, received: int, least: float, mean: float, most: float) -> Echo:
    return {
        "sent": sent,
        "received": received,
        "loss": round(1 - received / sent, 3),
        "rtt_ms": {"min": round(least, 3), "avg": round(mean, 3), "max": round(most, 3)},
    }


def _route_mtu(address: str) -> int:
    version = 6 if ":" in address else 4
    with socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((address, 9))
        if version == 6:
            return sock.getsockopt(socket.IPPROTO_IPV6, _IPV6_MTU)
        return sock.getsockopt(socket.IPPROTO_IP, _IP_MTU)


class _Pinger:
    """An echo socket to one address.

    ``replies`` is {number: round trip in milliseconds}, ``reported`` the smallest MTU that a router reported,
    ``unreachable`` the errno of the last ICMP error.
    """

    def __init__(self, address: str, do_not_fragment: bool = False) -> None:
        self.version = 6 if ":" in address else 4
        self.replies: dict[int, float] = {}
        self.reported: int | None = None
        self.unreachable: int | None = None
        self.next_number = 0
        self._sent: dict[int, float] = {}
        self._cookie = os.urandom(8)
        self._identifier: int = struct.unpack("!H", os.urandom(2))[0]
        self._sock, self._raw = self._open()
        try:
            self._prepare(do_not_fragment)
            self._sock.connect((address, 0))
            self._drop_foreign()
        except OSError:
            self._sock.close()
            raise

    def _open(self) -> tuple[socket.socket, bool]:
        family = socket.AF_INET6 if self.version == 6 else socket.AF_INET
        protocol = socket.IPPROTO_ICMPV6 if self.version == 6 else socket.IPPROTO_ICMP
        try:
            return socket.socket(family, socket.SOCK_DGRAM, protocol), False
        except PermissionError:
            return socket.socket(family, socket.SOCK_RAW, protocol), True

    def _prepare(self, do_not_fragment: bool) -> None:
        if self.version == 6:
            self._sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
            if do_not_fragment:
                self._sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)
                self._sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_DONTFRAG, 1)
        else:
            self._sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
            if do_not_fragment:
                # PROBE sets DF and ignores what the kernel learnt about the path: this measures it.
                self._sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)

    def _drop_foreign(self) -> None:
        """A raw socket takes what everybody sends until it is connected, and then has no room for our replies."""
        while self._raw:
            try:
                self._sock.recv(1, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                continue

    def __enter__(self) -> _Pinger:
        return self

    def __exit__(self, *_error: object) -> None:
        self._sock.close()

    def send(self, number: int, size: int) -> None:
        """Send one echo request of ``size`` bytes, IP header included."""
        self.next_number = number + 1
        payload = self._cookie.ljust(size - _IP_HEADER[self.version] - _ECHO.size, b"\0")
        kind = 128 if self.version == 6 else 8
        head = _ECHO.pack(kind, 0, 0, self._identifier, number)
        packet = _ECHO.pack(kind, 0, _checksum(head + payload), self._identifier, number) + payload
        self._sent[number] = time.monotonic()
        for _attempt in range(2):
            try:
                self._sock.send(packet)
                return
            except OSError as error:
                # The next call reports an ICMP error of an earlier packet: note it, then send again.
                self._note(error)

    def send_paced(self, count: int, interval: float) -> None:
        """Send small echo requests, one every ``interval`` seconds, and listen meanwhile."""
        next_at = time.monotonic()
        for left in range(count - 1, -1, -1):
            self.send(self.next_number, 64)
            next_at += interval
            if left:
                self.listen(next_at, enough=lambda: False)

    def listen(self, until: float, enough: Callable[[], bool]) -> None:
        """Collect replies and errors until a time, or until ``enough()``.

        What has arrived by then is read: on a busy machine this process may come late to it.
        """
        while not enough():
            self._sock.settimeout(max(0.001, until - time.monotonic()))
            try:
                self._take(self._sock.recv(LARGEST + 100))
            except socket.timeout:
                return
            except OSError as error:
                self._note(error)

    def listen_patiently(self, enough: Callable[[], bool]) -> None:
        """Collect replies for a while, and longer when none arrives, as TCP does."""
        self.listen(time.monotonic() + WAIT, enough)
        if not (self.replies or self.unreachable or self.reported):
            # A neighbour on a link is looked up first, which can take some tries, a second apart.
            self.listen(time.monotonic() + PATIENCE, lambda: bool(self.replies or self.unreachable))
            self.listen(time.monotonic() + 0.1, enough)

    def _take(self, packet: bytes) -> None:
        if self._raw and self.version == 4:
            packet = packet[(packet[0] & 15) * 4 :]
        if len(packet) < _ECHO.size + len(self._cookie):
            return
        kind, _code, _sum, identifier, number = _ECHO.unpack_from(packet)
        ours = packet[_ECHO.size :].startswith(self._cookie) and (not self._raw or identifier == self._identifier)
        if ours and kind == (129 if self.version == 6 else 0) and number in self._sent:
            self.replies.setdefault(number, (time.monotonic() - self._sent[number]) * 1000)

    def _note(self, error: OSError) -> None:
        """Read the reports of routers from the error queue, see ip(7), IP_RECVERR."""
        if error.errno not in (errno.EMSGSIZE, errno.EAGAIN):
            self.unreachable = error.errno
        while True:
            try:
                _data, ancillary, _flags, _address = self._sock.recvmsg(
                    LARGEST, 512, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT
                )
            except OSError:
                return
            for level, kind, data in ancillary:
                if (level, kind) not in ((socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR)):
                    continue
                number, origin, _type, _code, _pad, info, _data = _EXTENDED_ERROR.unpack_from(data)
                if number == errno.EMSGSIZE and origin != _ORIGIN_LOCAL and info >= 68:
                    self.reported = min(info, self.reported or info)


def _checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack("!{0}H".format(len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _ping_command(address: str, arguments: Sequence[str], limit: float) -> str:
    """The output of ``ping`` of iputils, within ``limit`` seconds. Raises `ProbeError`."""
    command = shutil.which("ping") or shutil.which("ping", path="/usr/bin:/bin:/sbin:/usr/sbin")
    if command is None:
        raise ProbeError("denied", "no ping socket, no raw socket and no ping command is available")
    try:
        return subprocess.run(
            [command, "-n", "-6" if ":" in address else "-4", *arguments, address],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=limit,
            env=dict(os.environ, LC_ALL="C"),
            check=False,
        ).stdout.decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        raise ProbeError("timed_out", "ping did not end within {0:g} s".format(limit)) from None


def parse_ping(text: str) -> tuple[int, int, Times | None] | None:
    """The summary of ``ping`` of iputils as (sent, received, times or None), or None without a summary."""
    counts = re.search(r"(\d+) packets transmitted, (\d+) received", text)
    times = re.search(r"rtt min/avg/max/mdev = ([\d.]+)/([\d.]+)/([\d.]+)/", text)
    if not counts:
        return None
    least, mean, most = map(float, times.groups()) if times else (0.0, 0.0, 0.0)
    return int(counts.group(1)), int(counts.group(2)), (least, mean, most) if times else None


def parse_reported_mtu(text: str) -> int | None:
    """The smallest MTU that another host reported in the output of ``ping``, or None."""
    found = [int(mtu) for mtu in re.findall(r"^From .*(?:Frag needed|Packet too big).*?mtu ?= ?(\d+)", text, re.M)]
    return min(found) if found else None


def _summary(text: str) -> tuple[int, int, Times | None]:
    """`parse_ping`. Raises `ProbeError` when the command could not send."""
    result = parse_ping(text)
    if not result:
        message = (text.strip().splitlines() or ["ping prints nothing"])[-1]
        raise ProbeError("denied" if "permitted" in text else "failed", message)
    return result


def _ping_by_command(address: str, count: int) -> Echo:
    # iputils limits users to one request every 0.2 s.
    text = _ping_command(address, ["-q", "-c", str(count), "-i", "0.2", "-W", "1"], count * 0.2 + 2)
    sent, received, times = _summary(text)
    if not times:
        raise ProbeError("timed_out", "{0} answered none of {1} echo requests".format(address, sent))
    return _loss(sent, received, *times)


def _path_mtu_by_command(address: str, local: int) -> PathMtu:
    headers = _IP_HEADER[6 if ":" in address else 4] + _ECHO.size
    reported: int | None = None
    for size in [local] + [size for size in (1400, 1280, SMALLEST) if size < local]:
        text = _ping_command(address, ["-M", "do", "-c", "2", "-i", "0.2", "-W", "0.5", "-s", str(size - headers)], 2)
        reported = reported or parse_reported_mtu(text)
        if _summary(text)[1]:
            return _judge_sizes(size, local, reported)
    raise ProbeError("timed_out", "{0} answers no echo request".format(address))
