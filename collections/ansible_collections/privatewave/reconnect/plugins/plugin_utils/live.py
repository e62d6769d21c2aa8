# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module on a host sees, while it still runs: it adds lines to a file there, and the command is told of them.

The file is read over a connection of its own, and the module's answer does not depend on it: whatever fails here,
nothing is told, and that is all.
"""

from __future__ import annotations

import contextlib
import contextvars
import shlex
import threading
from collections.abc import Iterator
from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.privatewave.reconnect.plugins.module_utils._common import plain_json
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import command
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.senders import Endpoint

#: Seconds between two looks into the file, and how long one that is under way at the end is waited for.
PAUSE = 1.0
END = 3.0
#: Bytes of the file that are read.
LIMIT = 65536


@contextlib.contextmanager
def followed(host: Endpoint, server: str, path: str) -> Iterator[None]:
    """Meanwhile, each line that is added to the file of this path on the host is told to the command as seen on
    ``server``."""
    ended = threading.Event()
    thread = None
    with contextlib.suppress(AnsibleError):
        endpoint = host.elsewhere(server)
        arguments = (_follow, endpoint, server, path, ended)
        thread = threading.Thread(target=contextvars.copy_context().run, args=arguments, daemon=True)
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if thread is not None:
            thread.join(END)


def _follow(endpoint: Endpoint, server: str, path: str, ended: threading.Event) -> None:
    where, told, last = command.address(), 0, False
    with contextlib.suppress(AnsibleError, OSError, ValueError, RecursionError), contextlib.closing(endpoint):
        while where is not None and not last:
            last = ended.wait(PAUSE)
            if seen := [plain_json(line) for line in _lines(endpoint.connection, path)[told:]]:
                command.ask(where, {"server": server, "seen": seen})
                told += len(seen)


def _lines(connection: Any, path: str) -> list[bytes]:
    """The whole lines of a file of the host; none where it is not there yet."""
    code, said, _error = connection.exec_command(f"head -c {LIMIT} {shlex.quote(path)}", sudoable=False)
    return [] if code else bytes(said).split(b"\n")[:-1]
