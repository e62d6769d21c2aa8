#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: setup_info
short_description: Find out how a server is set up
description:
  - Reads from the configuration and from the running Asterisk what the inventory variables C(reconnect_*) have to say.
  - Reads only. No password, secret or key is in the answer.
version_added: 0.1.0
author:
  - Reconnect maintainers (@reconnect)
extends_documentation_fragment:
  - privatewave.reconnect.attributes.reads
options: {}
seealso:
  - plugin: privatewave.reconnect.host_vars
    plugin_type: filter
    description: Makes a file of variables of it.
"""

EXAMPLES = r"""
- name: Find out how the server is set up
  privatewave.reconnect.setup_info:
  register: found
"""

RETURN = r"""
setup:
  description:
    - By the name of each setting what was found. C(value) is null where nothing was, C(why) is a sentence.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.privatewave.reconnect.plugins.module_utils import _setup


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.exit_json(changed=False, **_setup.answer())


if __name__ == "__main__":
    main()
