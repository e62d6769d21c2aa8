"""The events of a run: as they are sent, and what a person reads of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from reconnect import texts
from reconnect.result import rfc3339
from reconnect.texts import Language


def sent(event: Mapping[str, Any], language: Language) -> str:
    """A server-sent event; `said` is what a person reads of it, where that is something."""
    data = {"at": rfc3339(event["at"]), "server": event["server"], **event["data"], "said": said(event, language)}
    return f"id: {event['sequence']}\nevent: {event['kind']}\ndata: {json.dumps(data)}\n\n"


def said(event: Mapping[str, Any], language: Language) -> list[str] | None:
    """What a person reads of an event, and what stands beside that; None for an event that is for programs."""
    data = event["data"]
    if event["kind"] == "step":
        beside = [event["server"], texts.state(str(data.get("state", "")), language)]
        return [texts.sentence(str(data.get("step", "")), language), " · ".join(filter(None, beside))]
    if event["kind"] == "seen":
        beside = [data.get("address"), data.get("transport"), data.get("account")]
        return [texts.seen(str(data.get("outcome")), language), " · ".join(filter(None, beside))]
    return None
