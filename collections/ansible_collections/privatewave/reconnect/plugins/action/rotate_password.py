# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a new password of an account: first in the account registry, then on its server."""

from __future__ import annotations

import secrets
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.parsing.vault import VaultLib, VaultSecretsContext, parse_vaulttext_envelope
from ansible.plugins.action import ActionBase
from ansible_collections.privatewave.reconnect.plugins.module_utils._account.documents import WantedAccount
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import accounts, expected
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.answers import answer_of, plain
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.senders import Endpoint

ACCOUNT = "privatewave.reconnect.account"
ARGUMENTS = {"account": {"type": "str", "required": True}, "settings": {"type": "dict", "required": True}}

#: Nothing that looks like something else on a small screen, and nothing that SIP or a shell takes for its own.
LETTERS = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
LENGTH = 24


class ActionModule(ActionBase):
    """The action `rotate_password`, documented in plugins/modules/rotate_password.py."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        _validated, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        arguments = plain(arguments)
        server, username = str(variables["inventory_hostname"]), arguments["account"]
        configuration = plain(self._templar.template(variables.get("reconnect_account_registry", {"plugin": "yaml"})))
        folder = str(variables.get("inventory_dir") or self._loader.get_basedir())
        try:
            account, keep = accounts.keeper(configuration, folder, server, username, _encrypted)
            # Every other secret can be looked up before anything is changed.
            (wanted,) = expected.registered(server, username, Endpoint.of(self, variables))
            if self._task.check_mode:
                return {**result, "changed": True, "registry": account.where}
            password = "".join(secrets.choice(LETTERS) for _letter in range(LENGTH))
            keep(password)
        except (accounts.RegistryError, AnsibleError) as error:
            raise AnsibleActionFail(f"No new password was made. {error}") from None
        # From here on the registry is right, and the next fix of the account makes the server follow it.
        answer = self._answer({**wanted, "password": password}, arguments["settings"], variables)
        if answer.get("failed"):
            raise AnsibleActionFail(
                f"The account registry has the new password ({account.where}), the server may have the old one: "
                f"{answer.get('msg', 'the module failed')} Fix the account again: the server then follows the registry."
            )
        return {**result, "changed": True, "registry": account.where, "account": answer["accounts"][0]}

    def _answer(self, wanted: WantedAccount, settings: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """What the module `account` answered, its failures too."""
        arguments = {"accounts": [wanted], "settings": settings}
        try:
            answer = self._execute_module(module_name=ACCOUNT, module_args=arguments, task_vars=variables)
            return answer_of(ACCOUNT, answer)
        except AnsibleError as error:
            return {"failed": True, "msg": " ".join(str(error).split())}


def _encrypted(text: str, like: str) -> str:
    """A text encrypted with the key that opens the ciphertext ``like``."""
    try:
        label = parse_vaulttext_envelope(like.encode(), default_vault_id="")[3]
        known = VaultSecretsContext.current().secrets
        key = next((key for name, key in known if _opens(name, key, like)), None)
        if key is None:
            raise accounts.RegistryError("It is encrypted with a vault password that is not known here.")
        return str(VaultLib().encrypt(text, secret=key, vault_id=label).decode())
    except AnsibleError as error:
        raise accounts.RegistryError(f"Cannot encrypt it ({type(error).__name__}).") from None


def _opens(name: str, key: Any, ciphertext: str) -> bool:
    try:
        VaultLib([(name, key)]).decrypt(ciphertext.encode())
    except AnsibleError:
        return False
    return True
