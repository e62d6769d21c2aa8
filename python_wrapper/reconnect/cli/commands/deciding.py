"""The commands that decide about runs of the service: end one, and say yes or no to a plan."""

from __future__ import annotations

from typing import Annotated

import typer

from reconnect import settings
from reconnect.ansible import project
from reconnect.cli import screen, terminal
from reconnect.cli.options import Json, RunName
from reconnect.cli.remote import runs
from reconnect.cli.remote.connection import Connection
from reconnect.engine.slots import Slots
from reconnect.errors import InputError
from reconnect.result import rfc3339
from reconnect.runs.store import Runs
from reconnect.service import work
from reconnect.service.contract.documents import ApprovalShown, Decided, RunShown
from reconnect.text import one_line

#: The service lists no more approvals at once.
_MOST = 200

ApprovalId = Annotated[
    str, typer.Argument(metavar="ID", help="The id of an approval; 'reconnect approvals' lists them.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Approve without asking.")]
Comment = Annotated[str, typer.Argument(metavar="WHY", help="The reason, for the requester.")]


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(cancel)
    app.command()(approvals)
    app.command()(approve)
    app.command()(deny)


def cancel(run: RunName) -> None:
    """End a run early, also one whose machine is gone. Its servers are cleaned up."""
    loaded = settings.load()
    if loaded.url:
        connection = Connection(loaded)
        run_id = runs.cancel(connection, runs.run_id_of(connection, run)).id
    else:
        found = Runs(loaded).find(run)
        if not work.cancel(found, project.find(loaded), loaded):
            raise InputError(f"Cannot end run {found.run_id}: it has ended.")
        run_id = found.run_id
        if run_id in Slots(loaded).abandoned():
            terminal.stdout().say(f"Run {run_id} was interrupted. 'reconnect resume' ends it.")
            return
    terminal.stdout().say(f"Ending run {run_id}. 'reconnect show {run_id}' shows the result.")


def approvals(as_json: Json = False) -> None:
    """List the approvals of the service, pending and decided, the newest first."""
    found = _approvals(Connection(settings.load()))
    if as_json:
        terminal.stdout().json([one.model_dump(mode="json") for one in found])
        return
    for one in found:
        who = one.requested_by or "an incident"
        decided = f" by {one.decided_by}" if one.decided_by else ""
        why = f": {one.comment}" if one.comment else ""
        until = f", until {rfc3339(one.expires_at)}" if one.state == "pending" else ""
        terminal.stdout().say(f"{one.approval_id}  run {one.run_id}  asked by {who}  {one.state}{decided}{until}{why}")
    if not found:
        terminal.stderr().say("There is no approval.")


def approve(approval: ApprovalId, yes: Yes = False) -> None:
    """Show a plan that needs an approval, and approve it."""
    connection = Connection(settings.load())
    waiting = _approval(connection, approval)
    shown = connection.ask(RunShown, "GET", f"/runs/{waiting.run_id}", again=True)
    screen.show(terminal.stdout(), runs.record_of(shown), shown.results or [])
    terminal.confirm("Approve this?", yes, "Cannot ask: no terminal. Read the plan, then add --yes.")
    decided = _decide(connection, waiting, "approve")
    applied = decided.applied_run_id
    terminal.stdout().say(f"Run {applied} carries out the plan. 'reconnect show {applied}' shows the result.")


def deny(approval: ApprovalId, comment: Comment) -> None:
    """Deny a plan that needs an approval, and say why."""
    connection = Connection(settings.load())
    _decide(connection, _approval(connection, approval), "deny", comment)
    terminal.stdout().say(f"Approval {approval} is denied.")


def _approvals(connection: Connection, **wanted: str | int) -> list[ApprovalShown]:
    return connection.ask(list[ApprovalShown], "GET", "/approvals", again=True, params=wanted)


def _approval(connection: Connection, approval_id: str) -> ApprovalShown:
    for state in ({"state": "pending"}, {}):
        for one in _approvals(connection, limit=_MOST, **state):
            if one.approval_id == approval_id:
                return one
    raise InputError(f"There is no approval '{one_line(approval_id, 40)}'. 'reconnect approvals' lists them.")


def _decide(connection: Connection, waiting: ApprovalShown, decision: str, comment: str = "") -> Decided:
    """Decides about the plan that was shown: the service compares its hash."""
    said = {"plan_hash": waiting.plan_hash, "decision": decision, "comment": comment}
    return connection.ask(Decided, "POST", f"/approvals/{waiting.approval_id}/decision", json=said)
