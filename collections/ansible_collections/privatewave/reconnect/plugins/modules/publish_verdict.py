#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: publish_verdict
short_description: Publish how a run ended as statistics of the job
version_added: 0.1.0
description:
  - Sets the custom statistics C(reconnect), which AWX shows as artifacts of the job and hands on to the next job of a
    workflow, and which ansible-navigator keeps with the run.
  - The statistics hold only words of the catalogues and names of the inventory, nothing that a server said.
extends_documentation_fragment:
  - privatewave.reconnect.attributes.action
  - privatewave.reconnect.attributes.reads
options:
  fail_on_fault:
    description: Fail on a server whose exit code would not be 0, so that the job fails.
    type: bool
    default: false
author:
  - Reconnect maintainers (@reconnect)
"""

EXAMPLES = r"""
- name: Publish the verdict, and fail where a fault is left
  privatewave.reconnect.publish_verdict:
    fail_on_fault: true
"""

RETURN = r"""
ansible_stats:
  description: The statistics, once for all servers. C(data.reconnect) has C(run_id) and, in C(servers), by server
    C(outcome), C(headline), C(exit_code), the names of the C(causes), the C(remedies) with their states, and
    C(escalate_to).
  returned: of the first server
  type: dict
msg:
  description: One sentence.
  returned: failure
  type: str
"""
