#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: gather
short_description: Gather the evidence of a server
description:
  - Asks a server for everything it knows of itself (M(privatewave.reconnect.server_info)) and probes the paths to it
    from the control node and from every vantage point, all at the same time.
  - A server or a vantage point that cannot be reached does not fail the task. It is evidence, with the reason.
  - What the server should be like comes from the inventory variables C(reconnect_*).
version_added: 0.1.0
author:
  - Reconnect maintainers (@reconnect)
extends_documentation_fragment:
  - privatewave.reconnect.attributes.action
  - privatewave.reconnect.attributes.reads
options:
  account:
    description: The account the incident is about. Its rows, contacts and attempts are then gathered too.
    type: str
  subsets:
    description: What to ask the server for; everything when not given.
    type: list
    elements: str
    choices: [host, asterisk, database, account]
  client_report:
    description: What the user or the device says. It is passed through into the evidence.
    type: dict
  watch:
    description:
      - What M(privatewave.reconnect.registration_watch) saw, as a probe.
      - It is passed through into the evidence of the account.
    type: dict
  call:
    description: What M(privatewave.reconnect.call_test) saw, as a probe. It is passed through into the evidence.
    type: dict
  idle:
    description: What M(privatewave.reconnect.idle_test) saw, as a probe. It is passed through into the evidence.
    type: dict
  registrations:
    description:
      - C(registrations) of the run's last evidence, where there is one.
      - A password that was refused there is tried once more, and no further.
    type: dict
  vantage_points:
    description:
      - Hosts of the inventory to probe from. They need not be among the hosts of the play.
      - The hosts of the group C(vantage_points) when not given.
    type: list
    elements: str
  judge:
    description:
      - Judge the evidence, too, as the filter P(privatewave.reconnect.judge#filter) does.
      - So the evidence need not pass through a template.
    type: dict
    suboptions:
      apply:
        description: Whether the run fixes what it may.
        type: bool
        default: false
      approvals:
        description: The remedies that a person has approved.
        type: list
        elements: str
        default: []
      ask:
        description: Causes and remedies that need an approval here; V(all) for every one.
        type: list
        elements: str
        default: []
      fix_groups:
        description: Groups of the inventory. A server of none of them needs an approval for everything; empty for none.
        type: list
        elements: str
        default: []
      alone:
        description: Why no partner is known to serve while this node is interrupted. A person approves that, then.
        type: str
        default: ''
      level:
        description: The level of support that judges.
        type: str
        choices: [first, second]
        default: second
      rotate:
        description: Whether a wrong password may be replaced by a new one.
        type: bool
        default: false
  folder:
    description:
      - A folder on the control node. The evidence is written there, as C(evidence-SERVER.json).
      - The task then returns only the head of it, the path, and the findings as one text.
      - Without a folder to keep it in, an empty text, the evidence is not kept.
    type: path
  servers:
    description:
      - Look at all these servers of the play from one process. For a task with C(run_once).
      - Each vantage point is asked once for several of them. A server that cannot be looked at fails no other.
    type: list
    elements: str
  deadline:
    description: The time in seconds after which whatever has not answered is left behind.
    type: float
    default: 20
"""

EXAMPLES = r"""
- name: Gather
  privatewave.reconnect.gather:
    account: "1001"
  register: gathered
"""

RETURN = r"""
evidence_file:
  description: Where the evidence was written.
  returned: with O(folder)
  type: str
  sample: /run/user/1000/run/evidence-pbx22.json
findings:
  description: The findings as JSON. RV(judgement) is without them.
  returned: with O(judge) and O(folder)
  type: str
  sample: "[]"
servers:
  description: By server what the task returns for one, as JSON.
  returned: with O(servers)
  type: dict
  sample:
    pbx22: '{"evidence": {}}'
failures:
  description: By server why it could not be looked at.
  returned: with O(servers)
  type: dict
  sample: {}
ask:
  description: The causes and remedies that need an approval on this server.
  returned: with O(judge)
  type: list
  elements: str
  sample: []
judgement:
  description: What the filter P(privatewave.reconnect.judge#filter) says of the evidence.
  returned: with O(judge)
  type: dict
  sample:
    state: null
evidence:
  description: The document C(reconnect/evidence/v1), see C(docs/reference/documents.md).
  returned: without O(servers)
  type: dict
  sample:
    schema: reconnect/evidence/v1
    name: pbx22
    taken_at: "2026-01-31T03:00:00Z"
    seconds: 0.9
"""
