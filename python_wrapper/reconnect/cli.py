"""The command `reconnect`."""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, get_args

import typer
from rich.text import Text

from reconnect import (
    accounts,
    asking,
    bundle,
    client_report,
    exit_codes,
    inventory,
    judging,
    names,
    pages,
    project,
    reading,
    reports,
    resuming,
    retention,
    screen,
    settings,
    stats,
    terminal,
)
from reconnect.diagnose import Diagnosis, Report, warm_up
from reconnect.errors import InputError, ReconnectError, TrackerError
from reconnect.exit_codes import ExitCode
from reconnect.progress import Progress
from reconnect.redaction import Redaction
from reconnect.result import Mode, Outcome, Result, State, json_schema, to_json
from reconnect.runs import Request, Run, Runs, write_bytes
from reconnect.text import one_line
from reconnect.trackers import open_incident
from reconnect.trackers.incident import Tracker
from reconnect.trackers.settings import Fields

app = typer.Typer(
    name="reconnect",
    help="Finds out why people can't register with a server, mends what may be mended, and tells the incident.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

# Typer's own usage error: Typer brings Click along in some releases and depends on it in others.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output and nothing else there.")]


Incident = Annotated[
    str | None,
    typer.Option(
        "--incident",
        metavar="TRACKER:ID",
        help="The incident to read and to report to: rt:17, servicenow:INC…, jira:KEY-1, zammad:55, webhook:NAME/ID or "
        "file:PATH.",
    ),
]
ClientReport = Annotated[
    Path | None, typer.Option("--client-report", metavar="FILE", help="What the client says: .json, .yml or a log.")
]
Apply = Annotated[bool, typer.Option("--apply", help="Mend what may be mended.")]
Check = Annotated[bool, typer.Option("--check", help="Say what would be mended, in Ansible's check mode.")]
IdleTest = Annotated[
    int | None,
    typer.Option(
        metavar="SECONDS", min=8, max=900, help="Measure whether the way forgets a connection that is silent so long."
    ),
]
Timeout = Annotated[float, typer.Option(metavar="SECONDS", min=1, max=86400, help="End the run after this long.")]
InventorySource = Annotated[
    Path | None, typer.Option("--inventory", metavar="DIR", help="The inventory; else the one of this site.")
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show what Ansible prints.")]


@app.command("diagnose-server")
def diagnose_server(
    context: typer.Context,
    servers: Annotated[
        list[str] | None,
        typer.Argument(metavar="SERVER…", help="Hosts or groups of the inventory; else the server of the incident."),
    ] = None,
    account: Annotated[str | None, typer.Option(help="Look at this account, too.")] = None,
    incident: Incident = None,
    report: ClientReport = None,
    apply: Apply = False,
    check: Check = False,
    approve: Annotated[
        list[str] | None, typer.Option(metavar="REMEDY", help="Allow this remedy where it needs a yes; repeatable.")
    ] = None,
    call_test: Annotated[
        bool, typer.Option("--call-test", help="Have the reserved accounts place a real secure call of 10 s, too.")
    ] = False,
    idle_test: IdleTest = None,
    capture: Annotated[
        int,
        typer.Option(
            metavar="SECONDS", min=0, max=60, help="Capture packets of SIP on the server for this long, for the bundle."
        ),
    ] = 0,
    timeout: Timeout = 300,
    inventory_source: InventorySource = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Find out why people can't register with a server; with --apply, mend it."""
    asked = _Asked("diagnose-server.yml", _mode(apply, check), servers or [], account, incident, report, timeout)
    asked.approvals, asked.call_test, asked.capture = approve or [], call_test, capture
    asked.idle_test = _within(idle_test, timeout)
    ended = _carry_out(context, asked, inventory_source, verbose)
    _tell(ended, as_json)


@app.command("fix-account-config")
def fix_account_config(
    context: typer.Context,
    account: Annotated[
        str | None,
        typer.Argument(metavar="ACCOUNT", help="The account that can't connect; else the one of the incident."),
    ] = None,
    server: Annotated[
        str | None, typer.Option(metavar="SERVER", help="Its server, a host of the inventory; else the incident's.")
    ] = None,
    incident: Incident = None,
    report: ClientReport = None,
    apply: Apply = False,
    check: Check = False,
    yes: Annotated[bool, typer.Option("--yes", help="Mend without asking; the same as --apply.")] = False,
    watch: Annotated[
        int, typer.Option(metavar="SECONDS", min=0, max=600, help="Watch the account's attempts for this long.")
    ] = 30,
    go_on: Annotated[
        bool, typer.Option("--continue", help="Where first level ends, go on with second level's diagnosis.")
    ] = False,
    rotate_password: Annotated[
        bool, typer.Option("--rotate-password", help="Mend a wrong password by a new one, stored in the registry.")
    ] = False,
    idle_test: IdleTest = None,
    timeout: Timeout = 300,
    inventory_source: InventorySource = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """First level: from "does the device have internet?" to closed, fixed or escalated.

    On a terminal, and with neither --apply nor --check, it shows what it would change and asks once.
    """
    mode = _mode(apply or yes, check)
    asked = _Asked("fix-account-config.yml", mode, [server] if server else [], account, incident, report, timeout)
    asked.account_needed = True
    asked.watch, asked.go_on, asked.rotate_password = watch, go_on, rotate_password
    asked.idle_test = _within(idle_test, timeout)
    ask = _ask if mode == "diagnose" and not as_json and sys.stdin.isatty() else None
    ended = _carry_out(context, asked, inventory_source, verbose, ask)
    if ended.superseded:
        # What the watch had to tell, it told while the plan was made.
        asked.mode, asked.watch = "apply", 0
        ended = _carry_out(context, asked, inventory_source, verbose)
    _tell(ended, as_json)


def _ask(run: Run, results: list[Result]) -> bool:
    """Shows what would be changed and asks once; True when it is to be done."""
    steps = [step for result in results if result.verdict for step in result.verdict.plan]
    if not any(step.decision == "planned" for step in steps):
        return False
    screen.show(terminal.stdout(), run, results, [])
    return typer.confirm("Change this?", err=True)


@dataclass
class _Asked:
    """What a person asked for, not yet checked."""

    playbook: str
    mode: Mode
    named: list[str]
    account: str | None
    incident: str | None
    report: Path | None
    timeout: float
    approvals: list[str] = field(default_factory=list)
    watch: int = 0
    go_on: bool = False
    rotate_password: bool = False
    call_test: bool = False
    idle_test: int = 0
    capture: int = 0
    account_needed: bool = False


def _within(idle_test: int | None, timeout: float) -> int:
    """For how many seconds to be silent; the run must not end before it has been."""
    if idle_test and timeout < 2 * idle_test + 60:
        raise InputError(f"--idle-test {idle_test} takes a --timeout of at least {2 * idle_test + 60} s.")
    return idle_test or 0


def _mode(apply: bool, check: bool) -> Mode:
    if apply and check:
        raise InputError("--apply and --check exclude each other.")
    return "apply" if apply else "check" if check else "diagnose"


def _carry_out(
    context: typer.Context,
    asked: _Asked,
    inventory_source: Path | None,
    verbose: bool,
    superseded: Callable[[Run, list[Result]], bool] | None = None,
) -> Report:
    """Checks what was asked before anything is executed, and carries it out."""
    loaded = settings.load()
    here = project.find(loaded)
    named = [names.checked("server", server) for server in asked.named]
    approvals = [names.checked("remedy", remedy) for remedy in asked.approvals]
    if asked.account is not None:
        names.checked("account", asked.account)
    tracker = open_incident(asked.incident, loaded) if asked.incident is not None else None
    enough = bool(named) and (asked.account is not None or not asked.account_needed)
    if tracker is None and not enough:
        lacks = "a server" if not named else "an account"
        raise InputError(f"Name {lacks}, or an incident that says all: --incident TRACKER:ID.")
    reported = client_report.read(asked.report) if asked.report is not None else client_report.ClientReport()
    source = inventory.source_of(inventory_source, loaded, here)
    warm_up()
    found = inventory.load(source, here)
    servers = found.servers(named, loaded.servers_group)
    progress = Progress(terminal.stderr(), verbose)
    account, problems = asked.account, reading.Problems()
    if tracker is not None:
        fields = loaded.tracker(asked.incident or "").fields
        said = _said(tracker, fields, enough, progress)
        problems.update(said.problems)
        servers = reading.servers_of(said, servers, fields, found, loaded.servers_group, problems)
        account = reading.account_of(said, account, asked.account_needed, fields, problems)
        reported = reading.combined(said.report, reported, "the client report", problems)
    if loaded.keep_days is not None:
        retention.remove_old(Runs(loaded.runs_dir), loaded.keep_days)
    request = Request(
        playbook=asked.playbook,
        mode=asked.mode,
        named=named or servers,
        servers=servers,
        inventory=str(source),
        account=account,
        incident=asked.incident,
        client_report=reported != client_report.ClientReport(),
        approvals=approvals,
        watch=asked.watch,
        go_on=asked.go_on,
        rotate_password=asked.rotate_password,
        call_test=asked.call_test,
        idle_test=asked.idle_test,
        capture=asked.capture,
        timeout=asked.timeout,
        command=list(context.obj),
    )
    if problems:
        raise _asked_back(request, problems, here, loaded, progress)
    here.playbook(request.playbook)
    if asked.watch and reported.internet is not False:
        progress.note(f"Ask the user to reconnect now: the account is watched for up to {asked.watch} s.")
    diagnosis = Diagnosis(here, loaded, progress)
    with _signals_cancel(diagnosis):
        return diagnosis.carry_out(request, _without_secrets(reported, loaded), superseded)


def _said(tracker: Tracker, fields: Fields, enough: bool, progress: Progress) -> reading.Said:
    """What the incident says; nothing where it can't be read and isn't needed for the run."""
    try:
        said = reading.read(tracker, fields)
    except TrackerError as error:
        if not enough:
            raise InputError(f"The incident can't be read, and the command doesn't say all: {error}") from None
        progress.note(f"The incident can't be read; what the command says has to be enough: {error}")
        return reading.Said()
    for note in said.notes:
        progress.note(note)
    return said


def _asked_back(
    request: Request, problems: reading.Problems, here: project.Project, loaded: settings.Settings, progress: Progress
) -> InputError:
    """Asks the incident, once, what is missing or contradictory; the sentence for the terminal."""
    redaction = Redaction(pages.secrets_of(loaded))
    question = [redaction.text(problem) for problem in problems.values()]
    told = "the incident was told"
    try:
        run = asking.ask(request, question, here, loaded, progress)
    except ReconnectError as error:
        told = f"it could not be told: {error}"
    else:
        if run.record.delivery == "pending":
            why = run.record.pending.error_message if run.record.pending else "it has not been tried yet."
            told = f"it could not be told yet: {why} 'reconnect resume' tries it again"
        _go_on_with_due(here, loaded, progress, run)
    said = " ".join(question).rstrip(".")
    return InputError(f"{one_line(request.incident or '', 80)} can't be worked on: {said} ({told}).")


def _go_on_with_due(here: project.Project, loaded: settings.Settings, progress: Progress, own: Run) -> None:
    """What another command could not tell is told by this one, as far as its next attempt is due."""
    try:
        resuming.go_on_with_due(here, loaded, progress, own.run_id)
    except ReconnectError as error:
        progress.note(str(error))


def _without_secrets(
    reported: client_report.ClientReport, loaded: settings.Settings
) -> client_report.ClientReport | None:
    """What is kept and judged of a client report; None where it says nothing."""
    if reported == client_report.ClientReport():
        return None
    return reported.model_copy(update=Redaction(pages.secrets_of(loaded)).document(reported.model_dump()))


def _tell(ended: Report, as_json: bool) -> None:
    """Shows how a run ended, goes on with what others left to tell, and ends with the run's exit code."""
    if as_json:
        _print_json([to_json(result) for result in ended.results])
        for note in ended.notes:
            terminal.stderr().print(one_line(note, 1000), soft_wrap=True)
    else:
        screen.show(terminal.stdout(), ended.run, ended.results, ended.notes)
    loaded = settings.load()
    _go_on_with_due(project.find(loaded), loaded, Progress(terminal.stderr()), ended.run)
    raise typer.Exit(ended.exit_code)


@app.command()
def runs(
    server: Annotated[str | None, typer.Option(help="Only runs on this server.")] = None,
    account: Annotated[str | None, typer.Option(help="Only runs for this account.")] = None,
    outcome: Annotated[str | None, typer.Option(help="Only runs that ended in this outcome or state.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Only runs that began at this time (UTC) or later.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Only runs that began at this time (UTC) or before.")] = None,
    as_json: Json = False,
) -> None:
    """List the runs, the newest first."""
    known = [*get_args(Outcome), *get_args(State)]
    if outcome is not None and outcome not in known:
        raise names.unknown("outcome or state", one_line(outcome, 80), known)
    wanted = retention.Wanted(
        server, account, outcome, since and since.replace(tzinfo=UTC), until and until.replace(tzinfo=UTC)
    )
    chosen = list(retention.chosen(Runs(settings.load().runs_dir), wanted))
    if as_json:
        terminal.stdout().write(json.dumps([run.record.model_dump(mode="json") for run in chosen], indent=2))
    else:
        screen.show_runs(terminal.stdout(), chosen)


@app.command()
def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, the beginning of one, or 'latest'.")],
    as_json: Json = False,
) -> None:
    """Show how a run ended."""
    found, results = _ended(run)
    if as_json:
        _print_json([to_json(result) for result in results])
    else:
        screen.show(terminal.stdout(), found, results)


@app.command()
def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, the beginning of one, or 'latest'.")],
    markdown: Annotated[bool, typer.Option("--markdown", help="Markdown instead of plain text.")] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a self-contained HTML page instead.")] = None,
) -> None:
    """Print the report of a run as the incident gets it, or write it as a page."""
    found, results = _ended(run)
    if html is not None:
        _write(html, pages.page_of(found, results, settings.load()).encode())
        return
    write = reports.markdown if markdown else reports.text
    terminal.stdout().write(write(found.record, results))


@app.command("stats")
def show_stats(as_json: Json = False) -> None:
    """Count how runs ended and how long they took, by outcome, server and cause."""
    lines = stats.stats(Runs(settings.load().runs_dir))
    if as_json:
        terminal.stdout().write(json.dumps([asdict(line) for line in lines], indent=2))
    else:
        stats.show(terminal.stdout(), lines)


@app.command("bundle")
def bundle_of_run(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, the beginning of one, or 'latest'.")],
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to; else NAME.tar.gz here.")] = None,
) -> None:
    """Write what third level needs of a run into one archive, secrets taken out."""
    found, results = _ended(run)
    made = bundle.bundle_of(found, results, settings.load())
    _write(output or Path(made.name), made.content)


@app.command()
def outbox(as_json: Json = False) -> None:
    """Show the reports and questions that have not reached their incident, and the runs that were interrupted."""
    loaded = settings.load()
    waiting = resuming.waiting(loaded)
    if as_json:
        terminal.stdout().write(json.dumps([run.record.model_dump(mode="json") for run in waiting], indent=2))
        return
    for run in waiting:
        terminal.stdout().print(Text(resuming.told(run)), soft_wrap=True)


@app.command()
def resume(
    verbose: Verbose = False,
) -> None:
    """Go on with runs that were interrupted, and try every report that is pending now."""
    loaded = settings.load()
    progress = Progress(terminal.stderr(), verbose)
    left = resuming.go_on(project.find(loaded), loaded, progress)
    for run in left:
        terminal.stdout().print(Text(resuming.told(run)), soft_wrap=True)
    raise typer.Exit(ExitCode.REPORT_PENDING if left else ExitCode.OK)


@app.command()
def causes(
    code: Annotated[str | None, typer.Argument(metavar="CODE", help="Explain this cause.")] = None,
    as_json: Json = False,
) -> None:
    """List the causes that can be found, or explain one."""
    catalogue = judging.causes(project.find(settings.load()))
    if code is not None and names.checked("cause", code) not in catalogue:
        raise names.unknown("cause", code, catalogue)
    chosen = [catalogue[code]] if code is not None else list(catalogue.values())
    if as_json:
        terminal.stdout().write(json.dumps([asdict(cause) for cause in chosen], indent=2))
    elif code is not None:
        screen.show_cause(terminal.stdout(), chosen[0])
    else:
        screen.show_causes(terminal.stdout(), chosen)


@app.command()
def judge(
    evidence: Annotated[Path, typer.Argument(metavar="EVIDENCE.json", help="An evidence document.")],
    as_json: Json = False,
) -> None:
    """Judge evidence that was saved, without a server."""
    server, judgement = judging.judge(project.find(settings.load()), evidence)
    if as_json:
        terminal.stdout().write(json.dumps(judgement.model_dump(mode="json"), indent=2))
    else:
        screen.show_judgement(terminal.stdout(), server, judgement)
    raise typer.Exit(exit_codes.of_verdict(judgement.verdict))


accounts_app = typer.Typer(help="The account registry: the accounts that are wanted.", rich_markup_mode=None)
app.add_typer(accounts_app, name="accounts")


@accounts_app.callback()
def accounts_group() -> None:
    """The account registry: the accounts that are wanted."""


@accounts_app.command("validate")
def validate_accounts(
    inventory_source: Annotated[
        Path | None, typer.Option("--inventory", metavar="DIR", help="The inventory; else the one of this site.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check the whole account registry, and name every mistake with file and line."""
    loaded = settings.load()
    here = project.find(loaded)
    source = inventory.source_of(inventory_source, loaded, here)
    found = accounts.validate(source, here, loaded.servers_group)
    if as_json:
        terminal.stdout().write(json.dumps(asdict(found), indent=2))
    else:
        for mistake in found.mistakes:
            terminal.stderr().print(Text(f"{mistake.where}: {mistake.sentence}"), soft_wrap=True)
        if not found.mistakes:
            terminal.stdout().write(f"{found.accounts} accounts of {found.servers} servers, no mistakes.")
    raise typer.Exit(ExitCode.USAGE if found.mistakes else ExitCode.OK)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the result document."""
    terminal.stdout().write(json.dumps(json_schema(), indent=2))


@app.command()
def version() -> None:
    """Print the version."""
    terminal.stdout().write(importlib.metadata.version("reconnect"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command and exits; every mistake of a person is one sentence on standard error."""
    terminal.prepare()
    code = run(list(sys.argv[1:] if arguments is None else arguments))
    sys.stdout.flush()
    sys.stderr.flush()
    if any(not thread.daemon and thread is not threading.current_thread() for thread in threading.enumerate()):
        # A report that waits for its next attempt, maybe for an hour, has a thread that waits with it. It is written
        # down; whoever comes next goes on with it.
        os._exit(code)
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Runs the command with `arguments` and gives back its exit code."""
    try:
        code = typer.main.get_command(app).main(
            args=list(arguments), prog_name="reconnect", standalone_mode=False, obj=list(arguments)
        )
    except InputError as error:
        return _failed(error, ExitCode.USAGE)
    except ReconnectError as error:
        return _failed(error, ExitCode.DEFECT)
    except UsageError as error:
        sentence = one_line(error.format_message()).rstrip(".")  # type: ignore[attr-defined]
        return _failed(f"{sentence}; see 'reconnect --help'.", ExitCode.USAGE)
    except (typer.Abort, KeyboardInterrupt):
        return _failed("Cancelled; nothing was executed.", ExitCode.STOPPED)
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        return _failed(f"This is a defect of Reconnect: {error}", ExitCode.DEFECT)
    return int(code or 0)


def _failed(sentence: object, code: ExitCode) -> int:
    line = Text.assemble(("reconnect: ", "bold red"), one_line(sentence, 1000))
    terminal.stderr().print(line, soft_wrap=True)
    return code


@contextmanager
def _signals_cancel(diagnosis: Diagnosis) -> Iterator[None]:
    """While it lasts, Ctrl-C, SIGTERM and SIGHUP cancel the run; what follows the cancelling can't be skipped."""

    def cancel(number: int, frame: FrameType | None) -> None:
        again = diagnosis.cancelled.is_set()
        diagnosis.cancelled.set()
        still = "Still ending the run and cleaning up; that is bounded and can't be skipped."
        terminal.write_in_signal_handler(still if again else "Ending the run …")

    before = {number: signal.signal(number, cancel) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ended(prefix: str) -> tuple[Run, list[Result]]:
    found = Runs(settings.load().runs_dir).find(prefix)
    results = found.results()
    if found.record.question:
        asked = " ".join(found.record.question)
        raise InputError(f"The run {found.run_id} only asked its incident; nothing was executed: {asked}")
    if not results:
        raise InputError(f"The run {found.run_id} has no result: it is under way, or it was killed.")
    return found, results


def _write(path: Path, content: bytes) -> None:
    try:
        write_bytes(path, content)
    except OSError as error:
        raise InputError(f"{one_line(path)} can't be written: {error.strerror}.") from None
    terminal.stderr().print(one_line(f"Written: {path} ({len(content):,} bytes)", 1000), soft_wrap=True)


def _print_json(documents: list[dict[str, Any]]) -> None:
    """One document as an object, several as a list."""
    terminal.stdout().write(json.dumps(documents[0] if len(documents) == 1 else documents, indent=2))
