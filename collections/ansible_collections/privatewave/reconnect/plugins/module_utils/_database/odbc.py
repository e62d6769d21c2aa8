# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection over unixODBC, as Asterisk makes it: for a server where Python has no driver of the database.

It looks like a connection of PyMySQL or psycopg2, as far as `sql` uses one. The functions and constants are those of
the ODBC 3 API (ISO/IEC 9075-3).
"""

from __future__ import annotations

import contextlib
import ctypes
import datetime
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LIBRARIES = ("libodbc.so.2", "libodbc.so.1")
_ENVIRONMENT, _CONNECTION, _STATEMENT = 1, 2, 3
_SUCCESS, _SUCCESS_WITH_INFO, _NO_DATA = 0, 1, 100
_ATTR_VERSION, _VERSION_3 = 200, 3
_ATTR_QUERY_TIMEOUT, _ATTR_LOGIN_TIMEOUT, _ATTR_CONNECTION_TIMEOUT = 0, 103, 113
_PARAM_INPUT, _C_CHAR, _VARCHAR, _NTS, _NULL, _NO_PROMPT = 1, 1, 12, -3, -1, 0
_WHOLE = (-7, -6, -5, 4, 5)
_DECIMAL = (2, 3, 6, 7, 8)
_MOMENTS = (9, 11, 91, 93)
#: Classes of states that are those of ODBC, or of a connection that was not made.
_OF_ODBC = ("01", "08", "HY")
#: Bytes of a value that are read at once, and of a message.
_PIECE, _MESSAGE = 65536, 1024
#: The number of the system's error in a message about a connection that was not made.
_SYSTEM_ERROR = re.compile(r"\((\d{1,3})(?: \"[^\"]{0,80}\")?\)\s*\Z")


class Error(Exception):
    """An error of the database or of ODBC: the database's own code and the text; ``pgcode`` is its SQLSTATE.

    ``original_exception`` is the system's error where no connection was made.
    """

    def __init__(self, code: int, text: str, pgcode: str) -> None:
        super().__init__(code, text)
        # A state of ODBC itself says less than the words of the database.
        self.pgcode = None if pgcode[:2] in _OF_ODBC else pgcode
        number = _SYSTEM_ERROR.search(text)
        self.original_exception = OSError(int(number.group(1)), text) if number else None

    def __str__(self) -> str:
        return str(self.args[1])

    @property
    def is_missing(self) -> bool:
        """Whether the data source or its driver is missing, so that no database was asked."""
        return str(self.pgcode).startswith("IM") or "Can't open lib" in str(self)


def load() -> Any:
    """The library. Raises `OSError` when the server has none."""
    for name in LIBRARIES:
        with contextlib.suppress(OSError):
            return ctypes.CDLL(name)
    raise FileNotFoundError("there is no {0}".format(LIBRARIES[0]))


def connection_string(values: Mapping[str, str]) -> str:
    """``NAME={value};…``, whatever is in a value."""
    return ";".join("{0}={{{1}}}".format(name, value.replace("}", "}}")) for name, value in values.items() if value)


class Connection:
    """A connection. Every method raises `Error`."""

    def __init__(self, values: Mapping[str, str], limit: float) -> None:
        """Connect with the values of a connection string; ``limit`` is seconds. Raises `OSError` without a library."""
        self._api = load()
        self._environment, self._handle = ctypes.c_void_p(), ctypes.c_void_p()
        self._seconds = ctypes.c_void_p(max(1, round(limit)))
        self._allocate(_ENVIRONMENT, None, self._environment)
        try:
            version = ctypes.c_void_p(_VERSION_3)
            self._check(
                self._api.SQLSetEnvAttr(self._environment, _ATTR_VERSION, version, 0), _ENVIRONMENT, self._environment
            )
            self._allocate(_CONNECTION, self._environment, self._handle)
            for attribute in (_ATTR_LOGIN_TIMEOUT, _ATTR_CONNECTION_TIMEOUT):
                # Not every driver knows both.
                self._api.SQLSetConnectAttr(self._handle, attribute, self._seconds, 0)
            text = connection_string(values).encode("utf-8")
            self._check(
                self._api.SQLDriverConnect(self._handle, None, text, _NTS, None, 0, None, _NO_PROMPT),
                _CONNECTION,
                self._handle,
            )
        except BaseException:
            self._free()
            raise

    @contextlib.contextmanager
    def cursor(self) -> Iterator[_Cursor]:
        """A statement, until the block ends."""
        handle = ctypes.c_void_p()
        self._allocate(_STATEMENT, self._handle, handle)
        try:
            self._api.SQLSetStmtAttr(handle, _ATTR_QUERY_TIMEOUT, self._seconds, 0)
            yield _Cursor(self, handle)
        finally:
            self._api.SQLFreeHandle(_STATEMENT, handle)

    def close(self) -> None:
        """Close it."""
        self._api.SQLDisconnect(self._handle)
        self._free()

    def call(self, name: str, handle: ctypes.c_void_p, *arguments: Any) -> int:
        """Call a function of a statement; its return code. Raises `Error`."""
        return self._check(getattr(self._api, name)(handle, *arguments), _STATEMENT, handle)

    def _allocate(self, kind: int, parent: ctypes.c_void_p | None, handle: ctypes.c_void_p) -> None:
        code = self._api.SQLAllocHandle(kind, parent, ctypes.byref(handle))
        if parent is None and code != _SUCCESS:
            raise Error(0, "unixODBC has no memory left", "HY001")
        if parent is not None:
            self._check(code, kind - 1, parent)

    def _free(self) -> None:
        for kind, handle in ((_CONNECTION, self._handle), (_ENVIRONMENT, self._environment)):
            if handle:
                self._api.SQLFreeHandle(kind, handle)

    def _check(self, code: int, kind: int, handle: ctypes.c_void_p) -> int:
        # A return code is 16 bits wide.
        code = ctypes.c_int16(code).value
        if code not in (_SUCCESS, _SUCCESS_WITH_INFO, _NO_DATA):
            state, native, length = ctypes.create_string_buffer(6), ctypes.c_int32(), ctypes.c_int16()
            text = ctypes.create_string_buffer(_MESSAGE)
            arguments = (ctypes.byref(native), text, ctypes.c_int16(_MESSAGE), ctypes.byref(length))
            self._api.SQLGetDiagRec(ctypes.c_int16(kind), handle, ctypes.c_int16(1), state, *arguments)
            said = text.value.decode("utf-8", "replace")
            # "[vendor][driver]what the database said"
            raise Error(native.value, re.sub(r"\A(?:\[[^\]]{0,80}\])+", "", said) or said, state.value.decode("ascii"))
        return code


class _Cursor:
    """One statement; ``description`` has the names of the columns first, None without any."""

    def __init__(self, connection: Connection, handle: ctypes.c_void_p) -> None:
        self._connection = connection
        self._handle = handle
        self._types: list[int] = []
        self.description: list[tuple[str]] | None = None

    def execute(self, statement: str, values: Sequence[Any] | None = None) -> None:
        """Carry out a statement; each %s in it is one of the values."""
        kept = []
        for number, value in enumerate(values or (), 1):
            data = b"" if value is None else str(value).encode("utf-8")
            buffer, length = ctypes.create_string_buffer(data), ctypes.c_ssize_t(_NULL if value is None else len(data))
            kept.append((buffer, length))
            self._connection.call(
                "SQLBindParameter",
                self._handle,
                *(ctypes.c_uint16(number), ctypes.c_int16(_PARAM_INPUT), ctypes.c_int16(_C_CHAR)),
                *(ctypes.c_int16(_VARCHAR), ctypes.c_size_t(max(1, len(data))), ctypes.c_int16(0), buffer),
                *(ctypes.c_ssize_t(len(data) + 1), ctypes.byref(length)),
            )
        text = (statement.replace("%s", "?") if values else statement).encode("utf-8")
        self._connection.call("SQLExecDirect", self._handle, text, ctypes.c_int32(_NTS))
        count = ctypes.c_int16()
        self._connection.call("SQLNumResultCols", self._handle, ctypes.byref(count))
        self.description = [(self._describe(number),) for number in range(1, count.value + 1)] or None

    def _describe(self, number: int) -> str:
        name, length = ctypes.create_string_buffer(256), ctypes.c_int16()
        kind, size, digits, nullable = ctypes.c_int16(), ctypes.c_size_t(), ctypes.c_int16(), ctypes.c_int16()
        self._connection.call(
            "SQLDescribeCol",
            self._handle,
            *(ctypes.c_uint16(number), name, ctypes.c_int16(256), ctypes.byref(length), ctypes.byref(kind)),
            *(ctypes.byref(size), ctypes.byref(digits), ctypes.byref(nullable)),
        )
        self._types.append(kind.value)
        return name.value.decode("utf-8", "replace")

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rows."""
        rows = []
        while self._connection.call("SQLFetch", self._handle) != _NO_DATA:
            rows.append(tuple(value(self._read(number), kind) for number, kind in enumerate(self._types, 1)))
        return rows

    def _read(self, number: int) -> str | None:
        found = b""
        while True:
            buffer, length = ctypes.create_string_buffer(_PIECE), ctypes.c_ssize_t()
            arguments = (ctypes.c_uint16(number), ctypes.c_int16(_C_CHAR), buffer, ctypes.c_ssize_t(_PIECE))
            code = self._connection.call("SQLGetData", self._handle, *arguments, ctypes.byref(length))
            if length.value == _NULL:
                return None
            found += buffer.value if code != _NO_DATA else b""
            if code != _SUCCESS_WITH_INFO:
                return found.decode("utf-8", "replace")


def value(text: str | None, kind: int) -> Any:
    """A value of a column, of the type that a driver of Python gives it."""
    if text is None:
        return None
    with contextlib.suppress(ValueError):
        if kind in _WHOLE:
            return int(text)
        if kind in _DECIMAL:
            return float(text)
        if kind in _MOMENTS:
            return datetime.datetime.fromisoformat(text)
    return text
