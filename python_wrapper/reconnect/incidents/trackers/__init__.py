"""The trackers that incidents are in. settings/trackers.py registers them."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from reconnect.errors import InputError, TrackerError
from reconnect.incidents.trackers.tracker import Change, Details, Opening, Tracker
from reconnect.names import Incident
from reconnect.settings import Settings
from reconnect.settings.checks import Creates
from reconnect.settings.trackers import TrackerSettings

#: The settings that have a tracker asked for more than an incident, by the function that it needs.
_ASKS = {"changes": "service.polls", "find": "service.checks", "create": "service.checks"}


def open_incident(incident: Incident, settings: Settings) -> Tracker:
    """The `incident` in its tracker; nothing is asked of it yet.

    The tracker's module has the class as `TRACKER`; it takes the incident and the tracker's settings. Raises InputError
    when the tracker is unknown, or the id or the settings are invalid.
    """
    own = settings.tracker(incident)
    tracker: Tracker = of_module(incident.tracker, "TRACKER")(incident, own)
    return tracker


def find(tracker: Creates, marker: str, settings: Settings) -> Incident | None:
    """The incident with this marker; None where there is none. Raises as `create` does."""
    found: Incident | None = of_module(tracker, "find")(getattr(settings, tracker), marker)
    return found


def create(tracker: Creates, opening: Opening, settings: Settings) -> Incident:
    """The incident with this marker, made where there is none. Raises InputError when the settings are invalid,
    TrackerError."""
    made: Incident = of_module(tracker, "create")(getattr(settings, tracker), opening)
    return made


def is_closed(details: Details, own: TrackerSettings) -> bool:
    """Whether an incident has the status at its end."""
    closed = {"closed", "resolved", "rejected", "deleted", "done", "merged"}
    names = ("status_closed", "state_closed", "transition_closed")
    closed |= {str(getattr(own, name)).lower() for name in names if hasattr(own, name)}
    # A file has the reason behind it: closed (Not an issue).
    return details.closed or (details.status or "").partition(" (")[0].lower() in closed


def changes(tracker: str, settings: Settings, minutes: int) -> Sequence[Change]:
    """The incidents of a tracker that were made or changed in the last `minutes`, by its own clock.

    Every tracker but `webhook` can say. Raises InputError when the settings are invalid, TrackerError.
    """
    ask, own = of_module(tracker, "changes"), getattr(settings, tracker)
    try:
        found: Sequence[Change] = ask(own, minutes)
    except (AttributeError, KeyError, TypeError):
        raise TrackerError(f"The answer of {tracker} about what has changed is not what it documents.") from None
    return found


def of_module(tracker: str, name: str) -> Any:
    """What the tracker's module calls so. Raises InputError where it has none."""
    # Imported when it is asked for: the HTTP client takes a quarter of the command's start.
    module = importlib.import_module(f"reconnect.incidents.trackers.{tracker}")
    try:
        return getattr(module, name)
    except AttributeError:
        instead = f", or take {tracker} out of the setting {_ASKS[name]}" if name in _ASKS else ""
        raise InputError(f"The module {module.__name__} has no '{name}'. Add it{instead}.") from None
