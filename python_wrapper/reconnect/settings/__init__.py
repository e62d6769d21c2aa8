"""Settings of the wrapper: the environment (`RECONNECT_*`), and below it a settings file in YAML."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    YamlConfigSettingsSource,
)

from reconnect import files, invalid, machine
from reconnect import outcomes as table
from reconnect.errors import InputError
from reconnect.outcomes import Answer
from reconnect.settings.service import ServiceSettings
from reconnect.settings.trackers import Trackers
from reconnect.text import one_line


def is_secret(variable: str) -> bool:
    """Whether an environment variable holds a secret of ours. Ansible never gets it: there `ps e` and every task could
    read it."""
    trackers = (f"_{name}".upper() for name in Trackers.model_fields if name != "file")
    endings = ("_TOKEN", "_DATABASE", "_SERVICE", "_HOOKS", "_OIDC", "_NOTIFICATIONS", *trackers)
    return variable.upper().startswith("RECONNECT_") and variable.upper().endswith(endings)


class Settings(BaseSettings, Trackers):
    """Where things are and how long they may take; times in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="RECONNECT_",
        env_nested_delimiter="_",
        # RECONNECT_RT_TOKEN_FILE is token_file of rt.
        env_nested_max_split=1,
        extra="forbid",
        env_ignore_empty=True,
    )

    project: Path | None = None
    """The folder with playbooks/, collections/ and ansible.cfg; found by itself when not set."""
    inventory: Path | None = None
    """The inventory when `--inventory` is not given; else what ansible.cfg names, else the only one in inventories/
    beside the example."""
    state_dir: Path | None = None
    """The folder of the database, the locks and all else that is kept; `$XDG_STATE_HOME/reconnect` when not set."""

    stop_seconds: float = Field(default=5, gt=0, le=60)
    """How long ansible-playbook may take to end on SIGTERM before its processes are killed."""
    cleanup_seconds: float = Field(default=30, gt=0, le=300)
    """How long the clean-up on the servers may take after a run was stopped."""
    policy: Path | None = None
    """What may be fixed by itself, where, when, and how often: a file laid over the policy.yml of this package."""

    warm: bool = True
    """Whether a process stays for some minutes that has loaded Ansible, so that the next run begins faster."""
    execution_environment: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][\w./:@-]*$")
    """An image of an execution environment: podman runs the playbooks in it, and none in a warm process."""
    execution_environment_mounts: list[Path] = []
    """What the playbooks read in it besides the project, the inventory and `~/.ssh`: keys, for example."""
    execution_environment_options: list[str] = []
    """More options of `podman run`, for example `["--pids-limit=0"]`."""
    mask_numbers: bool = False
    """Whether telephone numbers are masked in pages and bundles."""
    keep_days: float | None = Field(default=None, gt=0)
    """How many days runs are kept; for ever when not set. A run with a pending report is never removed."""

    log_file: Path | None = None
    """A file that gets a line of JSON for each event of a run, from the service and from every command; else the
    service writes them to standard error."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged; `debug` has each step of a run."""
    traces_url: str | None = Field(default=None, pattern=r"^https?://[^/@\s]+(/\S*)?$")
    """Where a collector of OpenTelemetry takes traces: OTLP over HTTP, for example `http://127.0.0.1:4318/v1/traces`."""

    outcomes: dict[Annotated[str, AfterValidator(table.known)], Answer] = {}
    """What each ending of a run does to its incident; rows that are not here are those of `outcomes.yml`."""

    database: SecretStr | None = None
    """The database of the runs and their documents: `postgresql://…`; else SQLite in the state folder."""
    report_seconds: float = Field(default=20, ge=0, le=3600)
    """How long a command tries to report before it ends with the report pending; it tries at least once."""
    report_limit_seconds: float = Field(default=7 * 24 * 3600, gt=0)
    """How long a report is retried before a person has to look after it."""

    url: str | None = None
    """The service that the command is for, for example `https://reconnect.example.org`; else this machine."""
    token: SecretStr | None = None
    """The token for that service, see `reconnect tokens add`."""
    token_file: Path | None = None
    """A file that holds the token."""
    ca_file: Path | None = None
    """The certificates (PEM) that the service's own is verified by; else those of the system."""

    service: ServiceSettings = ServiceSettings()

    @property
    def state(self) -> Path:
        """The folder that everything is kept in."""
        return machine.state_folder(self.state_dir)

    @property
    def inventories(self) -> Path:
        """The folder where the names of inventories are remembered."""
        return self.state / "inventories"

    @property
    def warm_folder(self) -> Path:
        """The folder of the warm process's socket."""
        return machine.warm_folder(self.state)

    @property
    def answers(self) -> dict[str, Answer]:
        """The whole table of `outcomes`."""
        return table.answers(self.outcomes)

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


#: libyaml's loader, where PyYAML has it: every command reads the file.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: The settings of the whole machine.
SITE_FILE = Path("/etc/reconnect/settings.yml")


def settings_file() -> Path | None:
    """The file RECONNECT_SETTINGS names, else `$XDG_CONFIG_HOME/reconnect/settings.yml`, else SITE_FILE where there is
    one. Raises InputError where this user may not look for it."""
    named = os.environ.get("RECONNECT_SETTINGS")
    if named:
        return machine.expanded(Path(named))
    config_home = os.environ.get("XDG_CONFIG_HOME", "")
    base = Path(config_home) if Path(config_home).is_absolute() else machine.expanded(Path("~/.config"))
    own = base / "reconnect" / "settings.yml"
    if files.kind(own) == "file":
        return own
    try:
        return SITE_FILE if files.kind(SITE_FILE) == "file" else None
    except InputError as error:
        # Without the site's policy and store, the command would be another one.
        raise InputError(
            f"{error} Use the command as the user of the service, or write settings of your own into '{one_line(own)}'."
        ) from None


def load() -> Settings:
    """The settings in force. Raises InputError with the name of an invalid one."""
    file = settings_file()
    if file is not None and files.kind(file) != "file":
        raise InputError(f"There is no settings file at '{one_line(file)}'.")
    try:
        if file is not None:
            _check(file)
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        said = "there is no such setting" if first["type"] == "extra_forbidden" else invalid.in_a_sentence(first)
        # A variable names a part of a section; what is in that is JSON.
        variable = "RECONNECT_" + "_".join(str(part) for part in first["loc"][:2]).upper()
        where = f"{variable} (in a file: {invalid.where(first)})" if file else variable
        raise InputError(f"The setting {one_line(where, 160)} is invalid: {said}.") from None
    except SettingsError as error:
        name = (re.findall(r'field "(\w+)"', str(error)) or ["…"])[0].upper()
        raise InputError(
            f"The variable RECONNECT_{name}, or one that begins so, is invalid: write lists and fields as JSON."
        ) from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"Cannot read the settings: {one_line(error, 200)}.") from None


def _check(file: Path) -> None:
    """Raises InputError where a settings file has no fields, or one of them twice."""
    with file.open("rb") as opened:
        root = _LOADER(opened).get_single_node()
    shown = f"The settings file '{one_line(file)}'"
    if twice := invalid.twice(root):
        raise InputError(f"{shown} has '{one_line(twice, 80)}' twice: only the last would count. Write one.")
    names = [key.tag.rpartition(":")[2] for key, _ in root.value] if isinstance(root, yaml.MappingNode) else [""]
    if root is not None and not {"str", "merge"}.issuperset(names):
        raise InputError(f"{shown} needs lines 'name: value'.")
