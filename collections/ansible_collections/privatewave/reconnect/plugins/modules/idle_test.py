#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: idle_test
short_description: Measure how long a connection to a SIP server may be idle
description:
  - Opens connections from a vantage point to the server, side by side. Each is idle for another time - an eighth, a
    quarter, a half and the whole of O(seconds). One more is kept alive all the while.
  - Routers with address translation and firewalls drop connections that are idle for too long. What only the idle
    connections suffer is due to their idle time.
  - Each connection logs in as a reserved account and asks for its contacts. No contact is added, changed or displaced.
version_added: 0.1.0
author:
  - Reconnect maintainers (@reconnect)
extends_documentation_fragment:
  - privatewave.reconnect.attributes.reads
  - privatewave.reconnect.client
  - privatewave.reconnect.client.login
  - privatewave.reconnect.client.vantage
options:
  account:
    description: The account that logs in. The one that C(reconnect_test_account) names when not given.
  password:
    description: The password of the account. Only a digest of it is sent. The account registry's when not given.
    required: false
  seconds:
    description: The longest idle time in seconds, from 8 to 900.
    type: float
    required: true
  server:
    description: An address of the server. The first of C(reconnect_addresses) when not given.
  transport:
    description: The transport. TLS where clients use it, TCP otherwise, when not given.
    choices: [tls, tcp]
"""

EXAMPLES = r"""
- name: Measure whether a minute is too long
  privatewave.reconnect.idle_test:
    seconds: 60
"""

RETURN = r"""
idle:
  description: A probe, C(idle) of C(docs/reference/documents.md).
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import idle as idle_connections
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import probe


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "account": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "seconds": {"type": "float", "required": True},
            "server": {"type": "str"},
            "domain": {"type": "str"},
            "transport": {"type": "str", "choices": ["tls", "tcp"]},
            "port": {"type": "int"},
            "tls_ca": {"type": "str"},
            "vantage": {"type": "str"},
        },
        supports_check_mode=True,
    )
    asked = module.params
    if not 8 <= asked["seconds"] <= 900:
        module.fail_json(msg="seconds must be from 8 to 900")
    answer = probe(
        lambda: idle_connections.measure(
            asked["account"],
            asked["password"],
            asked["server"],
            asked["port"],
            asked["transport"],
            asked["domain"],
            asked["tls_ca"],
            asked["seconds"],
        )
    )
    module.exit_json(changed=False, idle=answer)


if __name__ == "__main__":
    main()
