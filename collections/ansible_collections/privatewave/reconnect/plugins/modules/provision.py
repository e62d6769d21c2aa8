#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: provision
short_description: Put the documents of clients in place, and make links to fetch them once
version_added: 0.1.0
description:
  - Puts every document of every account in place at once or not at all, reads it back, and keeps the one before it.
  - Makes activation links. A link is used once and expires; the server keeps the digest of its token only.
attributes:
  check_mode:
    description: Tells what would change, and changes nothing.
    support: full
  diff_mode:
    description: Tells which documents change, never what is in them.
    support: partial
  idempotent:
    description: A second call changes nothing, except where links are made.
    support: partial
options:
  documents:
    description:
      - The documents, as P(privatewave.reconnect.configurations#filter) returns them.
      - They hold passwords, so the whole list is hidden.
    type: list
    elements: dict
    default: []
    suboptions:
      username:
        description: The account.
        type: str
        required: true
      name:
        description: The document.
        type: str
        required: true
      content:
        description: Its text.
        type: str
        required: true
  activate:
    description: Accounts that get a link to one of their documents. Links that they had are taken back.
    type: list
    elements: dict
    default: []
    suboptions:
      username:
        description: The account.
        type: str
        required: true
      name:
        description: The document.
        type: str
        required: true
  restore:
    description: Documents that are brought back as they were before.
    type: list
    elements: dict
    default: []
    suboptions:
      username:
        description: The account.
        type: str
        required: true
      name:
        description: The document.
        type: str
        required: true
  folder:
    description: Where they are kept on the server, see C(docs/accounts.md).
    type: path
    default: /srv/provisioning
  owner:
    description: The user of the service that hands them out.
    type: str
    default: root
  mode:
    description: Mode of the documents.
    type: str
    default: "0600"
  expires:
    description: How long in seconds a link may be used.
    type: int
    default: 3600
author:
  - Reconnect maintainers (@reconnect)
"""

EXAMPLES = r"""
- name: Put a document in place and make a link to it
  privatewave.reconnect.provision:
    documents: "{{ account | privatewave.reconnect.configurations(settings) }}"
    activate:
      - username: "1001"
        name: privategsm.json
  register: provisioned
  no_log: true
"""

RETURN = r"""
documents:
  description: Every document, with C(username), C(name) and C(state), which is C(same), C(created) or C(changed).
  returned: always
  type: list
  elements: dict
links:
  description: The links made, with C(username), C(name), C(token) and C(expires). Give the task C(no_log).
  returned: when O(activate) is given, not in check mode
  type: list
  elements: dict
restored:
  description: The documents that were brought back, with C(username) and C(name).
  returned: always
  type: list
  elements: dict
"""

import pwd

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.privatewave.reconnect.plugins.module_utils import _provision

ONE = {"username": {"type": "str", "required": True}, "name": {"type": "str", "required": True}}


def main():
    module = AnsibleModule(
        argument_spec={
            "documents": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": dict(ONE, content={"type": "str", "required": True, "no_log": True}),
            },
            "activate": {"type": "list", "elements": "dict", "default": [], "options": ONE},
            "restore": {"type": "list", "elements": "dict", "default": [], "options": ONE},
            "folder": {"type": "path", "default": "/srv/provisioning"},
            "owner": {"type": "str", "default": "root"},
            "mode": {"type": "str", "default": "0600"},
            "expires": {"type": "int", "default": 3600},
        },
        supports_check_mode=True,
    )
    asked = module.params
    folder, change = asked["folder"], not module.check_mode
    links, restored = [], []
    try:
        entry = pwd.getpwnam(asked["owner"])
        owner, mode = (entry.pw_uid, entry.pw_gid), int(asked["mode"], 8)
        done = [_provision.put(folder, one, owner, mode, change) for one in asked["documents"]]
        if change:
            restored = [one for one in asked["restore"] if _provision.restore(folder, one["username"], one["name"])]
            for one in asked["activate"]:
                token = _provision.activate(folder, one["username"], one["name"], asked["expires"], owner)
                links.append(dict(one, token=token, expires=asked["expires"]))
    except KeyError:
        module.fail_json(msg="There is no user {0!r} on this server.".format(asked["owner"]))
    except (ValueError, _provision.ProvisionError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg="The documents can't be kept in {0}: {1}.".format(folder, error.strerror))
    changed = [one for one in done if one["state"] != "same"]
    result = {"changed": bool(changed or links or restored), "documents": done, "restored": restored}
    if links:
        result["links"] = links
    if module._diff:
        result["diff"] = [
            {"before_header": "{username}/{name}".format(**one), "before": "", "after": one["state"] + "\n"}
            for one in changed
        ]
    module.exit_json(**result)


if __name__ == "__main__":
    main()
