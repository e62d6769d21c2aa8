"""Names that come from outside, and what each may look like.

A name that fits none of these patterns never reaches Ansible, a path or a server: no host pattern (`all:!x`, `~regex`),
no template, no shell syntax and no path can be written with the characters that are left.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from reconnect.errors import InputError
from reconnect.text import one_line

_PATTERNS = {
    "server": re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}"),
    "account": re.compile(r"[A-Za-z0-9+][A-Za-z0-9._+-]{0,79}"),
    "remedy": re.compile(r"[a-z][a-z0-9_]{0,79}"),
    "cause": re.compile(r"[a-z][a-z0-9_]{0,79}"),
}
_ALLOWED = {
    "server": "letters, digits, dot, hyphen and underscore, beginning with a letter or digit",
    "account": "letters, digits, dot, hyphen, underscore and plus, at most 80",
    "remedy": "lower-case letters, digits and underscore",
    "cause": "lower-case letters, digits and underscore",
}


def checked(kind: str, name: str) -> str:
    """`name` itself when it may be the name of a `kind` (server, account, remedy, cause).

    Raises InputError otherwise.
    """
    if not _PATTERNS[kind].fullmatch(name):
        raise InputError(f"'{one_line(name, 80)}' is not the name of {_article(kind)}: {_ALLOWED[kind]} are allowed.")
    return name


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a `name` that is well-formed and isn't among the `known`; it lists the nearest ones."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=4, cutoff=0.5)
    if near:
        return InputError(f"There is no {kind} '{name}'. Near it: {', '.join(near)}.")
    some = ", ".join(known[:8]) + (f" and {len(known) - 8} more" if len(known) > 8 else "")
    return InputError(f"There is no {kind} '{name}'. Known: {some}." if known else f"There is no {kind} '{name}'.")


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
