#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: registration_test
short_description: Register accounts at a SIP server and leave again
description:
  - Registers each account from the host it runs on, looks for its contact twice, and removes that contact only.
  - Where another client has a contact, it only logs in and looks. The server might drop that contact for the new one.
  - A password is sent once, as a digest, and over TLS only to a server whose certificate is valid for the domain.
version_added: 0.2.0
author:
  - Reconnect maintainers (@reconnect)
extends_documentation_fragment:
  - privatewave.reconnect.attributes
  - privatewave.reconnect.client
attributes:
  check_mode:
    details: Nothing registers in check mode.
    support: full
  diff_mode:
    support: none
options:
  accounts:
    description: The accounts that register. All of them do so at the same time.
    type: list
    elements: dict
    required: true
    suboptions:
      username:
        description: The account.
        type: str
        required: true
      password:
        description: Its password.
        type: str
        required: true
  addresses:
    description: IP addresses of the server. The first one that answers is used.
    type: list
    elements: str
    required: true
  domain:
    required: true
  port:
    required: true
  transport:
    description: The transport of SIP.
    type: str
    choices: [udp, tcp, tls]
    required: true
"""

EXAMPLES = r"""
- name: Register as a reserved account
  privatewave.reconnect.registration_test:
    accounts:
      - username: "601"
        password: "{{ lookup('privatewave.reconnect.accounts', inventory_hostname, username='601').password }}"
    addresses: [198.18.20.22]
    domain: pbx22.reconnect.test
    transport: tls
    port: 5061
"""

RETURN = r"""
registrations:
  description: A probe for each account, C(RegistrationTest) of C(docs/reference/documents.md).
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import connections, register
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import failed

ACCOUNT = {
    "username": {"type": "str", "required": True},
    "password": {"type": "str", "required": True, "no_log": True},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "accounts": {"type": "list", "elements": "dict", "required": True, "options": ACCOUNT},
            "addresses": {"type": "list", "elements": "str", "required": True},
            "domain": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "transport": {"type": "str", "choices": ["udp", "tcp", "tls"], "required": True},
            "tls_ca": {"type": "str"},
        },
        supports_check_mode=True,
    )
    asked = module.params
    strange = [one for one in asked["addresses"] if not connections.is_address(one)]
    if strange:
        module.fail_json(msg="addresses holds {0!r}, it must hold IP addresses".format(strange[0]))
    if not 0 < asked["port"] < 65536:
        module.fail_json(msg="port must be from 1 to 65535")
    if module.check_mode:
        skipped = failed("skipped", "nothing is sent in check mode")
        module.exit_json(changed=False, registrations={one["username"]: skipped for one in asked["accounts"]})
    module.exit_json(changed=False, **register.answer(**asked))


if __name__ == "__main__":
    main()
