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
extends_documentation_fragment:
  - privatewave.reconnect.attributes.reads
  - privatewave.reconnect.account.wanted
  - privatewave.reconnect.client.documents
  - privatewave.reconnect.settings
options:
  settings:
    required: true
  account:
    description: The account the incident is about.
    type: str
  tls_ca:
    description:
      - The authorities that clients trust, as PEM text. Without any, those of the system.
      - The certificate on the server's disk is verified with them.
    type: str
  documents:
    description: The documents of its client, which are compared with those on the server.
  subsets:
    description: What to ask for. V(account) is asked for only when O(account) is given.
    type: list
    elements: str
    choices: [host, asterisk, database, account]
    default: [host, asterisk, database, account]
  contacts_of:
    description: Accounts whose contacts are asked for, in Asterisk and where Asterisk stores them.
    type: list
    elements: str
    default: []
  testers:
    description:
      - Addresses that O(account) is tested from.
      - On chan_sip what came from there is not counted as attempts of its client.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Ask the host and the database
  privatewave.reconnect.server_info:
    subsets: [host, database]
    settings: "{{ gathered.evidence.settings }}"
"""

RETURN = r"""
host:
  description: A probe for each question asked of the host, see C(docs/reference/documents.md).
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
contacts:
  description: A probe for each account in O(contacts_of).
  returned: when there is such an account
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.privatewave.reconnect.plugins.module_utils import _server
from ansible_collections.privatewave.reconnect.plugins.module_utils._account.arguments import ACCOUNT, DOCUMENT


def main() -> None:
    names = list(_server.SUBSETS)
    module = AnsibleModule(
        argument_spec={
            "settings": {"type": "dict", "required": True},
            "account": {"type": "str"},
            "wanted": {"type": "dict", "options": ACCOUNT},
            "documents": {"type": "list", "elements": "dict", "default": [], "options": DOCUMENT},
            "tls_ca": {"type": "str"},
            "subsets": {"type": "list", "elements": "str", "choices": names, "default": names},
            "contacts_of": {"type": "list", "elements": "str", "default": []},
            "testers": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, **_server.answer(**module.params))


if __name__ == "__main__":
    main()
