# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where accounts are registered: the plugin point.

``reconnect_account_registry: {plugin: NAME, …}`` names a module that has a class ``Registry``, made of that
configuration and the inventory's folder. NAME is ``yaml``, ``csv``, ``sql`` or ``ldap``, or the full name
``NAMESPACE.COLLECTION.NAME`` of a plugin of a site, which is ``plugins/plugin_utils/account_registry_NAME.py`` in that
collection.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from ..lines import Mistake, Node
from ..model import Account

_OURS = {"yaml": "yaml_files", "csv": "csv_file", "sql": "sql", "ldap": "ldap"}
_FULL_NAME = re.compile(r"([a-z_][a-z0-9_]*)\.([a-z_][a-z0-9_]*)\.([a-z_][a-z0-9_]*)")


class RegistryError(ValueError):
    """The registry is invalid or out of reach; the message says why."""


class RegistryPlugin(Protocol):
    """What a registry has to be able to do."""

    #: Whether secrets are data there, and are taken as they are: no expression in them is ever evaluated.
    plain_secrets: bool

    def documents(self) -> tuple[list[Node], list[Mistake]]:
        """What is registered, a document ``{group, accounts}`` for each group, and what could not be read.

        Raises `RegistryError` when nothing can be read.
        """


#: ``encrypt(plain text, ciphertext)`` encrypts with the key of that ciphertext; raises `RegistryError`.
Encrypt = Callable[[str, str], str]


@runtime_checkable
class PasswordKeeper(Protocol):
    """What a registry can do that can store a password; a registry need not."""

    def keeper(self, account: Account, encrypt: Encrypt) -> Callable[[str], None]:
        """A function that stores another password of ``account``, at once or not at all.

        Both raise `RegistryError`, with one sentence without secrets; this one when it cannot be stored there.
        """


def open_registry(configuration: Mapping[str, Any], inventory: str) -> RegistryPlugin:
    """The plugin that a configuration names. Raises `RegistryError` when there is none of that name."""
    name = str(configuration.get("plugin") or "yaml")
    if name in _OURS:
        path = f"{__name__}.{_OURS[name]}"
    elif match := _FULL_NAME.fullmatch(name):
        namespace, collection, plugin = match.groups()
        path = f"ansible_collections.{namespace}.{collection}.plugins.plugin_utils.account_registry_{plugin}"
    else:
        raise RegistryError(
            f"There is no account registry {name[:80]!r}; there are {', '.join(_OURS)} and those of collections."
        )
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        raise RegistryError(f"The account registry {name} is not installed: {error}.") from None
    registry: RegistryPlugin = module.Registry(configuration, inventory)
    return registry
