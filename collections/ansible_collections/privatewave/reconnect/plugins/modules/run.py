#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: run
short_description: Have the service carry out a run
description:
  - Asks C(reconnect serve) for a diagnosis, which changes nothing, or to carry out the plan that a diagnosis showed.
  - The service finds the causes again before it carries a plan out, and does nothing that the plan did not have.
version_added: 0.2.0
author:
  - Reconnect maintainers (@reconnect)
extends_documentation_fragment:
  - privatewave.reconnect.attributes
  - privatewave.reconnect.service
attributes:
  check_mode:
    details: Nothing is asked for in check mode.
    support: full
  diff_mode:
    support: none
options:
  playbook:
    description: What to carry out.
    type: str
    choices: [diagnose-server, fix-account-config]
    default: diagnose-server
  servers:
    description: Hosts or groups of the service's inventory; the incident's server where none is given.
    type: list
    elements: str
    default: []
  account:
    description: The account that it is about.
    type: str
  incident:
    description: The incident to read and to report to, such as V(rt:17).
    type: str
  plan_of:
    description: Carry out the plan of this run, which has ended. Then only O(plan_hash) is needed beside it.
    type: str
  plan_hash:
    description: The hash of the plan that was shown. The service refuses where the plan is another one.
    type: str
  key:
    description:
      - Makes a request that is sent twice within a day begin one run, such as V(rt:17 2026-01-02T03:05:00Z).
      - Printable ASCII, at most 255 characters, no blank at either end. Another one for each task when not given.
    type: str
  wait:
    description: Wait for the end of the run.
    type: bool
    default: true
  wait_seconds:
    description: How long to wait at most. The module fails where the run has not ended by then; the run goes on.
    type: int
    default: 600
  fail_on_fault:
    description: Fail where the exit code of the run is not 0.
    type: bool
    default: false
seealso:
  - module: privatewave.reconnect.run_info
  - module: privatewave.reconnect.approval
"""

EXAMPLES = r"""
- name: Find out why nobody can register
  privatewave.reconnect.run:
    url: https://reconnect.example.com
    token: "{{ reconnect_token }}"
    servers: [pbx1.example.com]
    incident: rt:17
  register: found

- name: Carry out what needs no second person
  privatewave.reconnect.run:
    url: https://reconnect.example.com
    token: "{{ reconnect_token }}"
    plan_of: "{{ found.run.id }}"
    plan_hash: "{{ found.run.plan_hash }}"
  when: found.run.plan_hash is not none
"""

RETURN = r"""
run:
  description: The run as C(GET /v1/runs/ID) shows it, with its C(results) once it has ended.
  returned: always
  type: dict
  contains:
    id: {description: Its name., type: str, returned: always}
    state: {description: 'V(queued), V(running) or V(ended).', type: str, returned: always}
    exit_code: {description: What the command would have ended with., type: int, returned: once it has ended}
    endings: {description: How it ended on each server., type: dict, returned: always}
    plan_hash: {description: The hash of its plan; none where nothing is to be done., type: str, returned: always}
    results: {description: The result document of each server., type: list, returned: once it has ended}
"""

import secrets
from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.privatewave.reconnect.plugins.module_utils._service import ARGUMENTS, Service, ServiceError


def begun(service: Service, given: Dict[str, Any]) -> Dict[str, Any]:
    """The run that the service began. Raises ServiceError."""
    if given["plan_of"]:
        path, body = f"runs/{given['plan_of']}/confirm", {"plan_hash": given["plan_hash"]}
    else:
        asked = {name: given[name] for name in ("playbook", "servers", "account", "incident")}
        path, body = "runs", {name: value for name, value in asked.items() if value is not None}
    return dict(service.ask("POST", path, body, key=given["key"] or secrets.token_hex(16)))


def main() -> None:
    module = AnsibleModule(
        {
            **ARGUMENTS,
            "playbook": {
                "type": "str",
                "choices": ["diagnose-server", "fix-account-config"],
                "default": "diagnose-server",
            },
            "servers": {"type": "list", "elements": "str", "default": []},
            "account": {"type": "str"},
            "incident": {"type": "str"},
            "plan_of": {"type": "str"},
            "plan_hash": {"type": "str"},
            "key": {"type": "str", "no_log": False},
            "wait": {"type": "bool", "default": True},
            "wait_seconds": {"type": "int", "default": 600},
            "fail_on_fault": {"type": "bool", "default": False},
        },
        required_together=[("plan_of", "plan_hash")],
        mutually_exclusive=[("plan_of", "account"), ("plan_of", "incident")],
        supports_check_mode=True,
    )
    given = module.params
    if module.check_mode:
        module.exit_json(changed=True, run={})
    service = Service(given)
    run: Dict[str, Any] = {}
    try:
        run = begun(service, given)
        if given["wait"]:
            run = service.run(run["id"], given["wait_seconds"])
    except ServiceError as error:
        module.fail_json(msg=f"{error} The run {run['id']} goes on." if run else str(error), run=run)
    if given["wait"] and run["state"] != "ended":
        module.fail_json(msg=f"The run {run['id']} has not ended after {given['wait_seconds']} s; it goes on.", run=run)
    if given["fail_on_fault"] and run["exit_code"]:
        module.fail_json(msg=f"The run {run['id']} ended with exit code {run['exit_code']}.", run=run)
    module.exit_json(changed=True, run=run)


if __name__ == "__main__":
    main()
