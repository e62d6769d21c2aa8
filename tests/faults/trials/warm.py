"""The command without its start: a process that has loaded it once has a child carry out each call.

Each of some hundred calls would spend most of a second of a processor on loading the same modules.
"""

from __future__ import annotations

import functools
import json
import os
import select
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
READY = "ready\n"
#: Whose standard input ends with this process, and they with it.
servers: list[subprocess.Popen[str]] = []
beginning = threading.Lock()


def call(words: list[str], env: dict[str, str], output: Path, limit: float) -> int:
    """The exit code of ``reconnect WORDS``; what it prints goes to ``stdout`` and ``stderr`` in the folder ``output``.

    Raises `TimeoutError` when it has not ended within ``limit`` seconds.
    """
    output.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(limit)
        line.connect(address())
        line.sendall(json.dumps([words, {**os.environ, **env}, str(output)]).encode() + b"\n")
        with line.makefile() as answer:
            return int(answer.readline())


def address() -> str:
    """Where calls are taken, until this process ends."""
    with beginning:
        return _begun()


@functools.cache
def _begun() -> str:
    where = f"{tempfile.mkdtemp(prefix='reconnect-warm-')}/calls"
    command = [sys.executable, __file__, where]
    pipe = subprocess.PIPE
    server = subprocess.Popen(command, cwd=ROOT, text=True, start_new_session=True, stdin=pipe, stdout=pipe)
    if server.stdout is None or server.stdout.readline() != READY:
        raise RuntimeError("the command cannot be loaded")
    servers.append(server)
    return where


class Call(socketserver.StreamRequestHandler):
    """A child of this process becomes the command; this one waits for its end and says how it was."""

    def handle(self) -> None:
        words, env, output = json.loads(self.rfile.readline())
        child = os.fork()
        if not child:
            self.connection.close()
            become(words, env, Path(output))
        self.wfile.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n".encode())


class Calls(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """Takes calls, each in a process of its own."""


def become(words: list[str], env: dict[str, str], output: Path) -> None:
    """Be ``reconnect WORDS`` and end with it."""
    from reconnect.cli import commands as cli

    os.setsid()
    os.environ.clear()
    os.environ.update(env)
    for number, name, mode in ((0, os.devnull, "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        with (output / name).open(mode) as file:
            os.dup2(file.fileno(), number)
    code = 1
    try:
        cli.main(words)
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def serve(where: str) -> None:
    """Take calls until whoever began this is gone."""
    import reconnect.cli.commands
    import reconnect.engine.durable  # noqa: F401

    with Calls(where, Call) as calls:
        sys.stdout.write(READY)
        sys.stdout.flush()
        while sys.stdin not in select.select([sys.stdin, calls], [], [])[0]:
            calls.handle_request()
    Path(where).unlink()
    Path(where).parent.rmdir()


if __name__ == "__main__":
    serve(sys.argv[1])
