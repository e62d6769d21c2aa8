#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: server_info
short_description: Ask a server for everything it knows of itself
description:
  - Asks the host, Asterisk and the database, and for an account what they know of it.
  - Everything is asked at the same time, each question with its own time limit, so that a hung Asterisk or a hung
    database costs the slowest single limit, and yields evidence of the hang.
  - Reads only. No password, secret or key is in the answer.
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
  settings:
    description:
      - What the server should be like, all of it, as M(privatewave.reconnect.gather) makes it of the inventory.
      - It says which units, files, drivers and tables are asked for.
    type: dict
    required: true
  account:
    description: The account the incident is about.
    type: str
  wanted:
    description: The account as P(privatewave.reconnect.accounts#lookup) returns it, to compare it with.
    type: dict
  documents:
    description: Its client's documents as P(privatewave.reconnect.configurations#filter) returns them, to compare them.
    type: list
    elements: dict
    default: []
  subsets:
    description: What to ask for. V(account) is asked for only when O(account) is given.
    type: list
    elements: str
    choices: [host, asterisk, database, account]
    default: [host, asterisk, database, account]
"""

EXAMPLES = r"""
- name: Ask the host and the database
  privatewave.reconnect.server_info:
    subsets: [host, database]
    settings: "{{ gathered.evidence.settings }}"
"""

RETURN = r"""
host:
  description: A probe for each question asked of the host, see C(docs/documents.md).
  returned: when the subset was asked for
  type: dict
  sample:
    load:
      ok: true
      seconds: 0.001
      data: {one: 0.1, five: 0.2, fifteen: 0.2, cpus: 2}
asterisk:
  description: A probe for each question asked of Asterisk.
  returned: when the subset was asked for
  type: dict
database:
  description: A probe for each question asked of the database.
  returned: when the subset was asked for
  type: dict
account:
  description: A probe for each question asked about the account.
  returned: when an account was named
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.privatewave.reconnect.plugins.module_utils import _server


def main():
    names = list(_server.SUBSETS)
    module = AnsibleModule(
        argument_spec={
            "settings": {"type": "dict", "required": True},
            "account": {"type": "str"},
            "wanted": {"type": "dict", "no_log": True},
            "documents": {"type": "list", "elements": "dict", "default": [], "no_log": True},
            "subsets": {"type": "list", "elements": "str", "choices": names, "default": names},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, **_server.answer(**module.params))


if __name__ == "__main__":
    main()
