#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: rotate_password
short_description: Give an account a new password
version_added: 0.1.0
description:
  - Makes a password on the control node, stores it in the account registry, and then sets it on the account's server,
    with everything else that the registry wants of the account (M(privatewave.reconnect.account)).
  - The registry has the old password or the new one, the server too. When it is interrupted between them, the next fix
    of the account makes the server follow the registry.
  - It is refused, before anything is changed, when the registry cannot store it. The registry C(yaml) stores the
    password of an account that has a vaulted one of its own, and changes nothing else in the file. C(sql) updates its
    row.
  - The client has the old password until it fetches its configuration again.
extends_documentation_fragment:
  - privatewave.reconnect.attributes.action
  - privatewave.reconnect.attributes
  - privatewave.reconnect.settings
attributes:
  check_mode:
    details: It tells whether the registry can store the password, and changes nothing.
    support: full
  diff_mode:
    support: none
author:
  - Reconnect maintainers (@reconnect)
options:
  account:
    description: The account.
    type: str
    required: true
  settings:
    required: true
"""

EXAMPLES = r"""
- name: Give the account a new password
  privatewave.reconnect.rotate_password:
    account: "1001"
    settings: "{{ gathered.evidence.settings }}"
"""

RETURN = r"""
registry:
  description: Where the account stands in the registry.
  returned: success
  type: str
account:
  description: What M(privatewave.reconnect.account) did with it.
  returned: success, not in check mode
  type: dict
"""
