#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: firewall_rules
short_description: Remove single rules from the packet filter, or put them back
description:
  - Removes rules of nftables or iptables by their content. Nothing is changed when one of them is no longer there as it
    was judged; that is a failure.
  - Rules of nftables are compared and removed in one transaction, which the kernel refuses when anybody has changed the
    rule set meanwhile.
  - Puts back those rules only, behind the rule that was before them. Never loads or flushes a rule set.
  - Only what is in force now is changed. What is configured for the next boot is left alone.
version_added: 0.1.0
author:
  - Reconnect maintainers (@reconnect)
extends_documentation_fragment:
  - privatewave.reconnect.attributes
  - privatewave.reconnect.attributes.idempotent
attributes:
  check_mode:
    support: full
  diff_mode:
    details: Each rule that is removed or put back, as RV(rules) has it.
    support: full
  idempotent:
    details: With O(state=absent) a rule that is not there is a failure, for it is not the one that was judged.
    support: partial
options:
  rules:
    description:
      - With O(state=absent) the rules, as the evidence has them in C(host.firewall).
      - With O(state=present) what RV(rules) of the removal was.
    type: list
    elements: dict
    required: true
    suboptions:
      filter:
        description: The packet filter that the rule was read from.
        type: str
        choices: [nft, iptables]
        required: true
      table:
        description: The family and the name of its table, a blank between them.
        type: str
        required: true
      chain:
        description: Its chain.
        type: str
        required: true
      digest:
        description: What is in the rule, as a number.
        type: str
        required: true
      rule:
        description: The rule as its filter writes it.
        type: raw
      after:
        description: The digest of the rule before it.
        type: str
      number:
        description: How many rules were before it.
        type: int
        default: 0
  state:
    description: V(absent) removes the rules, V(present) puts them back.
    type: str
    choices: [absent, present]
    default: absent
"""

EXAMPLES = r"""
- name: Remove the rules that the judge names
  privatewave.reconnect.firewall_rules:
    rules: "{{ network_step.targets }}"
  register: removed

- name: Put them back
  privatewave.reconnect.firewall_rules:
    rules: "{{ removed.rules }}"
    state: present
"""

RETURN = r"""
rules:
  description: The rules that were removed or put back, each with all that is needed to put it back.
  returned: success
  type: list
  elements: dict
refused:
  description: Whether nothing was changed because the rules are no longer those that were judged.
  returned: failure
  type: bool
"""

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import single_rules
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError


def differences(rules: list[single_rules.Removed], absent: bool) -> list[dict[str, str]]:
    """What ``--diff`` shows: rules before and after. JSON escapes what whoever wrote a rule put into it."""
    shown = []
    for one in rules:
        header = "{filter} {table} {chain}".format(**one)
        text = json.dumps(one["rule"], sort_keys=True) + "\n"
        before, after = (text, "") if absent else ("", text)
        shown.append({"before_header": header, "after_header": header, "before": before, "after": after})
    return shown


def main() -> None:
    rule = {
        "filter": {"type": "str", "choices": ["nft", "iptables"], "required": True},
        "table": {"type": "str", "required": True},
        "chain": {"type": "str", "required": True},
        "digest": {"type": "str", "required": True},
        "rule": {"type": "raw"},
        "after": {"type": "str"},
        "number": {"type": "int", "default": 0},
    }
    module = AnsibleModule(
        argument_spec={
            "rules": {"type": "list", "elements": "dict", "required": True, "options": rule},
            "state": {"type": "str", "choices": ["absent", "present"], "default": "absent"},
        },
        supports_check_mode=True,
    )
    absent = module.params["state"] == "absent"
    change = single_rules.remove if absent else single_rules.restore
    try:
        rules = change(module.params["rules"], module.check_mode)
    except single_rules.Changed as error:
        module.fail_json(msg=str(error), refused=True)
    except (ProbeError, OSError) as error:
        module.fail_json(msg="The packet filter could not be changed: {0}.".format(error))
    shown: dict[str, Any] = {"diff": differences(rules, absent)} if module._diff else {}
    module.exit_json(changed=bool(rules), rules=rules, **shown)


if __name__ == "__main__":
    main()
