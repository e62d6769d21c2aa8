#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module ``privatewave.reconnect.remedy_lease``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: remedy_lease
short_description: One remediation per server at a time, and a journal of remedies
version_added: 0.1.0
description:
  - Keeps the lease and the journal of remedies on the server itself, in one file under one lock. So every control node
    sees which run works on the server and what was done lately.
  - Only the server's clock counts. A lease or a budget is measured by the time since boot, which stepping the wall
    clock does not change.
  - A lease that has expired is taken over. What the former run left running on the server is stopped first.
  - Every O(action=acquire) gets the next fencing number. It survives a reboot and the release of the lease, and is
    never given out twice. A step that names an older number comes from a process that has lost the server. It is
    refused.
  - While a person holds the server with the file O(hold), O(action=acquire) and O(action=begin) are refused.
  - The first lease gives the server an id. It is the same under every name that an inventory has for the machine. A
    run that knows one machine by two names gets the lease under one of them.
extends_documentation_fragment:
  - privatewave.reconnect.attributes
  - privatewave.reconnect.attributes.idempotent
attributes:
  check_mode:
    details: It tells what would happen, refusals included.
    support: full
  diff_mode:
    support: none
  idempotent:
    details: The same run acquires and releases as often as it likes. Every O(action=begin) is an entry of its own.
    support: partial
options:
  action:
    description:
      - What to do.
      - V(acquire) takes the lease; refused while another run holds it.
      - V(renew) holds it for another O(ttl) seconds.
      - V(begin) writes down that O(remedy) begins and renews the lease; refused without the lease, or when the remedy
        began O(budget) times within O(window) seconds.
      - V(note) adds the rung of a ladder that is tried next to the open entry; does nothing when none is open.
      - V(end) ends the open entry with O(outcome).
      - V(release) gives the lease back.
      - V(cancel) ends every process that the run left on the server, takes back a shutdown of Asterisk that waits for
        its calls, and gives the lease back.
      - V(info) only tells lease and journal.
    type: str
    choices: [acquire, renew, begin, note, end, release, cancel, info]
    default: info
  run_id:
    description: The run that asks. Needed by everything except O(action=info).
    type: str
  server_name:
    description: What the run calls the server. Needed where an inventory may have two names for one machine.
    type: str
    default: ''
  holder:
    description: Who asks, for the person who is refused.
    type: str
    default: unknown
  control_node:
    description: Where the run comes from, for the person who is refused.
    type: str
    default: unknown
  ttl:
    description: Seconds after which the lease expires unless it is renewed.
    type: int
    default: 600
  fence:
    description:
      - The RV(fence) that O(action=acquire) returned. Without it only O(run_id) is checked.
      - The step is refused when a newer number was given out, even to the same O(run_id).
    type: int
  since:
    description:
      - The server's time (seconds since the epoch) when it was looked at before O(action=acquire).
      - RV(fixed_since) tells whether another run carried out a remedy after that. What was seen may then be outdated.
    type: float
  remedy:
    description: Name of the remedy. Needed by O(action=begin).
    type: str
  cause:
    description: Cause that the remedy fixes.
    type: str
    default: ''
  account:
    description: The account that the remedy is about; empty when it is about the server.
    type: str
    default: ''
  budget:
    description: How often a remedy may begin within O(window), for the server or for O(account).
    type: int
    default: 3
  again:
    description:
      - Whether a run that was interrupted after it began the remedy may begin it again, because twice does no harm.
      - A restart may not.
    type: bool
    default: false
  window:
    description: Seconds over which O(budget) counts.
    type: int
    default: 3600
  rung:
    description: Rung of the ladder. Needed by O(action=note).
    type: str
  calls:
    description: Calls that were up before the rung; left out when they could not be counted.
    type: int
  outcome:
    description: How the remedy ended.
    type: str
    choices: [done, not_needed, refused, failed, rolled_back]
    default: done
  hold:
    description: The file by which a person holds the server. Its content is the reason.
    type: path
    default: /etc/reconnect/hold
  path:
    description: The state file. Its folder belongs to it alone and has mode 0700.
    type: path
    default: /var/lib/reconnect/state.json
author:
  - Reconnect maintainers (@reconnect)
"""

EXAMPLES = r"""
- name: Take the lease
  privatewave.reconnect.remedy_lease:
    action: acquire
    run_id: "{{ reconnect_run_id }}"
    holder: second level
    control_node: noc1
    server_name: "{{ inventory_hostname }}"
  register: lease

- name: Write down that a remedy begins
  privatewave.reconnect.remedy_lease:
    action: begin
    run_id: "{{ reconnect_run_id }}"
    fence: "{{ lease.fence }}"
    remedy: restart_database
    cause: database_stopped

- name: Give the lease back
  privatewave.reconnect.remedy_lease:
    action: release
    run_id: "{{ reconnect_run_id }}"
    server_name: "{{ inventory_hostname }}"
    fence: "{{ lease.fence }}"
"""

RETURN = r"""
lease:
  description: The lease in force after the action, or none.
  returned: always
  type: dict
  contains:
    holder: {description: Who works on the server., type: str, returned: always}
    run_id: {description: The run that does., type: str, returned: always}
    control_node: {description: Where it comes from., type: str, returned: always}
    acquired_at: {description: Since when (UTC)., type: str, returned: always}
    expires_at: {description: Until when at the latest (UTC)., type: str, returned: always}
fence:
  description: The newest fencing number that this server gave out; 0 before the first.
  returned: success
  type: int
server_id:
  description:
    - Which server this is, however it is called; 32 random hexadecimal digits. Empty before its first lease.
    - A clone that was made of a machine gets an id of its own.
  returned: success
  type: str
held:
  description: Who holds the server, since when and why, as a sentence; empty when nobody does.
  returned: success
  type: str
journal:
  description: The last twenty remedies of this server, the newest last.
  returned: always
  type: list
  elements: dict
  contains:
    remedy: {description: Name of the remedy., type: str, returned: always}
    cause: {description: What it was to fix., type: str, returned: always}
    run_id: {description: The run that did it., type: str, returned: always}
    state: {description: 'V(begun) while open, then how it ended.', type: str, returned: always}
    began_at: {description: When it began (UTC)., type: str, returned: always}
    ended_at: {description: When it ended (UTC)., type: str, returned: always}
    rungs: {description: Rungs of the ladder with the calls that were up before each., type: list, returned: always}
ended_processes:
  description: Processes that were ended, each with RV(ignore:pid), RV(ignore:command) and RV(ignore:ended_by).
  returned: O(action=cancel) or a takeover
  type: list
  elements: dict
fixed_since:
  description: Whether another run carried out a remedy after O(since).
  returned: O(action=acquire)
  type: bool
refused:
  description: Whether a guardrail said no. The reason is in C(msg).
  returned: failure
  type: bool
escalate:
  description: Whether the next level should look at it, because the same remedy was needed too often.
  returned: when refused
  type: bool
final:
  description:
    - Whether waiting does not help, because a person holds the server, or because the same run works on it under
      another name.
  returned: when refused
  type: bool
msg:
  description: One sentence.
  returned: failure
  type: str
"""

from typing import TYPE_CHECKING, Any, Dict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.privatewave.reconnect.plugins.module_utils._lease import hold, processes
from ansible_collections.privatewave.reconnect.plugins.module_utils._lease import state as lease_state

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ansible_collections.privatewave.reconnect.plugins.module_utils._lease.documents import EndedProcess

Options = Dict[str, Any]
Answer = Dict[str, Any]

ARGUMENTS: dict[str, dict[str, Any]] = {
    "action": {
        "type": "str",
        "choices": ["acquire", "renew", "begin", "note", "end", "release", "cancel", "info"],
        "default": "info",
    },
    "run_id": {"type": "str"},
    "server_name": {"type": "str", "default": ""},
    "holder": {"type": "str", "default": "unknown"},
    "control_node": {"type": "str", "default": "unknown"},
    "ttl": {"type": "int", "default": 600},
    "fence": {"type": "int"},
    "since": {"type": "float"},
    "remedy": {"type": "str"},
    "cause": {"type": "str", "default": ""},
    "account": {"type": "str", "default": ""},
    "budget": {"type": "int", "default": 3},
    "again": {"type": "bool", "default": False},
    "window": {"type": "int", "default": 3600},
    "rung": {"type": "str"},
    "calls": {"type": "int"},
    "outcome": {
        "type": "str",
        "choices": ["done", "not_needed", "refused", "failed", "rolled_back"],
        "default": "done",
    },
    "hold": {"type": "path", "default": hold.DEFAULT_PATH},
    "path": {"type": "path", "default": lease_state.DEFAULT_PATH},
}


def acquire(state: lease_state.State, options: Options) -> Answer:
    """Take the lease; the run whose lease has expired must not go on behind its back."""
    hold.check(options["hold"])
    ended: list[EndedProcess] = []
    former = state.lease
    expired = former is not None and state.holder() is None and former["run_id"] != options["run_id"]
    if former is not None and expired and state.writable:
        ended = _stop(state, former["run_id"])
    names = ("run_id", "holder", "control_node", "ttl", "server_name")
    changed = state.acquire(*(options[name] for name in names))
    since = options["since"]
    fixed = since is not None and state.fixed_since(options["run_id"], since)
    return {"changed": changed, "ended_processes": ended, "fixed_since": fixed}


def renew(state: lease_state.State, options: Options) -> Answer:
    """Hold the lease longer."""
    state.renew(options["run_id"], options["ttl"])
    return {"changed": True}


def begin(state: lease_state.State, options: Options) -> Answer:
    """Open an entry of the journal."""
    hold.check(options["hold"])
    names = ("run_id", "remedy", "cause", "budget", "window", "again", "account")
    state.begin(*(options[name] for name in names))
    state.renew(options["run_id"], options["ttl"])
    return {"changed": True}


def note(state: lease_state.State, options: Options) -> Answer:
    """Add a rung to the open entry."""
    return {"changed": state.note(options["run_id"], options["rung"], options["calls"]) is not None}


def end(state: lease_state.State, options: Options) -> Answer:
    """Close the open entry."""
    return {"changed": bool(state.close(options["run_id"], options["outcome"]))}


def release(state: lease_state.State, options: Options) -> Answer:
    """Give the lease back."""
    return {"changed": state.release(options["run_id"], options["server_name"])}


def cancel(state: lease_state.State, options: Options) -> Answer:
    """Stop whatever the run still does here and give its lease back."""
    ended = _stop(state, options["run_id"]) if state.writable else []
    return {"changed": state.release(options["run_id"]) or bool(ended), "ended_processes": ended}


def info(state: lease_state.State, options: Options) -> Answer:
    """Only look."""
    return {"changed": False}


ACTIONS: dict[str, Callable[[lease_state.State, Options], Answer]] = {
    "acquire": acquire,
    "renew": renew,
    "begin": begin,
    "note": note,
    "end": end,
    "release": release,
    "cancel": cancel,
    "info": info,
}


def _stop(state: lease_state.State, run_id: str) -> list[EndedProcess]:
    ended = processes.end_processes(run_id)
    left_open = state.close(run_id, "failed")
    if any(rung["rung"] == "graceful" for entry in left_open for rung in entry["rungs"]):
        processes.abort_shutdown()
    return ended


def _shown(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in ("stamp", "ttl")}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        ARGUMENTS,
        supports_check_mode=True,
        required_if=[("action", name, ["run_id"]) for name in ACTIONS if name != "info"]
        + [("action", "begin", ["remedy"]), ("action", "note", ["rung"])],
    )
    options = module.params
    writable = options["action"] != "info" and not module.check_mode
    try:
        with lease_state.locked(options["path"], writable=writable) as state:
            try:
                state.check_fence(options["run_id"], options["fence"])
                answer = ACTIONS[options["action"]](state, options)
            finally:
                for warning in state.warnings:
                    module.warn(warning)
            if answer["changed"] or options["action"] == "acquire":
                state.save()
            holder = state.holder()
            answer["lease"] = _shown(holder) if holder else None
            answer["fence"] = state.fence
            answer["server_id"] = state.server["id"] if state.server else ""
            answer["held"] = hold.sentence(options["hold"])
            answer["journal"] = [_shown(entry) for entry in state.journal[-20:]]
    except lease_state.Refused as refusal:
        module.fail_json(msg=str(refusal), refused=True, escalate=refusal.escalate, final=refusal.final)
    except lease_state.StateError as problem:
        module.fail_json(msg=str(problem), refused=False)
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
