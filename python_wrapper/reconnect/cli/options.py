"""The options of the command line, made from the declarations of runs/request.py."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from reconnect import names
from reconnect.names import Incident
from reconnect.runs.request import FIX, Asked, Declared, Playbook


def command(app: typer.Typer, playbook: Playbook, carry_out: Callable[[Asked, list[str]], None]) -> Callable[..., None]:
    """Adds the command that runs `playbook`; `carry_out` gets the options, and the words of the command line."""
    declared = Asked.options(playbook)

    def run(context: typer.Context, **given: Any) -> None:
        said = {name: value for name, value in given.items() if value is not None}
        asked = Asked.checked(playbook, **said)
        _check_approvals(asked.approvals)
        carry_out(asked, list(context.obj))

    parameters = [
        inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=_default(one), annotation=_annotation(one))
        for one in declared
    ]
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    # Typer reads a command's options from its signature.
    run.__signature__ = inspect.Signature([context, *parameters])  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in (context, *parameters)}
    run.__doc__ = carry_out.__doc__
    app.command(playbook.removesuffix(".yml"))(run)
    return run


def parameter(one: Declared) -> Any:
    """The option as Typer knows it."""
    shown: dict[str, Any] = {"metavar": one.option.metavar, "help": one.option.help}
    if one.option.positional:
        return typer.Argument(**shown)
    return typer.Option(*filter(None, (one.option.short, one.flag)), min=one.least, max=one.most, **shown)


def _check_approvals(approvals: list[str]) -> None:
    """Raises InputError for what is no remedy."""
    if not approvals:
        return
    from reconnect.engine import undoing  # who approves nothing waits for no catalogue

    for remedy in approvals:
        if names.checked("remedy", remedy) not in undoing.table():
            raise names.unknown("remedy", remedy, undoing.table())


def _annotation(one: Declared) -> Any:
    """Only what a command line can say: text for a name, None where nothing was given."""
    words = [str if part is Incident else part for part in typing.get_args(one.type)] if _is_union(one.type) else []
    plain = next((part for part in words if part is not type(None)), one.type)
    return Annotated[plain | None if _default(one) is None else plain, parameter(one)]


def _is_union(annotation: Any) -> bool:
    return type(None) in typing.get_args(annotation)


def _default(one: Declared) -> Any:
    return None if one.default == [] else one.default


def _of(name: str) -> Any:
    return next(parameter(one) for one in Asked.options(FIX) if one.name == name)


#: Options that other commands have too.
Json = Annotated[bool, _of("as_json")]
Verbose = Annotated[bool, _of("verbose")]
InventorySource = Annotated[Path | None, _of("inventory")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, the beginning of one, or 'latest'.")]
