"""What each tracker needs to know, and which of an incident's fields say what."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class Fields(BaseModel):
    """The tracker's own names of the fields that say what the incident is about; a field without a name isn't read.

    `server` and `account` name them; the others are what the client reports (docs/documents.md), `settings` as lines
    `name: value`.
    """

    model_config = ConfigDict(extra="forbid")

    server: str | None = "Server"
    account: str | None = "Account"
    error_message: str | None = "Error message"
    internet: str | None = "Internet connection"
    reconnected: str | None = "Reconnected"
    settings: str | None = "Client settings"


class Server(BaseModel):
    """A tracker that is reached over HTTP; times in seconds."""

    model_config = ConfigDict(extra="forbid")

    #: What its environment variables begin with.
    prefix: ClassVar[str] = ""

    url: str | None = None
    token: SecretStr | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    seconds: float = Field(default=15, gt=0, le=120)
    fields: Fields = Fields()
    second_level: str = "Second level"
    """The queue (group, team) an incident goes to when it is escalated, and who gets it there."""
    third_level: str = "Third level"
    second_level_owner: str | None = None
    third_level_owner: str | None = None

    def variable(self, name: str) -> str:
        """The environment variable that sets `name`."""
        return f"RECONNECT_{self.prefix}_{name}".upper()


class RtSettings(Server):
    """Request Tracker 5."""

    prefix: ClassVar[str] = "rt"

    status_closed: str = "resolved"
    """The status of a closed ticket."""
    reason_field: str | None = None
    """The custom field that takes the reason why it was closed; the comment says it in any case."""


class ServiceNowSettings(Server):
    """ServiceNow's table API; `user` makes the token a password."""

    prefix: ClassVar[str] = "servicenow"

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

    Its `fields` are named as people see them, or by their ids (`customfield_10050`)."""

    prefix: ClassVar[str] = "jira"

    user: str | None = None
    transition_closed: str = "Done"
    """The name of the transition, or of the status it leads to, that closes an issue."""
    queue_field: str = "components"
    """The field that says whose turn it is; it takes a list of named values."""
    internal_role: str | None = None
    """Who sees a comment that is not for the user, besides what a service project does by itself."""


class ZammadSettings(Server):
    """Zammad's REST API."""

    prefix: ClassVar[str] = "zammad"

    fields: Fields = Fields(
        server="server",
        account="account",
        error_message="error_message",
        internet="internet",
        reconnected="reconnected",
        settings="client_settings",
    )
    state_closed: str = "closed"


class WebhookSettings(Server):
    """A receiver of CloudEvents 1.0: `token` is the key of the signature."""

    source: str = "reconnect"

    def variable(self, name: str) -> str:
        """Webhooks are many and have names, so they are in the settings file."""
        return f"webhooks.NAME.{name} of the settings file"
