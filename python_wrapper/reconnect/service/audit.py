"""Who did what, in a chain of rows: whoever changes or removes one breaks the digests after it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa

from reconnect.result import now, rfc3339
from reconnect.runs import tables
from reconnect.runs.database import is_shared, reading
from reconnect.text import one_line

_AUDIT = tables.audit
#: The key of the advisory lock under which PostgreSQL appends.
_APPENDING = 0x5265636F61756469
_STEP = 500

#: What may be done; the text of each is `audit.WHAT`, in words joined by underscores.
What = Literal[
    "run asked for",
    "run cancelled",
    "runs erased",
    "plan confirmed",
    "plan approved",
    "plan denied",
    "approval requested",
    "verdict called wrong",
    "held",
    "released",
    "self-check link made",
    "self-check done",
    "user added",
    "user removed",
    "token added",
    "token removed",
    "signed in",
    "signed out",
    "store restored",
]


@dataclass(frozen=True)
class Deed:
    """What somebody did: `subject` is what it was done to, `data` what else is worth knowing. No secrets."""

    who: str
    role: str
    address: str
    what: What
    subject: str = ""
    plan_hash: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


def append(connection: sa.Connection, deed: Deed) -> None:
    """Adds a row, in the transaction of the deed itself."""
    if is_shared(connection.engine):
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_APPENDING)))
    last = connection.execute(
        sa.select(_AUDIT.c.sequence, _AUDIT.c.digest).order_by(_AUDIT.c.sequence.desc()).limit(1)
    ).first()
    row = {
        "sequence": last.sequence + 1 if last else 1,
        "at": now(),
        "who": one_line(deed.who, 200),
        "role": deed.role,
        "address": one_line(deed.address, 80),
        "what": deed.what,
        "subject": one_line(deed.subject, 400),
        "plan_hash": deed.plan_hash,
        "data": deed.data,
        "previous": last.digest if last else "",
    }
    connection.execute(_AUDIT.insert().values(**row, digest=_digest(row)))


def rows(engine: sa.Engine, after: int = 0, limit: int = 100) -> list[dict[str, Any]]:
    """At most `limit` rows after the one with that number, the oldest first."""
    found = sa.select(_AUDIT).where(_AUDIT.c.sequence > after).order_by(_AUDIT.c.sequence).limit(limit)
    with reading(engine) as connection:
        return [_plain(dict(row)) for row in connection.execute(found).mappings()]


def newest(engine: sa.Engine, limit: int = 100, before: int | None = None) -> list[dict[str, Any]]:
    """The newest rows, or those before the one with that number, the newest first."""
    found = sa.select(_AUDIT).order_by(_AUDIT.c.sequence.desc()).limit(limit)
    if before is not None:
        found = found.where(_AUDIT.c.sequence < before)
    with reading(engine) as connection:
        return [_plain(dict(row)) for row in connection.execute(found).mappings()]


def all_rows(engine: sa.Engine) -> Iterator[dict[str, Any]]:
    """Every row, the oldest first."""
    after = 0
    while some := rows(engine, after, _STEP):
        yield from some
        after = some[-1]["sequence"]


def broken(engine: sa.Engine) -> int | None:
    """The number of the first row that is not as it was written, or that follows a missing one; None where all are."""
    previous = ""
    for number, row in enumerate(all_rows(engine), 1):
        digest = row.pop("digest")
        if row["sequence"] != number or row["previous"] != previous or digest != _digest(row):
            return number
        previous = digest
    return None


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"at": rfc3339(row["at"])}


def _digest(row: dict[str, Any]) -> str:
    said = row if isinstance(row["at"], str) else _plain(row)
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
