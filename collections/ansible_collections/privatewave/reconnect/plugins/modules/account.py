#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: account
short_description: Make accounts of a PBX what the account registry says
version_added: 0.1.0
description:
  - Compares accounts with the account registry, names every field that is missing, wrong or doubled with its cause, and
    changes what is wrong.
  - All of one account is changed in one transaction, or nothing of it. What was there before is kept on the server.
  - The next call finds a change that was interrupted, completes it or takes it back, and says so.
  - Columns and options that are not named here are left alone. The database tells which columns exist.
  - Never change anything with it while the database has a fault. An account would only look as if it were missing.
extends_documentation_fragment:
  - privatewave.reconnect.attributes
  - privatewave.reconnect.attributes.idempotent
  - privatewave.reconnect.account
  - privatewave.reconnect.settings
attributes:
  check_mode:
    support: full
  diff_mode:
    details: It shows every object before and after, with secrets masked.
    support: full
  idempotent:
    support: full
options:
  settings:
    description:
      - The settings of the server, as M(privatewave.reconnect.gather) makes them of the inventory.
      - C(channel_driver), C(database_engine), C(odbc_dsn), C(odbc_class), C(account_backend) and C(sip_domain) are
        used.
    default: {}
  state:
    description:
      - V(present) makes the accounts what they should be.
      - V(absent) removes them.
      - V(restored) brings back what each of them was before its last change.
    type: str
    choices: [present, absent, restored]
    default: present
  changed_at:
    description:
      - With O(state=restored), the RV(accounts[].changed_at) of the change that is taken back.
      - The module then refuses when the account was changed since. Without it, the last change is taken back.
    type: str
    default: ''
  backend:
    description:
      - Where the accounts are, V(realtime) tables or a configuration V(file) (C(pjsip.conf), C(sip.conf)).
      - V(auto) is what C(account_backend) of the settings says.
      - Nothing is changed where C(sorcery.conf) and C(extconfig.conf) make Asterisk read its accounts from elsewhere.
    type: str
    choices: [auto, realtime, file]
    default: auto
  leave:
    description: Causes that are reported and left as they are, because people decide.
    type: list
    elements: str
    default: [acl_denies, account_disabled, account_doubled]
author:
  - Reconnect maintainers (@reconnect)
"""

EXAMPLES = r"""
- name: Make all accounts of this server what the registry says
  privatewave.reconnect.account:
    accounts: "{{ query('privatewave.reconnect.accounts', inventory_hostname) }}"
    settings: "{{ gathered.evidence.settings }}"

- name: Only compare
  privatewave.reconnect.account:
    accounts: "{{ query('privatewave.reconnect.accounts', inventory_hostname, username='1001') }}"
    settings: "{{ gathered.evidence.settings }}"
  check_mode: true
"""

RETURN = r"""
accounts:
  description: What was found and done, in the order of O(accounts).
  returned: always
  type: list
  elements: dict
  contains:
    username:
      description: The account.
      type: str
    state:
      description:
        - V(ok), V(created), V(fixed), V(removed) or V(restored).
        - V(left) when something is wrong that people decide.
      type: str
    changed:
      description: Whether it was changed, or would be.
      type: bool
    findings:
      description: What was wrong, with C(field), C(wanted), C(found) and C(cause); secrets are masked.
      type: list
      elements: dict
    backup:
      description: The file on the server with what was there before.
      type: str
    changed_at:
      description: When the account was changed (UTC), by the server's clock.
      type: str
recovered:
  description: Interrupted changes that were completed or taken back, with C(account), C(state) and C(sentence).
  returned: always
  type: list
  elements: dict
refused:
  description: Whether the account was changed since, so that it was not restored. The reason is in C(msg).
  returned: failure
  type: bool
reloaded:
  description: Whether Asterisk has loaded the changes, C(ok) and C(message).
  returned: when something was changed
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.privatewave.reconnect.plugins.module_utils._account import store
from ansible_collections.privatewave.reconnect.plugins.module_utils._account.arguments import ACCOUNT
from ansible_collections.privatewave.reconnect.plugins.module_utils._account.journal import JournalError
from ansible_collections.privatewave.reconnect.plugins.module_utils._account.plan import LEFT_TO_PEOPLE
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import filled


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "accounts": {"type": "list", "elements": "dict", "required": True, "options": ACCOUNT},
            "settings": {"type": "dict", "default": {}},
            "state": {"type": "str", "choices": ["present", "absent", "restored"], "default": "present"},
            "changed_at": {"type": "str", "default": ""},
            "backend": {"type": "str", "choices": ["auto", "realtime", "file"], "default": "auto"},
            "leave": {"type": "list", "elements": "str", "default": list(LEFT_TO_PEOPLE)},
        },
        supports_check_mode=True,
    )
    asked = module.params
    for account in asked["accounts"]:
        if asked["state"] == "present" and account["enabled"] and not account["password"]:
            module.fail_json(msg="The account {0} has no password.".format(account["username"]))
        if account["max_contacts"] < 1:
            module.fail_json(msg="max_contacts of the account {0} must be at least 1.".format(account["username"]))
    try:
        result = work(asked, module.check_mode)
    except store.ChangedSince as error:
        module.fail_json(msg="{0} Nothing was restored.".format(error), refused=True)
    except (ProbeError, JournalError, OSError) as error:
        module.fail_json(msg="Cannot read or change the accounts: {0}".format(error))
    if not module._diff:
        result.pop("diff")
    module.exit_json(**result)


def work(asked: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """The module's result. Raises `ProbeError`, `JournalError` and `OSError`."""
    accounts = store.Accounts(filled(asked["settings"]), asked["backend"], check_mode)
    try:
        with accounts.journal.held():
            recovered = accounts.recover()
            told = accounts.apply(asked["accounts"], asked["state"], asked["leave"], asked["changed_at"])
            result = {"recovered": recovered, "accounts": told}
            if accounts.touched:
                result["reloaded"] = accounts.reload()
    finally:
        accounts.store.close()
    result["diff"] = [one.pop("diff") for one in told if "diff" in one]
    result["changed"] = bool(accounts.touched) or any(one["changed"] for one in told)
    return result


if __name__ == "__main__":
    main()
