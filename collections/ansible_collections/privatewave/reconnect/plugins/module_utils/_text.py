# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostile text: which account names are valid, and how any text is shown."""

from __future__ import annotations

from ansible_collections.privatewave.reconnect.plugins.module_utils._common import (
    ACCOUNT_CHARACTERS,
    ACCOUNT_NAME,
    HIDDEN,
    escape,
)
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

#: No text of evidence is longer, in characters.
TEXT_LIMIT = 400


def account_name(text: object) -> str:
    """A valid name of an account. Raises `ProbeError` ``invalid``."""
    name = str(text)
    if not ACCOUNT_NAME.match(name):
        raise ProbeError("invalid", "{0!r} is not a valid account name: use {1}".format(name[:80], ACCOUNT_CHARACTERS))
    return name


def listed(value: object) -> list[str]:
    """The entries of a list with commas, without blanks and without empty ones."""
    return [one.strip() for one in str(value or "").split(",") if one.strip()]


def is_yes(value: object) -> bool:
    """Whether Asterisk takes a value for yes, as its ``ast_true`` does."""
    return str(value or "").strip().lower() in ("yes", "true", "y", "t", "1", "on")


def printable(text: str, limit: int = TEXT_LIMIT) -> str:
    """A text with its hidden characters but tabs escaped, cut at ``limit`` characters."""
    escaped = HIDDEN.sub(lambda found: found.group() if found.group() == "\t" else escape(found.group()), text)
    return escaped if len(escaped) <= limit else escaped[:limit] + "…"


def one_line(text: object, limit: int = TEXT_LIMIT) -> str:
    """A text as one line of at most ``limit`` characters, its hidden characters escaped."""
    line = HIDDEN.sub(lambda found: " " if found.group() in "\r\n\t" else escape(found.group()), str(text)).strip()
    return line if len(line) <= limit else line[: limit - 1] + "…"
