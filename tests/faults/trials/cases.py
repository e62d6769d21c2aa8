"""The cases that the files of tests/faults describe: one for each file and server."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from reconnect.result import UNKNOWN_CAUSE

FAULTS = Path(__file__).resolve().parents[1]
sys.path.append(str(FAULTS.parent / "lab"))

from labkit.hosts import HOSTS, USUAL  # noqa: E402

SERVERS = tuple(host.name for host in HOSTS.values() if host.is_pbx or host.is_stranger or host.before)
#: Kind of case, and the folder of its files.
KINDS = {"fault": ".", "control": "controls", "pair": "pairs", "unknown": "unknowns"}
REPRESENTATIVE = FAULTS / "representative.txt"


@dataclass(frozen=True)
class Case:
    """A state of one server, and what a diagnosis must say of it."""

    kind: str
    name: str
    server: str
    what: str
    breaks: tuple[str, ...]
    places: frozenset[str]
    wide: bool = False
    account: str = ""
    client_report: dict[str, Any] | None = None
    idle_test: int = 0
    command: str = "diagnose-server"
    follows: bool = False
    expects: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Its name among all cases."""
        folder = KINDS[self.kind]
        return f"{self.name}-{self.server}" if folder == "." else f"{folder}/{self.name}-{self.server}"

    @property
    def causes(self) -> list[str]:
        """The root causes that must be named, and no other."""
        if self.kind == "fault":
            return [self.expects["root_cause"]]
        if self.kind == "unknown":
            return [UNKNOWN_CAUSE]
        return sorted(self.expects.get("root_causes", []))

    @property
    def must_fix(self) -> bool:
        """Whether ``--apply`` alone must fix it."""
        return bool(self.expects.get("fixed"))


def cases() -> list[Case]:
    """Every case, faults first."""
    found = []
    for kind, folder in KINDS.items():
        for file in sorted((FAULTS / folder).glob("*.yml")):
            found += of_file(kind, file)
    return found


def of_file(kind: str, file: Path) -> list[Case]:
    """The cases of a file, one for each server that can have it."""
    content = read(file)
    if kind == "pair":
        breaks = tuple(content["faults"])
        parts = [read(FAULTS / f"{name}.yml") for name in breaks]
    else:
        breaks = (file.relative_to(FAULTS).with_suffix("").as_posix(),)
        parts = [content]
    servers = content.get("servers") or [
        server for server in SERVERS if all(server in part.get("servers", USUAL) for part in parts)
    ]
    wide = any(part.get("wide", False) for part in parts)
    return [
        Case(
            kind=kind,
            name=file.stem,
            server=server,
            what=content["what"],
            breaks=breaks,
            places=frozenset(
                {
                    *(SERVERS if wide else ()),
                    *(("phone",) if content.get("follows") else ()),
                    *(part["where"] for part in parts if part.get("where")),
                    server,
                }
            ),
            wide=wide,
            account=next((str(part["account"]) for part in (content, *parts) if part.get("account")), ""),
            client_report=next(
                (part["client_report"] for part in (content, *parts) if part.get("client_report")), None
            ),
            idle_test=content.get("idle_test", 0),
            command=content.get("command", "diagnose-server"),
            follows=content.get("follows", False),
            expects=content.get("expects") or {},
        )
        for server in servers
    ]


def read(file: Path) -> dict[str, Any]:
    """A file's content."""
    content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return content


def representative() -> list[Case]:
    """The fixed third that continuous integration runs: the cases that ``representative.txt`` lists."""
    lines = REPRESENTATIVE.read_text(encoding="utf-8").splitlines()
    listed = [line for line in lines if line and not line.startswith("#")]
    known = {case.id: case for case in cases()}
    if strangers := [line for line in listed if line not in known]:
        raise ValueError(f"{REPRESENTATIVE.name} lists what is no case: {', '.join(strangers)}")
    return [known[line] for line in listed]


def chosen(words: Iterable[str], among: list[Case]) -> list[Case]:
    """The cases whose id contains one of the words; all of them without words."""
    wanted = list(words)
    return [case for case in among if not wanted or any(word in case.id for word in wanted)]
