"""The command that takes back what people know better."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reconnect import settings
from reconnect.ansible import judging, project
from reconnect.cli.commands.runs import ended, write
from reconnect.cli.options import RunName
from reconnect.errors import InputError
from reconnect.reports import case
from reconnect.text import one_line


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(wrong)


def wrong(
    run: RunName,
    cause: Annotated[
        str, typer.Option(metavar="CODE", help="The root cause; 'none' when nothing was wrong.")
    ] = case.UNKNOWN,
    server: Annotated[str | None, typer.Option(metavar="SERVER", help="The server, when the run had several.")] = None,
    output: Annotated[Path, typer.Option(metavar="DIR", help="The folder for the case.")] = Path("reconnect-cases"),
) -> None:
    """Mark a verdict as wrong, and save its evidence without secrets as a case for the tests.

    The command 'reconnect stats' counts it.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Cannot make the folder {one_line(output)}: {error.strerror}.") from None
    loaded = settings.load()
    if loaded.url:
        from reconnect.cli.remote.runs import wrong as wrong_there

        files = wrong_there(loaded, run, server, cause)
    else:
        found, results = ended(run)
        _, files = case.mark_wrong(found, results, server, cause, judging.causes(project.find(loaded)), loaded)
    for name, content in files.items():
        write(output / name, content)
