"""The commands about what is pending: reports, questions and interrupted runs."""

from __future__ import annotations

import typer
from rich.text import Text

from reconnect import log, settings
from reconnect.ansible import project
from reconnect.cli import terminal
from reconnect.cli.options import Json, Verbose
from reconnect.cli.progress import Progress
from reconnect.engine import resuming
from reconnect.exit_codes import ExitCode
from reconnect.runs.store import Run
from reconnect.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(outbox)
    app.command()(resume)


def outbox(as_json: Json = False) -> None:
    """Show the reports and questions that have not reached their incident, and the runs that were interrupted."""
    loaded = settings.load()
    waiting = resuming.waiting(loaded)
    if as_json:
        terminal.stdout().json([run.record.model_dump(mode="json") for run in waiting])
    else:
        _list(waiting, loaded)


def resume(verbose: Verbose = False) -> None:
    """Clean up after killed processes, restart their runs, and try every pending report now."""
    loaded = settings.load()
    log.to_file(loaded)
    left = resuming.resume(project.find(loaded), loaded, Progress(terminal.stderr(), verbose))
    _list(left, loaded)
    raise typer.Exit(ExitCode.REPORT_PENDING if left else ExitCode.OK)


def _list(runs: list[Run], loaded: Settings) -> None:
    for run in runs:
        terminal.stdout().print(Text(resuming.told(run, loaded)), soft_wrap=True)
    if not runs:
        terminal.stderr().say("Nothing is pending.")
