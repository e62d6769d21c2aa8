# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Count the RTP packets that a host sends and receives, on the wire: their headers are not encrypted."""

from __future__ import annotations

import socket
import struct
import threading
from typing import TYPE_CHECKING

from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible_collections.privatewave.reconnect.plugins.module_utils._net.documents import Media

_EVERYTHING = 0x0003
_OUTGOING = 4
_LOOPBACK = "lo"


class Counter:
    """Counts the packets from and to local UDP ports while it is entered. Only the superuser may do that."""

    def __init__(self, ports: Iterable[int]) -> None:
        self._flows = {(port, direction): Flow() for port in ports for direction in ("sent", "received")}
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def __enter__(self) -> Counter:
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_EVERYTHING))
        except PermissionError:
            raise ProbeError("denied", "only the superuser may count packets") from None
        self._socket.settimeout(0.2)
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def counted(self, port: int) -> Media:
        """What was counted so far at one of the ports."""
        with self._lock:
            sent, received = self._flows[(port, "sent")], self._flows[(port, "received")]
            return {"sent": sent.count, "received": received.count, "lost": received.lost()}

    def _count(self) -> None:
        while not self._stop.is_set():
            try:
                data, where = self._socket.recvfrom(2048)
            except socket.timeout:
                continue
            if where[0] == _LOOPBACK:
                continue
            direction = "sent" if where[2] == _OUTGOING else "received"
            packet = parse(data)
            if packet is None:
                continue
            port_from, port_to, source, number = packet
            flow = self._flows.get((port_from if direction == "sent" else port_to, direction))
            if flow is not None:
                with self._lock:
                    flow.add(source, number)


class Flow:
    """One direction: how many packets came from each source, and which numbers they have."""

    def __init__(self) -> None:
        self.count = 0
        #: By source: the first and the last number, how often the numbers wrapped, and how many packets came.
        self._sources: dict[int, tuple[int, int, int, int]] = {}

    def add(self, source: int, number: int) -> None:
        """Count a packet of a source (SSRC) with its sequence number."""
        self.count += 1
        first, last, wraps, count = self._sources.get(source, (number, number, 0, 0))
        step = (number - last) & 0xFFFF
        if step < 0x8000:
            wraps += number < last
            last = number
        if len(self._sources) < 64 or source in self._sources:
            self._sources[source] = (first, last, wraps, count + 1)

    def lost(self) -> int:
        """How many packets are missing between the first and the last one of each source."""
        return sum(
            max(0, last + 0x10000 * wraps - first + 1 - count) for first, last, wraps, count in self._sources.values()
        )


def parse(data: bytes) -> tuple[int, int, int, int] | None:
    """An IP packet that carries RTP as ``(port from, port to, source, number)``, else None."""
    if not data:
        return None
    version = data[0] >> 4
    if version == 4 and len(data) >= 20 and data[9] == socket.IPPROTO_UDP:
        start = (data[0] & 15) * 4
    elif version == 6 and len(data) >= 40 and data[6] == socket.IPPROTO_UDP:
        start = 40
    else:
        return None
    # Payload types 72 to 76 with the marker are RTCP (RFC 5761).
    if len(data) < start + 20 or data[start + 8] >> 6 != 2 or 200 <= data[start + 9] <= 204:
        return None
    port_from, port_to = struct.unpack_from("!HH", data, start)
    number, _time, source = struct.unpack_from("!HII", data, start + 10)
    return port_from, port_to, source, number
