"""What a mutation is, and what a host has that can be mutated. Both are plain data, so that a case can be saved."""

from __future__ import annotations

import base64
import re
import shlex
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any


@dataclass(frozen=True)
class File:
    """A file of a host; ``text`` is its content where it is a text that can be mutated, else None."""

    path: str
    mode: str
    owner: str
    size: int
    is_directory: bool = False
    text: str | None = None


@dataclass
class Facts:
    """What a host has, listed at draw time.

    ``host`` is changed, ``server`` is diagnosed: they differ for the edge. ``protocol`` and ``port`` are those of the
    phone. ``database`` and ``database_user`` are Asterisk's, the user as the engine writes it. ``tls`` is where the
    certificate and the key of SIP are, without their suffixes; empty: nowhere. ``tables`` gives ``{column: type}`` by
    table, ``rows`` the values of ``account`` by table. ``network`` holds the output lines of ``ip`` and of the
    firewall by topic.
    """

    host: str
    server: str
    account: str
    others: list[str]
    driver: str
    engine: str
    address: str
    address6: str
    phone: str
    phone6: str
    protocol: str = "tcp"
    port: int = 5061
    tls: str = "/etc/asterisk/keys/server"
    database_unit: str = ""
    database: str = "asterisk"
    database_user: str = ""
    files: list[File] = field(default_factory=list)
    tables: dict[str, dict[str, str]] = field(default_factory=dict)
    rows: dict[str, dict[str, str | None]] = field(default_factory=dict)
    units: list[str] = field(default_factory=list)
    network: dict[str, list[str]] = field(default_factory=dict)
    certificates: dict[str, str] = field(default_factory=dict)

    @property
    def table_key(self) -> str:
        """The column that holds the account's name."""
        return "id" if self.driver == "pjsip" else "name"

    def column(self, name: str) -> str:
        """A column's name in SQL: some have a dash."""
        return f'"{name}"' if self.engine == "postgresql" else f"`{name}`"

    def texts(self) -> list[File]:
        """The files whose text is known."""
        return [one for one in self.files if one.text is not None]

    def file(self, path: str) -> File | None:
        """The file of a path."""
        return next((one for one in self.files if one.path == path), None)


@dataclass(frozen=True)
class Mutation:
    """A single change.

    ``apply`` and ``revert`` are shell scripts for the prelude of `machine`. ``keeps`` are the files and ``tables`` the
    database tables that are kept byte by byte before ``apply`` and put back before ``revert``. ``units`` are started
    again after both. ``causes`` are the causes that a diagnosis may name as root; none when nobody can say beforehand.
    """

    kind: str
    target: str
    before: str
    after: str
    apply: str
    revert: str = ""
    keeps: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    effect: str = "at once"
    causes: tuple[str, ...] = ()

    def saved(self) -> dict[str, Any]:
        """The mutation as JSON."""
        return asdict(self)

    @classmethod
    def restored(cls, saved: dict[str, Any]) -> Mutation:
        """The mutation that `saved` gave."""
        lists: dict[str, Any] = {name: tuple(value) for name, value in saved.items() if isinstance(value, list)}
        return cls(**{**saved, **lists})


#: Files of Asterisk's folder that have nothing to do with registering, as a site has them by the hundred.
BESIDE = re.compile(
    r"/etc/asterisk/(?!(pjsip|sip|sorcery|extconfig|res_odbc|modules|asterisk|logger|manager|acl|rtp|users|http)\.conf)"
    r"[^/]*\.conf$"
)


def drawn_file(rng: Random, files: list[File]) -> File:
    """One of the files, mostly one that can matter."""
    matters = [one for one in files if not BESIDE.match(one.path)]
    return rng.choice(matters if matters and rng.random() < 0.85 else files)


def sql(statement: str) -> str:
    """A script that prints what the database answers to its administrator."""
    return f"database \"$(cat <<'SQL'\n{statement};\nSQL\n)\"\n"


def write(path: str, content: str | bytes) -> str:
    """A script that replaces a file's content in place: rights, owner and mounts stay."""
    raw = content.encode() if isinstance(content, str) else content
    return f"base64 -d > {shlex.quote(path)} <<'CONTENT'\n{base64.encodebytes(raw).decode()}CONTENT\n"


def effect(rng: Random, unit: str) -> tuple[str, str]:
    """How a change takes effect, and the script for it: mostly by a restart, sometimes by a reload or not at all."""
    word = rng.choices(("restart", "reload", "none"), (8, 1, 1))[0]
    return word, f"{word} {shlex.quote(unit)}\n" if unit and word != "none" else ""


def owner(path: str, facts: Facts) -> str:
    """The unit that reads a file; an empty string when no unit of the product's concern does."""
    for beginning, unit in (
        ("/etc/mysql", facts.database_unit),
        ("/etc/postgresql", facts.database_unit),
        ("/var/lib/mysql", facts.database_unit),
        ("/var/lib/mariadb", facts.database_unit),
        ("/var/lib/postgresql", facts.database_unit),
        ("/etc/fail2ban", "fail2ban"),
        ("/etc/nftables.conf", "nftables"),
        ("/etc/provisioning", "reconnect-provisioning"),
        ("/srv/provisioning", "reconnect-provisioning"),
        ("/etc/dnsmasq", "dnsmasq"),
        ("/etc/ssl", "asterisk"),
        ("/etc/odbc", "asterisk"),
    ):
        if path.startswith(beginning):
            return unit
    return "asterisk" if "asterisk" in path or "/odbc/" in path else ""
