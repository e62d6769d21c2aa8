# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runs of the service that end: a source of events for ansible-rulebook."""

from __future__ import annotations

import asyncio
import logging
import math
import runpy
import ssl
import urllib.request
from pathlib import Path
from typing import Any

DOCUMENTATION = r"""
---
short_description: The runs of the service that end
description:
  - Asks C(reconnect serve) for its events, and makes an event of each run that ends after the source began.
  - The event is C(run), as the service's API shows it.
options:
  url:
    description: Where the service listens.
    type: str
    required: true
  token:
    description: A token of C(reconnect tokens add).
    type: str
    required: true
  ca_path:
    description: The authorities that the service's certificate is verified by, a file in PEM.
    type: str
  interval:
    description: Seconds between two requests. The service itself waits for the next event.
    type: float
    default: 1
"""

EXAMPLES = r"""
- name: What Reconnect found
  hosts: localhost
  sources:
    - privatewave.reconnect.outcomes:
        url: https://reconnect.example.com
        token: "{{ reconnect_token }}"
  rules: []
"""

_LOG = logging.getLogger(__name__)
# ansible-rulebook runs this file by its path, and cannot import the collection.
plain_json = runpy.run_path(str(Path(__file__).resolve().parents[4] / "plugins/module_utils/_common.py"))["plain_json"]
_ENDED = "com.privatewave.reconnect.run.ended.v1"
#: The service waits for an event for so long, and may take so long to answer, in seconds.
_WAIT, _SECONDS = 20, 30
_MAX_BYTES = 16 * 1024**2


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: another address must not get the token."""

    def redirect_request(self, *_args: Any) -> None:
        """None: the answer is the redirect itself, an error."""


def following(url: str, token: str, ca_path: str | None, after: int | None) -> tuple[list[dict[str, Any]], int]:
    """The runs that ended after the event with that number, and the number to ask after next; without a number no runs.
    Raises OSError, HTTPException, and what reading a strange answer raises."""
    query = f"?after={after}&wait={_WAIT}" if after is not None else ""
    request = urllib.request.Request(
        f"{url.rstrip('/')}/v1/events{query}", headers={"Authorization": f"Bearer {token}"}
    )
    context = ssl.create_default_context(cafile=ca_path)
    opener = urllib.request.build_opener(_Stay, urllib.request.HTTPSHandler(context=context))
    with opener.open(request, timeout=_SECONDS) as answer:
        page = plain_json(answer.read(_MAX_BYTES))
    return [event["data"]["run"] for event in page["events"] if event["type"] == _ENDED], int(page["next"])


async def main(queue: asyncio.Queue[dict[str, Any]], args: dict[str, Any]) -> None:
    """Puts an event into the queue for each run that ends; see DOCUMENTATION for the arguments. Raises ValueError."""
    url, token, interval = str(args["url"]), str(args["token"]), float(args.get("interval", 1))
    if not (math.isfinite(interval) and interval >= 0):
        raise ValueError("interval is a number of seconds")
    after: int | None = None
    while True:
        try:
            runs, after = await asyncio.to_thread(following, url, token, args.get("ca_path"), after)
        except Exception as error:  # Whatever the service answers, it is asked again.
            _LOG.warning("Cannot read the events of %s: %r", url, error)
        else:
            for run in runs:
                await queue.put({"run": run})
        await asyncio.sleep(interval)
