# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses that fail2ban has banned."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import firewall
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError


@pytest.mark.parametrize("text", ["", "[]", "[{'asterisk': ['192.0.2.1']}]"])
def test_bans(text: str) -> None:
    if text:
        assert firewall.parse_banned(text) == ({"asterisk": ["192.0.2.1"]} if "192" in text else {})
    else:
        with pytest.raises(ProbeError):
            firewall.parse_banned(text)


class Address:
    """An address, as fail2ban writes it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __reduce__(self) -> Any:
        return str, (self.text,)


class Command:
    """What runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def fail2ban(tmp_path: Path) -> Iterator[Callable[[bytes], str]]:
    """A fail2ban that answers one question with these bytes, and the path that it listens at."""
    listener = socket.socket(socket.AF_UNIX)
    path = str(tmp_path / "socket")
    listener.bind(path)
    listener.listen()
    held: list[socket.socket] = []

    def answering(answer: bytes) -> str:
        def serve() -> None:
            # Whoever asks may leave at any moment.
            with contextlib.suppress(OSError):
                connection, _peer = listener.accept()
                held.append(connection)
                asked = b""
                while not asked.endswith(firewall.END) and (more := connection.recv(1024)):
                    asked += more
                if asked.endswith(firewall.END) and pickle.loads(asked) == ["banned"]:
                    # In two parts, as a long answer comes.
                    connection.sendall(answer[:7])
                    connection.sendall(answer[7:])

        threading.Thread(target=serve, daemon=True).start()
        return path

    yield answering
    for one in (listener, *held):
        one.close()


def told(status: int, answer: object) -> bytes:
    return pickle.dumps([status, answer], pickle.HIGHEST_PROTOCOL) + firewall.END


def test_fail2ban_is_asked_without_its_client(fail2ban: Callable[[bytes], str]) -> None:
    answer = told(0, [{"asterisk": ["192.0.2.1", Address("2001:db8::1")]}, {"sshd": []}])
    assert firewall.ask_fail2ban(fail2ban(answer), 5) == {"asterisk": ["192.0.2.1", "2001:db8::1"], "sshd": []}


@pytest.mark.parametrize(
    "answer",
    [told(1, ValueError("no such command")), told(0, "text"), told(0, None), b"nonsense" + firewall.END, firewall.END],
)
def test_what_fail2ban_says_otherwise_is_asked_of_its_client(fail2ban: Callable[[bytes], str], answer: bytes) -> None:
    assert firewall.ask_fail2ban(fail2ban(answer), 5) is None


def test_without_fail2ban_its_client_says_why(tmp_path: Path) -> None:
    assert firewall.ask_fail2ban(str(tmp_path / "none"), 5) is None


def test_a_fail2ban_that_is_silent_costs_its_limit_once(fail2ban: Callable[[bytes], str]) -> None:
    with pytest.raises(ProbeError) as raised:
        firewall.ask_fail2ban(fail2ban(b""), 0.05)
    assert raised.value.error == "timed_out"


@pytest.mark.attack("an answer of fail2ban that runs a command", harm="execution")
def test_no_answer_of_fail2ban_runs_anything(fail2ban: Callable[[bytes], str], tmp_path: Path) -> None:
    answer = told(0, [{"asterisk": [Command(tmp_path / "owned")]}])
    assert firewall.ask_fail2ban(fail2ban(answer), 5) is None
    assert firewall.ask_fail2ban(fail2ban(told(0, [{"a": [ipaddress.ip_address("192.0.2.1")]}])), 5) is None
    assert not (tmp_path / "owned").exists()
