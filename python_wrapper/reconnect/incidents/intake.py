"""From the options to a request: names are checked, inventory and incident are read. Nothing is executed yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from reconnect import names
from reconnect.ansible import inventory
from reconnect.ansible.project import Project
from reconnect.errors import InputError, TrackerError
from reconnect.incidents import client_report, extra_vars, reading, spelling
from reconnect.incidents.client_report import ClientReport
from reconnect.incidents.trackers import open_incident
from reconnect.incidents.trackers.tracker import Tracker
from reconnect.reports import pages
from reconnect.reports.redaction import Redaction
from reconnect.runs.request import DIAGNOSE, Asked, Options, Request
from reconnect.settings import Settings
from reconnect.settings.trackers import Fields


@dataclass(frozen=True)
class Intake:
    """A request that is ready to run. A run begins only without `problems`, which are questions to the incident.
    What else the incident is asked is in the request, and does not keep a run waiting.

    `client_report` has no secrets; None where the client reported nothing.
    """

    request: Request
    client_report: ClientReport | None
    problems: list[str] = field(default_factory=list)

    @property
    def reported(self) -> dict[str, Any] | None:
        """The client report as runs keep it."""
        return None if self.client_report is None else self.client_report.model_dump(mode="json")


def take(
    asked: Asked,
    command: Sequence[str],
    project: Project,
    settings: Settings,
    note: Callable[[str], None],
    names_valid: Callable[[], None] = lambda: None,
    reported: ClientReport | None = None,
) -> Intake:
    """The request for `asked`; `command` is how to repeat it, `note` takes what a person should know.

    `reported` is what the client reports where that is in no file.
    `names_valid` is called before the inventory and the tracker are read, which takes time.

    Raises InputError where the input is invalid or names neither everything nor an incident.
    """
    named = [names.checked("server", server) for server in asked.named]
    variables = extra_vars.checked(asked.extra_vars, asked.playbook)
    approvals = [names.checked("remedy", remedy) for remedy in asked.approvals]
    account = names.checked("account", spelling.account(asked.account)) if asked.account is not None else None
    tracker = open_incident(asked.incident, settings) if asked.incident is not None else None
    complete = bool(named) and (account is not None or not asked.account_needed)
    if tracker is None and not complete:
        wanted = {"an account": account, "--server SERVER": named} if asked.account_needed else {"a server": named}
        missing = " and ".join(what for what, given in wanted.items() if not given)
        both = "server and account" if asked.account_needed else "the server"
        raise InputError(f"Give {missing}, or an incident that names {both}: --incident TRACKER:ID.")
    if reported is None:
        reported = client_report.read(asked.report) if asked.report is not None else ClientReport()
    source = inventory.source_of(asked.inventory, settings, project)
    names_valid()
    found = inventory.load(source, project, settings.inventories)
    servers = found.servers(named)
    problems = reading.Problems()
    if tracker is not None and asked.incident is not None:
        fields = settings.tracker(asked.incident).fields
        said = _said(tracker, fields, complete, note)
        problems.update(said.problems)
        servers = reading.servers_of(said, servers, fields, found, problems)
        account = reading.account_of(said, account, asked.account_needed, fields, problems)
        reported = reading.combined(said.report, reported, "client report", problems)
    redaction = Redaction(pages.secrets_of(settings))
    questions = [redaction.text(problem) for problem in problems.values()]
    blocked = "server" in problems or not servers
    for question in () if blocked else questions:
        note(f"Continuing without this; asking the incident: {question}")
    kept = {name: getattr(asked, name) for name in Options.model_fields}
    playbook, mode = asked.playbook, asked.mode
    if "account" in problems:
        # The server can be diagnosed without the account; nothing is changed.
        account, playbook, mode = None, DIAGNOSE, "diagnose"
        taken = {one.name for one in Asked.options(DIAGNOSE)}
        kept = {name: value for name, value in kept.items() if name in taken}
    request = Request(
        **{**kept, "account": account, "approvals": approvals, "extra_vars": variables},
        playbook=playbook,
        mode=mode,
        named=named or servers,
        servers=servers,
        inventory=str(source),
        inventory_hash=found.digest,
        client_report=reported != ClientReport(),
        questions=[] if blocked else questions,
        language=settings.tracker(asked.incident).language if asked.incident else "en",
        command=list(command),
    )
    report = None
    if request.client_report:
        report = reported.model_copy(update=redaction.document(reported.model_dump(exclude={"browser"})))
    return Intake(request, report, questions if blocked else [])


def _said(tracker: Tracker, fields: Fields, complete: bool, note: Callable[[str], None]) -> reading.Said:
    """What the incident says; nothing where it cannot be read and the command is `complete` without it."""
    try:
        said = reading.read(tracker, fields)
    except TrackerError as error:
        if not complete:
            raise InputError(f"Cannot read the incident, and the command line is not complete: {error}") from None
        note(f"Cannot read the incident; using the command line only: {error}")
        return reading.Said()
    for sentence in said.notes:
        note(sentence)
    return said
