"""The commands that show runs that are kept."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, get_args

import typer

from reconnect import names, settings
from reconnect.cli import screen, terminal
from reconnect.cli.options import Json, RunName
from reconnect.errors import InputError
from reconnect.result import Outcome, Result, State, to_json
from reconnect.runs.record import Record, Wanted
from reconnect.runs.store import Run, Runs, write_bytes
from reconnect.text import one_line


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("runs")(list_runs)
    app.command("show")(show)
    app.command("report")(report)
    app.command("stats")(show_stats)
    app.command("bundle")(write_bundle)


def list_runs(
    server: Annotated[str | None, typer.Option(metavar="SERVER", help="Only runs on this server.")] = None,
    account: Annotated[str | None, typer.Option(metavar="ACCOUNT", help="Only runs for this account.")] = None,
    outcome: Annotated[
        str | None, typer.Option(metavar="OUTCOME", help="Only runs with this outcome or state.")
    ] = None,
    since: Annotated[datetime | None, typer.Option(help="Only runs that began at this time (UTC) or later.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Only runs that began at this time (UTC) or before.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="Show at most this many.")] = 50,
    as_json: Json = False,
) -> None:
    """List the runs, the newest first."""
    known = [*get_args(Outcome), *get_args(State)]
    if outcome is not None and outcome not in known:
        raise names.unknown("outcome or state", one_line(outcome, 80), known)
    wanted = Wanted(server, account, outcome, since and since.replace(tzinfo=UTC), until and until.replace(tzinfo=UTC))
    loaded = settings.load()
    if loaded.url:
        from reconnect.cli.remote.runs import newest

        chosen = newest(loaded, wanted, limit)
    else:
        chosen = [run.record for run in Runs(loaded).newest(wanted, limit)]
    if as_json:
        terminal.stdout().json([record.model_dump(mode="json") for record in chosen])
    else:
        screen.show_runs(terminal.stdout(), chosen)
        if not chosen:
            terminal.stderr().say("There is no such run." if wanted != Wanted() else "There is no run yet.")


def show(run: RunName, as_json: Json = False) -> None:
    """Show how a run ended."""
    record, results = _seen(run)
    if as_json:
        documents = [to_json(result) for result in results]
        terminal.stdout().json(documents[0] if len(documents) == 1 else documents)
    else:
        screen.show(terminal.stdout(), record, results)


def report(
    run: RunName,
    markdown: Annotated[bool, typer.Option("--markdown", help="Markdown instead of plain text.")] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a self-contained HTML page instead.")] = None,
) -> None:
    """Print the report of a run as the incident gets it, or write it as a page."""
    from reconnect.reports import comment

    if html is not None:
        write(html, _page(run))
        return
    record, results = _seen(run)
    written = comment.markdown if markdown else comment.text
    terminal.stdout().write(written(record, results))


def show_stats(as_json: Json = False) -> None:
    """Count how runs ended, how long they took and how many were wrong, by outcome, server and cause."""
    from reconnect.runs import stats

    lines = stats.stats(Runs(settings.load()))
    if as_json:
        terminal.stdout().json([asdict(line) for line in lines])
    elif lines:
        stats.show(terminal.stdout(), lines)
    else:
        terminal.stderr().say("No run has ended yet.")


def write_bundle(
    run: RunName,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The archive; else NAME.tar.gz in this folder.")
    ] = None,
) -> None:
    """Write what third level needs of a run into one archive, without secrets."""
    loaded = settings.load()
    if loaded.url:
        from reconnect.cli.remote.runs import file_of

        run_id, content = file_of(loaded, run, "bundle")
        write(output or Path(f"reconnect-{run_id}.tar.gz"), content)
        return
    from reconnect.reports import bundle

    found, results = ended(run)
    made = bundle.bundle_of(found, results, loaded)
    write(output or Path(made.name), made.content)


def ended(prefix: str) -> tuple[Run, list[Result]]:
    """The run whose id begins with `prefix`, and its results. Raises InputError when it has none."""
    found = Runs(settings.load()).find(prefix)
    results = found.results()
    _check(found.record, results)
    return found, results


def _seen(prefix: str) -> tuple[Record, list[Result]]:
    """The same of the service, where there is one; without what only the store has."""
    loaded = settings.load()
    if not loaded.url:
        found, results = ended(prefix)
        return found.record, results
    from reconnect.cli.remote.runs import ended as ended_there

    record, results = ended_there(loaded, prefix)
    _check(record, results)
    return record, results


def _check(record: Record, results: list[Result]) -> None:
    if record.question:
        asked = " ".join(record.question)
        raise InputError(f"The run {record.run_id} only asked its incident; nothing was executed: {asked}")
    if not results:
        raise InputError(f"The run {record.run_id} has no result: it still runs, or its process was killed.")


def _page(prefix: str) -> bytes:
    loaded = settings.load()
    if loaded.url:
        from reconnect.cli.remote.runs import file_of

        return file_of(loaded, prefix, "report.html")[1]
    from reconnect.reports import pages

    found, results = ended(prefix)
    return pages.page_of(found, results, loaded).encode()


def write(path: Path, content: bytes) -> None:
    """Writes a file and says so. Raises InputError when it cannot."""
    try:
        write_bytes(path, content)
    except OSError as error:
        raise InputError(f"Cannot write {one_line(path)}: {error.strerror}.") from None
    terminal.stderr().print(one_line(f"Written: {path} ({len(content):,} bytes)", 1000), soft_wrap=True)
