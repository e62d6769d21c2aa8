"""The policy of this site: what may be fixed by itself, where, when, how often, and on how many servers.

policy.yml beside this module says what each part means; a site's own file is laid over it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, time
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from reconnect import invalid, names
from reconnect.ansible.project import Project
from reconnect.errors import InputError
from reconnect.hours import Hours, within
from reconnect.machine import expanded
from reconnect.result import now, rfc3339
from reconnect.settings import Settings
from reconnect.text import one_line

DEFAULT = Path(__file__).with_name("policy.yml")
#: A policy is no larger than this, in bytes.
MAX_BYTES = 64 * 1024


def _cause_or_remedy(value: str) -> str:
    return _name("remedy", value)


def _group(value: str) -> str:
    return _name("server", value)


def _name(kind: str, value: str) -> str:
    try:
        return names.checked(kind, value)
    except InputError as error:
        raise ValueError(str(error).rstrip(".")) from None


class Fix(BaseModel):
    """Where an approval is needed although the catalogue does not ask for one."""

    model_config = ConfigDict(extra="forbid", strict=True)

    ask: list[Annotated[str, AfterValidator(_cause_or_remedy)]]
    groups: list[Annotated[str, AfterValidator(_group)]]
    hours: list[Hours]


class Limits(BaseModel):
    """How often a remedy may be begun on a server; seconds."""

    model_config = ConfigDict(extra="forbid", strict=True)

    budget: int = Field(ge=1, le=100)
    window: int = Field(ge=60, le=7 * 24 * 3600)
    lease_wait: int = Field(ge=0, le=3600)


class Maintenance(BaseModel):
    """A time in which people work on servers: nothing is changed on those of `groups`, on any where it is empty."""

    model_config = ConfigDict(extra="forbid", strict=True)

    begin: AwareDatetime = Field(strict=False)
    end: AwareDatetime = Field(strict=False)
    groups: list[Annotated[str, AfterValidator(_group)]] = []
    reason: str = Field(default="", max_length=300)

    @model_validator(mode="after")
    def _ordered(self) -> Maintenance:
        if self.end <= self.begin:
            raise ValueError("the end of a maintenance comes after its begin")
        return self


class BlastRadius(BaseModel):
    """On how many servers the same remedy may be begun; seconds."""

    model_config = ConfigDict(extra="forbid", strict=True)

    servers: int = Field(ge=1, le=10_000)
    percent: int = Field(ge=0, le=100)
    window: int = Field(ge=60, le=7 * 24 * 3600)


class Incidents(BaseModel):
    """What an incident that calls by itself may have fixed, and for how long its account is watched (seconds); a person
    is not asked."""

    model_config = ConfigDict(extra="forbid", strict=True)

    fix: bool
    ask: list[Annotated[str, AfterValidator(_cause_or_remedy)]]
    groups: list[Annotated[str, AfterValidator(_group)]]
    hours: list[Hours]
    watch: int = Field(ge=0, le=600)

    def may_fix(self, at: time) -> bool:
        """Whether a run that begins at `at`, in the local time of this machine, may fix anything."""
        return self.fix and within(self.hours, at)


class Policy(BaseModel):
    """All of it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    fix: Fix
    limits: Limits
    blast_radius: BlastRadius
    pairs: list[Annotated[str, AfterValidator(_group)]]
    incidents: Incidents
    maintenance: list[Maintenance]

    def names_groups(self) -> bool:
        """Whether `check` needs the groups of the inventory."""
        return bool(self.pairs or self.fix.groups or self.incidents.groups or self.maintenance)

    def check_asked(self, project: Project) -> None:
        """Raises InputError unless each name in `ask` is a remedy or a cause: a misspelt one would be fixed unasked."""
        if not (asked := [*self.fix.ask, *self.incidents.ask]):
            return
        from reconnect.engine import undoing  # the store, which who only reads the policy does not need

        table = undoing.table()
        known = {"all", *table, *(cause for remedy in table.values() for cause in remedy.fixes)}
        if unknown := [name for name in asked if name not in known]:
            from reconnect.ansible import judging  # the judge, for a cause that a person fixes anyway

            causes = judging.causes(project)
            for name in unknown:
                if name not in causes:
                    raise InputError(
                        f"The policy asks about '{name}', which is no cause and no remedy. Correct its name."
                    )

    def check(self, groups: Mapping[str, Collection[str]]) -> None:
        """Raises InputError unless each group that it names is one of these, each pair has two servers or more, and
        each maintenance that is not over has servers: one of nobody would hold nothing."""
        held = [group for one in self.maintenance if one.end > now() for group in one.groups]
        for what, named, least in (
            ("pair", self.pairs, 2),
            ("group", held, 1),
            ("group", [*self.fix.groups, *self.incidents.groups], 0),
        ):
            for name in named:
                if name not in groups:
                    raise InputError(
                        f"The {what} '{name}' of the policy is no group of the inventory. Correct one of them."
                    )
                if len(groups[name]) < least:
                    servers = "two servers" if least == 2 else "a server"
                    raise InputError(
                        f"The {what} '{name}' of the policy needs {servers} in the inventory. It has "
                        f"{len(groups[name])}."
                    )

    def under_maintenance(self, at: datetime, groups: Collection[str]) -> str:
        """Why nothing is changed at `at` on a server of these groups, as a sentence; empty where it may be. Every
        server is one of the group `all`, which Ansible does not count among a server's groups."""
        for one in self.maintenance:
            if one.begin <= at < one.end and (not one.groups or set(one.groups) & {*groups, "all"}):
                reason = one_line(one.reason, 300).rstrip(".")
                why = f": {reason}" if reason else ""
                return (
                    f"The server is under maintenance from {rfc3339(one.begin)} to {rfc3339(one.end)}{why}. Nothing is "
                    "changed until then."
                )
        return ""

    def variables(self, at: datetime, by_incident: bool = False) -> dict[str, Any]:
        """The playbook's variables for a run that begins at `at`, in the local time of this machine; `by_incident`
        where an incident began it by itself."""
        every = not within(self.fix.hours, at.time())
        ask, groups = self.fix.ask, self.fix.groups
        if by_incident:
            ask = [*ask, *self.incidents.ask]
            if self.incidents.groups:
                groups = [group for group in self.incidents.groups if not groups or group in groups]
                every = every or not groups
        return {
            "reconnect_ask": ["all"] if every else ask,
            "reconnect_fix_groups": groups,
            "reconnect_pairs": self.pairs,
            "reconnect_budget": self.limits.budget,
            "reconnect_budget_window": self.limits.window,
            "reconnect_lease_wait": self.limits.lease_wait,
        }


def in_force(settings: Settings) -> tuple[Policy, str]:
    """The policy for who only looks, and why nothing may be changed: the default one where the site's is invalid."""
    try:
        return load(settings), ""
    except InputError as error:
        return load(settings.model_copy(update={"policy": None})), str(error)


def load(settings: Settings) -> Policy:
    """The policy of the site. Raises InputError naming what is invalid."""
    merged = _read(DEFAULT)
    if settings.policy is not None:
        for part, values in _read(settings.policy).items():
            known = merged.get(part)
            merged[part] = {**known, **values} if isinstance(known, dict) and isinstance(values, dict) else values
    try:
        return Policy.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        said = f"{invalid.where(first)}: {invalid.in_a_sentence(first)}"
        raise InputError(f"The policy {one_line(settings.policy)} is invalid: {said}.") from None


def _read(file: Path) -> dict[Any, Any]:
    try:
        with expanded(file).open("rb") as opened:
            text = opened.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise InputError(f"The policy {one_line(file)} is larger than {MAX_BYTES // 1024} KiB.")
        loader = yaml.SafeLoader(text)
        if twice := invalid.twice(node := loader.get_single_node()):
            raise InputError(
                f"The policy {one_line(file)} has '{one_line(twice, 80)}' twice: only the last would count. Write one."
            )
        content = loader.construct_document(node) if node else None
    except OSError as error:
        raise InputError(f"Cannot read the policy {one_line(file)}: {error.strerror}.") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        problem = getattr(error, "problem", None) or error
        raise InputError(f"The policy {one_line(file)} is not YAML: {one_line(problem, 160)}.") from None
    if not isinstance(content, dict):
        raise InputError(
            f"The policy {one_line(file)} has no fields: it needs 'fix', 'limits', 'blast_radius', 'pairs',"
            " 'incidents' or 'maintenance'."
        )
    return content
