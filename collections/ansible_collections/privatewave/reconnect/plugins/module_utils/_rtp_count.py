# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Count the packets of RTP that leave and reach a host, as they are on the wire: their headers are not encrypted."""

from __future__ import annotations

import socket
import struct
import threading

from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

_EVERYTHING = 0x0003
_OUTGOING = 4
_LOOPBACK = "lo"


class Counter:
    """Counts, while it is entered, what goes from and to these local UDP ports. It takes the superuser."""

    def __init__(self, ports):
        self._flows = {(port, way): Flow() for port in ports for way in ("sent", "received")}
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def __enter__(self):
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_EVERYTHING))
        except PermissionError:
            raise ProbeError("denied", "only the superuser may count packets") from None
        self._socket.settimeout(0.2)
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_error):
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def told(self, port):
        """``{sent, received, lost}`` in packets; ``lost`` are those whose numbers are missing in what was received."""
        with self._lock:
            sent, received = self._flows[(port, "sent")], self._flows[(port, "received")]
            return {"sent": sent.count, "received": received.count, "lost": received.lost()}

    def _count(self):
        while not self._stop.is_set():
            try:
                data, where = self._socket.recvfrom(2048)
            except socket.timeout:
                continue
            if where[0] == _LOOPBACK:
                continue
            way = "sent" if where[2] == _OUTGOING else "received"
            packet = parse(data)
            if packet is None:
                continue
            flow = self._flows.get((packet[0] if way == "sent" else packet[1], way))
            if flow is not None:
                with self._lock:
                    flow.add(*packet[2:])


class Flow:
    """One direction: how many packets of which number came from each source."""

    def __init__(self):
        self.count = 0
        self._sources = {}

    def add(self, source, number):
        self.count += 1
        first, last, turns, count = self._sources.get(source, (number, number, 0, 0))
        step = (number - last) & 0xFFFF
        if step < 0x8000:
            turns += number < last
            last = number
        if len(self._sources) < 64 or source in self._sources:
            self._sources[source] = (first, last, turns, count + 1)

    def lost(self):
        return sum(
            max(0, last + 0x10000 * turns - first + 1 - count) for first, last, turns, count in self._sources.values()
        )


def parse(data):
    """A packet of IP that carries RTP as ``(port from, port to, source, number)``, else None."""
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
