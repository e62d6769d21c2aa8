"""The settings of `reconnect serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from reconnect.settings.checks import CheckSettings
from reconnect.settings.notifications import NotificationSettings

#: A scheme, a host and perhaps a port: it stands in a page and in its policy.
_ORIGIN = r"^https?://[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?$"


class HookSettings(BaseModel):
    """What a source signs its deliveries with, or sends along: a shared secret."""

    model_config = ConfigDict(extra="forbid")

    secret: SecretStr | None = None
    secret_file: Path | None = None
    ignore_user: str | None = None
    """The name that Reconnect itself has in this tracker: what that user does begins no run."""


#: The trackers that can say what has changed.
Polled = Literal["rt", "zammad", "jira", "servicenow", "file"]


class PollSettings(BaseModel):
    """How the service asks a tracker for the incidents that were made or changed; times in seconds."""

    model_config = ConfigDict(extra="forbid")

    seconds: float = Field(default=30, ge=15, le=60)
    """How often."""
    ignore_user: str | None = None
    """The name that Reconnect itself has in this tracker, as in `hooks`; only `file` needs none."""
    queues: list[str] = []
    """Only incidents of these queues (groups, teams) begin a run; empty: all that Reconnect may read."""


#: What somebody may do, see docs/how-to/service.md.
Role = Literal["first_level", "second_level", "admin"]


class OidcSettings(BaseModel):
    """How people sign in at an identity provider: OpenID Connect, authorization code with PKCE.

    The provider sends browsers back to `/sign-in/oidc/callback` of `RECONNECT_SERVICE_ORIGIN`."""

    model_config = ConfigDict(extra="forbid")

    issuer: str = Field(pattern=r"^(https://|http://(localhost|127\.0\.0\.1)(:|/|$))[^\s?#]*$")
    """The provider's address, as its tokens have it; `/.well-known/openid-configuration` below it describes it."""
    client_id: str = Field(min_length=1, max_length=300)
    """The name that the provider knows this service by."""
    client_secret: SecretStr | None = None
    client_secret_file: Path | None = None
    """A file that holds the client's secret."""
    ca_file: Path | None = None
    """The certificates (PEM) that the provider's own is verified by; else those of the system."""
    scopes: str = "openid profile email"
    """The scopes that the service requests, with spaces between them."""
    name_claim: str = "preferred_username"
    """The claim that holds the user's name."""
    role_claim: str = "groups"
    """The claim that holds the user's groups or roles; with dots where it is in another: `realm_access.roles`."""
    roles: dict[str, Role]
    """The role for each value of that claim. The first line that fits counts; who has none cannot sign in."""


#: The most runs that one machine carries out at the same time.
MOST_WORKERS = 64


class ServiceSettings(BaseModel):
    """`reconnect serve`: where it listens and how much it takes on; times in seconds."""

    model_config = ConfigDict(extra="forbid")

    host: str = "127.0.0.1"
    """The address that API and hooks listen on."""
    port: int = Field(default=8765, ge=1, le=65535)
    """Their port."""
    metrics_port: int = Field(default=9765, ge=0, le=65535)
    """The port of the metrics, on the same address; 0: no metrics."""
    certificate: Path | None = None
    """The certificate for HTTPS (PEM), with `key`; not set behind a proxy that ends TLS."""
    key: Path | None = None
    """The key of the certificate (PEM)."""
    origin: str | None = Field(default=None, pattern=r"^https?://[^/\s]+$")
    """How browsers reach it, for example `https://reconnect.example.org`; else the name that they ask for."""
    proxies: str = "127.0.0.1"
    """The addresses of proxies whose X-Forwarded-For is believed, with commas between them."""
    check_ipv4: str | None = Field(default=None, pattern=_ORIGIN)
    """A second name of this service that has IPv4 addresses only, for the self-check: `https://v4.example.org`."""
    check_ipv6: str | None = Field(default=None, pattern=_ORIGIN)
    """The same with IPv6 addresses only."""
    check_provisioning: str | None = Field(default=None, pattern=_ORIGIN)
    """How phones reach provisioning, for the self-check: `https://provisioning.example.org`."""
    workers: int = Field(default=2, ge=1, le=MOST_WORKERS)
    """How many runs are carried out at the same time."""
    requests: int = Field(default=300, ge=1)
    """How many requests a minute one token, user or address may send; sign-ins are ten times fewer."""
    local_users: bool = True
    """Whether users of `reconnect users` may sign in; tokens are valid in any case."""
    oidc: OidcSettings | None = None
    """The identity provider that people sign in at; it needs `origin`."""
    hooks: dict[str, HookSettings] = {}
    """The sources that may call, by name: `rt`, `zammad`, `jira`, `servicenow`, `alertmanager`, `webhooks`, `events`.
    """
    polls: dict[Polled, PollSettings] = {}
    """The trackers that are asked, by name: `rt`, `zammad`, `jira`, `servicenow`, `file`."""
    checks: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")], CheckSettings] = {}
    """The servers that it diagnoses by itself, each check by a name of its own."""
    notifications: NotificationSettings = NotificationSettings()
    """Whom it tells what waits for a person, by `mail` and by `chat`."""

    @model_validator(mode="after")
    def _somebody_can_sign_in(self) -> Self:
        if self.oidc is not None and self.origin is None:
            raise ValueError("oidc needs origin, the address that the provider sends browsers back to")
        if self.oidc is None and not self.local_users:
            raise ValueError("without local_users nobody can sign in: it needs oidc")
        return self
