"""The trackers incidents live in. A tracker more is a module with a class more and a line in `_KINDS`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from reconnect.errors import InputError
from reconnect.text import one_line
from reconnect.trackers.incident import Tracker

if TYPE_CHECKING:
    from reconnect.settings import Settings

#: Class of each tracker; imported when it is asked for, because the HTTP client takes a quarter of the command's start.
_KINDS = {
    "file": ("file", "FileTracker"),
    "jira": ("jira", "Jira"),
    "rt": ("rt", "RequestTracker"),
    "servicenow": ("servicenow", "ServiceNow"),
    "webhook": ("webhook", "Webhook"),
    "zammad": ("zammad", "Zammad"),
}


def open_incident(reference: str, settings: Settings) -> Tracker:
    """The tracker that holds the incident `reference` (`TRACKER:ID`).

    Nothing is asked of it yet. Raises InputError when the reference or the settings can't be used.
    """
    kind, colon, identifier = reference.partition(":")
    if not colon or not identifier or kind not in _KINDS:
        known = ", ".join(f"{name}:…" for name in _KINDS)
        raise InputError(f"'{one_line(reference, 80)}' names no incident: TRACKER:ID is needed, one of {known}.")
    module, name = _KINDS[kind]
    tracker: Tracker = getattr(importlib.import_module(f"reconnect.trackers.{module}"), name)(identifier, settings)
    return tracker
