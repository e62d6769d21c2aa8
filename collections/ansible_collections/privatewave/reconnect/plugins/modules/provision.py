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
  - Makes activation links. A link can be used once and expires. The server keeps only the digest of its token.
extends_documentation_fragment:
  - privatewave.reconnect.attributes
  - privatewave.reconnect.attributes.idempotent
  - privatewave.reconnect.client.documents
attributes:
  check_mode:
    support: full
  diff_mode:
    details: It tells which documents change, never what is in them.
    support: partial
  idempotent:
    details: With O(activate) every call makes new links.
    support: partial
options:
  documents:
    description: The documents to put in place. They hold passwords, so their text is hidden.
  activate:
    description: Accounts that get a link to one of their documents. Their earlier links no longer work.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The document that the link hands out.
        type: str
        required: true
      username:
        description: The account that gets the link.
        type: str
        required: true
  restore:
    description:
      - What an earlier call put in place, as its RV(documents) has it. The documents before it are brought back.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The name of the document.
        type: str
        required: true
      state:
        description: What became of it. One that was V(created) is removed.
        type: str
        choices: [same, created, changed]
        default: changed
      username:
        description: The account that it configures.
        type: str
        required: true
      version:
        description: Which version it is. One that was changed since is refused. Without it every version is restored.
        type: str
        default: ""
  folder:
    description: Where they are kept on the server, see C(docs/how-to/account-registry.md).
    type: path
    default: /srv/provisioning
  owner:
    description: The user of the service that serves them.
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
  description:
    - Every document, with C(username), C(name), C(state), which is C(same), C(created) or C(changed), and C(version),
      which is empty for C(same).
  returned: always
  type: list
  elements: dict
links:
  description: The links made, with C(username), C(name), C(token) and C(expires). Give the task C(no_log).
  returned: when O(activate) is given, not in check mode
  type: list
  elements: dict
restored:
  description: The documents that were brought back, as O(restore) has them.
  returned: always
  type: list
  elements: dict
"""

import pwd
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.privatewave.reconnect.plugins.module_utils._account import provision
from ansible_collections.privatewave.reconnect.plugins.module_utils._account.arguments import (
    DOCUMENT,
    DOCUMENT_NAME,
    PUT,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "documents": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": DOCUMENT,
            },
            "activate": {"type": "list", "elements": "dict", "default": [], "options": DOCUMENT_NAME},
            "restore": {"type": "list", "elements": "dict", "default": [], "options": PUT},
            "folder": {"type": "path", "default": "/srv/provisioning"},
            "owner": {"type": "str", "default": "root"},
            "mode": {"type": "str", "default": "0600"},
            "expires": {"type": "int", "default": 3600},
        },
        supports_check_mode=True,
    )
    asked = module.params
    folder, change = asked["folder"], not module.check_mode
    links: list[dict[str, Any]] = []
    restored: list[dict[str, Any]] = []
    try:
        entry = pwd.getpwnam(asked["owner"])
        owner, mode = (entry.pw_uid, entry.pw_gid), int(asked["mode"], 8)
        done = [provision.put(folder, one, owner, mode, change) for one in asked["documents"]]
        if change:
            restored = [one for one in asked["restore"] if provision.restore(folder, one)]
            for one in asked["activate"]:
                token = provision.activate(folder, one["username"], one["name"], asked["expires"], owner)
                links.append(dict(one, token=token, expires=asked["expires"]))
    except KeyError:
        module.fail_json(msg="There is no user {0!r} on this server.".format(asked["owner"]))
    except (ValueError, provision.ProvisionError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg="Cannot keep the documents in {0}: {1}.".format(folder, error.strerror))
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
