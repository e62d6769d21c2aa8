"""The request of a run. Each option is declared here, once.

The command line, the variables of the playbooks and their comments, and docs/reference/command.md are made from these
declarations. To add an option, add a field with an `Option` to `Options`, and use its variable in the
playbook or its value in the code.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from reconnect import invalid
from reconnect.errors import InputError
from reconnect.names import IncidentName
from reconnect.result import Mode, PlannedRemedy
from reconnect.settings import trackers
from reconnect.texts import Language

Playbook = Literal["diagnose-server.yml", "fix-account-config.yml"]
UNDO = "undo.yml"
DIAGNOSE: Playbook = "diagnose-server.yml"
FIX: Playbook = "fix-account-config.yml"


@dataclass(frozen=True, kw_only=True)
class Option:
    """How an option looks. Its field gives the type, the default and the limits.

    `playbooks`: the playbooks that take it; a field may have one `Option` for each. `flag`: its name on the command
    line where that is not the field's; `short`: a letter for it. `positional`: given without a flag. `default`: the
    default on the command line where that is not the field's. `variable`: the playbook's variable; `absent`: what that
    says where nothing was given. `taker`: who takes it where a service (RECONNECT_URL) carries the run out: the
    service; the command, which asks the service for what it means; or only this machine: then it is refused. `right`:
    what a person needs to ask a service for it (service/people.py). `patience`: it only says how long to wait. Two
    requests of one incident that differ in nothing else are the same.
    """

    help: str
    metavar: str | None = None
    flag: str | None = None
    short: str | None = None
    playbooks: tuple[Playbook, ...] = (DIAGNOSE, FIX)
    positional: bool = False
    default: Any = None
    variable: str | None = None
    absent: Any = ""
    taker: Literal["service", "command", "machine"] = "service"
    right: Literal["test"] | None = None
    patience: bool = False


@dataclass(frozen=True)
class Declared:
    """An option as one playbook takes it. `least` and `most` limit a number."""

    name: str
    type: Any
    default: Any
    least: int | None
    most: int | None
    option: Option

    @property
    def flag(self) -> str:
        """Its name on the command line; the metavar where it is positional."""
        if self.option.positional:
            return self.option.metavar or self.name.upper()
        return self.option.flag or "--" + self.name.replace("_", "-")


class Options(BaseModel):
    """The options that a run keeps: what it is about, what it may do, and how long it may take.

    Seconds are 0, or None, where something is not done at all.
    """

    model_config = ConfigDict(extra="forbid")

    account: Annotated[
        str | None,
        Option(help="Check this account too.", metavar="ACCOUNT", playbooks=(DIAGNOSE,), variable="reconnect_account"),
        Option(
            help="The account that cannot connect. Default: the incident's account.",
            metavar="ACCOUNT",
            playbooks=(FIX,),
            positional=True,
            variable="reconnect_account",
        ),
    ] = None
    incident: Annotated[
        IncidentName | None,
        Option(
            help=f"Read this incident and report to it: {', '.join(trackers.EXAMPLES)}.",
            metavar="TRACKER:ID",
            taker="command",
        ),
    ] = None
    approvals: Annotated[
        list[str],
        Option(
            help="Allow a remedy that needs an approval. May be repeated.",
            metavar="REMEDY",
            flag="--approve",
            variable="reconnect_approvals",
            taker="command",
        ),
    ] = []
    watch: Annotated[
        int,
        Field(ge=0, le=600),
        Option(
            help="Watch the account's registration attempts for this long. 0: do not watch.",
            metavar="SECONDS",
            playbooks=(FIX,),
            default=30,
            variable="reconnect_watch",
            patience=True,
        ),
    ] = 0
    go_on: Annotated[
        bool,
        Option(
            help="After first level, continue with second level's diagnosis.",
            flag="--continue",
            playbooks=(FIX,),
            variable="reconnect_continue",
        ),
    ] = False
    rotate_password: Annotated[
        bool,
        Option(
            help="Replace a wrong password with a new one, and store it in the account registry.",
            playbooks=(FIX,),
            variable="reconnect_rotate_password",
        ),
    ] = False
    call_test: Annotated[
        bool,
        Option(
            help="Let the reserved accounts make a real secure call of 10 s.",
            playbooks=(DIAGNOSE,),
            variable="reconnect_call_test",
            right="test",
        ),
    ] = False
    idle_test: Annotated[
        int | None,
        Field(ge=8, le=900),
        Option(
            help="Test whether the network drops a connection that is idle for this long.",
            metavar="SECONDS",
            variable="reconnect_idle_test",
            absent=0,
            right="test",
        ),
    ] = None
    capture: Annotated[
        int,
        Field(ge=0, le=60),
        Option(
            help="Capture SIP packets on the server for this long, for the bundle. 0: do not capture.",
            metavar="SECONDS",
            playbooks=(DIAGNOSE,),
            variable="reconnect_capture",
            right="test",
        ),
    ] = 0
    timeout: Annotated[
        float,
        Field(ge=1, le=86400, allow_inf_nan=False),
        Option(help="End the run after this long.", metavar="SECONDS", patience=True),
    ] = 300
    extra_vars: Annotated[
        list[str],
        Option(
            help="More variables for Ansible: KEY=VALUE, a map in JSON, or @FILE. May be repeated.",
            metavar="VARIABLES",
            short="-e",
            taker="machine",
        ),
    ] = []


class Asked(Options):
    """Every option of a command, not yet compared with the inventory and the incident."""

    playbook: Playbook
    servers: Annotated[
        list[str],
        Option(
            help="Hosts or groups of the inventory. Default: the incident's server.",
            metavar="SERVER…",
            playbooks=(DIAGNOSE,),
            positional=True,
            taker="command",
        ),
    ] = []
    server: Annotated[
        str | None,
        Option(
            help="The account's server, a host of the inventory. Default: the incident's server.",
            metavar="SERVER",
            playbooks=(FIX,),
            taker="command",
        ),
    ] = None
    report: Annotated[
        Path | None,
        Option(
            help="A file with what the client reports: .json, .yml or a log.",
            metavar="FILE",
            flag="--client-report",
            variable="reconnect_client_report_file",
            taker="command",
        ),
    ] = None
    apply: Annotated[
        bool,
        Option(
            help="Fix what the policy allows. Without it, nothing changes.", variable="reconnect_apply", taker="command"
        ),
    ] = False
    check: Annotated[
        bool, Option(help="Show what would be fixed, in Ansible's check mode. Nothing changes.", taker="command")
    ] = False
    diff: Annotated[bool, Option(help="Show line by line what each remedy changes.", short="-D", taker="command")] = (
        False
    )
    yes: Annotated[bool, Option(help="Fix without asking. The same as --apply.", playbooks=(FIX,), taker="command")] = (
        False
    )
    inventory: Annotated[
        Path | None,
        Option(
            help="The inventory. Default: the setting inventory, else the only one in inventories/.",
            metavar="DIR",
            taker="machine",
        ),
    ] = None
    vault_password_file: Annotated[
        Path | None,
        Option(help="A file with the vault's password, or a program that prints it.", metavar="FILE", taker="machine"),
    ] = None
    become_password_file: Annotated[
        Path | None,
        Option(
            help="A file with the password of sudo on the servers, or a program that prints it.",
            metavar="FILE",
            taker="machine",
        ),
    ] = None
    ask_vault_pass: Annotated[bool, Option(help="Ask for the vault's password on this terminal.", taker="machine")] = (
        False
    )
    ask_become_pass: Annotated[bool, Option(help="Ask for the password of sudo on this terminal.", taker="machine")] = (
        False
    )
    as_json: Annotated[bool, Option(help="Print only JSON on standard output.", flag="--json", taker="command")] = False
    verbose: Annotated[bool, Option(help="Show Ansible's output.", taker="machine")] = False

    @model_validator(mode="after")
    def _consistent(self) -> Asked:
        # A program may name what its playbook does not take. The servers have one name there.
        taken = {"playbook", "servers", "server", *(one.name for one in self.options(self.playbook))}
        for name, field in type(self).model_fields.items():
            if name not in taken and getattr(self, name) != field.get_default(call_default_factory=True):
                raise ValueError(f"{self.playbook.removesuffix('.yml')} does not take the option {name}")
        for what in ("vault", "become"):
            if getattr(self, f"ask_{what}_pass") and getattr(self, f"{what}_password_file"):
                raise ValueError(f"--ask-{what}-pass and --{what}-password-file exclude each other")
        if self.check and (self.apply or self.yes):
            raise ValueError(f"--{'apply' if self.apply else 'yes'} and --check exclude each other")
        if self.idle_test and self.timeout < 2 * self.idle_test + 60:
            # The run must not end before the connections were idle.
            raise ValueError(f"--idle-test {self.idle_test} takes a --timeout of at least {2 * self.idle_test + 60} s")
        return self

    @property
    def mode(self) -> Mode:
        """What the run may do."""
        return "apply" if self.apply or self.yes else "check" if self.check else "diagnose"

    @property
    def named(self) -> list[str]:
        """The servers as they were given."""
        return self.servers + ([self.server] if self.server is not None else [])

    @property
    def words(self) -> list[str]:
        """The words of the command line that asks for this."""
        said = [self.playbook.removesuffix(".yml")]
        for one in self.options(self.playbook):
            value = self.named if one.name in {"servers", "server"} else getattr(self, one.name)
            if value == one.default or value is None:
                continue
            if value is True:
                said.append(one.flag)
                continue
            for word in map(str, value if isinstance(value, list) else [value]):
                said += [word] if one.option.positional else [one.flag, word]
        return said

    @property
    def rights(self) -> dict[str, Literal["test"]]:
        """What a person needs to ask a service for this, by the flags of the options."""
        every = (one for playbook in (DIAGNOSE, FIX) for one in self.options(playbook))
        return {
            one.flag: one.option.right for one in every if one.option.right and getattr(self, one.name) != one.default
        }

    @property
    def account_needed(self) -> bool:
        """Whether the run is about one account."""
        return self.playbook == FIX

    @classmethod
    def checked(cls, playbook: Playbook, **given: Any) -> Asked:
        """These options of `playbook`. Raises InputError with the option's name in it."""
        try:
            return cls(playbook=playbook, **given)
        except ValidationError as error:
            first = error.errors()[0]
            flags = {one.name: one.flag for one in cls.options(playbook)}
            where = "".join(f"{flags.get(str(part), part)}: " for part in first["loc"][:1])
            raise InputError(f"{where}{invalid.sentence(first)}.") from None

    @classmethod
    def at_service(cls) -> dict[str, FieldInfo]:
        """The fields that a service takes as they are."""
        fields = cls.model_fields.items()
        return {
            name: field for name, field in fields if any(one.taker == "service" for one in _options(field.metadata))
        }

    @classmethod
    def options(cls, playbook: Playbook) -> list[Declared]:
        """The options that `playbook` takes: positional ones first, else in the order of their declaration."""
        found = [
            Declared(
                name=name,
                type=field.annotation,
                default=option.default if option.default is not None else field.get_default(call_default_factory=True),
                least=_limit(field.metadata, Ge, "ge"),
                most=_limit(field.metadata, Le, "le"),
                option=option,
            )
            for name, field in cls.model_fields.items()
            for option in _options(field.metadata)
            if playbook in option.playbooks
        ]
        return sorted(found, key=lambda one: not one.option.positional)


class Step(BaseModel):
    """A step of a plan that was confirmed or approved."""

    model_config = ConfigDict(extra="forbid")

    server: str
    remedy: str
    cause: str

    @classmethod
    def confirmed(cls, steps: Iterable[tuple[str, PlannedRemedy]]) -> list[Step]:
        """These steps, each with its server."""
        return [cls(server=server, remedy=step.remedy, cause=step.cause) for server, step in steps]


class Request(Options):
    """The request of one run: `named` as it was given, `servers` the hosts that this means.

    `client_report`: whether the client reported anything. `questions`: what the incident is asked beside its report,
    a sentence each. `undo`: the id of the run to undo. `plan`: the only steps that it may carry out, where they were
    shown before; at the service in the run `plan_of`. `language`: the incident's. `command`: its command line.
    `inventory_hash`: the digest of the inventory as it was read.
    """

    playbook: str
    mode: Mode
    named: list[str]
    servers: list[str]
    inventory: str
    inventory_hash: str | None = None
    client_report: bool = False
    questions: list[str] = []
    undo: str | None = None
    plan: list[Step] | None = None
    plan_of: str | None = None
    language: Language = "en"
    command: list[str]

    @property
    def same(self) -> list[Any]:
        """What two requests of an incident have in common where one run answers both."""
        options = Options.model_fields.items()
        asked = [name for name, field in options if not any(one.patience for one in _options(field.metadata))]
        return [getattr(self, name) for name in ("playbook", "mode", "servers", "undo", "plan", "plan_of", *asked)]

    def variables(self) -> dict[str, Any]:
        """The playbook's variables for this request."""
        said: dict[str, Any] = {"reconnect_apply": self.mode == "apply"}
        for name, field in type(self).model_fields.items():
            for option in _options(field.metadata):
                if option.variable:
                    value = getattr(self, name)
                    said[option.variable] = option.absent if value is None else value
        return said


#: The variables of a run that no option sets.
RUN_VARIABLES: dict[str, str] = {
    "reconnect_lease_wait": "How many seconds to wait for another run that works on the server (120).",
    "reconnect_budget": "How often a remedy may begin on a server within the window (3).",
    "reconnect_budget_window": "The window of reconnect_budget, in seconds (3600).",
    "reconnect_ask": "Causes and remedies that need an approval by the policy, as a list; [all] for every one ([]).",
    "reconnect_fix_groups": "Only servers of these groups are fixed without an approval; empty: all ([]).",
    "reconnect_pairs": "Groups of the inventory whose servers are nodes of one pair, as a list ([]).",
    "reconnect_serving": "Servers on which this run saw a registration in an earlier play ([]).",
    "reconnect_fail_on_fault": "Fail where a fault is left, so that ansible-playbook ends with an exit code (false).",
    "reconnect_interrupted": "The run was interrupted and starts again under its name (false).",
    "reconnect_incident": "The incident that asked, TRACKER:ID.",
    "reconnect_run_id": "Name of the run; generated when not given.",
}


def _options(metadata: list[Any]) -> Iterator[Option]:
    return (one for one in metadata if isinstance(one, Option))


def _limit(metadata: list[Any], kind: type[Ge] | type[Le], name: str) -> int | None:
    return next((int(getattr(one, name)) for one in metadata if isinstance(one, kind)), None)
