"""The commands about the account registry."""

from __future__ import annotations

from dataclasses import asdict

import typer
from rich.text import Text

from reconnect import settings
from reconnect.ansible import accounts, inventory, project
from reconnect.cli import terminal
from reconnect.cli.options import InventorySource, Json
from reconnect.exit_codes import ExitCode
from reconnect.text import counted


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(rich_markup_mode=None)
    group.callback()(accounts_group)
    group.command()(validate)
    app.add_typer(group, name="accounts")


def accounts_group() -> None:
    """The account registry: the accounts as they should be."""


def validate(inventory_source: InventorySource = None, as_json: Json = False) -> None:
    """Check the whole account registry, and list every mistake with file and line."""
    loaded = settings.load()
    here = project.find(loaded)
    source = inventory.source_of(inventory_source, loaded, here)
    found = accounts.validate(source, here)
    if as_json:
        terminal.stdout().json(asdict(found))
    else:
        for mistake in found.mistakes:
            terminal.stderr().print(Text(f"{mistake.where}: {mistake.sentence}"), soft_wrap=True)
        if not found.mistakes:
            what = f"{counted(found.accounts, 'account')} of {counted(found.servers, 'server')}"
            terminal.stdout().write(f"{what}, no mistakes.")
    raise typer.Exit(ExitCode.USAGE if found.mistakes else ExitCode.OK)
