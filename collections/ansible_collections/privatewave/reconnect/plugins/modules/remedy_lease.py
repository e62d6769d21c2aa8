#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module ``privatewave.reconnect.remedy_lease``."""

from __future__ import annotations

DOCUMENTATION = r"""
module: remedy_lease
short_description: One remediation per server at a time, and a journal of what was mended
version_added: 0.1.0
description:
  - Keeps the lease and the journal of remedies on the server being mended, in one file under one lock, so that every
    control node sees who mends the server and what was done lately.
  - Only the server's clock counts. A lease or a budget is measured by the time since boot, which stepping the wall
    clock does not change.
  - A lease that has expired is taken over. What the former run left running on the server is ended first.
attributes:
  check_mode:
    description: Says what would happen, refusals included, and changes nothing.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
  idempotent:
    description: The same run acquires and releases as often as it likes; every O(action=begin) is an entry of its own.
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
  since:
    description:
      - The server's time (seconds since the epoch) when it was looked at before O(action=acquire).
      - What another run mended after that is told in RV(mended_since), since what was seen may be true no longer.
    type: float
  remedy:
    description: Name of the remedy. Needed by O(action=begin).
    type: str
  cause:
    description: Cause that the remedy mends.
    type: str
    default: ''
  budget:
    description: How often a remedy may begin within O(window).
    type: int
    default: 3
  again:
    description:
      - Whether a run that was interrupted after it began the remedy may begin it anew, because twice does no harm.
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

- name: Write down that a remedy begins
  privatewave.reconnect.remedy_lease:
    action: begin
    run_id: "{{ reconnect_run_id }}"
    remedy: restart_database
    cause: database_stopped

- name: Give the lease back
  privatewave.reconnect.remedy_lease:
    action: release
    run_id: "{{ reconnect_run_id }}"
"""

RETURN = r"""
lease:
  description: The lease in force after the action, or none.
  returned: always
  type: dict
  contains:
    holder: {description: Who mends the server., type: str, returned: always}
    run_id: {description: The run that does., type: str, returned: always}
    control_node: {description: Where it comes from., type: str, returned: always}
    acquired_at: {description: Since when (UTC)., type: str, returned: always}
    expires_at: {description: Until when at the latest (UTC)., type: str, returned: always}
journal:
  description: The last twenty remedies of this server, the newest last.
  returned: always
  type: list
  elements: dict
  contains:
    remedy: {description: Name of the remedy., type: str, returned: always}
    cause: {description: What it was to mend., type: str, returned: always}
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
mended_since:
  description: Whether another run carried out a remedy after O(since).
  returned: O(action=acquire)
  type: bool
refused:
  description: Whether a guardrail said no. The reason is in RV(msg).
  returned: failure
  type: bool
escalate:
  description: Whether the next level should look at it, because the same remedy was needed too often.
  returned: when refused
  type: bool
msg:
  description: One sentence.
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.privatewave.reconnect.plugins.module_utils import _lease

OPTIONS = {
    "action": {
        "type": "str",
        "choices": ["acquire", "renew", "begin", "note", "end", "release", "cancel", "info"],
        "default": "info",
    },
    "run_id": {"type": "str"},
    "holder": {"type": "str", "default": "unknown"},
    "control_node": {"type": "str", "default": "unknown"},
    "ttl": {"type": "int", "default": 600},
    "since": {"type": "float"},
    "remedy": {"type": "str"},
    "cause": {"type": "str", "default": ""},
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
    "path": {"type": "path", "default": _lease.DEFAULT_PATH},
}


def acquire(state, options):
    """Take the lease; the run whose lease has expired must not go on behind its back."""
    ended = []
    former = state.lease
    expired = former is not None and state.holder() is None and former["run_id"] != options["run_id"]
    if expired and state.writable:
        ended = _stop(state, former["run_id"])
    changed = state.acquire(options["run_id"], options["holder"], options["control_node"], options["ttl"])
    since = options["since"]
    mended = since is not None and state.mended_since(options["run_id"], since)
    return {"changed": changed, "ended_processes": ended, "mended_since": mended}


def renew(state, options):
    """Hold the lease longer."""
    state.renew(options["run_id"], options["ttl"])
    return {"changed": True}


def begin(state, options):
    """Open an entry of the journal."""
    names = ("run_id", "remedy", "cause", "budget", "window", "again")
    state.begin(*(options[name] for name in names))
    state.renew(options["run_id"], options["ttl"])
    return {"changed": True}


def note(state, options):
    """Add a rung to the open entry."""
    return {"changed": state.note(options["run_id"], options["rung"], options["calls"]) is not None}


def end(state, options):
    """Close the open entry."""
    return {"changed": bool(state.close(options["run_id"], options["outcome"]))}


def release(state, options):
    """Give the lease back."""
    return {"changed": state.release(options["run_id"])}


def cancel(state, options):
    """Stop whatever the run still does here and give its lease back."""
    ended = _stop(state, options["run_id"]) if state.writable else []
    return {"changed": state.release(options["run_id"]) or bool(ended), "ended_processes": ended}


def info(state, options):
    """Only look."""
    return {"changed": False}


ACTIONS = {
    "acquire": acquire,
    "renew": renew,
    "begin": begin,
    "note": note,
    "end": end,
    "release": release,
    "cancel": cancel,
    "info": info,
}


def _stop(state, run_id):
    ended = _lease.end_processes(run_id)
    left_open = state.close(run_id, "failed")
    if any(rung["rung"] == "graceful" for entry in left_open for rung in entry["rungs"]):
        _lease.abort_shutdown()
    return ended


def _shown(entry):
    return {key: value for key, value in entry.items() if key not in ("stamp", "ttl")}


def main():
    """Run the module."""
    module = AnsibleModule(
        OPTIONS,
        supports_check_mode=True,
        required_if=[("action", name, ["run_id"]) for name in ACTIONS if name != "info"]
        + [("action", "begin", ["remedy"]), ("action", "note", ["rung"])],
    )
    options = module.params
    writable = options["action"] != "info" and not module.check_mode
    try:
        with _lease.locked(options["path"], writable=writable) as state:
            for warning in state.warnings:
                module.warn(warning)
            answer = ACTIONS[options["action"]](state, options)
            if answer["changed"] or options["action"] == "acquire":
                state.save()
            answer["lease"] = _shown(state.holder()) if state.holder() else None
            answer["journal"] = [_shown(entry) for entry in state.journal[-20:]]
    except _lease.Refused as refusal:
        module.fail_json(msg=str(refusal), refused=True, escalate=refusal.escalate)
    except _lease.StateError as problem:
        module.fail_json(msg=str(problem), refused=False)
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
