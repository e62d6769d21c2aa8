"""The command `reconnect`.

A command is loaded when it is called, with what it needs: who asks for help waits for none of them.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
import traceback
from collections import UserDict
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from reconnect.cli import terminal
from reconnect.errors import InputError, ReconnectError, UnreachableError
from reconnect.exit_codes import ExitCode
from reconnect.text import one_line

#: Every command: the module beside this one whose `add_to` adds it, and its line in the list of commands.
COMMANDS = {
    "diagnose-server": ("running", "Find out why people cannot register with a server; with --apply, fix it."),
    "fix-account-config": (
        "running",
        'First level: from "does the device have internet?" to closed, fixed or escalated.',
    ),
    "inspect": ("inspecting", "Find out how a server is set up, and write its variables for the inventory."),
    "undo": ("running", "Undo what a run changed, unless somebody changed it since."),
    "doctor": (
        "doctor",
        "List what is missing on this control node or in its inventory, each with a command that helps.",
    ),
    "runs": ("runs", "List the runs, the newest first."),
    "show": ("runs", "Show how a run ended."),
    "report": ("runs", "Print the report of a run as the incident gets it, or write it as a page."),
    "stats": ("runs", "Count how runs ended, how long they took and how many were wrong."),
    "bundle": ("runs", "Write what third level needs of a run into one archive, without secrets."),
    "wrong": ("wrong", "Mark a verdict as wrong, and save its evidence without secrets as a case for the tests."),
    "outbox": ("outbox", "Show the reports and questions that have not reached their incident."),
    "resume": ("outbox", "Clean up after killed processes, restart their runs, and try every pending report now."),
    "hold": ("holding", "Hold servers: no remedy begins on them until they are released."),
    "release": ("holding", "Release servers that are on hold."),
    "holds": ("holding", "Show what is on hold, since when, by whom and why."),
    "cancel": ("deciding", "End a run early, also one whose machine is gone."),
    "approvals": ("deciding", "List the approvals of the service, pending and decided."),
    "approve": ("deciding", "Show a plan that needs an approval, and approve it."),
    "deny": ("deciding", "Deny a plan that needs an approval, and say why."),
    "causes": ("catalogue", "List the causes that can be found, or explain one."),
    "judge": ("catalogue", "Judge saved evidence, without a server."),
    "schema": ("catalogue", "Print the JSON Schema of the result document."),
    "version": ("catalogue", "Print the version."),
    "accounts": ("accounts", "The account registry: the accounts as they should be."),
    "store": ("storing", "Back up, restore, move or erase what is kept of runs."),
    "serve": ("serving", "Start the service: pages, API, hooks and polls, and the runs that they begin."),
    "worker": ("serving", "Carry out the runs that services ask for, and poll, without a listener."),
    "users": ("serving", "Users who may sign in to the service's pages."),
    "tokens": ("serving", "Tokens of programs for the service."),
}
#: What a service (RECONNECT_URL) carries out, and what needs neither service nor store.
AT_SERVICE = (
    *("diagnose-server", "fix-account-config", "runs", "show", "report", "bundle", "wrong"),
    *("hold", "release", "holds"),
    *("cancel", "approvals", "approve", "deny"),
)
ANYWHERE = ("causes", "judge", "schema", "version", "accounts", "doctor", "inspect")


class _OnDemand(UserDict[str, Any]):
    """The commands by name; each is loaded when it is looked up."""

    def __getitem__(self, name: str) -> Any:
        module, _ = self.data[name]
        package = __name__
        if name not in ANYWHERE and _service():
            if name not in AT_SERVICE:
                raise InputError(f"'{name}' works on the machine of the service only, without RECONNECT_URL.")
            if module == "running":
                package = "reconnect.cli.remote"
        app = typer.Typer(rich_markup_mode=None)
        # A single command would not be in a group.
        app.callback()(lambda: None)
        importlib.import_module(f"{package}.{module}").add_to(app)
        return vars(typer.main.get_command(app))["commands"][name]


def _service() -> str | None:
    """The address of the service that the command is for."""
    from reconnect import settings  # who asks for help waits for none of it

    return settings.load().url


class _Group(TyperGroup):
    """Lists the commands without loading them."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _OnDemand(COMMANDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, said) for name, (_, said) in COMMANDS.items()])


app = typer.Typer(
    name="reconnect",
    cls=_Group,
    help="Finds out why people cannot register with a server, fixes what it may, and reports to the incident.",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        importlib.import_module(f"{__name__}.catalogue").version()
        raise typer.Exit


@app.callback()
def reconnect(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """The options of the whole command."""


# Typer's own usage error: some releases of Typer contain Click, others depend on it.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command and exits. Every mistake of a person is one sentence on standard error."""
    terminal.prepare()
    code = run(list(sys.argv[1:] if arguments is None else arguments))
    sys.stdout.flush()
    sys.stderr.flush()
    if any(not thread.daemon and thread is not threading.current_thread() for thread in threading.enumerate()):
        # A report that waits for its next attempt has a thread that waits with it, for up to an hour. The report is
        # stored, and the next command sends it.
        os._exit(code)
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Runs the command with `arguments` and returns its exit code."""
    try:
        code = typer.main.get_command(app).main(
            args=list(arguments), prog_name="reconnect", standalone_mode=False, obj=list(arguments)
        )
    except InputError as error:
        return _failed(error, ExitCode.USAGE)
    except UnreachableError as error:
        return _failed(error, ExitCode.UNREACHABLE)
    except ReconnectError as error:
        return _failed(error, ExitCode.DEFECT)
    except UsageError as error:
        sentence = one_line(error.format_message()).rstrip(".")  # type: ignore[attr-defined]
        asked = error.ctx.command_path if error.ctx else "reconnect"  # type: ignore[attr-defined]
        joint = " See" if sentence.endswith("?") else "; see"
        return _failed(f"{sentence}{joint} '{asked} --help'.", ExitCode.USAGE)
    except (typer.Abort, KeyboardInterrupt):
        return _failed("Cancelled. Nothing was executed.", ExitCode.STOPPED)
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        return _failed(f"This is a defect of Reconnect: {error}", ExitCode.DEFECT)
    return int(code or 0)


def _failed(sentence: object, code: ExitCode) -> int:
    line = Text.assemble(("reconnect: ", "bold red"), one_line(sentence, 1000))
    terminal.stderr().print(line, soft_wrap=True)
    return code
