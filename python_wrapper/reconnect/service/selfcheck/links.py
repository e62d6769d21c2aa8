"""One-time links for a user's browser: who may use one, and for how long.

Only digests are kept: of the link's secret, and of the proof that the one browser has which opened it. The browser's
cookie gives the proof, and the proof gives no cookie: it may be sent to another name of this service.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from reconnect.result import now
from reconnect.runs import tables
from reconnect.runs.database import reading, writing
from reconnect.service import audit
from reconnect.service.people import Person, digest_of

_LINKS = tables.selfchecks
VALID = timedelta(minutes=30)
#: 128 random bits.
_BYTES = 16
_SECRET = re.compile(r"[0-9a-f]{32}")
_MOST_ADDRESSES = 4


@dataclass(frozen=True)
class About:
    """What a self-check is for; an incident by its name."""

    server: str
    account: str
    incident: str | None


@dataclass(frozen=True)
class Link:
    """A link that is valid. `opened`: a browser has it; `addresses`: where the service saw that one."""

    about: About
    created_by: str
    role: str
    opened: bool
    addresses: list[str]
    run_id: str | None


class Links:
    """The links of one store. Whatever it does raises StoreError when the database fails."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._in_use: set[str] = set()

    def make(self, about: About, person: Person, address: str) -> tuple[str, datetime]:
        """The secret of a new link, and when that expires."""
        secret, expires_at = secrets.token_hex(_BYTES), now() + VALID
        row: dict[str, Any] = {
            "digest": digest_of(secret),
            "server": about.server,
            "account": about.account,
            "incident": about.incident,
            "created_by": person.name,
            "role": person.role,
            "expires_at": expires_at,
            "addresses": [],
        }
        subject = f"account {about.account} on {about.server}"
        with writing(self._engine) as connection:
            connection.execute(_LINKS.delete().where(_LINKS.c.expires_at < now()))
            connection.execute(_LINKS.insert().values(**row))
            audit.append(connection, audit.Deed(person.name, person.role, address, "self-check link made", subject))
        return secret, expires_at

    def open(self, secret: str, address: str) -> str | None:
        """Binds the link to one browser: what its cookie holds; None where the link is not valid any more."""
        cookie = secrets.token_hex(_BYTES)
        unopened = sa.and_(_valid(secret), _LINKS.c.browser.is_(None))
        taken = {"browser": digest_of(proof_of(cookie)), "addresses": [found] if (found := ip_of(address)) else []}
        with writing(self._engine) as connection:
            return cookie if connection.execute(_LINKS.update().where(unopened).values(**taken)).rowcount else None

    def find(self, secret: str, proof: str | None) -> Link | None:
        """The link, for the browser that has it or while none has; None for any other one, and once it has expired."""
        with reading(self._engine) as connection:
            row = connection.execute(sa.select(_LINKS).where(_own(secret, proof))).first()
        if row is None:
            return None
        about = About(row.server, row.account, row.incident)
        return Link(about, row.created_by, row.role, row.browser is not None, row.addresses, row.run_id)

    @contextlib.contextmanager
    def alone(self, secret: str) -> Iterator[bool]:
        """Whether this is the one request that works with the link: each may wait for a tracker that is slow."""
        digest = digest_of(secret)
        with self._lock:
            first = digest not in self._in_use
            self._in_use.add(digest)
        try:
            yield first
        finally:
            if first:
                self._in_use.discard(digest)

    def saw(self, secret: str, proof: str, address: str) -> bool:
        """Keeps where the browser of this link is seen at; whether it is that browser."""
        mine = sa.and_(_own(secret, proof), _LINKS.c.browser.is_not(None))
        found = ip_of(address)
        with writing(self._engine) as connection:
            row = connection.execute(sa.select(_LINKS.c.addresses).where(mine)).first()
            if row is not None and found and found not in row.addresses and len(row.addresses) < _MOST_ADDRESSES:
                connection.execute(_LINKS.update().where(mine).values(addresses=[*row.addresses, found]))
        return row is not None


def followed(connection: sa.Connection, secret: str, run_id: str) -> bool:
    """Keeps the run that follows a self-check, within its transaction; whether it is the first one."""
    first = sa.and_(_valid(secret), _LINKS.c.run_id.is_(None))
    return connection.execute(_LINKS.update().where(first).values(run_id=run_id)).rowcount == 1


def proof_of(cookie: str) -> str:
    """What shows that somebody has the cookie."""
    return digest_of(f"browser {cookie}")


def ip_of(address: str) -> str | None:
    """An address in its one spelling; None for any other text, as behind a socket."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return None
    return str(getattr(found, "ipv4_mapped", None) or found)


def _valid(secret: str) -> sa.ColumnElement[bool]:
    known = digest_of(secret) if _SECRET.fullmatch(secret) else ""
    return sa.and_(_LINKS.c.digest == known, _LINKS.c.expires_at > now())


def _own(secret: str, proof: str | None) -> sa.ColumnElement[bool]:
    mine = _LINKS.c.browser.is_(None)
    return sa.and_(_valid(secret), sa.or_(mine, _LINKS.c.browser == digest_of(proof)) if proof else mine)
