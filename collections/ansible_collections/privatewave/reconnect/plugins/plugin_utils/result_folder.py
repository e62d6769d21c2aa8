# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a run, in the folder that ``RECONNECT_RESULT_DIR`` names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import quote


def name_of(server: str, before: str = "", after: str = ".json") -> str:
    """The name of a file about a server, for example ``evidence-SERVER.json``."""
    return f"{before}{quote(server, safe='')}{after}"


def make(folder: Path) -> None:
    """Make the folder, for this user only. Raises `OSError`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def write(path: Path, document: object) -> None:
    """Write a JSON document, see `write_bytes`. Raises `OSError`, and `ValueError` for what is no JSON."""
    # Without an indent, which Python's JSON writes many times slower.
    text = json.dumps(document, ensure_ascii=False, default=str)
    # An escape in JSON would be half a surrogate pair again, and nobody can write that.
    write_bytes(path, text.encode("utf-8", errors="replace"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file at once or not at all, for this user only. Raises `OSError`."""
    new = path.with_name(f".{path.name}.new")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    os.replace(new, path)
