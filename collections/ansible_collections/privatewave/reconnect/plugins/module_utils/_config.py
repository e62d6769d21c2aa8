# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asterisk's configuration files, as far as a collector needs them."""

from __future__ import annotations

import os

DIRECTORY = "/etc/asterisk"
FILE_LIMIT = 1024 * 1024


def parse(text):
    """The sections of a configuration file: ``{section: {name: value}}``, names in lower case.

    A name that comes several times keeps its first value, as a realtime mapping does. Templates are left out, they and
    includes are not followed.
    """
    sections = {}
    current = None
    for line in text.splitlines():
        line = line.replace("\\;", "\0").partition(";")[0].replace("\0", ";").strip()
        if line.startswith("["):
            name, _end, options = line[1:].partition("]")
            current = {} if "!" in options else sections.setdefault(name.strip(), {})
        elif current is not None and "=" in line and not line.startswith("#"):
            name, _equals, value = line.partition("=")
            current.setdefault(name.strip().lower(), value.lstrip(">").strip())
    return sections


def read(name, directory=DIRECTORY):
    """The sections of a file, none when there is no such file. Raises `OSError` when it can't be read."""
    try:
        with open(os.path.join(directory, name), encoding="utf-8", errors="replace") as file:
            return parse(file.read(FILE_LIMIT))
    except FileNotFoundError:
        return {}
