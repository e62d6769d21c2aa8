#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: idle_test
short_description: Measure how long a connection to a SIP server may be silent
description:
  - Opens connections from a vantage point to the server, side by side, and is silent on each for another time - an
    eighth, a quarter, a half and the whole of O(seconds). One more is kept alive all the while.
  - Routers with address translation and firewalls forget connections that are silent for too long. What only the silent
    ones suffer is due to their silence.
  - Each connection logs in as a reserved account and asks for its contacts; none is registered, changed or displaced.
version_added: 0.1.0
author:
  - Reconnect maintainers (@reconnect)
attributes:
  check_mode:
    description: Changes nothing, so it runs the same in check mode.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
options:
  account:
    description: The account that logs in.
    type: str
    default: "601"
  password:
    description: Its password. It is sent only as a digest.
    type: str
    required: true
  seconds:
    description: The longest silence, from 8 to 900.
    type: float
    required: true
  server:
    description: An address of the server; the first of C(reconnect_addresses) when not given.
    type: str
  domain:
    description: The name clients use for the server; C(reconnect_sip_domain) when not given.
    type: str
  transport:
    description: The transport; TLS where clients use it, TCP otherwise, when not given.
    type: str
    choices: [tls, tcp]
  port:
    description: Its port; the one of C(reconnect_sip_transports) when not given.
    type: int
  tls_ca:
    description:
      - The authorities that clients trust, as PEM text.
      - The file of C(reconnect_tls_ca_file) when not given, and those of the system without one.
    type: str
  vantage:
    description: The host of the inventory to measure from; the first of the group C(vantage_points) when not given.
    type: str
"""

EXAMPLES = r"""
- name: Measure whether a minute of silence is too long
  privatewave.reconnect.idle_test:
    password: "{{ lookup('privatewave.reconnect.accounts', inventory_hostname, username='601').password }}"
    seconds: 60
"""

RETURN = r"""
idle:
  description: A probe, C(idle) of C(docs/documents.md).
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.privatewave.reconnect.plugins.module_utils import _idle
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import probe


def main():
    module = AnsibleModule(
        argument_spec={
            "account": {"type": "str", "default": "601"},
            "password": {"type": "str", "required": True, "no_log": True},
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
        lambda: _idle.measure(
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
