#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: call_watch
short_description: Watch what Asterisk counts of the media of a call
description:
  - Looks once a second at the statistics of the channels of two accounts that talk, until their call is over.
  - M(privatewave.reconnect.call_test) runs it on the server while the call lasts.
version_added: 0.1.0
author:
  - Reconnect maintainers (@reconnect)
extends_documentation_fragment:
  - privatewave.reconnect.attributes.reads
  - privatewave.reconnect.settings
options:
  settings:
    required: true
  accounts:
    description: The accounts that talk.
    type: list
    elements: str
    required: true
  seconds:
    description: How long to watch at most.
    type: float
    default: 30
"""

EXAMPLES = r"""
- name: Watch the media of a call
  privatewave.reconnect.call_watch:
    settings: "{{ gathered.evidence.settings }}"
    accounts: ["601", "602"]
"""

RETURN = r"""
call:
  description: A probe; its data are the packets per account, C(received), C(received_lost), C(sent) and C(sent_lost).
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import call_watch


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "settings": {"type": "dict", "required": True},
            "accounts": {"type": "list", "elements": "str", "required": True},
            "seconds": {"type": "float", "default": 30},
        },
        supports_check_mode=True,
    )
    asked = module.params
    module.exit_json(changed=False, **call_watch.answer(asked["settings"], asked["accounts"], asked["seconds"]))


if __name__ == "__main__":
    main()
