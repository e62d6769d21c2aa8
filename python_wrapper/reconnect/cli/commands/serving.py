"""The commands of the service, and of those who may use it."""

from __future__ import annotations

import sys
from typing import Annotated, Any, cast

import typer
from rich.text import Text

from reconnect import machine, settings
from reconnect.cli import terminal
from reconnect.errors import InputError
from reconnect.service.people import People
from reconnect.settings.service import MOST_WORKERS

users = typer.Typer(help="Users who may sign in to the service's pages.", rich_markup_mode=None)
tokens = typer.Typer(help="Tokens of programs for the service.", rich_markup_mode=None)

Role = Annotated[str, typer.Option(metavar="ROLE", help="first_level, second_level or admin.")]


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(serve)
    app.command()(worker)
    app.add_typer(users, name="users")
    app.add_typer(tokens, name="tokens")


def serve(
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="Only answer requests. Begin no run, and do not poll.")
    ] = False,
) -> None:
    """Start the service: pages, API, hooks and polls, and the runs that they begin."""
    from reconnect.service.serve import serve as serve_site  # a second that only the service has to pay

    serve_site(settings.load(), not no_worker)


def worker(
    slots: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=MOST_WORKERS, help="How many runs at the same time. Default: service.workers."
        ),
    ] = None,
) -> None:
    """Carry out the runs that services ask for, and poll, without a listener. Start one on each machine.

    Machines share work through one PostgreSQL store; with SQLite, all processes are on one machine.
    """
    from reconnect.service.serve import work

    work(settings.load(), slots)


@users.callback()
def users_group() -> None:
    """Users who may sign in to the service's pages."""


@users.command("add")
def add_user(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name to sign in with.")],
    role: Role,
    language: Annotated[str, typer.Option(metavar="LANGUAGE", help="en or it.")] = "en",
) -> None:
    """Add a user, or change a user's role and password. A password has at least 12 characters.

    The command asks for the password on a terminal, else it reads it from standard input.
    """
    if language not in ("en", "it"):
        raise InputError("The languages are en and it.")
    People(settings.load()).add_user(name, role, _password(), cast(Any, language), _self())
    terminal.stdout().print(Text(f"{name} can sign in."), soft_wrap=True)


@users.command("remove")
def remove_user(name: Annotated[str, typer.Argument(metavar="NAME", help="A user.")]) -> None:
    """Remove a user, and end the sessions."""
    People(settings.load()).remove_user(name, _self())


@users.command("list")
def list_users() -> None:
    """List the users."""
    found = People(settings.load()).users()
    for user in found:
        terminal.stdout().print(Text(f"{user.name}  {user.role}"), soft_wrap=True)
    if not found:
        terminal.stderr().say("There is no user.")


@tokens.callback()
def tokens_group() -> None:
    """Tokens of programs for the service."""


@tokens.command("add")
def add_token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the token is for.")],
    role: Role,
    server: Annotated[
        list[str] | None, typer.Option(metavar="SERVER", help="Only for this host. May be repeated.")
    ] = None,
    days: Annotated[int, typer.Option(metavar="DAYS", min=1, max=366, help="How long it is valid.")] = 90,
) -> None:
    """Make a token and print it, once: only a digest is stored."""
    terminal.stdout().write(People(settings.load()).add_token(name, role, server or [], days, _self()))


@tokens.command("remove")
def remove_token(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="The id that 'reconnect tokens list' shows.")],
) -> None:
    """Make a token invalid."""
    People(settings.load()).remove_token(token_id, _self())


@tokens.command("list")
def list_tokens() -> None:
    """List the tokens that are valid."""
    found = People(settings.load()).tokens()
    for token_id, person in found:
        servers = ", ".join(sorted(person.servers or [])) or "all servers"
        terminal.stdout().print(Text(f"{token_id}  {person.name}  {person.role}  {servers}"), soft_wrap=True)
    if not found:
        terminal.stderr().say("There is no valid token.")


def _password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline(1000).rstrip("\n")


def _self() -> str:
    return machine.user() or "unknown"
