#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: sip_register
short_description: Register at a SIP server as an account
description:
  - Sends C(REGISTER) as the client of an account does, answers the digest challenge (MD5 or SHA-256), looks for its own
    contact in the answer and removes the contact again.
  - A C(200) alone is not enough. Asterisk answers it even when it could not store the contact.
  - Where the account may have one contact only and C(remove_existing) of its AOR is on, this displaces the user's own
    contact until the client registers again.
version_added: 0.1.0
author:
  - Reconnect maintainers (@reconnect)
extends_documentation_fragment:
  - privatewave.reconnect.attributes
  - privatewave.reconnect.client
  - privatewave.reconnect.client.login
attributes:
  check_mode:
    details: Nothing is sent in check mode.
    support: full
  diff_mode:
    support: none
options:
  account:
    required: true
  auth_name:
    description: The user name of the digest; that of O(account) when not given.
    type: str
  domain:
    required: true
  server:
    required: true
  port:
    default: 5061
  transport:
    choices: [udp, tcp, tls]
    default: tls
  expires:
    description: How long in seconds the contact is asked to last.
    type: int
    default: 60
  stay:
    description: Leave the contact registered until it expires.
    type: bool
    default: false
  keep_open:
    description:
      - With O(stay), for how many seconds to hold the connection over TCP or TLS.
      - Asterisk removes the contact as soon as its connection is closed. A process that stays behind keeps it open.
    type: int
    default: 0
  limit:
    description: The time in seconds for everything.
    type: float
    default: 8
"""

EXAMPLES = r"""
- name: Register as the account
  privatewave.reconnect.sip_register:
    account: "1001"
    password: "{{ password_of_the_account }}"
    domain: pbx22.reconnect.test
    server: 198.18.20.22
"""

RETURN = r"""
register:
  description: A probe. Not C(ok) when the server gave no answer, with C(error) and C(message).
  returned: always
  type: dict
  contains:
    data:
      description: The answers.
      type: dict
      contains:
        registered:
          description: The server answered 200 and lists our contact.
          type: bool
        answers:
          description:
            - Every final answer in order, with C(expires), C(status), C(reason), C(seconds) and C(algorithm).
            - C(expires) is the requested time, 0 removes the contact.
          type: list
          elements: dict
        contact:
          description: The contact that was sent.
          type: str
        contacts:
          description: The contacts of the account after registering, with C(uri) and C(expires).
          type: list
          elements: dict
        unregistered:
          description: The contact was removed again.
          type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import connections
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import register as registration
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import failed, probe


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "account": {"type": "str", "required": True},
            "auth_name": {"type": "str"},
            "password": {"type": "str", "required": True, "no_log": True},
            "domain": {"type": "str", "required": True},
            "server": {"type": "str", "required": True},
            "port": {"type": "int", "default": 5061},
            "transport": {"type": "str", "choices": ["udp", "tcp", "tls"], "default": "tls"},
            "expires": {"type": "int", "default": 60},
            "stay": {"type": "bool", "default": False},
            "keep_open": {"type": "int", "default": 0},
            "tls_ca": {"type": "str"},
            "limit": {"type": "float", "default": 8},
        },
        supports_check_mode=True,
    )
    asked = module.params
    if not connections.is_address(asked["server"]):
        module.fail_json(msg="server is {0!r}, it must be an IP address".format(asked["server"]))
    if not 0 < asked["port"] < 65536 or asked["expires"] < 1 or asked["limit"] <= 0:
        module.fail_json(msg="port must be from 1 to 65535, expires and limit at least 1")
    if module.check_mode:
        module.exit_json(changed=False, register=failed("skipped", "nothing is sent in check mode"))
    answer = probe(
        lambda: registration.register(
            asked["account"],
            asked["auth_name"] or asked["account"],
            asked["password"],
            asked["server"],
            asked["port"],
            asked["transport"],
            asked["domain"],
            asked["expires"],
            asked["stay"],
            asked["tls_ca"],
            asked["limit"],
            asked["keep_open"],
        )
    )
    stayed = answer["ok"] and answer["data"]["registered"] and not answer["data"]["unregistered"]
    module.exit_json(changed=bool(stayed), register=answer)


if __name__ == "__main__":
    main()
