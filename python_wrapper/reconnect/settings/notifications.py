"""Whom the service tells what waits for a person, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from reconnect.texts import Language

#: An address of mail, as HTML's forms take it: nothing in it ends a header.
Address = Annotated[str, Field(pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}$")]


class MailSettings(BaseModel):
    """The server that takes mail, and who gets it; times in seconds."""

    model_config = ConfigDict(extra="forbid")

    host: str
    """The server that takes mail."""
    port: int = Field(default=587, ge=1, le=65535)
    """Its port."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """`starttls` or `tls`: the server's certificate is verified; `none`: in the clear, and then without a `user`."""
    ca_file: Path | None = None
    """The certificates (PEM) that the server's own is verified by; else those of the system."""
    user: str | None = None
    """Who signs in there; nobody where it is not set."""
    password: SecretStr | None = None
    password_file: Path | None = None
    """A file that holds the password."""
    sender: Address
    """The sender's address."""
    to: list[Address] = Field(min_length=1, max_length=50)
    """Who gets the mail."""
    seconds: float = Field(default=20, gt=0, le=120)
    """How long the server may take for one answer."""


class ChatSettings(BaseModel):
    """An incoming webhook of a chat: Slack, Mattermost, Rocket.Chat, Teams; it takes JSON with `text`."""

    model_config = ConfigDict(extra="forbid")

    url: SecretStr | None = None
    """Its address, which is a secret: who knows it may write there."""
    url_file: Path | None = None
    """A file that holds the address."""
    ca_file: Path | None = None
    """The certificates (PEM) that the chat's own is verified by; else those of the system."""
    seconds: float = Field(default=15, gt=0, le=120)
    """How long the chat may take to answer."""


class NotificationSettings(BaseModel):
    """Whom the service tells what waits for a person; it needs `service.origin`."""

    model_config = ConfigDict(extra="forbid")

    language: Language = "en"
    """The language of what is told."""
    limit_seconds: float = Field(default=24 * 3600, ge=60, le=7 * 24 * 3600)
    """How long a notification is tried before it is given up."""
    mail: MailSettings | None = None
    chat: ChatSettings | None = None
