#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: packet_capture
short_description: Capture the packets of SIP on a server
description:
  - Captures the packets of the SIP ports over TCP and UDP, bounded in time and size, without a program like tcpdump.
  - Digests, keys, passwords and the texts of messages in clear SIP are overwritten before they leave the server.
  - What TLS carries stays encrypted.
version_added: 0.1.0
author:
  - Reconnect maintainers (@reconnect)
extends_documentation_fragment:
  - privatewave.reconnect.attributes.reads
options:
  ports:
    description: The ports, at most eight.
    type: list
    elements: int
    required: true
  seconds:
    description: How long, at most 60.
    type: int
    required: true
  max_bytes:
    description: How large the capture may become. It ends early when it would be larger.
    type: int
    default: 1048576
  mask_numbers:
    description: Whether telephone numbers are overwritten, too, but for their last two digits.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Capture packets for ten seconds
  privatewave.reconnect.packet_capture:
    ports: [5061]
    seconds: 10
"""

RETURN = r"""
capture:
  description: A probe; its data are C(packets), C(bytes), C(cut) and C(pcap), the file in base64.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.privatewave.reconnect.plugins.module_utils._background import remove_job_when_cancelled
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import capture


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "ports": {"type": "list", "elements": "int", "required": True},
            "seconds": {"type": "int", "required": True},
            "max_bytes": {"type": "int", "default": capture.MAX_BYTES},
            "mask_numbers": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    asked = module.params
    if not 0 < asked["seconds"] <= capture.MAX_SECONDS:
        module.fail_json(msg="seconds must be from 1 to {0}.".format(capture.MAX_SECONDS))
    if not 0 < len(asked["ports"]) <= 8 or not all(0 < port < 65536 for port in asked["ports"]):
        module.fail_json(msg="ports must be from one to eight ports.")
    remove_job_when_cancelled()
    limit = min(max(asked["max_bytes"], 0), capture.MAX_BYTES)
    module.exit_json(changed=False, **capture.answer(asked["ports"], asked["seconds"], limit, asked["mask_numbers"]))


if __name__ == "__main__":
    main()
