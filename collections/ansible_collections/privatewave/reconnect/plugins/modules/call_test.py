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
  - Registering displaces the contacts that these accounts have. At the end, everything is unregistered and stopped.
version_added: 0.1.0
author:
  - Reconnect maintainers (@reconnect)
extends_documentation_fragment:
  - privatewave.reconnect.attributes
  - privatewave.reconnect.client
  - privatewave.reconnect.client.vantage
attributes:
  check_mode:
    details: Nobody is called in check mode.
    support: full
  diff_mode:
    support: none
options:
  caller:
    description: The account that calls. The one that C(reconnect_test_account) names when not given.
    type: str
  caller_password:
    description:
      - Its password. The account registry's when not given.
      - The client reads it from its standard input. It is in no file.
    type: str
  callee:
    description: The account that is called. The one that C(reconnect_test_callee) names when not given.
    type: str
  callee_password:
    description: Its password. The account registry's when not given.
    type: str
  seconds:
    description: How long to talk, in seconds.
    type: float
    default: 10
  limit:
    description: The time in seconds for everything.
    type: float
    default: 40
"""

EXAMPLES = r"""
- name: Place a call from one reserved account to the other
  privatewave.reconnect.call_test:
"""

RETURN = r"""
call:
  description: A probe, C(call) of C(docs/reference/documents.md).
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import call as calls
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import failed, probe


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "caller": {"type": "str"},
            "caller_password": {"type": "str", "no_log": True},
            "callee": {"type": "str"},
            "callee_password": {"type": "str", "no_log": True},
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
        lambda: calls.place(
            asked["domain"] or "",
            asked["port"] or 5061,
            (asked["caller"] or "", asked["caller_password"] or ""),
            (asked["callee"] or "", asked["callee_password"] or ""),
            asked["tls_ca"],
            asked["seconds"],
            asked["limit"],
        )
    )
    module.exit_json(changed=False, call=answer)


if __name__ == "__main__":
    main()
