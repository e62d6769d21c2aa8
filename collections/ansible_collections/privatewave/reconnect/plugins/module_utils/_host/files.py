# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a text file of the host."""

from __future__ import annotations

from ansible_collections.privatewave.reconnect.plugins.module_utils import _files

LIMIT = 64 * 1024


def read(path: str, limit: int = LIMIT) -> str:
    """The text of a file, at most ``limit`` characters; bytes that are not UTF-8 are replaced. Raises `OSError`."""
    # The kernel's own files are read often, and nobody can put a link among them.
    opener = None if path.startswith("/proc/") else _files.opener
    with open(path, encoding="utf-8", errors="replace", opener=opener) as file:
        return file.read(limit)
