"""The settings of each tracker, and which of an incident's fields say what.

To add a tracker, add its settings to `Trackers`, and a module of the same name to incidents/trackers.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from reconnect import names
from reconnect.errors import InputError
from reconnect.names import Incident
from reconnect.text import one_line
from reconnect.texts import Language


class Fields(BaseModel):
    """The tracker's own names of the fields that say what the incident is about. A field without a name is not read.

    `server` and `account` name them; the others are what the client reports (docs/how-to/first-level.md),
    `settings` as lines `name: value`.
    """

    model_config = ConfigDict(extra="forbid")

    server: str | None = "Server"
    account: str | None = "Account"
    error_message: str | None = "Error message"
    internet: str | None = "Internet connection"
    reconnected: str | None = "Reconnected"
    settings: str | None = "Client settings"


class TrackerSettings(BaseModel):
    """What every tracker needs to know."""

    model_config = ConfigDict(extra="forbid")

    #: An incident's id, as people write it.
    example: ClassVar[str] = "ID"

    fields: Fields = Fields()
    second_level: str = "Second level"
    """The queue (group, team) an incident goes to when it is escalated, and its owner there."""
    third_level: str = "Third level"
    second_level_owner: str | None = None
    third_level_owner: str | None = None
    language: Language = "en"
    """The language of its incidents: comment, page and the message for the user."""


class Server(TrackerSettings):
    """A tracker that is reached over HTTP; times in seconds."""

    #: The beginning of its environment variables.
    prefix: ClassVar[str] = ""

    url: str | None = None
    token: SecretStr | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    seconds: float = Field(default=15, gt=0, le=120)

    def variable(self, name: str) -> str:
        """The environment variable that sets `name`."""
        return f"RECONNECT_{self.prefix}_{name}".upper()


class RtSettings(Server):
    """Request Tracker 5."""

    prefix: ClassVar[str] = "rt"
    example: ClassVar[str] = "17"

    status_closed: str = "resolved"
    """The status of a closed incident."""
    reason_field: str | None = None
    """The custom field for the reason why it was closed. The comment gives it in any case."""


class ServiceNowSettings(Server):
    """ServiceNow's table API; `user` makes the token a password."""

    prefix: ClassVar[str] = "servicenow"
    example: ClassVar[str] = "INC…"

    user: str | None = None
    table: str = Field(default="incident", pattern=r"^[a-z][a-z0-9_]{0,79}$")
    fields: Fields = Fields(
        server="cmdb_ci",
        account="u_account",
        error_message="u_error_message",
        internet="u_internet",
        reconnected="u_reconnected",
        settings="u_client_settings",
    )
    state_closed: str = "6"
    close_code: str = "Solution provided"


class JiraSettings(Server):
    """Jira's REST API, version 2; `user` is the address whose API token it is, None for a personal access token.

    Its `fields` have the names that people see, or their ids (`customfield_10050`)."""

    prefix: ClassVar[str] = "jira"
    example: ClassVar[str] = "KEY-1"

    user: str | None = None
    transition_closed: str = "Done"
    """The name of the transition, or of the status it leads to, that closes an issue."""
    queue_field: str = "components"
    """The field that holds the queue; it takes a list of named values."""
    internal_role: str | None = None
    """The role that sees a comment that is not for the user. A service project hides such comments by itself."""


class ZammadSettings(Server):
    """Zammad's REST API."""

    prefix: ClassVar[str] = "zammad"
    example: ClassVar[str] = "55"

    fields: Fields = Fields(
        server="server",
        account="account",
        error_message="error_message",
        internet="internet",
        reconnected="reconnected",
        settings="client_settings",
    )
    state_closed: str = "closed"


class FileSettings(TrackerSettings):
    """An incident in a file or a folder."""

    example: ClassVar[str] = "PATH"

    incoming: Path | None = None
    """The folder in which the service looks for new incidents."""


class WebhookSettings(Server):
    """A receiver of CloudEvents 1.0: `token` is the key of the signature."""

    example: ClassVar[str] = "NAME/ID"

    source: str = "reconnect"

    def variable(self, name: str) -> str:
        """Webhooks are many and have names, so they are in the settings file."""
        return f"webhooks.NAME.{name} of the settings file"


class Trackers(BaseModel):
    """The trackers that an incident may be in: a field for each, with the name that stands before the colon."""

    file: FileSettings = FileSettings()
    jira: JiraSettings = JiraSettings()
    rt: RtSettings = RtSettings()
    servicenow: ServiceNowSettings = ServiceNowSettings()
    zammad: ZammadSettings = ZammadSettings()
    webhooks: dict[str, WebhookSettings] = {}
    """By name: `webhook:NAME/ID`."""

    def tracker(self, incident: Incident) -> TrackerSettings:
        """The settings of the tracker that `incident` is in. Raises InputError for an unknown one."""
        if incident.tracker == "webhook":
            name = incident.id.partition("/")[0]
            if name not in self.webhooks:
                raise names.unknown("webhook", one_line(name, 80), self.webhooks)
            return self.webhooks[name]
        found = getattr(self, incident.tracker) if incident.tracker in Trackers.model_fields else None
        if not isinstance(found, TrackerSettings):
            known = ", ".join(EXAMPLES)
            raise InputError(f"'{one_line(incident, 80)}' is not an incident. Give TRACKER:ID, for example {known}.")
        return found


def _example(name: str, kind: object) -> str:
    tracker, settings = ("webhook", WebhookSettings) if name == "webhooks" else (name, kind)
    assert isinstance(settings, type)
    assert issubclass(settings, TrackerSettings)
    return f"{tracker}:{settings.example}"


#: An incident of each tracker.
EXAMPLES = [_example(name, field.annotation) for name, field in Trackers.model_fields.items()]
