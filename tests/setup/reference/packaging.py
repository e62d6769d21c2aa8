# SPDX-License-Identifier: GPL-3.0-or-later
"""The manual page and the completions of the command, from the command line itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from reconnect.cli.commands import COMMANDS, app
from typer.main import get_command

from reference.catalogue import EXIT_CODES
from reference.command import all_commands, argument, flag

FOLDER = Path(__file__).resolve().parents[3] / "packaging"
NOTE = "Made by `make docs`."


def texts() -> dict[Path, str]:
    """Every file by its path."""
    commands = dict(all_commands("reconnect", get_command(app)))
    return {
        FOLDER / "man" / "reconnect.1": manual(commands),
        FOLDER / "completion" / "reconnect": bash(commands),
        FOLDER / "completion" / "_reconnect": zsh(commands),
        FOLDER / "completion" / "reconnect.fish": fish(commands),
    }


def manual(commands: dict[str, Any]) -> str:
    """The page in the macros of man(7)."""
    lines = [
        f'.\\" {NOTE}',
        '.TH RECONNECT 1 "" "Reconnect" "User Commands"',
        ".SH NAME",
        "reconnect \\- find, fix and verify why people cannot register with a SIP server",
        ".SH SYNOPSIS",
        ".B reconnect",
        "[\\-h] [\\-\\-version] COMMAND [ARGUMENT\\&...] [OPTION\\&...]",
        ".SH DESCRIPTION",
        roff(get_command(app).help or ""),
        ".SH COMMANDS",
    ]
    for name, command in commands.items():
        words = [name, *(argument(one) for one in command.params if one.param_type_name == "argument")]
        lines += [".SS " + roff(" ".join(words)), roff(" ".join((command.help or "").split()))]
        for one in _options(command):
            lines += [".TP", f".B {roff(flag(one))}", roff(one.help or "")]
    lines += [".SH EXIT STATUS"]
    for code, meaning in EXIT_CODES.items():
        lines += [".TP", f".B {int(code)}", roff(meaning)]
    lines += [
        ".SH FILES",
        ".TP",
        ".I ~/.config/reconnect/settings.yml",
        "the settings of a user",
        ".TP",
        ".I /etc/reconnect/settings.yml",
        "the settings of the machine, where the user has none",
        ".SH SEE ALSO",
        ".BR ansible-playbook (1)",
    ]
    return "\n".join(lines) + "\n"


def roff(text: str) -> str:
    """Plain text as troff reads it."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "\\&...").replace("—", "\\(em")
    return "\\&" + escaped if escaped.startswith((".", "'")) else escaped


def bash(commands: dict[str, Any]) -> str:
    """The completion of bash."""
    cases = "\n".join(
        f"        '{name}') options='{' '.join(_flags(command))}' ;;" for name, command in _said(commands)
    )
    cases += "".join(
        f"\n        '{name} ?') options='{' '.join(below)}' ;;" for name, below in _groups(commands).items()
    )
    return f"""# {NOTE}
_reconnect() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} options=
    local command=${{COMP_WORDS[1]}}
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W '{" ".join(_first(commands))} --help --version' -- "$word"))
        return
    fi
    case $command in
        {"|".join(_groups(commands))})
            [ "$COMP_CWORD" -gt 2 ] || command+=" ?"
            [ "$COMP_CWORD" -le 2 ] || command+=" ${{COMP_WORDS[2]}}"
            ;;
    esac
    case $command in
{cases}
    esac
    case $before in
        {"|".join(_with_paths(commands))}) COMPREPLY=($(compgen -f -- "$word")) ;;
        *) COMPREPLY=($(compgen -W "$options" -- "$word")) ;;
    esac
}}
complete -o filenames -F _reconnect reconnect
"""


def zsh(commands: dict[str, Any]) -> str:
    """The completion of zsh."""
    listed = "\n".join(f"        {_quoted(f'{name}:{said}')}" for name, said in _helped(commands))
    cases = "\n".join(
        f"        '{name}')\n            _arguments {' '.join(map(_zsh_option, _options(command)))} '*:: :_files' ;;"
        for name, command in _said(commands)
    )
    groups = "\n".join(
        f"        {name})\n            if (( CURRENT == 3 )); then compadd {' '.join(below)}; return; fi\n"
        f'            command="{name} $words[3]" ;;'
        for name, below in _groups(commands).items()
    )
    return f"""#compdef reconnect
# {NOTE}
_reconnect() {{
    local -a commands
    commands=(
{listed}
    )
    if (( CURRENT == 2 )); then
        _describe command commands
        _arguments '--help[show the help]' '--version[print the version]'
        return
    fi
    local command=$words[2]
    case $command in
{groups}
    esac
    case $command in
{cases}
    esac
}}
_reconnect "$@"
"""


def fish(commands: dict[str, Any]) -> str:
    """The completion of fish."""
    lines = [f"# {NOTE}", "complete -c reconnect -f", "complete -c reconnect -n __fish_use_subcommand -l version"]
    for name, said in _helped(commands):
        lines.append(f"complete -c reconnect -n __fish_use_subcommand -a {name} -d {_quoted(said)}")
    for name, below in _groups(commands).items():
        lines.append(f"complete -c reconnect -n '__fish_seen_subcommand_from {name}' -a '{' '.join(below)}'")
    for name, command in _said(commands):
        for one in _options(command):
            given = "" if one.is_flag else " -r" + ("F" if _is_path(one) else "")
            lines.append(
                f"complete -c reconnect -n '__fish_seen_subcommand_from {name.split()[-1]}'"
                f" -l {one.opts[-1].removeprefix('--')}{given} -d {_quoted(one.help or '')}"
            )
    return "\n".join(lines) + "\n"


def _said(commands: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every command by its words after `reconnect`."""
    return ((name.partition(" ")[2], command) for name, command in commands.items())


def _first(commands: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(name.split()[0] for name, _ in _said(commands)))


def _groups(commands: dict[str, Any]) -> dict[str, list[str]]:
    """The groups of commands, and what is in each."""
    found: dict[str, list[str]] = {}
    for name, _ in _said(commands):
        if " " in name:
            found.setdefault(name.split()[0], []).append(name.split()[1])
    return found


def _helped(commands: dict[str, Any]) -> Iterator[tuple[str, str]]:
    helped = {name: (command.help or "").splitlines()[0] for name, command in _said(commands)}
    return ((name, helped.get(name) or COMMANDS[name][1]) for name in _first(commands))


def _options(command: Any) -> list[Any]:
    return [one for one in command.params if one.param_type_name == "option" and "--help" not in one.opts]


def _flags(command: Any) -> Iterable[str]:
    return [*(one.opts[-1] for one in _options(command)), "--help"]


def _is_path(option: Any) -> bool:
    return "path" in str(option.type_descriptor).lower() or option.metavar in ("DIR", "FILE")


def _with_paths(commands: dict[str, Any]) -> list[str]:
    return sorted({one.opts[-1] for command in commands.values() for one in _options(command) if _is_path(one)})


def _zsh_option(option: Any) -> str:
    said = (option.help or "").replace("[", "(").replace("]", ")").replace(":", " -")
    value = "" if option.is_flag else f":{option.opts[-1].strip('-')}:" + ("_files" if _is_path(option) else "")
    return _quoted(f"{option.opts[-1]}[{said}]{value}")


def _quoted(text: str) -> str:
    """One word of a shell."""
    return "'" + text.replace("'", "'\\''") + "'"
