"""What an incident says itself: its server, its account, and what the client reports.

The settings map the tracker's own fields; the logs and the `client-report.*` that are attached are the client's. All of
it is hostile: a name has to look like one, yes and no have to be words for it, files are read up to a limit, and
whatever is kept is handed on as data. What is missing or contradictory is a question to the incident.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reconnect import names
from reconnect.client_report import MAX_LOG_LINES, ClientReport, Scalar, read_from
from reconnect.errors import InputError, TrackerError
from reconnect.inventory import Inventory
from reconnect.text import one_line, printable
from reconnect.trackers.incident import Comment, Tracker
from reconnect.trackers.settings import Fields

#: Of the files of an incident the newest ones are read.
MAX_FILES = 5
_LOG = re.compile(r"(?!reconnect-).+\.(log|txt)", re.IGNORECASE | re.DOTALL)
_REPORT = re.compile(r"client-report\.(json|ya?ml)", re.IGNORECASE)
_SETTING = re.compile(r"([A-Za-z][A-Za-z0-9_. -]{0,60}?)\s*[:=]\s*(.{1,400})")
_WORDS = {**dict.fromkeys(("yes", "true", "on", "1"), True), **dict.fromkeys(("no", "false", "off", "0"), False)}

#: Sentences, by what they are about.
Problems = dict[str, str]


@dataclass(frozen=True)
class Said:
    """What an incident says; None where it is silent. `problems` are about what it says and can't mean, `notes` about
    what was not read."""

    server: str | None = None
    account: str | None = None
    report: ClientReport = field(default_factory=ClientReport)
    problems: Problems = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read(tracker: Tracker, fields: Fields) -> Said:
    """What the incident says. Raises TrackerError when it can't be read."""
    incident = tracker.read()
    problems: Problems = {}
    notes: list[str] = []

    def text(name: str | None) -> str:
        return incident.fields.get(name, "").strip() if name else ""

    def one(about: str) -> str | None:
        name = getattr(fields, about)
        values = list(dict.fromkeys(line.strip() for line in text(name).splitlines() if line.strip()))
        if len(values) > 1:
            shown = ", ".join(f"'{one_line(value, 80)}'" for value in values[:4])
            problems[about] = f"The field '{name}' says several things: {shown}."
        return values[0] if len(values) == 1 else None

    def yes(about: str) -> bool | None:
        value = one(about)
        if value is not None and value.lower() not in _WORDS:
            name = getattr(fields, about)
            problems[about] = f"The field '{name}' has to be yes or no, not '{one_line(value, 80)}'."
        return _WORDS.get(value.lower()) if value is not None else None

    server, account = one("server"), one("account")
    report = ClientReport(
        internet=yes("internet"),
        reconnected=yes("reconnected"),
        error_message=printable(text(fields.error_message))[:4000].strip() or None,
        settings=_settings(text(fields.settings), fields.settings, problems),
    )
    wanted = [(path, name) for path, name in incident.files.items() if _LOG.fullmatch(name) or _REPORT.fullmatch(name)]
    for identifier, name in wanted[-MAX_FILES:]:
        shown = one_line(name, 80)
        try:
            attached = read_from(io.BytesIO(tracker.file(identifier)), Path(shown))
        except TrackerError as error:
            notes.append(f"The attached file {shown} was not read: {error}")
        except InputError as error:
            problems[shown] = str(error)
        else:
            report = combined(report, attached, f"the attached file {shown}", problems)
    return Said(server, account, report, problems, notes)


def combined(said: ClientReport, more: ClientReport, where: str, problems: Problems) -> ClientReport:
    """Both reports in one: message and settings of `more` are the more exact ones, its log is the newer one. A fact
    that is told differently `where` it comes from is a problem."""
    for fact in ("internet", "reconnected"):
        first, second = getattr(said, fact), getattr(more, fact)
        if None not in (first, second) and first != second:
            problems[fact] = f"Of '{fact}' the incident says {_yes(first)}, {where} says {_yes(second)}."
    settings = {**said.settings, **more.settings}
    return ClientReport(
        internet=said.internet if more.internet is None else more.internet,
        reconnected=said.reconnected if more.reconnected is None else more.reconnected,
        error_message=more.error_message or said.error_message,
        settings=dict(list(settings.items())[-100:]),
        log=[*said.log, *more.log][-MAX_LOG_LINES:],
    )


def servers_of(
    said: Said, asked: Sequence[str], fields: Fields, found: Inventory, group: str, problems: Problems
) -> list[str]:
    """The servers that were asked for, else the incident's; none where that is a problem. An incident names a host and
    never a group of them."""
    server = said.server
    if asked:
        if server is not None and server not in asked:
            problems["server"] = (
                f"The incident names the server '{one_line(server, 80)}', the command names {', '.join(asked)}."
            )
        return list(asked)
    if server is None:
        problems.setdefault("server", _missing("server", fields.server))
    elif server in found.groups.get(group, found.hosts) and server in found.hosts:
        return [server]
    else:
        problems["server"] = f"The field '{fields.server}' says '{one_line(server, 80)}', which is no server we know."
    return []


def account_of(said: Said, asked: str | None, needed: bool, fields: Fields, problems: Problems) -> str | None:
    """The account that was asked for, else the incident's; None where there is none, which is a problem if it is
    `needed`."""
    account = said.account
    if asked is not None:
        if account not in (None, asked):
            problems["account"] = (
                f"The incident names the account '{one_line(account, 80)}', the command names {asked}."
            )
        return asked
    if account is None:
        if needed:
            problems.setdefault("account", _missing("account", fields.account))
        return None
    try:
        return names.checked("account", account)
    except InputError as error:
        problems["account"] = f"In the field '{fields.account}': {error}"
        return None


def question(problems: Iterable[str]) -> Comment:
    """What the incident is told where it can't be worked on. The same problems are the same question."""
    told = sorted(problems)
    marker = hashlib.sha256("\n".join(told).encode(errors="replace")).hexdigest()[:16]
    lines = [
        "Reconnect has not begun: what it needs is missing or contradictory.",
        "",
        *(f"  - {problem}" for problem in told),
        "",
        "Correct the incident, or what was asked with it, and ask again. Nothing was executed.",
    ]
    return Comment(f"reconnect-question-{marker}", "\n".join(lines))


def _missing(about: str, name: str | None) -> str:
    why = f"the field '{name}' is empty" if name else "the settings map no field to it"
    return f"The {about} is missing: {why}."


def _settings(text: str, name: str | None, problems: Problems) -> dict[str, Scalar]:
    """Lines `name: value`, or several in a line with commas or semicolons between them."""
    found: dict[str, Scalar] = {}
    for part in filter(None, (part.strip() for part in re.split(r"[\n;,]", text[:100_000]))):
        match = _SETTING.fullmatch(part)
        if match is None or len(found) == 100:
            problems["settings"] = (
                f"The field '{name}' has to hold at most 100 lines 'name: value', not '{one_line(part, 80)}'."
            )
            return {}
        key, value = re.sub(r"[ -]", "_", match[1].lower()), printable(match[2].strip())
        found[key] = _WORDS[value.lower()] if value.lower() in _WORDS and not value.isdigit() else value
    return found


def _yes(value: object) -> str:
    return "yes" if value else "no"
