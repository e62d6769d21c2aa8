#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: account
short_description: Make accounts of a PBX what they should be
version_added: 0.1.0
description:
  - Compares accounts with what they should be, names every field that is missing, wrong or doubled with its cause, and
    changes what is wrong.
  - All of one account is changed in one transaction, or nothing of it. What was there before is kept on the server. A
    change that was interrupted is found by the next call, which completes it or takes it back, and says so.
  - Columns and options that are not named here are left alone. Which columns exist is asked of the database.
  - Never call it to change anything while the database is in doubt; an account would only look as if it were missing.
attributes:
  check_mode:
    description: Tells what would change, and changes nothing.
    support: full
  diff_mode:
    description: Shows every object before and after, with secrets masked.
    support: full
  idempotent:
    description: A second call changes nothing.
    support: full
options:
  accounts:
    description: All accounts in question, as P(privatewave.reconnect.accounts#lookup) returns them.
    type: list
    elements: dict
    required: true
    suboptions:
      username:
        description: The SIP user, which is the name for authentication, too.
        type: str
        required: true
      password:
        description: The password. Needed unless O(state) takes the account away or back.
        type: str
      enabled:
        description: Whether the account may be used. One that may not is told and left as it is.
        type: bool
        default: true
      security_model:
        description: V(end_to_site) encrypts the media up to the server (SDES), V(end_to_end) past it (ZRTP).
        type: str
        choices: [end_to_end, end_to_site]
        default: end_to_end
      keep_alive:
        description: Whether a new account is asked for regularly whether it is still there.
        type: bool
        default: true
      keep_alive_seconds:
        description:
          - The server asks the client at least so often whether it is still there, and takes no registration for longer
            than five minutes, so that nothing on the way forgets the connection.
          - V(0) leaves alone what is there.
        type: int
        default: 0
      transport:
        description: The transport that its client uses.
        type: str
        choices: [tls, tcp, udp]
        default: tls
      context:
        description: Context of the dialplan. Empty leaves it alone.
        type: str
        default: ''
      codecs:
        description: Codecs in their order. None leaves them alone.
        type: list
        elements: str
        default: []
      max_contacts:
        description: How many devices may be registered at the same time.
        type: int
        default: 1
      acl:
        description: Networks that the account may come from. None means any.
        type: list
        elements: str
        default: []
      virtual_number:
        description: Not looked at.
        type: str
      edition:
        description: Not looked at.
        type: str
      obfuscation:
        description: Not looked at.
        type: dict
      server:
        description: Not looked at.
        type: str
      group:
        description: Not looked at.
        type: str
      profile:
        description: Not looked at.
        type: dict
  settings:
    description:
      - What the server should be like, as M(privatewave.reconnect.gather) makes it of the inventory.
      - C(channel_driver), C(database_engine), C(odbc_dsn), C(odbc_class) and C(sip_domain) are used.
    type: dict
    default: {}
  state:
    description:
      - V(present) makes the accounts what they should be.
      - V(absent) takes them away.
      - V(restored) brings back what each of them was before its last change.
    type: str
    choices: [present, absent, restored]
    default: present
  backend:
    description:
      - Where the accounts are, V(realtime) tables or a configuration V(file) (C(pjsip.conf), C(sip.conf)).
      - V(auto) takes the tables where C(extconfig.conf) has them.
    type: str
    choices: [auto, realtime, file]
    default: auto
  leave:
    description: Causes that are told and left as they are, because people decide.
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

- name: Only look
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
        - V(ok), V(created), V(mended), V(removed) or V(restored).
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
recovered:
  description: Interrupted changes that were completed or taken back, with C(account), C(state) and C(sentence).
  returned: always
  type: list
  elements: dict
reloaded:
  description: Whether Asterisk has taken the changes, C(ok) and C(message).
  returned: when something was changed
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.privatewave.reconnect.plugins.module_utils import _accounts
from ansible_collections.privatewave.reconnect.plugins.module_utils._account_journal import JournalError
from ansible_collections.privatewave.reconnect.plugins.module_utils._account_plan import LEFT_TO_PEOPLE
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

ACCOUNT = {
    "username": {"type": "str", "required": True},
    "password": {"type": "str", "no_log": True},
    "enabled": {"type": "bool", "default": True},
    "security_model": {"type": "str", "choices": ["end_to_end", "end_to_site"], "default": "end_to_end"},
    "keep_alive": {"type": "bool", "default": True},
    "keep_alive_seconds": {"type": "int", "default": 0},
    "transport": {"type": "str", "choices": ["tls", "tcp", "udp"], "default": "tls"},
    "context": {"type": "str", "default": ""},
    "codecs": {"type": "list", "elements": "str", "default": []},
    "max_contacts": {"type": "int", "default": 1},
    "acl": {"type": "list", "elements": "str", "default": []},
    "virtual_number": {"type": "str"},
    "edition": {"type": "str"},
    "obfuscation": {"type": "dict", "no_log": True},
    "server": {"type": "str"},
    "group": {"type": "str"},
    "profile": {"type": "dict", "no_log": True},
}


def main():
    module = AnsibleModule(
        argument_spec={
            "accounts": {"type": "list", "elements": "dict", "required": True, "options": ACCOUNT},
            "settings": {"type": "dict", "default": {}},
            "state": {"type": "str", "choices": ["present", "absent", "restored"], "default": "present"},
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
    except (ProbeError, JournalError, OSError) as error:
        module.fail_json(msg="The accounts can't be looked at or changed: {0}".format(error))
    if not module._diff:
        result.pop("diff")
    module.exit_json(**result)


def work(asked, check_mode):
    """The module's result. Raises `ProbeError`, `JournalError` and `OSError`."""
    accounts = _accounts.Accounts(asked["settings"], asked["backend"], check_mode)
    try:
        with accounts.journal.held():
            recovered = accounts.recover()
            told = accounts.apply(asked["accounts"], asked["state"], asked["leave"])
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
