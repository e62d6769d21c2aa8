"""The database of this host for its own programs. Each engine has a module of this name with the same functions."""

from __future__ import annotations

from typing import Any

import psycopg2

Error: type[Exception] = psycopg2.Error
#: The moment so many seconds ago; one parameter.
SECONDS_AGO = "now() - %s * interval '1 second'"


def connect_as_own(user: str, seconds: int) -> Any:
    """A connection through the socket as the user of this process; no step of it takes longer."""
    return psycopg2.connect(
        host="/run/postgresql", user=user, dbname="asterisk", client_encoding="utf8", **_limits(seconds)
    )


def connect(user: str, password: str, seconds: int) -> Any:
    """A connection over the network of this host; no step of it takes longer."""
    return psycopg2.connect(host="127.0.0.1", user=user, password=password, dbname="asterisk", **_limits(seconds))


def _limits(seconds: int) -> dict[str, Any]:
    return {"connect_timeout": seconds, "options": f"-c statement_timeout={seconds * 1000}"}
