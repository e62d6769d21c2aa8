# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts in an LDAP directory, an entry each (RFC 4511)."""

from __future__ import annotations

import contextlib
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

try:
    import ldap3
    from ldap3.core.exceptions import LDAPException
    from ldap3.utils.conv import escape_filter_chars

    HAS_LDAP3 = True
except ImportError:
    HAS_LDAP3 = False

from ..lines import Mistake, Node
from ..model import Account
from . import Encrypt, RegistryError, rows

#: How long the directory may take to be reached, and to answer, in seconds.
CONNECT_SECONDS = 5
ANSWER_SECONDS = 15
#: Entries of one page: most directories return no more than 1000 at once.
PAGE = 500
#: A registry has no more entries than this.
MOST = 200_000
_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,99}(?:;[A-Za-z0-9-]{1,40})*|[0-9]+(?:\.[0-9]+)+")


class Registry:
    """``{plugin: ldap, url, base, filter, user, password, ca_file, attributes: {column: attribute}, defaults}``.

    The columns are those of `rows`; ``defaults`` fills those that an entry does not have. The connection is always
    encrypted and the directory's certificate verified: with ``ldaps://`` from the beginning, with ``ldap://`` by
    StartTLS. Referrals are not followed: they would get the password.
    """

    plain_secrets = True

    def __init__(self, configuration: Mapping[str, Any], inventory: str) -> None:
        del inventory
        if not HAS_LDAP3:
            raise RegistryError(
                "The account registry ldap needs the Python package ldap3. Install it on the control node: "
                "pip install ldap3"
            )
        self.url = str(configuration.get("url") or "")
        address = urlsplit(self.url)
        if address.scheme not in ("ldaps", "ldap") or not address.hostname or address.path.strip("/"):
            raise RegistryError("The url of the account registry must be ldaps://HOST or ldap://HOST.")
        self.base = str(configuration.get("base") or "")
        self.filter = str(configuration.get("filter") or "(objectClass=*)")
        self.user, self.password = (str(configuration.get(name) or "") for name in ("user", "password"))
        self.ca_file = str(configuration.get("ca_file") or "") or None
        self.attributes = _mapping(configuration, "attributes")
        self.defaults = _mapping(configuration, "defaults")
        for column, attribute in self.attributes.items():
            if not _ATTRIBUTE.fullmatch(attribute):
                raise RegistryError(f"The attribute of {column} is {attribute[:80]!r}, which is not the name of one.")
        if "username" not in self.attributes:
            raise RegistryError("The account registry names no attribute for username.")

    def documents(self) -> tuple[list[Node], list[Mistake]]:
        """A document for each group that the entries name."""
        mistakes: list[Mistake] = []
        with self._connected("Cannot read the account registry") as connection:
            found = [
                (name, {**self.defaults, **self._row(name, values, mistakes)})
                for name, values in self._entries(connection, self.filter)
            ]
        return rows.documents(self.url, found), mistakes

    def keeper(self, account: Account, encrypt: Encrypt) -> Callable[[str], None]:
        """Stores the password of an account in its entry, which a directory does at once or not at all."""
        del encrypt
        if "password" not in self.attributes:
            raise RegistryError("The account registry names no attribute for password: it cannot store a new one.")
        attribute = self.attributes["password"]
        which = {"username": account.username, "server": str(account.values["server"])}
        equal = "".join(
            f"({self.attributes[name]}={escape_filter_chars(value)})"
            for name, value in which.items()
            if name in self.attributes
        )
        wanted = f"(&{self.filter}{equal})"

        def keep(password: str) -> None:
            with self._connected("Cannot store the password") as connection:
                names = [name for name, _values in self._entries(connection, wanted)]
                if len(names) != 1:
                    raise RegistryError(f"{self.url} has no single entry of the account {account.username}.")
                connection.modify(names[0], {attribute: [(ldap3.MODIFY_REPLACE, [password])]})
                stored = [values.get(attribute.lower()) for _name, values in self._entries(connection, wanted)]
                if stored != [[password.encode()]]:
                    raise RegistryError(f"{self.url} does not keep the password as it was written.")

        return keep

    def _row(self, name: str, values: Mapping[str, list[bytes]], mistakes: list[Mistake]) -> dict[str, str | bool]:
        """The columns of an entry, which is called ``name``."""
        row: dict[str, str | bool] = {}
        for column, attribute in self.attributes.items():
            found = values.get(attribute.lower(), [])
            if not found:
                continue
            try:
                texts = [value.decode() for value in found]
            except UnicodeDecodeError:
                mistakes.append(Mistake(name, f"The attribute {attribute} is no UTF-8 text."))
                continue
            if len(texts) > 1 and column not in rows.LISTS:
                mistakes.append(Mistake(name, f"The attribute {attribute} has {len(texts)} values, one is possible."))
                continue
            row[column] = rows.value(column, ",".join(texts))
        return row

    def _entries(self, connection: Any, wanted: str) -> list[tuple[str, dict[str, list[bytes]]]]:
        """The entries below the base, each by its name, with the values of its attributes by their lower-case names.

        Raises `RegistryError` where these are not all.
        """
        answers = connection.extend.standard.paged_search(
            self.base, wanted, attributes=list(self.attributes.values()), paged_size=PAGE, generator=True
        )
        found: dict[str, dict[str, list[bytes]]] = {}
        for answer in answers:
            if answer.get("type") != "searchResEntry":
                continue
            found[str(answer["dn"])] = {str(name).lower(): list(raw) for name, raw in answer["raw_attributes"].items()}
            if len(found) > MOST:
                raise RegistryError(f"The account registry {self.url} has more than {MOST} entries.")
        # The package raises nothing where a limit of the directory ends the search.
        if connection.result["result"] != 0:
            raise RegistryError(
                f"{self.url} does not return all entries: {connection.result['description']}. "
                f"Raise its limits for {self.user or 'everybody'}."
            )
        return sorted(found.items())

    @contextlib.contextmanager
    def _connected(self, cannot: str) -> Iterator[Any]:
        """A connection that is signed in. Raises `RegistryError` that begins with ``cannot``."""
        try:
            connection = self._connection()
            try:
                yield connection
            finally:
                connection.unbind()
        except (LDAPException, OSError, ssl.SSLError) as error:
            said = " ".join(str(error).split())[:300] or type(error).__name__
            raise RegistryError(f"{cannot} in {self.url}: {said}.") from None

    def _connection(self) -> Any:
        tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=self.ca_file)
        server = ldap3.Server(self.url, tls=tls, get_info=ldap3.NONE, connect_timeout=CONNECT_SECONDS)
        return ldap3.Connection(
            server,
            user=self.user or None,
            password=self.password or None,
            auto_bind=ldap3.AUTO_BIND_TLS_BEFORE_BIND if not server.ssl else ldap3.AUTO_BIND_NO_TLS,
            auto_referrals=False,
            raise_exceptions=True,
            receive_timeout=ANSWER_SECONDS,
        )


def _mapping(configuration: Mapping[str, Any], name: str) -> dict[str, str]:
    """A part of the configuration whose keys are columns."""
    found = configuration.get(name) or {}
    if not isinstance(found, Mapping):
        raise RegistryError(f"The {name} of the account registry must be values by column.")
    unknown = [str(column) for column in found if column not in rows.COLUMNS]
    if unknown:
        raise RegistryError(f"The {name} of the account registry name an unknown column: {unknown[0][:40]!r}.")
    return {str(column): str(value) for column, value in found.items()}
