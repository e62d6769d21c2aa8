"""The command that takes back what people know better."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reconnect import names, settings
from reconnect.ansible import judging, project
from reconnect.cli.commands.runs import ended, write
from reconnect.cli.options import RunName
from reconnect.errors import InputError
from reconnect.reports import case
from reconnect.result import Result
from reconnect.runs.store import Run
from reconnect.text import one_line


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(wrong)


def wrong(
    run: RunName,
    cause: Annotated[
        str, typer.Option(metavar="CODE", help="The root cause; 'none' when nothing was wrong.")
    ] = case.UNKNOWN,
    server: Annotated[str | None, typer.Option(help="The server, when the run had several.")] = None,
    output: Annotated[Path, typer.Option(metavar="DIR", help="The folder for the case.")] = Path("reconnect-cases"),
) -> None:
    """Mark a verdict as wrong, and save its evidence without secrets as a case for the tests.

    The command 'reconnect stats' counts it.
    """
    loaded = settings.load()
    known = [*judging.causes(project.find(loaded)), case.NONE, case.UNKNOWN]
    if names.checked("cause", cause) not in known:
        raise names.unknown("cause", cause, known)
    found, results = ended(run)
    result = _of_server(found, results, server)
    if result.verdict is None:
        raise InputError(f"The run {found.run_id} has no verdict on {result.server}: {result.state}.")
    if case.said(result) == ([] if cause == case.NONE else [cause]):
        raise InputError(f"The run {found.run_id} says so already: {', '.join(case.said(result)) or 'no cause'}.")
    evidence = found.evidence(result.server)
    if not evidence:
        raise InputError(f"The run {found.run_id} kept no evidence of {result.server}.")
    files = case.case_of(found, result, evidence, cause, loaded)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Cannot make the folder {one_line(output)}: {error.strerror}.") from None
    for name, content in files.items():
        write(output / name, content)
    found.mark_wrong(result.server, cause)


def _of_server(run: Run, results: list[Result], server: str | None) -> Result:
    by_server = {result.server: result for result in results}
    if server is not None and names.checked("server", server) not in by_server:
        raise names.unknown("server", server, by_server)
    if server is None and len(results) > 1:
        raise InputError(f"The run {run.run_id} had {len(results)} servers. Give --server.")
    return by_server[server or results[0].server]
