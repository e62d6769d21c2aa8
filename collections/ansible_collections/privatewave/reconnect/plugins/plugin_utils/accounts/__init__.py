# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The account registry: what accounts are wanted, checked field by field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from ansible_collections.privatewave.reconnect.plugins.module_utils._account.documents import WantedAccount

from . import model
from .lines import Mistake, MistakeError, Node
from .model import Account, Secret
from .registries import Encrypt, PasswordKeeper, RegistryError, RegistryPlugin, open_registry
from .registry import Registered, read

__all__ = [
    "Account",
    "Mistake",
    "MistakeError",
    "Node",
    "Registered",
    "RegistryError",
    "RegistryPlugin",
    "Secret",
    "keeper",
    "load",
    "open_registry",
    "resolved",
]


def load(configuration: Mapping[str, Any], inventory: str, servers: set[str] | None = None) -> Registered:
    """The accounts of the registry that ``configuration`` (``reconnect_account_registry``) names.

    ``inventory`` is the folder that its relative paths begin at, ``servers`` are those that are known. Raises
    `RegistryError` with one sentence when the registry cannot be reached or there is no such plugin.
    """
    if not model.HAS_NETADDR:
        raise RegistryError("The account registry needs the Python package netaddr on the control node.")
    plugin = open_registry(configuration, inventory)
    documents, mistakes = plugin.documents()
    return read(documents, servers, plugin.plain_secrets, mistakes)


def keeper(
    configuration: Mapping[str, Any], inventory: str, server: str, username: str, encrypt: Encrypt
) -> tuple[Account, Callable[[str], None]]:
    """An account, and a function that stores another password of it in the registry.

    Both raise `RegistryError` with one sentence; this one also when the password cannot be stored there.
    """
    registered = load(configuration, inventory)
    account = next((one for one in registered.of(server) if one.username == username), None)
    if registered.mistakes or account is None:
        raise RegistryError(f"The account registry has mistakes, or no account {username} of {server}.")
    plugin = open_registry(configuration, inventory)
    if not isinstance(plugin, PasswordKeeper):
        raise RegistryError(
            f"The account registry {configuration.get('plugin')} cannot store a password. Set the new one there, then "
            "fix the account without a rotation."
        )
    return account, plugin.keeper(account, encrypt)


def resolved(account: Account, reveal: Callable[[Secret, Mapping[str, str]], str]) -> WantedAccount:
    """The account with every field, its secrets revealed by ``reveal(secret, texts of the account)``."""
    known = {name: value for name, value in account.values.items() if isinstance(value, str)}

    def plain(value: Any) -> Any:
        if isinstance(value, Secret):
            return reveal(value, known)
        if isinstance(value, dict):
            return {name: plain(one) for name, one in value.items()}
        return value

    return cast(WantedAccount, {name: plain(value) for name, value in account.values.items()})
