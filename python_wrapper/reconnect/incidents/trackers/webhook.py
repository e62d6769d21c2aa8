"""An incident in a system of the site's own, which is sent CloudEvents 1.0: `webhook:NAME/ID`.

NAME is one of the webhooks of the settings, ID what the system calls the incident. Each event is a POST in structured
mode (`application/cloudevents+json`). The header `Reconnect-Signature` is `v1=` and the HMAC-SHA256, in hexadecimal,
of the value of `Reconnect-Timestamp` (seconds since 1970), a dot and the body; the receiver refuses a timestamp that is
too old and a signature that does not match. The same event has the same `id` however often it is sent: CloudEvents asks
the receiver to take each pair of `source` and `id` once.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from typing import Any

from reconnect.errors import InputError, TrackerError
from reconnect.incidents.trackers.http import Http, secret
from reconnect.incidents.trackers.tracker import Comment, Details
from reconnect.names import Incident
from reconnect.result import now, rfc3339
from reconnect.settings.trackers import WebhookSettings
from reconnect.text import one_line

_IDENTIFIER = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]{0,62})/([A-Za-z0-9][A-Za-z0-9._-]{0,127})")
_TYPE = "com.privatewave.reconnect"


class Webhook:
    """The incident ID of the webhook NAME, where `incident.id` is NAME/ID."""

    def __init__(self, incident: Incident, settings: WebhookSettings) -> None:
        match = _IDENTIFIER.fullmatch(incident.id)
        if not match:
            raise InputError(f"'{one_line(incident, 80)}' is not an incident. Give webhook:NAME/ID.")
        name, self._id = f"The webhook {match[1]}", match[2]
        self._reference = str(incident)
        self._source = settings.source
        self._key = secret(name, settings, settings.token, settings.token_file, "token").encode()
        self._http = Http(name, self._reference, settings, {})

    def read(self) -> Details:
        """Nothing is known of it: a webhook only takes events."""
        return Details(self._reference)

    def file(self, identifier: str) -> bytes:
        """There are none."""
        raise TrackerError(f"{self._reference} has no files.")

    def told(self, marker: str) -> bool:
        """The receiver knows by the event's id."""
        return False

    def comment(self, comment: Comment) -> None:
        """Sends the comment with its files."""
        files = [
            {
                "name": attachment.name,
                "content_type": attachment.content_type,
                "content_base64": base64.b64encode(attachment.content).decode(),
            }
            for attachment in comment.attachments
        ]
        self._send("comment", comment.marker, {"text": comment.text, "to_user": comment.to_user, "files": files})

    def close(self, reason: str, marker: str) -> None:
        """Sends that the incident is closed."""
        self._send("close", marker, {"reason": reason})

    def move(self, queue: str, marker: str) -> None:
        """Sends that the incident goes to another queue."""
        self._send("move", marker, {"queue": queue})

    def assign(self, owner: str, marker: str) -> None:
        """Sends who gets the incident."""
        self._send("assign", marker, {"owner": owner})

    def _send(self, verb: str, marker: str, data: dict[str, Any]) -> None:
        event = {
            "specversion": "1.0",
            "id": marker,
            "source": self._source,
            "type": f"{_TYPE}.{verb}.v1",
            "subject": self._id,
            "time": rfc3339(now()),
            "datacontenttype": "application/json",
            "data": data,
        }
        body = json.dumps(event).encode()
        timestamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/cloudevents+json; charset=UTF-8",
            "Reconnect-Timestamp": timestamp,
            "Reconnect-Signature": f"v1={signature(self._key, timestamp, body)}",
        }
        self._http.raw("POST", "", {200, 201, 202, 204}, content=body, headers=headers)


def signature(key: bytes, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 over timestamp and body, in hexadecimal."""
    return hmac.new(key, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


TRACKER = Webhook
