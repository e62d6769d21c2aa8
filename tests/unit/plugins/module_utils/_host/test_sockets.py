# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds a listening socket."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import process, sockets

LISTEN = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"


@contextlib.contextmanager
def listening(**environment: str) -> Iterator[tuple[int, int]]:
    """A process that listens: its id and its port."""
    child = subprocess.Popen(
        [sys.executable, "-c", LISTEN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **environment},
        text=True,
    )
    try:
        assert child.stdout is not None
        yield child.pid, int(child.stdout.readline())
    finally:
        child.communicate("\n", timeout=60)


@pytest.mark.parametrize("ours", [False, True])
def test_a_socket_names_one_process_and_whether_it_is_ours(ours: bool) -> None:
    with listening(**({"RECONNECT_RUN_ID": "20260101-000000-aaaaaa"} if ours else {"RECONNECT_RUN": "x"})) as (
        pid,
        port,
    ):
        (found,) = [one for one in sockets.sockets() if one["port"] == port and one["proto"] == "tcp"]
        assert (found["pid"], found["started"], found["ours"]) == (pid, process.started(pid), ours)


def test_a_port_of_systemd_leads_to_its_socket_unit_and_the_service() -> None:
    text = (
        "Triggers=relay.service\nListen=[::]:5061 (Stream)\nListen=0.0.0.0:5060 (Datagram)\nId=relay.socket\n\n"
        "Id=dbus.socket\nTriggers=dbus.service\nListen=/run/dbus/system_bus_socket (Stream)\n"
    )
    relay = ("relay.socket", "relay.service")
    assert sockets.parse_socket_units(text) == {("tcp", 5061): relay, ("udp", 5060): relay}
