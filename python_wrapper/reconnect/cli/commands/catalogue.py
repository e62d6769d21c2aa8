"""The commands that need neither a server nor a run: causes, saved evidence, schema and version."""

from __future__ import annotations

import importlib.metadata
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from reconnect import exit_codes, names, settings
from reconnect.ansible import judging, project
from reconnect.cli import screen, terminal
from reconnect.cli.options import Json
from reconnect.result import json_schema


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(causes)
    app.command()(judge)
    app.command()(schema)
    app.command()(version)


def causes(
    code: Annotated[str | None, typer.Argument(metavar="CODE", help="Explain this cause.")] = None,
    as_json: Json = False,
) -> None:
    """List the causes that can be found, or explain one."""
    catalogue = judging.causes(project.find(settings.load()))
    if code is not None and names.checked("cause", code) not in catalogue:
        raise names.unknown("cause", code, catalogue)
    chosen = [catalogue[code]] if code is not None else list(catalogue.values())
    if as_json:
        terminal.stdout().json([asdict(cause) for cause in chosen])
    elif code is not None:
        screen.show_cause(terminal.stdout(), chosen[0])
    else:
        screen.show_causes(terminal.stdout(), chosen)


def judge(
    evidence: Annotated[Path, typer.Argument(metavar="EVIDENCE.json", help="An evidence document.")],
    as_json: Json = False,
) -> None:
    """Judge saved evidence, without a server."""
    server, judgement = judging.judge(project.find(settings.load()), evidence)
    if as_json:
        terminal.stdout().json(judgement.model_dump(mode="json"))
    else:
        screen.show_judgement(terminal.stdout(), server, judgement)
    raise typer.Exit(exit_codes.of_verdict(judgement.verdict))


def schema() -> None:
    """Print the JSON Schema of the result document."""
    terminal.stdout().json(json_schema())


def version() -> None:
    """Print the version."""
    terminal.stdout().write(importlib.metadata.version("reconnect"))
