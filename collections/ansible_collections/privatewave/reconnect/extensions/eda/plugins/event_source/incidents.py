# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The incidents of a tracker that change: a source of events for ansible-rulebook that needs no service."""

from __future__ import annotations

import asyncio
import logging
import math
import re
import runpy
import ssl
import time
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

DOCUMENTATION = r"""
---
short_description: The incidents of a tracker that are new or changed
description:
  - Asks a tracker again and again, and makes an event of each incident of the queue that changes from then on.
  - The event is C(reconnect), with C(incident) such as C(rt:17), and C(changed_at) as the tracker says it.
  - An incident is an event at most once for each change. What changes while the source is down is not seen.
options:
  tracker:
    description: Which tracker it is.
    type: str
    required: true
    choices: [rt, zammad, jira, servicenow]
  url:
    description: The address of the tracker.
    type: str
    required: true
  token:
    description: Its token; of ServiceNow, the password of O(user).
    type: str
    required: true
  user:
    description: The user of ServiceNow.
    type: str
  queue:
    description: The queue, group, project or assignment group whose incidents are wanted.
    type: str
    required: true
  ca_path:
    description: The authorities that the tracker's certificate is verified by, a file in PEM.
    type: str
  interval:
    description: Seconds between two requests.
    type: float
    default: 30
"""

EXAMPLES = r"""
- name: Diagnose what users report
  hosts: localhost
  sources:
    - privatewave.reconnect.incidents:
        tracker: rt
        url: https://rt.example.com
        token: "{{ rt_token }}"
        queue: VoIP
  rules: []
"""

_LOG = logging.getLogger(__name__)
# ansible-rulebook runs this file by its path, and cannot import the collection.
plain_json = runpy.run_path(str(Path(__file__).resolve().parents[4] / "plugins/module_utils/_common.py"))["plain_json"]
_PAGE = 100
_SECONDS = 30
_MAX_BYTES = 16 * 1024**2
#: A request asks for this much more than passed since the last one, in minutes: trackers round, and commit late.
_OVERLAP = 5
#: A queue stands in a query of the tracker.
_QUEUE = re.compile(r"[\w][\w .&/+-]{0,79}")


class Change(NamedTuple):
    """An incident, and when it was changed last, in the tracker's own words."""

    incident: str
    changed_at: str


class Tracker(NamedTuple):
    """How a tracker is asked: the path for a queue and the minutes that it looks back, what is in the answer, and how
    the token is sent.

    The minutes are the tracker's own: RT, Jira and ServiceNow read a time of day in the time zone of the user.
    """

    path: Callable[[str, int], str]
    read: Callable[[Any], list[Change]]
    authorization: Callable[[str, str], str]


def _rt(queue: str, minutes: int) -> str:
    wanted = f"Queue = '{queue}' AND LastUpdated > '{minutes} minutes ago'"
    return "REST/2.0/tickets?" + urlencode(
        {"query": wanted, "orderby": "LastUpdated", "order": "DESC", "fields": "LastUpdated", "per_page": _PAGE}
    )


def _zammad(queue: str, minutes: int) -> str:
    wanted = f'group.name:"{queue}" AND updated_at:>now-{minutes}m'
    return "api/v1/tickets/search?" + urlencode(  # Zammad's own word
        {"query": wanted, "sort_by": "updated_at", "order_by": "desc", "limit": _PAGE, "expand": "true"}
    )


def _jira(queue: str, minutes: int) -> str:
    wanted = f'project = "{queue}" AND updated >= -{minutes}m ORDER BY updated DESC'
    return "rest/api/2/search?" + urlencode({"jql": wanted, "fields": "updated", "maxResults": _PAGE})


def _servicenow(queue: str, minutes: int) -> str:
    lately = f"sys_updated_onRELATIVEGT@minute@ago@{minutes}"
    wanted = f"assignment_group.name={queue}^{lately}^ORDERBYDESCsys_updated_on"
    return "api/now/table/incident?" + urlencode(
        {"sysparm_query": wanted, "sysparm_fields": "number,sys_updated_on", "sysparm_limit": _PAGE}
    )


TRACKERS = {
    "rt": Tracker(
        _rt,
        lambda said: [Change(f"rt:{int(one['id'])}", str(one["LastUpdated"])) for one in said["items"]],
        lambda user, token: f"token {token}",
    ),
    "zammad": Tracker(
        _zammad,
        lambda said: [Change(f"zammad:{int(one['id'])}", str(one["updated_at"])) for one in said],
        lambda user, token: f"Token token={token}",
    ),
    "jira": Tracker(
        _jira,
        lambda said: [Change(f"jira:{one['key']}", str(one["fields"]["updated"])) for one in said["issues"]],
        lambda user, token: f"Bearer {token}",
    ),
    "servicenow": Tracker(
        _servicenow,
        lambda said: [Change(f"servicenow:{one['number']}", str(one["sys_updated_on"])) for one in said["result"]],
        lambda user, token: "Basic " + b64encode(f"{user}:{token}".encode()).decode(),
    ),
}


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: another address must not get the token."""

    def redirect_request(self, *_args: Any) -> None:
        """None: the answer is the redirect itself, an error."""


def changed(args: dict[str, Any], minutes: int) -> list[Change]:
    """The incidents that changed in the last minutes, the oldest change first.

    Raises OSError, HTTPException, and what reading a strange answer raises.
    """
    tracker = TRACKERS[args["tracker"]]
    request = urllib.request.Request(
        f"{str(args['url']).rstrip('/')}/{tracker.path(args['queue'], minutes)}",
        headers={
            "Authorization": tracker.authorization(str(args.get("user", "")), str(args["token"])),
            "Accept": "application/json",
        },
    )
    context = ssl.create_default_context(cafile=args.get("ca_path"))
    opener = urllib.request.build_opener(_Stay, urllib.request.HTTPSHandler(context=context))
    with opener.open(request, timeout=_SECONDS) as answer:
        return tracker.read(plain_json(answer.read(_MAX_BYTES)))[::-1]


async def main(queue: asyncio.Queue[dict[str, Any]], args: dict[str, Any]) -> None:
    """Puts an event into the queue for each change; see DOCUMENTATION for the arguments. Raises ValueError."""
    if args.get("tracker") not in TRACKERS:
        raise ValueError(f"tracker is one of {', '.join(TRACKERS)}")
    if not _QUEUE.fullmatch(str(args.get("queue", ""))):
        raise ValueError("queue is a name of letters, digits, blanks and . & / + - _")
    interval, since = float(args.get("interval", 30)), time.time()
    if not (math.isfinite(interval) and interval > 0):
        raise ValueError("interval is a number of seconds")
    known: dict[Change, None] = {}
    first = True
    while True:
        began = time.time()
        # A clock may be set back.
        minutes = max(0, math.ceil((began - since) / 60)) + _OVERLAP
        try:
            found = await asyncio.to_thread(changed, args, minutes)
        except Exception as error:  # Whatever the tracker answers, it is asked again.
            _LOG.warning("Cannot read the incidents of %s: %r", args["url"], error)
        else:
            for one in found:
                if not first and one not in known:
                    await queue.put({"reconnect": one._asdict()})
            known = dict.fromkeys([*known, *found][-10 * _PAGE :])
            first, since = False, began
        await asyncio.sleep(interval)
