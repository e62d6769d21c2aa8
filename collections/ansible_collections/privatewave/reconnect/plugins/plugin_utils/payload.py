# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A function of our module_utils as one small script for a host's Python.

An ordinary module brings Ansible's own utilities along; building that and importing it there costs more than the
questions themselves. What we ask with is standard library only, so it can be sent as it is, or kept on the host.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "module_utils"

SERVER_INFO = "privatewave.reconnect.server_info"
PATH_INFO = "privatewave.reconnect.path_info"
REGISTRATION_TEST = "privatewave.reconnect.registration_test"
#: The part of module_utils that answers as the module does.
SCRIPTS = {SERVER_INFO: "_server", PATH_INFO: "_net.path", REGISTRATION_TEST: "_net.register"}

# Nothing that happens to lie in the current folder is imported.
_START = "import sys\nsys.path[:] = [folder for folder in sys.path if folder]\n"


def script(module: str, arguments: Mapping[str, Any], kept: bool = False) -> bytes:
    """A script that calls ``answer(**arguments)`` of a module of module_utils and prints its dict as JSON.

    ``module`` is its name below module_utils, for example ``_net.path``. ``kept`` leaves out the sources: the host
    runs what it has kept of them, or answers that it has nothing, see `_carried`.
    """
    told = [module, json.dumps(arguments), digest(), *([] if kept else [_carried()])]
    words = ", ".join(map(ascii, told))
    return f"{_START}exec({_runner()!a})\nprint(json.dumps(run({words})))\n".encode("ascii")


@functools.cache
def digest() -> str:
    """The SHA-256 of module_utils in hex."""
    return hashlib.sha256(_sources()).hexdigest()


@functools.cache
def _runner() -> str:
    return (FOLDER / "_carried.py").read_text(encoding="utf-8")


@functools.cache
def _sources() -> bytes:
    sources = {
        ".".join(path.relative_to(FOLDER).with_suffix("").parts): path.read_text(encoding="utf-8")
        for path in sorted(FOLDER.rglob("*.py"))
        if path.stem != "__init__"
    }
    return json.dumps(sources).encode("ascii")


@functools.cache
def _carried() -> str:
    return base64.b85encode(zlib.compress(_sources())).decode("ascii")


# Read once, before Ansible starts a process for each server.
digest()
