"""The checks that the service begins by itself."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from reconnect.hours import Hours

#: The trackers in which an incident can be made.
Creates = Literal["rt"]


class CheckSettings(BaseModel):
    """Servers that the service diagnoses again and again; it changes nothing on them."""

    model_config = ConfigDict(extra="forbid")

    servers: list[str] = []
    """Hosts or groups of the inventory; empty: every server."""
    minutes: int = Field(default=60, ge=10, le=7 * 24 * 60)
    """How often, about: each time it is up to a tenth sooner or later."""
    hours: list[Hours] = []
    """Only within these hours, in the local time of this machine: `["22:00-06:00"]`; empty: at any time."""
    warnings: list[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.]{0,79}$")]] = []
    """Findings that count although they only warn, by their code: `[tls.validity, host.disk]`."""
    tracker: Creates | None = None
    """The tracker in which an incident is opened for what is found; else it is only notified of."""
    queue: str = Field(default="General", min_length=1, max_length=120)
    """The queue of these incidents."""
