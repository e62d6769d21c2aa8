"""The commands that begin a run, carried out by the service.

It diagnoses; what `--apply` or a yes then wants is the plan that was shown, confirmed by its hash. What needs an
approval waits for a second person: `--approve` asks for one.
"""

from __future__ import annotations

import sys
import threading
from typing import Any, NoReturn

import typer

from reconnect import settings
from reconnect.cli import options, screen, terminal
from reconnect.cli.progress import Progress
from reconnect.cli.remote import runs
from reconnect.cli.remote.connection import Connection, Interrupted
from reconnect.errors import InputError
from reconnect.exit_codes import ExitCode
from reconnect.incidents import client_report
from reconnect.result import approved_by_yes, steps, to_json
from reconnect.runs.request import DIAGNOSE, FIX, Asked
from reconnect.service.contract.documents import PLAN_EXPIRY, Requested, RunShown
from reconnect.text import one_line


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    options.command(app, DIAGNOSE, diagnose_server)
    options.command(app, FIX, fix_account_config)


def diagnose_server(asked: Asked, words: list[str]) -> None:
    """Find out why people cannot register with a server; with --apply, fix it."""
    _Remote(asked).carry_out(ask=False)


def fix_account_config(asked: Asked, words: list[str]) -> None:
    """First level: from "does the device have internet?" to closed, fixed or escalated.

    On a terminal, without --apply and --check, it shows what it would change and asks once.
    """
    _Remote(asked).carry_out(ask=asked.mode == "diagnose" and not asked.as_json and sys.stdin.isatty())


class _Remote:
    """One command."""

    def __init__(self, asked: Asked) -> None:
        for one in Asked.options(asked.playbook):
            if one.option.taker == "machine" and getattr(asked, one.name) != one.default:
                raise InputError(f"{one.flag} works only without RECONNECT_URL. Leave out one of the two.")
        if asked.approvals and asked.mode != "apply":
            raise InputError("--approve works only with --apply at a service. Add --apply to ask for the approval.")
        self._asked = asked
        self._settings = settings.load()
        self._connection = Connection(self._settings)
        self._progress = Progress(terminal.stderr())

    def carry_out(self, ask: bool) -> None:
        """Has the run carried out, and what follows from its plan; ends with the exit code."""
        diagnosis = self._followed(self._connection.begin("/runs", self._body()))
        if diagnosis.question:
            told = {"none": "the incident is not told", "pending": "comment to the incident is pending"}
            said = " ".join(diagnosis.question).rstrip(".")
            how = told.get(diagnosis.report, "comment added to the incident")
            raise InputError(f"Cannot process {one_line(self._asked.incident, 80)}: {said} ({how}).")
        if self._asked.mode == "apply":
            self._apply(diagnosis)
        elif ask and steps(diagnosis.results or [], "planned") and self._says_yes(diagnosis):
            self._show(self._confirmed(diagnosis))
        self._show(diagnosis)

    def _apply(self, diagnosis: RunShown) -> None:
        """Has done what may be done, and says what waits for whom; comes back where that is everything."""
        results = diagnosis.results or []
        # Who asks for a new password has approved it.
        given = {*self._asked.approvals, *(["rotate_password"] if self._asked.rotate_password else [])}
        waiting = {step.remedy for _, step in steps(results, "approval")}
        if waiting & given:
            self._ask_for_approval(diagnosis)
        for remedy in sorted(waiting - given):
            self._progress.note(f"{remedy} waits for a second person. --approve {remedy} asks for one.")
        planned = [step for _, step in steps(results, "planned")]
        # With --apply nobody has seen the plan.
        left = set(approved_by_yes(planned)) - given
        for remedy in sorted(left):
            self._progress.note(f"{remedy} waits for --approve {remedy}.")
        if any(step.remedy not in left or step.policy != "approve" for step in planned):
            self._show(self._confirmed(diagnosis, sorted(given) if left else None))

    def _body(self) -> dict[str, Any]:
        asked = self._asked
        report = client_report.read(asked.report).model_dump(mode="json") if asked.report is not None else None
        return {
            "playbook": asked.playbook.removesuffix(".yml"),
            "mode": "check" if asked.mode == "check" else "diagnose",
            "servers": asked.named,
            "incident": str(asked.incident) if asked.incident is not None else None,
            "client_report": report,
            **{
                one.name: getattr(asked, one.name)
                for one in Asked.options(asked.playbook)
                if one.option.taker == "service"
            },
        }

    def _followed(self, begun: RunShown) -> RunShown:
        """The run once it has ended, and its incident knows."""
        self._progress.note(f"Run {begun.id} of {self._connection.address}.")
        if self._asked.watch and begun.plan_of is None:
            self._progress.note(
                f"Ask the user to reconnect now: the account is watched for up to {self._asked.watch} s."
            )
        cancelled = threading.Event()
        try:
            with terminal.signals_cancel(cancelled, elsewhere=True):
                ended = runs.follow(self._connection, begun.id, self._progress, cancelled)
        except (KeyboardInterrupt, Interrupted):
            self._progress.note(runs.goes_on(begun.id))
            raise typer.Exit(ExitCode.STOPPED) from None
        try:
            return runs.reported(self._connection, ended, self._settings.report_seconds)
        except KeyboardInterrupt:
            # The report is the service's; what was done is shown all the same.
            return ended

    def _says_yes(self, diagnosis: RunShown) -> bool:
        screen.show(terminal.stdout(), runs.record_of(diagnosis), diagnosis.results or [])
        return terminal.ask("Change this?")

    def _confirmed(self, diagnosis: RunShown, approvals: list[str] | None = None) -> RunShown:
        """The run that carries the plan out, with these `approvals` or as a yes to all of it. Where the service refuses
        that, the diagnosis is shown all the same."""
        said = {"plan_hash": diagnosis.plan_hash, **({} if approvals is None else {"approvals": approvals})}
        try:
            return self._followed(self._connection.begin(f"/runs/{diagnosis.id}/confirm", said))
        except InputError:
            screen.show(terminal.stdout(), runs.record_of(diagnosis), diagnosis.results or [])
            raise

    def _ask_for_approval(self, diagnosis: RunShown) -> None:
        plan = {"plan_hash": diagnosis.plan_hash}
        made = self._connection.ask(Requested, "POST", f"/runs/{diagnosis.id}/approvals", json=plan)
        self._progress.note(
            f"A second person must approve the plan within {PLAN_EXPIRY.seconds // 60} minutes: "
            f"'reconnect approve {made.approval_id}'."
        )

    def _show(self, ended: RunShown) -> NoReturn:
        results = ended.results or []
        code, notes = runs.told(ended)
        if self._asked.as_json:
            documents = [to_json(result) for result in results]
            terminal.stdout().json(documents[0] if len(documents) == 1 else documents)
            for note in notes:
                self._progress.note(note)
        else:
            screen.show(
                terminal.stdout(),
                runs.record_of(ended),
                results,
                [one_line(note, 1000) for note in notes],
                self._asked.diff,
            )
        raise typer.Exit(code)
