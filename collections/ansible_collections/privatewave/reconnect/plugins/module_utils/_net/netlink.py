# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Delete rules of nftables on condition that nobody has changed the rule set meanwhile.

nft(8) cannot say so. The kernel can (linux/netfilter/nfnetlink.h, nf_tables.h): each change of a rule set gives it the
next generation, and a transaction that names another generation than the current one is refused with ``ERESTART``.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NETLINK_NETFILTER = 12
_SUBSYSTEM = 10
_ERROR, _DONE = 2, 3
_BATCH_BEGIN, _BATCH_END = 16, 17
_DELETE_RULE, _NEW_GENERATION, _GET_GENERATION = 8, 15, 16
_REQUEST, _ACKNOWLEDGE = 1, 4
_BATCH_GENERATION = 1
_GENERATION = 1
_TABLE, _CHAIN, _HANDLE = 1, 2, 3
#: The families of nft(8), as linux/netfilter.h numbers them.
_FAMILIES = {"inet": 1, "ip": 2, "arp": 3, "netdev": 5, "bridge": 7, "ip6": 10}
_LIMIT = 5.0
_HEADER = struct.Struct("=IHHII")


class Nftables:
    """A connection to the kernel's nftables. Everything raises `OSError`."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        self._socket.settimeout(_LIMIT)
        self._socket.bind((0, 0))

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def generation(self) -> int:
        """The generation of the rule set."""
        self._socket.sendto(_message(_SUBSYSTEM << 8 | _GET_GENERATION, _REQUEST, 1), (0, 0))
        for kind, _number, body in self._answers():
            if kind == _ERROR:
                _raise(body)
            if kind == _SUBSYSTEM << 8 | _NEW_GENERATION:
                for name, value in _attributes(body[4:]):
                    if name == _GENERATION:
                        return int(struct.unpack(">I", value)[0])
        raise OSError("the kernel names no generation of its rule set")

    def delete_rules(self, generation: int, rules: Sequence[tuple[str, str, str, int]]) -> None:
        """Delete rules, each (family, table, chain, handle), all of them or none.

        The error is ``ERESTART`` when the rule set is of another generation.
        """
        condition = _attribute(_BATCH_GENERATION, struct.pack(">I", generation))
        batch = _message(_BATCH_BEGIN, _REQUEST, 1, resource=_SUBSYSTEM, attributes=condition)
        for number, (family, table, chain, handle) in enumerate(rules, 2):
            attributes = (
                _attribute(_TABLE, table.encode() + b"\0")
                + _attribute(_CHAIN, chain.encode() + b"\0")
                + _attribute(_HANDLE, struct.pack(">Q", handle))
            )
            flags = _REQUEST | _ACKNOWLEDGE
            batch += _message(_SUBSYSTEM << 8 | _DELETE_RULE, flags, number, _FAMILIES[family], attributes=attributes)
        batch += _message(_BATCH_END, _REQUEST, len(rules) + 2, resource=_SUBSYSTEM)
        self._socket.sendto(batch, (0, 0))
        waiting = set(range(2, len(rules) + 2))
        while waiting:
            for kind, number, body in self._answers():
                if kind == _ERROR:
                    _raise(body)
                    waiting.discard(number)

    def _answers(self) -> Iterator[tuple[int, int, bytes]]:
        """The messages of the next packet: kind, number and body. Raises `TimeoutError` when none comes."""
        data = self._socket.recv(65536)
        while len(data) >= _HEADER.size:
            length, kind, _flags, number, _port = _HEADER.unpack_from(data)
            if length < _HEADER.size:
                return
            yield kind, number, data[_HEADER.size : length]
            data = data[_aligned(length) :]


def _raise(body: bytes) -> None:
    """An answer with an error; 0 acknowledges."""
    error = -struct.unpack_from("=i", body)[0]
    if error:
        raise OSError(error, os.strerror(error))


def _message(kind: int, flags: int, number: int, family: int = 0, resource: int = 0, attributes: bytes = b"") -> bytes:
    body = struct.pack(">BBH", family, 0, resource) + attributes
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, number, 0) + body


def _attribute(name: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, name) + value + b"\0" * (_aligned(length) - length)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        length, name = struct.unpack_from("=HH", data)
        if length < 4:
            return
        yield name & 0x3FFF, data[4:length]
        data = data[_aligned(length) :]


def _aligned(length: int) -> int:
    return (length + 3) & ~3
