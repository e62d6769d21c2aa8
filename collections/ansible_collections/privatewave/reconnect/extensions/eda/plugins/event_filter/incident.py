# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a webhook of a tracker or of Alertmanager is about: a filter of events for ansible-rulebook."""

from __future__ import annotations

import re
from typing import Any

DOCUMENTATION = r"""
---
short_description: Which incident, server and account a webhook is about
description:
  - Reads the payload of a webhook of Request Tracker, Zammad, Jira, ServiceNow or Alertmanager.
  - Adds C(reconnect) to the event, with C(incident), C(server) and C(account). What the payload does not say, or what
    cannot be a name, is empty. Nothing is added to an event that names none of them.
  - A payload is a hint. Reconnect reads the incident from its tracker.
options:
  server_label:
    description: The label of an alert that has the name of the server.
    type: str
    default: instance
"""

EXAMPLES = r"""
- ansible.eda.webhook:
    host: 127.0.0.1
    port: 5000
  filters:
    - privatewave.reconnect.incident:
"""

#: What each name may look like, as the command has it: no pattern, template, shell syntax or path. Which trackers there
#: are is Reconnect's to know; a file is no incident of a stranger.
_INCIDENT = re.compile(
    r"(?!file:)[a-z][a-z0-9_]{0,39}:[A-Za-z0-9][A-Za-z0-9_-]{0,79}(/[A-Za-z0-9][A-Za-z0-9._-]{0,127})?"
)
_SERVER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
_ACCOUNT = re.compile(r"[A-Za-z0-9+][A-Za-z0-9._+-]{0,79}")


def main(event: dict[str, Any], server_label: str = "instance") -> dict[str, Any]:
    """The event with what its payload is about."""
    payload = event.get("payload")
    about = _about(payload, server_label) if isinstance(payload, dict) else {}
    named = {
        "incident": _name(_INCIDENT, about.get("incident")),
        "server": _name(_SERVER, about.get("server")),
        "account": _name(_ACCOUNT, about.get("account")),
    }
    return {**event, "reconnect": named} if any(named.values()) else event


def _about(said: dict[str, Any], server_label: str) -> dict[str, Any]:
    """What the payload says, unchecked."""
    own, issue, alerts = said.get("ticket"), said.get("issue"), said.get("alerts")
    if isinstance(alerts, list):
        alert = next((one for one in alerts if isinstance(one, dict) and one.get("status") == "firing"), {})
        labels = {**_dict(alert.get("annotations")), **_dict(alert.get("labels"))}
        # An instance is a host and mostly a port.
        server = re.sub(r":[0-9]+$", "", str(labels.get(server_label, "")))
        return {"incident": labels.get("incident"), "server": server, "account": labels.get("account")}
    more = {"server": said.get("server"), "account": said.get("account")}
    if isinstance(own, dict):
        return {**more, "incident": f"zammad:{own.get('id')}" if own.get("id") else None}
    if own is not None:
        return {**more, "incident": f"rt:{own}"}
    if isinstance(issue, dict):
        return {**more, "incident": f"jira:{issue.get('key')}" if issue.get("key") else None}
    if "sys_id" in said:
        return {**more, "incident": f"servicenow:{said.get('number')}" if said.get("number") else None}
    return {**more, "incident": said.get("incident")}


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _name(pattern: re.Pattern[str], value: object) -> str:
    return value if isinstance(value, str) and pattern.fullmatch(value) else ""
