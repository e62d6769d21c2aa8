"""The commands about the store itself: what is kept of runs, people and what they did."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconnect import machine, names, settings
from reconnect.cli import terminal
from reconnect.errors import InputError
from reconnect.names import Incident
from reconnect.text import counted, one_line

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from reconnect.service.audit import What

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(rich_markup_mode=None)
    group.callback()(store_group)
    for command in (backup, restore, copy, erase):
        group.command()(command)
    app.add_typer(group, name="store")


def store_group() -> None:
    """Back up, restore, move or erase what is kept of runs."""


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write. An existing one is replaced.")],
) -> None:
    """Write the whole store into one file, while others go on using it."""
    from reconnect.runs import backup as copies

    terminal.stdout().say(f"Written: {file} ({_runs(copies.backup(settings.load(), file))})")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup, of this version or an older one.")],
    yes: Yes = False,
) -> None:
    """Replace the whole store by a backup. What was under way in it is not started again."""
    from reconnect.runs import backup as copies

    loaded = settings.load()
    _confirm("This backup replaces everything in the store.", yes)
    count = copies.restore(loaded, file)
    _note(loaded, "store restored", file.name)
    terminal.stdout().say(f"Restored: {_runs(count)}.")


def copy(
    to: Annotated[str, typer.Option(metavar="URL", help="postgresql://USER@HOST/DATABASE, without the password.")],
) -> None:
    """Copy the store into an empty PostgreSQL database. The store itself stays as it is."""
    from reconnect.runs import backup as copies

    count = copies.copy(settings.load(), to)
    terminal.stdout().say(f"Copied: {_runs(count)}. Now name the database in the setting 'database'.")


def erase(
    account: Annotated[str | None, typer.Option(metavar="ACCOUNT", help="The runs about this account.")] = None,
    incident: Annotated[str | None, typer.Option(metavar="TRACKER:ID", help="The runs of this incident.")] = None,
    yes: Yes = False,
) -> None:
    """Erase all runs of one account or incident, with their evidence, results and reports. The audit stays."""
    from reconnect.runs import erasing

    if (account is None) == (incident is None):
        raise InputError("Give either --account or --incident.")
    loaded = settings.load()
    if account is not None:
        names.checked("account", account)
    parsed = None if incident is None else Incident.parse(incident)
    count = len(erasing.found(loaded, account, parsed))
    _confirm(f"This erases {_runs(count)} of {one_line(account or incident, 80)}.", yes)

    def note(connection: Connection, run_ids: list[str]) -> None:
        _deed(connection, "runs erased", "", {"runs": run_ids})

    terminal.stdout().say(f"Erased: {_runs(len(erasing.erase(loaded, account, parsed, note)))}.")


def _confirm(sentence: str, yes: bool) -> None:
    terminal.confirm(f"{sentence} Continue?", yes, f"{sentence} Cannot ask: no terminal. Add --yes.")


def _note(loaded: settings.Settings, what: What, subject: str) -> None:
    from reconnect.runs.database import engine_of, writing

    with writing(engine_of(loaded)) as connection:
        _deed(connection, what, subject, {})


def _deed(connection: Connection, what: What, subject: str, data: dict[str, object]) -> None:
    from reconnect.service import audit

    audit.append(connection, audit.Deed(machine.user() or "unknown", "shell", "", what, subject, data=data))


def _runs(count: int) -> str:
    return counted(count, "run")
