# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible lookup ``privatewave.reconnect.accounts``."""

from __future__ import annotations

DOCUMENTATION = r"""
name: accounts
short_description: The accounts that a server should have
version_added: 0.1.0
description:
  - Reads the account registry and returns every field of the accounts of a server, defaults filled in.
  - Secrets are looked up at that moment, on the control node. Hand the answer straight to an argument that Ansible
    hides, as O(privatewave.reconnect.account#module:accounts) is, or give the task C(no_log).
  - Nothing is returned while the registry has a mistake; C(reconnect accounts validate) names all of them.
options:
  _terms:
    description: Names of servers in the inventory.
    type: list
    elements: str
    required: true
  username:
    description: Only this account.
    type: str
  secrets:
    description: Whether to look up the secrets; without it they are empty.
    type: bool
    default: true
  registry:
    description: Where accounts are registered, with C(plugin) and what that plugin needs.
    type: dict
    default: {plugin: yaml}
    vars:
      - name: reconnect_account_registry
author:
  - Reconnect maintainers (@reconnect)
"""

EXAMPLES = r"""
- name: Compare the accounts of this server with the registry
  privatewave.reconnect.account:
    accounts: "{{ query('privatewave.reconnect.accounts', inventory_hostname) }}"
    settings: "{{ gathered.evidence.settings }}"
  check_mode: true
"""

RETURN = r"""
_raw:
  description: Accounts with the fields that C(docs/how-to/account-registry.md) describes.
  type: list
  elements: dict
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleError, AnsibleLookupError
from ansible.parsing.vault import EncryptedString
from ansible.plugins.lookup import LookupBase
from ansible.template import trust_as_template
from ansible_collections.privatewave.reconnect.plugins.module_utils._account.documents import WantedAccount
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import accounts
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.answers import plain


class LookupModule(LookupBase):
    """The lookup."""

    def run(
        self, terms: Iterable[Any], variables: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[WantedAccount]:
        """The accounts of the servers named by ``terms``."""
        self.set_options(var_options=variables, direct=kwargs)
        folder = str((variables or {}).get("inventory_dir") or self._loader.get_basedir())
        try:
            registered = accounts.load(plain(self.get_option("registry")), folder)
        except accounts.RegistryError as error:
            raise AnsibleLookupError(str(error)) from None
        if registered.mistakes:
            count = len(registered.mistakes)
            raise AnsibleLookupError(
                f"The account registry has {count} mistake{'s' * (count > 1)}, 'reconnect accounts validate' names "
                f"all of them. {registered.mistakes[0]}"
            )
        username = self.get_option("username")
        chosen = [one for server in terms for one in registered.of(str(server))]
        if username is not None:
            chosen = [one for one in chosen if one.username == str(username)]
        reveal = self._reveal if self.get_option("secrets") else _conceal
        return [accounts.resolved(one, reveal) for one in chosen]

    def _reveal(self, secret: accounts.Secret, known: Mapping[str, str]) -> str:
        if secret.kind == "plain":
            return secret.text
        try:
            if secret.kind == "vault":
                value = self._templar.template(EncryptedString(ciphertext=secret.text))
            else:
                expression = trust_as_template(secret.text)
                value = self._templar.copy_with_new_env(
                    available_variables={**self._templar.available_variables, **known}
                ).template(expression)
        except AnsibleError as error:
            # The words of the error could show what a secret is made of; its first line says what is wrong.
            raise AnsibleLookupError(
                f"Cannot look up a secret of the account {known.get('username')} ({type(error).__name__})."
            ) from None
        return str(value)


def _conceal(secret: accounts.Secret, known: Mapping[str, str]) -> str:
    return ""
