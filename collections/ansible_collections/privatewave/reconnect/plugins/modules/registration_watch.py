#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: registration_watch
short_description: Follow an account's attempts to register
description:
  - Follows, on the PBX and live, how the attempts of an account to register end, and reports every one of them.
  - Tells an unknown account, a wrong password, an access list and a TLS handshake that failed before any SIP from each
    other, on chan_pjsip and chan_sip. It looks for the contact after each login, since a C(200) alone is not enough.
  - Uses AMI where C(manager.conf) has a user that is told security and system events, else the security log. The other
    log is followed in any case.
  - A login with anything but C(REGISTER) counts too while the account has a contact, since Asterisk does not tell
    which request a login was for.
version_added: 0.2.0
author:
  - Reconnect maintainers (@reconnect)
extends_documentation_fragment:
  - privatewave.reconnect.attributes.action
  - privatewave.reconnect.attributes
  - privatewave.reconnect.settings
attributes:
  check_mode:
    details: It watches the same. With O(reconnect) it only tells what it would do.
    support: full
  diff_mode:
    support: none
options:
  account:
    description: The account whose attempts are followed.
    type: str
    required: true
  seconds:
    description: How long.
    type: int
    default: 30
  until:
    description: V(registered) ends at the first success.
    type: str
    choices: [time, registered]
    default: time
  addresses:
    description:
      - Addresses the client comes from, as the server sees them.
      - What comes from there is reported whatever account it names. When given, TLS handshakes that failed are reported
        only from there, else from everywhere.
    type: list
    elements: str
    default: []
  reconnect:
    description:
      - Makes the client connect again, once everything is followed. Asks its contacts whether they are alive, removes
        those that are not, and sends those that are C(NOTIFY) with C(check-sync) where Asterisk can.
    type: bool
    default: false
  seen:
    description:
      - A new file that each attempt is written to as soon as its outcome is known, a line of JSON with C(account),
        C(address), C(transport) and C(outcome).
      - Set by the action where a command follows the run.
    type: path
  settings:
    description: The settings of the server. Taken from the inventory when not given.
"""

EXAMPLES = r"""
- name: See whether the user gets in within a minute
  privatewave.reconnect.registration_watch:
    account: "1001"
    seconds: 60
    until: registered
  register: watched
"""

RETURN = r"""
attempts:
  description: Every attempt, the oldest first.
  returned: always
  type: list
  elements: dict
  contains:
    at: {description: When (UTC)., type: str, returned: always}
    account: {description: The account it named. Empty when TLS failed., type: str, returned: always}
    address: {description: The address it came from., type: str, returned: always}
    port: {description: The port it came from., type: int, returned: always}
    transport: {description: 'V(tls), V(tcp), V(udp) or empty.', type: str, returned: always}
    cipher: {description: The cipher where the session view tells it., type: str, returned: always}
    outcome:
      description:
        - V(registered), V(unregistered) (removed or expired), V(challenged) (never answered the challenge),
          V(unknown_account), V(wrong_password), V(acl_denied), V(tls_failed).
        - V(not_found), the AOR or the auth of the account is not there.
        - V(no_contact), let in and the contact was not stored.
        - V(forbidden), turned away for another reason, such as the number of contacts.
      type: str
      returned: always
    event: {description: What told it., type: str, returned: always}
    detail: {description: Asterisk's own word for it., type: str, returned: always}
sources:
  description: What was followed, of V(ami), V(security_log) and V(log).
  returned: always
  type: list
  elements: str
ended:
  description: Why the watch ended, V(registered) or V(time).
  returned: always
  type: str
seconds:
  description: How long it took.
  returned: always
  type: float
why:
  description: Why something was not followed.
  returned: always
  type: list
  elements: str
error:
  description: Why nothing could be followed, as in a probe.
  returned: failure
  type: str
begun:
  description: With O(reconnect), what was done to make the client connect again.
  returned: always
  type: dict
  contains:
    contacts: {description: 'The contacts before, with C(uri) and C(status).', type: list, returned: always}
    dropped: {description: Contacts that were removed., type: list, returned: always}
    notified: {description: Whether NOTIFY was sent., type: bool, returned: always}
    why: {description: Why something was not done., type: list, returned: always}
"""

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.privatewave.reconnect.plugins.module_utils._account import watch
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import reconnect
from ansible_collections.privatewave.reconnect.plugins.module_utils._background import (
    remove_job_when_cancelled,
    when_cancelled,
)
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import connections
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import filled

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST = 3600
#: What is told of an attempt while the watch goes on.
TOLD = ("account", "address", "transport", "outcome")


def nobody(_attempt: Any) -> None:
    """Nobody waits for attempts."""


def writer(path: str) -> Callable[[Any], None]:
    """Adds an attempt to a new file. The user who is logged in may read it; a file that cannot be written is no reason
    to watch nothing."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        os.fchmod(handle, 0o644)
    except OSError:
        return nobody

    def add(attempt: Any) -> None:
        with contextlib.suppress(OSError):
            os.write(handle, json.dumps({name: attempt[name] for name in TOLD}).encode("ascii") + b"\n")

    return add


def remove_when_cancelled(path: str) -> None:
    """Whoever made the file's folder removes both when the watch has ended. Where the run is cancelled, nobody is left
    to do so."""

    def remove() -> None:
        with contextlib.suppress(OSError):
            os.unlink(path)
            os.rmdir(os.path.dirname(path))

    when_cancelled(remove)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "account": {"type": "str", "required": True},
            "seconds": {"type": "int", "default": 30},
            "until": {"type": "str", "choices": ["time", "registered"], "default": "time"},
            "addresses": {"type": "list", "elements": "str", "default": []},
            "reconnect": {"type": "bool", "default": False},
            "seen": {"type": "path"},
            "settings": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    asked = module.params
    if not 0 <= asked["seconds"] <= LONGEST:
        module.fail_json(msg="seconds must be from 0 to {0}".format(LONGEST))
    strange = [one for one in asked["addresses"] if not connections.is_address(one)]
    if strange:
        module.fail_json(msg="addresses holds {0!r}, it must hold IP addresses".format(strange[0]))
    settings = filled(asked["settings"] or {})
    if asked["seen"]:
        remove_when_cancelled(asked["seen"])
    else:
        remove_job_when_cancelled()

    def begin() -> Any:
        return reconnect.reconnect(settings, asked["account"], not module.check_mode)

    try:
        answer = watch.watch(
            settings,
            asked["account"],
            asked["seconds"],
            asked["until"],
            asked["addresses"],
            begin if asked["reconnect"] else None,
            writer(asked["seen"]) if asked["seen"] else nobody,
        )
    except ProbeError as error:
        module.fail_json(msg=str(error), error=error.error)
    module.exit_json(changed=bool(answer["begun"] and answer["begun"]["dropped"]), **answer)


if __name__ == "__main__":
    main()
