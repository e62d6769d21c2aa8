#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: call_test
short_description: Place a real secure call through a PBX
description:
  - Runs two Linphone clients (C(linphone-daemon)) on a vantage point, has them register over TLS as two reserved
    accounts, and has one call the other with SDES-SRTP.
  - Counts the packets of their media on the wire, and has the server count its own in the meantime.
  - Registering displaces the contacts that these accounts have. Everything is unregistered and ended at the end.
version_added: 0.1.0
author:
  - Reconnect maintainers (@reconnect)
attributes:
  check_mode:
    description: Calls nobody in check mode.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
options:
  caller:
    description: The account that calls.
    type: str
    default: "601"
  caller_password:
    description: Its password. It reaches the client over its standard input and stands in no file.
    type: str
    required: true
  callee:
    description: The account that is called.
    type: str
    default: "602"
  callee_password:
    description: Its password.
    type: str
    required: true
  domain:
    description: The name clients use for the server; C(reconnect_sip_domain) when not given.
    type: str
  port:
    description: The port for SIP over TLS; C(reconnect_sip_port) when not given.
    type: int
  tls_ca:
    description:
      - The authorities that clients trust, as PEM text.
      - The file of C(reconnect_tls_ca_file) when not given, and those of the system without one.
    type: str
  seconds:
    description: How long to talk, in seconds.
    type: float
    default: 10
  limit:
    description: The time in seconds for everything.
    type: float
    default: 40
  vantage:
    description: The host of the inventory to call from; the first of the group C(vantage_points) when not given.
    type: str
"""

EXAMPLES = r"""
- name: Place a call from one reserved account to the other
  privatewave.reconnect.call_test:
    caller_password: "{{ lookup('privatewave.reconnect.accounts', inventory_hostname, username='601').password }}"
    callee_password: "{{ lookup('privatewave.reconnect.accounts', inventory_hostname, username='602').password }}"
"""

RETURN = r"""
call:
  description: A probe, C(call) of C(docs/documents.md).
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.privatewave.reconnect.plugins.module_utils import _call
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import failed, probe


def main():
    module = AnsibleModule(
        argument_spec={
            "caller": {"type": "str", "default": "601"},
            "caller_password": {"type": "str", "required": True, "no_log": True},
            "callee": {"type": "str", "default": "602"},
            "callee_password": {"type": "str", "required": True, "no_log": True},
            "domain": {"type": "str"},
            "port": {"type": "int"},
            "tls_ca": {"type": "str"},
            "seconds": {"type": "float", "default": 10},
            "limit": {"type": "float", "default": 40},
            "vantage": {"type": "str"},
        },
        supports_check_mode=True,
    )
    asked = module.params
    if not 0 < asked["seconds"] <= 60 or not asked["seconds"] <= asked["limit"] <= 120:
        module.fail_json(msg="seconds must be from 1 to 60, limit no less and at most 120")
    if module.check_mode:
        module.exit_json(changed=False, call=failed("skipped", "nobody is called in check mode"))
    answer = probe(
        lambda: _call.place(
            asked["domain"] or "",
            asked["port"] or 5061,
            (asked["caller"], asked["caller_password"]),
            (asked["callee"], asked["callee_password"]),
            asked["tls_ca"],
            asked["seconds"],
            asked["limit"],
        )
    )
    module.exit_json(changed=False, call=answer)


if __name__ == "__main__":
    main()
