# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses, and sockets that are connected to an address."""

from __future__ import annotations

import ipaddress
import socket
import time

from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, error_of


def is_address(name: str) -> bool:
    """Whether a name is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def bracketed(host: str) -> str:
    """A host as a URI has it: an IPv6 address in brackets."""
    return "[{0}]".format(host) if ":" in host else host


def endpoint(address: str, port: int) -> str:
    """``address:port``, an IPv6 address in brackets."""
    return "{0}:{1}".format(bracketed(address), port)


def connected(kind: socket.SocketKind, address: str, port: int, seconds: float) -> socket.socket:
    """A socket that is connected to an address within ``seconds``; its ``kind`` is ``SOCK_STREAM`` or ``SOCK_DGRAM``.

    Raises `OSError`.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    try:
        sock.settimeout(max(0.001, seconds))
        sock.connect((address, port))
    except OSError:
        sock.close()
        raise
    return sock


def connect(address: str, port: int, seconds: float) -> socket.socket:
    """A TCP connection.

    Raises `ProbeError`: ``refused`` is a reset, ``timed_out`` is no answer, ``unreachable`` was reported by ICMP.
    """
    where = endpoint(address, port)
    started = time.monotonic()
    try:
        return connected(socket.SOCK_STREAM, address, port, seconds)
    except OSError as error:
        kind = error_of(error)
        if kind == "timed_out":
            message = "{0} did not answer within {1:.1f} s".format(where, time.monotonic() - started)
        else:
            message = "{0}: {1}".format(where, error.strerror or error)
        raise ProbeError(kind, message) from None


def source_address(address: str) -> str | None:
    """Our own address towards another one, or None without a route."""
    try:
        with connected(socket.SOCK_DGRAM, address, 9, 1.0) as sock:
            return str(sock.getsockname()[0])
    except OSError:
        return None
