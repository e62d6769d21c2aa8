"""The command that finds out how a server is set up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from reconnect import files, settings
from reconnect.ansible import inventory, project
from reconnect.cli import terminal
from reconnect.cli.options import InventorySource
from reconnect.errors import InputError

Server = Annotated[str, typer.Argument(metavar="SERVER", help="A server of the inventory.")]
File = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="The file to write; - prints it instead. Default: host_vars/SERVER.yml of the inventory."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(inspect)


def inspect(server: Server, file: File = None, inventory_source: InventorySource = None) -> None:
    """Find out how a server is set up, and write its variables for the inventory. Nothing is changed on the server."""
    from reconnect.ansible import inspecting

    loaded = settings.load()
    here = project.find(loaded)
    source = inventory.source_of(inventory_source, loaded, here)
    (name, *others) = inventory.load(source, here).servers([server])
    if others:
        raise InputError(f"'{server}' is a group. Inspect one server at a time.")
    target = file or (source if source.is_dir() else source.parent) / "host_vars" / f"{name}.yml"
    printed = str(target) == "-"
    if not printed and files.kind(target) is not None:
        raise InputError(f"{target} is there already. Rename it, or give --file FILE.")
    text = inspecting.inspect(name, source, here, loaded)
    if printed:
        terminal.stdout().write(text.rstrip("\n"))
        return
    try:
        target.parent.mkdir(exist_ok=True)
        with target.open("x", encoding="utf-8") as written:
            written.write(text)
    except OSError as error:
        raise InputError(f"Cannot write {target}: {error.strerror}.") from None
    said = f"{target} says how {name} is set up. Read it, and correct what is wrong."
    terminal.stdout().print(Text(said), soft_wrap=True)
