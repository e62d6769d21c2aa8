"""The commands that hold servers: while one is on hold, nothing is changed on it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from reconnect import machine, settings
from reconnect.ansible import inventory, project
from reconnect.cli import terminal
from reconnect.cli.options import InventorySource, Json
from reconnect.errors import InputError
from reconnect.result import rfc3339
from reconnect.text import one_line

if TYPE_CHECKING:
    from reconnect.cli.remote.holding import Holds
    from reconnect.runs.guards import Guards

Servers = Annotated[
    list[str] | None,
    typer.Argument(metavar="SERVER…", help="Hosts or groups of the inventory. Default: everything."),
]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why, for whoever is refused.")]


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(hold)
    app.command()(release)
    app.command()(holds)


def hold(servers: Servers = None, reason: Reason = "", inventory_source: InventorySource = None) -> None:
    """Hold servers: no remedy begins on them until they are released. Without a server, hold everything."""
    loaded = settings.load()
    if loaded.url:
        _elsewhere(inventory_source)
        there = _there(loaded)
        there.hold(servers or [], reason)
        _list(there)
        return
    guards = _guards(loaded)
    guards.hold(_meant(servers, inventory_source, loaded), reason, machine.user() or "unknown")
    _list(guards)


def release(servers: Servers = None, inventory_source: InventorySource = None) -> None:
    """Release servers that are on hold. Without a server, end the hold on everything; servers that are held by name
    stay on hold."""
    loaded = settings.load()
    guards: Guards | Holds
    if loaded.url:
        _elsewhere(inventory_source)
        guards = _there(loaded)
        held = guards.release(servers or [])
        # Only the service knows whom a group means.
        meant = held or servers or [""]
    else:
        guards = _guards(loaded)
        meant = _meant(servers, inventory_source, loaded)
        held = guards.release(meant)
    for server in meant:
        name = server or "Everything"
        said = "is released" if server in held else "was not on hold"
        terminal.stdout().print(Text(one_line(f"{name} {said}.")), soft_wrap=True)
    _list(guards)


def holds(as_json: Json = False) -> None:
    """Show what is on hold, since when, by whom and why."""
    loaded = settings.load()
    guards = _there(loaded) if loaded.url else _guards(loaded)
    if as_json:
        terminal.stdout().json(
            [asdict(one) | {"server": one.server or None, "since": rfc3339(one.since)} for one in guards.holds()]
        )
    else:
        _list(guards)


def _guards(loaded: settings.Settings) -> Guards:
    """The guards of this site's store; who asks for help does not load it."""
    from reconnect.runs.guards import Guards

    return Guards(loaded)


def _there(loaded: settings.Settings) -> Holds:
    """The holds of the service."""
    from reconnect.cli.remote.holding import Holds

    return Holds(loaded)


def _elsewhere(source: InventorySource) -> None:
    if source is not None:
        raise InputError("--inventory works only without RECONNECT_URL. Leave out one of the two.")


def _meant(servers: list[str] | None, source: InventorySource, loaded: settings.Settings) -> list[str]:
    """The hosts that are meant. Raises InputError for a name that the inventory does not have."""
    from reconnect.runs.guards import EVERYTHING

    if not servers:
        return [EVERYTHING]
    here = project.find(loaded)
    known = inventory.load(inventory.source_of(source, loaded, here), here, loaded.inventories)
    return known.servers(servers)


def _list(guards: Guards | Holds) -> None:
    held = list(guards.holds())
    for one in held:
        terminal.stdout().say(one.sentence())
    if not held:
        terminal.stderr().say("Nothing is on hold.")
