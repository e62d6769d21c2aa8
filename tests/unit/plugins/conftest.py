# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of plugins share."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


def one_port() -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket that have the same port of loopback."""
    while True:
        udp, tcp = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
        udp.bind(("127.0.0.1", 0))
        try:
            tcp.bind(udp.getsockname())
        except OSError:
            # Another program has this port for TCP.
            udp.close()
            tcp.close()
        else:
            return udp, tcp


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of loopback that refuses, and that no other program gets meanwhile."""
    udp, tcp = one_port()
    with udp, tcp:
        # Nobody listens; and a socket that is connected to another one gets no datagrams of anybody else.
        udp.connect(("127.0.0.1", 9))
        yield int(udp.getsockname()[1])


Alone = Callable[..., tuple[str, dict[str, Any]]]


@pytest.fixture
def alone(tmp_path: Path) -> Alone:
    """Runs ansible-playbook without the wrapper; gives back what was printed, and the result documents by name."""
    results = tmp_path / "results"

    def run(playbook: Path, *options: Any, command: Any = None, environment: Any = ()) -> tuple[str, dict[str, Any]]:
        ended = subprocess.run(
            [*(command or [Path(sys.executable).with_name("ansible-playbook")]), playbook, *options],
            cwd=ROOT,
            env={**os.environ, "RECONNECT_RESULT_DIR": str(results), **dict(environment)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        documents = {file.name: json.loads(file.read_text()) for file in results.glob("*.json")}
        return ended.stdout + ended.stderr, documents

    return run
