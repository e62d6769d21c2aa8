"""Settings of the wrapper: the environment (`RECONNECT_*`), and below it a settings file in YAML."""

from __future__ import annotations

import os
from pathlib import Path

import yaml
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

from reconnect.errors import InputError
from reconnect.outcomes import DEFAULTS, Answer
from reconnect.text import one_line
from reconnect.trackers.settings import (
    JiraSettings,
    RtSettings,
    Server,
    ServiceNowSettings,
    WebhookSettings,
    ZammadSettings,
)


def is_secret(variable: str) -> bool:
    """Whether an environment variable holds a secret of ours, which is never handed to Ansible: there `ps e` and every
    task could read it."""
    endings = ("_TOKEN", "_DATABASE", "_WEBHOOKS", "_RT", "_SERVICENOW", "_JIRA", "_ZAMMAD")
    return variable.upper().startswith("RECONNECT_") and variable.upper().endswith(endings)


class Settings(BaseSettings):
    """Where things are and how long they may take; times in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="RECONNECT_",
        env_nested_delimiter="_",
        # RECONNECT_RT_TOKEN_FILE is token_file of rt.
        env_nested_max_split=1,
        extra="ignore",
        env_ignore_empty=True,
    )

    project: Path | None = None
    """The folder with playbooks/, collections/ and ansible.cfg; found by itself when not set."""
    inventory: Path | None = None
    """Inventory when `--inventory` is not given; else what ansible.cfg names."""
    state_dir: Path | None = None
    """Where runs are kept; `$XDG_STATE_HOME/reconnect` when not set."""
    servers_group: str = "servers"
    """The inventory group of hosts that may be diagnosed; every host may where the group doesn't exist."""

    stop_seconds: float = Field(default=5, gt=0, le=60)
    """How long ansible-playbook may take to end on SIGTERM before its processes are killed."""
    cleanup_seconds: float = Field(default=30, gt=0, le=300)
    """How long the clean-up on the servers may take after a run was stopped."""
    lease_seconds: int = Field(default=120, ge=0, le=3600)
    """How long a run waits for another one that mends the same server, from another machine maybe, before it ends as
    refused."""

    mask_numbers: bool = False
    """Whether telephone numbers are masked in pages and bundles."""
    keep_days: float | None = Field(default=None, gt=0)
    """How long runs are kept; for ever when not set. A run whose report is pending is never removed."""

    rt: RtSettings = RtSettings()
    servicenow: ServiceNowSettings = ServiceNowSettings()
    jira: JiraSettings = JiraSettings()
    zammad: ZammadSettings = ZammadSettings()
    webhooks: dict[str, WebhookSettings] = {}
    """By name: `webhook:NAME/ID`."""

    outcomes: dict[str, Answer] = {}
    """What each ending of a run does to its incident; rows that aren't here are those of `outcomes.DEFAULTS`."""

    database: SecretStr | None = None
    """Where runs and reports under way are kept: `postgresql://…`, else a file of SQLite below the state folder."""
    report_seconds: float = Field(default=20, ge=0, le=3600)
    """How long a command goes on trying to report before it ends with the report pending; once it tries in any case."""
    report_limit_seconds: float = Field(default=7 * 24 * 3600, gt=0)
    """How long a report is tried at all before a person has to look after it."""

    @property
    def state(self) -> Path:
        """The folder that everything is kept in."""
        if self.state_dir is not None:
            return self.state_dir.expanduser().absolute()
        state_home = os.environ.get("XDG_STATE_HOME", "")
        base = Path(state_home) if Path(state_home).is_absolute() else Path.home() / ".local" / "state"
        return base / "reconnect"

    @property
    def runs_dir(self) -> Path:
        """The folder that holds one folder per run."""
        return self.state / "runs"

    @property
    def answers(self) -> dict[str, Answer]:
        """The whole table of `outcomes`."""
        return {**DEFAULTS, **self.outcomes}

    def tracker(self, reference: str) -> Server:
        """The settings of the tracker that the incident `reference` lives in; defaults where it has none."""
        kind, _, identifier = reference.partition(":")
        if kind == "webhook":
            return self.webhooks.get(identifier.partition("/")[0], Server())
        found = getattr(self, kind, None)
        return found if isinstance(found, Server) else Server()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment goes before the file."""
        file = settings_file()
        more = (YamlConfigSettingsSource(settings_cls, file),) if file else ()
        return (init_settings, env_settings, *more)


def settings_file() -> Path | None:
    """The file RECONNECT_SETTINGS names, else `$XDG_CONFIG_HOME/reconnect/settings.yml` where there is one."""
    named = os.environ.get("RECONNECT_SETTINGS")
    if named:
        return Path(named).expanduser()
    config_home = os.environ.get("XDG_CONFIG_HOME", "")
    base = Path(config_home) if Path(config_home).is_absolute() else Path.home() / ".config"
    file = base / "reconnect" / "settings.yml"
    return file if file.is_file() else None


def load() -> Settings:
    """The settings in force. Raises InputError naming what can't be used."""
    file = settings_file()
    if file is not None and not file.is_file():
        raise InputError(f"There is no settings file at '{one_line(file)}'.")
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        variable = "RECONNECT_" + "_".join(str(part) for part in first["loc"]).upper()
        where = f"{variable} (in a file: {name})" if file else variable
        raise InputError(f"The setting {one_line(where, 160)} can't be used: {first['msg'].lower()}.") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"The settings can't be read: {one_line(error, 200)}.") from None
