# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service's API, for the modules that speak to it."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any, Dict, Optional
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode

from ansible.module_utils.urls import open_url
from ansible_collections.privatewave.reconnect.plugins.module_utils._common import plain_json

#: What the modules have in common; see the fragment ``service``.
ARGUMENTS = {
    "url": {"type": "str", "required": True},
    "token": {"type": "str", "required": True, "no_log": True},
    "ca_path": {"type": "path"},
    "limit_seconds": {"type": "int", "default": 30},
}
#: An answer is not larger, in bytes.
MAX_BYTES = 64 * 1024**2
#: How long the service may keep an answer back until a run has ended, in seconds.
WAIT = 25
#: How often a request is sent that the service has no time for, or does not answer; and the longest pause, in seconds.
_TRIES = 5
_LONGEST_PAUSE = 30


class ServiceError(Exception):
    """A request that was refused or not answered; ``str()`` is one sentence. ``code`` is the HTTP status, if any."""

    def __init__(self, sentence: str, code: Optional[int] = None) -> None:
        super().__init__(sentence)
        self.code = code


class Service:
    """The service that the parameters of a module name."""

    def __init__(self, parameters: Dict[str, Any]) -> None:
        self._url = str(parameters["url"]).rstrip("/")
        self._token = parameters["token"]
        self._ca_path = parameters["ca_path"]
        self._seconds = parameters["limit_seconds"]

    def ask(
        self,
        method: str,
        path: str,
        body: Optional[Dict[str, Any]] = None,
        query: Optional[Dict[str, Any]] = None,
        key: Optional[str] = None,
    ) -> Any:
        """The document that the service answers; ``key`` makes a request that is sent twice count once.

        Where the service says when, the request is sent again, each time after a longer pause. Where it does not
        answer, too, if that cannot do anything twice. Raises ServiceError.
        """
        address = f"{self._url}/v1/{path}"
        if query:
            address += "?" + urlencode({name: value for name, value in query.items() if value is not None})
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if key:
            headers["Idempotency-Key"] = key
        for tried in range(_TRIES):
            last = tried == _TRIES - 1
            try:
                answer = open_url(
                    address,
                    data=None if body is None else json.dumps(body),
                    headers=headers,
                    method=method,
                    timeout=self._seconds + WAIT,
                    ca_path=self._ca_path,
                    # Another address must not get the token.
                    follow_redirects="none",
                    http_agent="reconnect",
                )
                return plain_json(answer.read(MAX_BYTES + 1) or b"null")
            except HTTPError as error:
                # A 409 that says when: the first request with this key is still under way.
                again = error.headers.get("Retry-After", "") if error.code in (409, 429, 503) else ""
                if last or not again.isdigit():
                    raise ServiceError(_detail(error), error.code) from None
                pause = int(again)
            except (URLError, OSError, http.client.HTTPException) as error:
                if last or not (method == "GET" or key):
                    raise ServiceError(f"The service does not answer: {getattr(error, 'reason', error)}.") from None
                pause = 1
            except ValueError as error:
                raise ServiceError(f"The service does not answer as it should: {error}.") from None
            time.sleep(min(pause * 2**tried, _LONGEST_PAUSE))
        return None

    def run(self, run_id: str, seconds: float = 0) -> Dict[str, Any]:
        """The run, once it has ended or after so many seconds. Raises ServiceError."""
        until = time.monotonic() + seconds
        while True:
            wait = max(0, min(WAIT, int(until - time.monotonic())))
            run = self.ask("GET", f"runs/{run_id}", query={"wait": wait} if wait else None)
            if run["state"] == "ended" or time.monotonic() + 1 >= until:
                return dict(run)


def _detail(error: HTTPError) -> str:
    """What the service says in its problem document."""
    try:
        said = plain_json(error.read(100_000))["detail"]
    except (ValueError, KeyError, TypeError, OSError):
        said = error.reason
    return f"The service answers {error.code}: {said}"
