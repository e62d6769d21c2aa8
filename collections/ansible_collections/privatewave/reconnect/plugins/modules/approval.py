#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: approval
short_description: Ask for an approval at the service, or decide about one
version_added: 0.2.0
description:
  - Asks a second person to approve the plan of a run, or decides about what somebody else asked for.
  - The service refuses a decision about one's own request, one about a plan that has changed, and one that is too late.
extends_documentation_fragment:
  - privatewave.reconnect.attributes
  - privatewave.reconnect.service
attributes:
  check_mode:
    support: full
    details: Nothing is asked for or decided in check mode.
  diff_mode:
    support: none
options:
  run_id:
    description: Ask for an approval of the plan of this run.
    type: str
  approval_id:
    description: Decide about this request.
    type: str
  plan_hash:
    description: The hash of the plan that was shown.
    type: str
    required: true
  decision:
    description: Yes or no. Needed with O(approval_id).
    type: str
    choices: [approve, deny]
  comment:
    description: The reason. A denial needs one.
    type: str
    default: ""
author:
  - Reconnect maintainers (@reconnect)
seealso:
  - module: privatewave.reconnect.run
"""

EXAMPLES = r"""
- name: Ask second level
  privatewave.reconnect.approval:
    url: https://reconnect.example.com
    token: "{{ reconnect_token }}"
    run_id: "{{ found.run.id }}"
    plan_hash: "{{ found.run.plan_hash }}"
  register: asked

- name: Say no
  privatewave.reconnect.approval:
    url: https://reconnect.example.com
    token: "{{ token_of_second_level }}"
    approval_id: "{{ asked.approval_id }}"
    plan_hash: "{{ found.run.plan_hash }}"
    decision: deny
    comment: Wait until the calls have ended.
"""

RETURN = r"""
approval_id:
  description: The request; empty in check mode where it would be a new one.
  returned: success
  type: str
applied_run_id:
  description: The run that carries out the plan; none where the answer was no, or there is none yet.
  returned: success
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.privatewave.reconnect.plugins.module_utils._service import ARGUMENTS, Service, ServiceError


def main() -> None:
    module = AnsibleModule(
        {
            **ARGUMENTS,
            "run_id": {"type": "str"},
            "approval_id": {"type": "str"},
            "plan_hash": {"type": "str", "required": True},
            "decision": {"type": "str", "choices": ["approve", "deny"]},
            "comment": {"type": "str", "default": ""},
        },
        mutually_exclusive=[("run_id", "approval_id"), ("run_id", "decision")],
        required_one_of=[("run_id", "approval_id")],
        required_by={"approval_id": "decision"},
        supports_check_mode=True,
    )
    given = module.params
    answer = {"approval_id": given["approval_id"] or "", "applied_run_id": None}
    if not module.check_mode:
        service, plan = Service(given), {"plan_hash": given["plan_hash"]}
        try:
            if given["run_id"]:
                answer.update(service.ask("POST", f"runs/{given['run_id']}/approvals", plan))
            else:
                decided = {**plan, "decision": given["decision"], "comment": given["comment"]}
                answer.update(service.ask("POST", f"approvals/{given['approval_id']}/decision", decided))
        except ServiceError as error:
            module.fail_json(msg=str(error))
    module.exit_json(changed=True, **answer)


if __name__ == "__main__":
    main()
