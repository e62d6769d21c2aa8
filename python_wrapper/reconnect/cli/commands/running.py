"""The commands that begin a run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import typer

from reconnect import files, log, settings
from reconnect.ansible import project
from reconnect.ansible.warm import command
from reconnect.cli import options, screen, terminal
from reconnect.cli.options import Json, RunName, Verbose
from reconnect.cli.progress import Progress
from reconnect.engine import asking, resuming, undoing
from reconnect.engine.wait import Report, Waiter, warm_up
from reconnect.errors import InputError, ReconnectError, StoreError
from reconnect.incidents import intake
from reconnect.result import Result, approved_by_yes, steps, to_json
from reconnect.runs.request import DIAGNOSE, FIX, Asked, Step
from reconnect.runs.store import Run, Runs
from reconnect.text import one_line


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    options.command(app, DIAGNOSE, diagnose_server)
    options.command(app, FIX, fix_account_config)
    app.command()(undo)


def diagnose_server(asked: Asked, words: list[str]) -> None:
    """Find out why people cannot register with a server; with --apply, fix it."""
    _show(_carry_out(asked, words), asked.as_json, asked.diff)


def fix_account_config(asked: Asked, words: list[str]) -> None:
    """First level: from "does the device have internet?" to closed, fixed or escalated.

    On a terminal, without --apply and --check, it shows what it would change and asks once.
    """
    ask = _ask if asked.mode == "diagnose" and not asked.as_json and sys.stdin.isatty() else None
    ended = _carry_out(asked, words, ask)
    if ended.superseded:
        # The account was watched while the plan was made.
        shown = steps(ended.results, "planned")
        again = {
            "apply": True,
            "approvals": sorted({*asked.approvals, *approved_by_yes(step for _, step in shown)}),
            "watch": 0,
            "ask_vault_pass": False,
            "ask_become_pass": False,
        }
        ended = _carry_out(asked.model_copy(update=again), words, plan=Step.confirmed(shown))
    _show(ended, asked.as_json, asked.diff)


def undo(context: typer.Context, run: RunName, as_json: Json = False, verbose: Verbose = False) -> None:
    """Undo what a run changed, unless somebody changed it since. Say what was not undone, and why."""
    loaded = settings.load()
    log.to_file(loaded)
    here = project.find(loaded)
    request = undoing.request(Runs(loaded).find(run), list(context.obj))
    waiter = Waiter(here, loaded, Progress(terminal.stderr(), verbose))
    with terminal.signals_cancel(waiter.cancelled):
        ended = waiter.carry_out(request, None)
    _show(ended, as_json)


def _ask(run: Run, results: list[Result]) -> bool:
    """Shows what would be changed and asks once; True for a yes."""
    if not steps(results, "planned"):
        return False
    screen.show(terminal.stdout(), run.record, results)
    return terminal.ask("Change this?")


def _carry_out(
    asked: Asked,
    words: list[str],
    superseded: Callable[[Run, list[Result]], bool] | None = None,
    plan: list[Step] | None = None,
) -> Report:
    """Checks all input before anything is executed, and carries out the run; of a `plan` that was shown, that alone."""
    _passwords(asked)
    loaded = settings.load()
    log.to_file(loaded)
    here = project.find(loaded)
    progress = Progress(terminal.stderr(), asked.verbose)
    taken = intake.take(asked, words, here, loaded, progress.note, warm_up)
    if loaded.keep_days is not None:
        try:
            Runs(loaded).remove_old(loaded.keep_days)
        except StoreError as error:
            progress.note(f"Old runs are not removed: {error}")
    if taken.problems:
        raise _asked_back(taken, here, loaded, progress)
    here.playbook(taken.request.playbook)
    if taken.request.watch and not (taken.client_report and taken.client_report.internet is False):
        progress.note(f"Ask the user to reconnect now: the account is watched for up to {taken.request.watch} s.")
    waiter = Waiter(here, loaded, progress)
    with terminal.signals_cancel(waiter.cancelled):
        # A diagnosis instead of the fix changes nothing: nobody is asked.
        follow = superseded if taken.request.playbook == asked.playbook else None
        return waiter.carry_out(taken.request.model_copy(update={"plan": plan}), taken.client_report, follow)


def _passwords(asked: Asked) -> None:
    """Names the files of passwords to Ansible, which reads them itself. Raises InputError."""
    for name in ("vault_password_file", "become_password_file"):
        file: Path | None = getattr(asked, name)
        if file is not None and files.kind(file) is None:
            raise InputError(f"Cannot find the password file '{one_line(file)}'.")
        if file is not None:
            os.environ[f"ANSIBLE_{name.upper()}"] = str(file.absolute())
    for wanted, what, secret in (
        (asked.ask_vault_pass, "vault", "the vault's password"),
        (asked.ask_become_pass, "become", "the password of sudo on the servers"),
    ):
        if wanted:
            variable = f"ANSIBLE_{what.upper()}_PASSWORD_FILE"
            os.environ[variable] = terminal.secret_file(secret, f"--{what}-password-file")


def _asked_back(
    taken: intake.Intake, here: project.Project, loaded: settings.Settings, progress: Progress
) -> InputError:
    """Asks the incident, once, for the input that is missing or invalid; the sentence for the terminal."""
    told = "comment added to the incident"
    try:
        run = asking.ask(taken.request, taken.problems, loaded)
    except ReconnectError as error:
        told = f"no comment added to the incident: {error}"
    else:
        if run.record.delivery == "pending":
            why = run.record.pending.error_message if run.record.pending else "it was not tried yet."
            told = f"comment to the incident is pending: {why} 'reconnect resume' tries again"
        _send_due(here, loaded, progress, run)
    said = " ".join(taken.problems).rstrip(".")
    return InputError(f"Cannot process {one_line(taken.request.incident, 80)}: {said} ({told}).")


def _send_due(here: project.Project, loaded: settings.Settings, progress: Progress, own: Run) -> None:
    """Sends the reports that other commands left, where their next attempt is due."""
    try:
        resuming.resume_due(here, loaded, progress, own.run_id)
    except ReconnectError as error:
        progress.note(str(error))


def _show(ended: Report, as_json: bool, diff: bool = False) -> None:
    """Shows how a run ended, retries the reports that are due, and ends with the run's exit code."""
    if as_json:
        documents = [to_json(result) for result in ended.results]
        terminal.stdout().json(documents[0] if len(documents) == 1 else documents)
        for note in ended.notes:
            terminal.stderr().print(one_line(note, 1000), soft_wrap=True)
    else:
        screen.show(terminal.stdout(), ended.run.record, ended.results, ended.notes, diff)
    loaded = settings.load()
    here = project.find(loaded)
    _send_due(here, loaded, Progress(terminal.stderr()), ended.run)
    command.begin(here, loaded)
    raise typer.Exit(ended.exit_code)
