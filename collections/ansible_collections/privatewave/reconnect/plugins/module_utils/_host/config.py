# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration files of Asterisk, as far as a probe needs them."""

from __future__ import annotations

import glob
import os
import re
from typing import TYPE_CHECKING

from ansible_collections.privatewave.reconnect.plugins.module_utils._host import files

if TYPE_CHECKING:
    from collections.abc import Iterator

    #: ``{section: {name: value}}``
    Sections = dict[str, dict[str, str]]

DIRECTORY = "/etc/asterisk"
FILE_LIMIT = 1024 * 1024
INCLUDE = re.compile(r"\s*#\s*(?:try)?include\s+[\"<]?([^\">;]+?)[\">]?\s*(?:;.*)?$")
#: How deep included files may include others.
DEPTH = 10


def parse(text: str) -> Sections:
    """The sections of a configuration file: ``{section: {name: value}}``, names in lower case.

    A repeated name keeps its first value, as a realtime mapping does. Templates are left out, and are not followed.
    """
    sections: Sections = {}
    for section, name, value in options(text):
        values = sections.setdefault(section, {})
        if name:
            values.setdefault(name, value)
    return sections


def options(text: str) -> Iterator[tuple[str, str, str]]:
    """The options of a configuration file as section, name and value; an empty name begins a section."""
    current: str | None = None
    for line in text.splitlines():
        line = line.replace("\\;", "\0").partition(";")[0].replace("\0", ";").strip()
        if line.startswith("["):
            name, _end, marks = line[1:].partition("]")
            current = None if "!" in marks else name.strip()
            if current is not None:
                yield current, "", ""
        elif current is not None and "=" in line and not line.startswith("#"):
            name, _equals, value = line.partition("=")
            yield current, name.strip().lower(), value.lstrip(">").strip()


def read(name: str, directory: str = DIRECTORY) -> Sections:
    """The sections of a file, none when there is no such file. Raises `OSError` when it cannot be read."""
    return parse(text(name, directory))


def text(name: str, directory: str = DIRECTORY, depth: int = DEPTH) -> str:
    """The text of a file with those that it includes, "" when there is no such file. Raises `OSError`."""
    lines = []
    try:
        for line in files.read(os.path.join(directory, name), FILE_LIMIT).splitlines():
            include = INCLUDE.match(line)
            if include and depth:
                found = sorted(glob.glob(os.path.join(directory, include.group(1).strip())))
                lines += [text(one, directory, depth - 1) for one in found]
            else:
                lines.append(line)
    except FileNotFoundError:
        return ""
    return "\n".join(lines)
