# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module sees while it still runs is told to the command, once each, and nothing depends on it."""

from __future__ import annotations

import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible_collections.privatewave.reconnect.plugins.modules import registration_watch
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import command, live


class Host:
    """A host whose files are here; the commands that it got, and whether its connection was closed."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.asked: list[str] = []
        self.closed = False
        self.looked = threading.Semaphore(0)
        self.connection = SimpleNamespace(exec_command=self.exec_command)
        self._fails = fails

    def elsewhere(self, name: str) -> Any:
        if isinstance(self._fails, AnsibleError) and not isinstance(self._fails, AnsibleConnectionFailure):
            raise self._fails
        return self

    def exec_command(self, said: str, sudoable: bool) -> tuple[int, bytes, bytes]:
        self.asked.append(said)
        try:
            if self._fails:
                raise self._fails
            path = Path(said.split(" ", 3)[3].strip("'"))
            return (0, path.read_bytes(), b"") if path.exists() else (1, b"", b"there is no such file")
        finally:
            self.looked.release()

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What the command is told."""
    questions: list[dict[str, Any]] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            questions.append(json.loads(self.rfile.readline()))
            self.wfile.write(b'{"allowed": true}\n')

    path = str(tmp_path / "guard")
    monkeypatch.setenv(command.VARIABLE, path)
    monkeypatch.setattr(live, "PAUSE", 0.01)
    with socketserver.UnixStreamServer(path, Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield questions
        server.shutdown()
        thread.join()


def attempt(outcome: str) -> dict[str, Any]:
    return {"account": "1001", "address": "192.0.2.7", "port": 5061, "transport": "tls", "outcome": outcome, "at": None}


def test_each_attempt_is_told_once_and_as_it_comes(told: list[dict[str, Any]], tmp_path: Path) -> None:
    host, path = Host(), tmp_path / "it's seen"
    with live.followed(host, "alpha", str(path).replace("'", "")):  # type: ignore[arg-type]
        assert host.looked.acquire(timeout=30)
        add = registration_watch.writer(str(path).replace("'", ""))
        add(attempt("wrong_password"))
        while not told:
            assert host.looked.acquire(timeout=30)
        add(attempt("registered"))
    said = {"account": "1001", "address": "192.0.2.7", "transport": "tls"}
    assert told == [
        {"server": "alpha", "seen": [said | {"outcome": "wrong_password"}]},
        {"server": "alpha", "seen": [said | {"outcome": "registered"}]},
    ]
    assert host.closed


@pytest.mark.attack("a server that writes anything as an attempt", harm="outage")
@pytest.mark.parametrize("content", [b"no\n", b"[" * 60_000 + b"\n", b"\xff\n", b'{"no": "end"'])
def test_what_is_no_attempt_is_told_to_nobody(told: list[dict[str, Any]], tmp_path: Path, content: bytes) -> None:
    host, path = Host(), tmp_path / "seen"
    path.write_bytes(content)
    with live.followed(host, "alpha", str(path)):  # type: ignore[arg-type]
        assert host.looked.acquire(timeout=30)
    assert (told, host.closed) == ([], True)


@pytest.mark.parametrize("fails", [AnsibleConnectionFailure("gone"), AnsibleError("no such plugin"), OSError("no")])
def test_nothing_depends_on_it(told: list[dict[str, Any]], tmp_path: Path, fails: Exception) -> None:
    with live.followed(Host(fails), "alpha", str(tmp_path / "seen")):  # type: ignore[arg-type]
        pass
    assert told == []
    # A file that is there already is somebody else's.
    (tmp_path / "seen").touch()
    registration_watch.writer(str(tmp_path / "seen"))(attempt("registered"))
    assert (tmp_path / "seen").read_bytes() == b""


CANCELLED = """
import sys, time
from ansible.module_utils.testing import patch_module_args
from ansible_collections.privatewave.reconnect.plugins.module_utils._account import watch
from ansible_collections.privatewave.reconnect.plugins.modules import registration_watch

def watching(*_arguments):
    print("watching", flush=True)
    time.sleep(60)

watch.watch = watching
with patch_module_args({"account": "1001", "seen": sys.argv[1]}):
    registration_watch.main()
"""


def test_a_watch_that_is_cancelled_leaves_no_folder(tmp_path: Path) -> None:
    folder = tmp_path / "ansible-tmp-1"
    folder.mkdir()
    words = [sys.executable, "-c", CANCELLED, str(folder / "seen")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as module:
        assert module.stdout is not None
        assert module.stdout.readline() == "watching\n"
        assert (folder / "seen").exists()
        module.terminate()
        assert module.wait(timeout=30) == -signal.SIGTERM
    assert not folder.exists()
