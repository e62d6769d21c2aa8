#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: remedy_permission
short_description: Ask the control node whether a remedy may begin
version_added: 0.1.0
description:
  - Asks the command C(reconnect) that started the playbook whether a hold, a maintenance, a partner or the blast radius
    stands against a remedy. It knows the runs of its store, and counts and decides in one transaction.
  - The task fails with RV(refused) when the remedy may not begin now.
  - Where Ansible runs alone there is no store. Then of the servers of one play that need the same remedy, only the
    first is fixed, and of partners that need any remedy, the first. Remedies of one account are not counted.
extends_documentation_fragment:
  - privatewave.reconnect.attributes.action
  - privatewave.reconnect.attributes.reads
options:
  remedy:
    description: Name of the remedy. Without it, only holds are asked about.
    type: str
    default: ''
  cause:
    description: Cause that the remedy fixes.
    type: str
    default: ''
  role:
    description: Role that carries the remedy out.
    type: str
    default: ''
  outcome:
    description: How the remedy ended; without it, whether it may begin.
    type: str
    choices: [done, not_needed, refused, failed, rolled_back]
  server_id:
    description: The RV(privatewave.reconnect.remedy_lease#module:server_id) of M(privatewave.reconnect.remedy_lease).
    type: str
    default: ''
  pairs:
    description:
      - Groups of the inventory whose servers are nodes of one pair or cluster.
      - The remedy is refused where such a group has fewer than two servers.
    type: list
    elements: str
    default: []
  undoes:
    description:
      - Whether it takes back what another run changed. No blast radius limits that.
    type: bool
    default: false
author:
  - Reconnect maintainers (@reconnect)
"""

EXAMPLES = r"""
- name: Ask whether the database may be restarted
  privatewave.reconnect.remedy_permission:
    remedy: restart_database
    cause: database_stopped
    role: database
    server_id: "{{ lease.server_id }}"

- name: Report that it was
  privatewave.reconnect.remedy_permission:
    remedy: restart_database
    cause: database_stopped
    role: database
    outcome: done
"""

RETURN = r"""
refused:
  description: Whether the remedy may not begin. The reason is in C(msg).
  returned: failure
  type: bool
escalate:
  description: Whether the next level should look at it, because too many servers needed the same remedy, or it
    did not help on a partner.
  returned: when refused
  type: bool
msg:
  description: One sentence.
  returned: failure
  type: str
"""
