"""Names that come from outside, and what each may look like.

A name that does not match its pattern never reaches Ansible, a path or a server: the characters that are left cannot
write a host pattern (`all:!x`, `~regex`), a template, shell syntax or a path.
"""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, PlainSerializer

from reconnect.common import ACCOUNT_CHARACTERS, ACCOUNT_NAME
from reconnect.errors import InputError
from reconnect.text import one_line

_PATTERNS = {
    "server": re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}"),
    "account": ACCOUNT_NAME,
    "remedy": re.compile(r"[a-z][a-z0-9_]{0,79}"),
    "cause": re.compile(r"[a-z][a-z0-9_]{0,79}"),
}
_ALLOWED = {
    "server": "letters, digits, dot, hyphen and underscore, beginning with a letter or digit",
    "account": ACCOUNT_CHARACTERS,
    "remedy": "lower-case letters, digits and underscore",
    "cause": "lower-case letters, digits and underscore",
}


@dataclass(frozen=True)
class Incident:
    """An incident's name: the tracker it is in, and its id there. People write it `TRACKER:ID`, for example `rt:17`."""

    tracker: str
    id: str

    def __str__(self) -> str:
        return f"{self.tracker}:{self.id}"

    @classmethod
    def parse(cls, name: str) -> Incident:
        """The incident called `name`. Raises InputError unless it is `TRACKER:ID`; the tracker checks the id."""
        tracker, _, identifier = name.partition(":")
        if not tracker or not identifier:
            raise InputError(f"'{one_line(name, 80)}' is not an incident. Give TRACKER:ID, for example rt:17.")
        return cls(tracker, identifier)


def _parsed(name: object) -> object:
    return Incident.parse(name) if isinstance(name, str) else name


#: An incident in a model: read from its name, written as its name.
IncidentName = Annotated[Incident, BeforeValidator(_parsed), PlainSerializer(str, return_type=str)]


def is_name(kind: str, name: str) -> bool:
    """Whether `name` may be the name of a `kind` (server, account, remedy, cause)."""
    return _PATTERNS[kind].fullmatch(name) is not None


def is_address(url: str) -> bool:
    """Whether a server on the web is reached by `url`, without credentials in it."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and not (parts.username or parts.password)
    return False


def checked(kind: str, name: str) -> str:
    """`name` itself when it may be the name of a `kind` (server, account, remedy, cause).

    Raises InputError otherwise.
    """
    if not is_name(kind, name):
        raise InputError(f"'{one_line(name, 80)}' is not the name of {_article(kind)}: use {_ALLOWED[kind]}.")
    return name


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a well-formed `name` that is not among the `known`; it lists the nearest ones."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=4, cutoff=0.5)
    if near:
        return InputError(f"There is no {kind} '{name}'. Near it: {', '.join(near)}.")
    some = ", ".join(known[:8]) + (f" and {len(known) - 8} more" if len(known) > 8 else "")
    return InputError(f"There is no {kind} '{name}'. Known: {some}." if known else f"There is no {kind} '{name}'.")


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
