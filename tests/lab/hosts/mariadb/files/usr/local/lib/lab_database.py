"""The database of this host for its own programs. Each engine has a module of this name with the same functions."""

from __future__ import annotations

from typing import Any

import pymysql

Error: type[Exception] = pymysql.Error
#: The moment so many seconds ago; one parameter.
SECONDS_AGO = "NOW() - INTERVAL %s SECOND"


def connect_as_own(user: str, seconds: int) -> Any:
    """A connection through the socket as the user of this process; no step of it takes longer."""
    return pymysql.connect(
        unix_socket="/run/mysqld/mysqld.sock",
        user=user,
        database="asterisk",
        charset="utf8mb4",
        connect_timeout=seconds,
        read_timeout=seconds,
        write_timeout=seconds,
    )


def connect(user: str, password: str, seconds: int) -> Any:
    """A connection over the network of this host; no step of it takes longer."""
    return pymysql.connect(
        host="127.0.0.1",
        user=user,
        password=password,
        database="asterisk",
        connect_timeout=seconds,
        read_timeout=seconds,
    )
