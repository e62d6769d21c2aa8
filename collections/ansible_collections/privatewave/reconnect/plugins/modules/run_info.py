#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: run_info
short_description: Read runs from the service
description:
  - Reads one run with its results, or lists the newest runs, from C(reconnect serve).
version_added: 0.2.0
author:
  - Reconnect maintainers (@reconnect)
extends_documentation_fragment:
  - privatewave.reconnect.attributes.reads
  - privatewave.reconnect.service
options:
  run_id:
    description: The run to read; without it the newest ones are listed.
    type: str
  wait_seconds:
    description: With O(run_id), how long to wait for its end at most.
    type: int
    default: 0
  server:
    description: List only runs on this server.
    type: str
  account:
    description: List only runs about this account.
    type: str
  ending:
    description: List only runs with this outcome or state, such as V(fault_found).
    type: str
  limit:
    description: List at most so many.
    type: int
    default: 50
seealso:
  - module: privatewave.reconnect.run
"""

EXAMPLES = r"""
- name: Where was a fault left
  privatewave.reconnect.run_info:
    url: https://reconnect.example.com
    token: "{{ reconnect_token }}"
    ending: fault_found
"""

RETURN = r"""
runs:
  description: The runs, the newest first, as C(GET /v1/runs) shows them. With O(run_id) it is one, with its C(results)
    once it has ended.
  returned: success
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.privatewave.reconnect.plugins.module_utils._service import ARGUMENTS, Service, ServiceError


def main() -> None:
    module = AnsibleModule(
        {
            **ARGUMENTS,
            "run_id": {"type": "str"},
            "wait_seconds": {"type": "int", "default": 0},
            "server": {"type": "str"},
            "account": {"type": "str"},
            "ending": {"type": "str"},
            "limit": {"type": "int", "default": 50},
        },
        mutually_exclusive=[("run_id", "server"), ("run_id", "account"), ("run_id", "ending")],
        supports_check_mode=True,
    )
    given, service = module.params, Service(module.params)
    try:
        if given["run_id"]:
            runs = [service.run(given["run_id"], given["wait_seconds"])]
        else:
            wanted = {name: given[name] for name in ("server", "account", "ending", "limit")}
            runs = service.ask("GET", "runs", query=wanted)["runs"]
    except ServiceError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, runs=runs)


if __name__ == "__main__":
    main()
