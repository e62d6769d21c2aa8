# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of the command: every command with its options, from the command line itself."""

from __future__ import annotations

from typing import Any

from reconnect.cli.commands import app
from reconnect.runs.request import DIAGNOSE, FIX, Asked
from typer.main import get_command

from reference.text import code, item, items, page, prose


def pages() -> dict[str, str]:
    """``command.md``."""
    sections = [
        text for name, command in all_commands("reconnect", get_command(app)) for text in _section(name, command)
    ]
    return {"command.md": page("The command `reconnect`", *sections)}


def all_commands(name: str, command: Any) -> list[tuple[str, Any]]:
    """Every command that can be called, by its full name."""
    if not hasattr(command, "commands"):
        return [(name, command)]
    return [one for sub, below in command.commands.items() for one in all_commands(f"{name} {sub}", below)]


def _section(name: str, command: Any) -> list[str]:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and "--help" not in one.opts]
    usage = " ".join([name, *(argument(one) for one in arguments), *(["[OPTION…]"] if options else [])])
    return [
        f"## {name.partition(' ')[2]}",
        f"    {usage}",
        prose(command.help or ""),
        items(item(code(_metavar(one)), one.help or "", _variable(name, one)) for one in arguments),
        items(item(code(flag(one)), one.help or "", _default(one), _variable(name, one)) for one in options),
    ]


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper()).strip("[]….")


def argument(parameter: Any) -> str:
    name = _metavar(parameter) + ("…" if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def flag(parameter: Any) -> str:
    flag, said = str(parameter.opts[-1]), ", ".join(parameter.opts)
    return said if parameter.is_flag else f"{said} {parameter.metavar or flag.strip('-').upper()}"


def _variable(command: str, parameter: Any) -> str:
    """The variable of the playbook that an option of a run sets, and who may ask a service for it."""
    for playbook in (DIAGNOSE, FIX):
        for one in Asked.options(playbook):
            if f"reconnect {playbook}" == f"{command}.yml" and one.name == parameter.name and one.option.variable:
                said = f"In a playbook: {code(one.option.variable)}."
                return f"{said} A service takes it from second level only." if one.option.right else said
    return ""


def _default(parameter: Any) -> str:
    """Its limits, where it is a number, and its default."""
    least, most, wanted = parameter.min, parameter.max, parameter.default
    limits = f"From {least:g} to {most:g}." if least is not None and most is not None else ""
    if callable(wanted) or wanted in (None, False, "", [], ()) or "default" in (parameter.help or ""):
        return limits
    return f"{limits} Default: {code(wanted)}." if isinstance(wanted, (str, int, float)) else limits
