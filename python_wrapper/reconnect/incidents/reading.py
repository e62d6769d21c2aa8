"""What an incident says: its server, its account, and what the client reports.

The settings map the tracker's own fields. Attached logs and `client-report.*` come from the client. All of it is
hostile: names are checked, yes and no have fixed words, files are read up to a limit, and everything that is kept is
handed on as data. What is unambiguous is understood (`spelling`), what is missing or conflicting becomes a question to
the incident.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reconnect import names
from reconnect.ansible.inventory import Inventory
from reconnect.errors import InputError, TrackerError
from reconnect.incidents import spelling
from reconnect.incidents.client_report import MAX_LOG_LINES, MAX_SETTINGS, ClientReport, read_from
from reconnect.incidents.meant import is_automatic
from reconnect.incidents.spelling import Scalar
from reconnect.incidents.trackers.tracker import Tracker
from reconnect.settings.trackers import Fields
from reconnect.text import one_line, printable

#: Of the files of an incident the newest ones are read.
MAX_FILES = 5
_LOG = re.compile(r"(?!reconnect-).+\.(log|txt|ini|conf|cfg)", re.IGNORECASE | re.DOTALL)
_REPORT = re.compile(r"client-report\.(json|ya?ml)", re.IGNORECASE)
#: What people write into a field that they cannot fill.
_NOTHING = re.compile(
    r"\W{0,5}|n/?a|unknown|non so|sconosciut[oa]|unbekannt|inconnue?|desconocid[oa]|(?:i )?don['’]t know|weiß nicht",
    re.IGNORECASE,
)
#: A message of more lines than this is a log that was pasted.
_MESSAGE_LINES = 3
#: Lines of a pasted text that may be a screenshot's.
_SCREENSHOT_LINES = 60
#: An account at its server, as logs show who registers.
_REGISTERS = re.compile(
    r"(?:(?i:regist(?:er|rat)|\b(?:from|to|f|t)\s{0,3}:|identity|account|proxy|\buser\b).{0,200}?\bsips?:|\breg: "
    r"|(?i:\bregist\w{1,9})\b.{0,100}?\s(?=\+?\d{2,40}@))([^\s<>@;:]{1,80})@([^\s<>;:]{1,253})"
)

#: A line of a log, which no person wrote.
_LOGGED = re.compile(r"\d:\d\d:\d\d|SIP/2\.0|\w\[\d|[a-z]\.c[:\s]|0x[0-9a-f]")
#: What stands between a setting and its value. Without it `User 404` may be an answer.
_SIGN = re.compile(r"[:=→]|->|\s[-–—]\s")

#: Sentences, by what they are about.
Problems = dict[str, str]


@dataclass(frozen=True)
class Said:
    """What an incident says; None where it says nothing. `subject` is the incident's, and a long message that a person
    wrote. `own` are the lines of a message that quotes others. `problems` are about invalid fields, `notes` about files
    that were not read."""

    server: str | None = None
    account: str | None = None
    subject: str = ""
    own: tuple[str, ...] = ()
    report: ClientReport = field(default_factory=ClientReport)
    problems: Problems = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read(tracker: Tracker, fields: Fields) -> Said:
    """What the incident says. Raises TrackerError when it cannot be read."""
    incident = tracker.read()
    problems: Problems = {}
    notes: list[str] = []

    def text(name: str | None) -> str:
        return incident.fields.get(name, "").strip() if name else ""

    def one(about: str) -> str | None:
        name = getattr(fields, about)
        given = (line.strip() for line in text(name).splitlines())
        values = list(dict.fromkeys(line for line in given if not _NOTHING.fullmatch(line)))
        if len(values) > 1:
            shown = ", ".join(f"'{one_line(value, 80)}'" for value in values[:4])
            problems[about] = f"The field '{name}' has more than one value: {shown}."
        return values[0] if len(values) == 1 else None

    def yes(about: str) -> bool | None:
        value = one(about)
        said = spelling.yes_or_no(value) if value is not None else None
        if value is not None and said is None:
            name = getattr(fields, about)
            problems[about] = f"The field '{name}' must be yes or no, not '{one_line(value, 80)}'."
        return said

    server, account = one("server"), one("account")
    lines = printable(text(fields.error_message)).strip().splitlines()
    lines = lines[: len(spelling.unsigned(lines))]
    message = "\n".join(lines).strip()
    own = [line for line in lines if not line.lstrip().startswith(">")]
    pasted = message.splitlines() if message.count("\n") >= _MESSAGE_LINES else []
    report = ClientReport(
        internet=yes("internet"),
        reconnected=yes("reconnected"),
        error_message=None if pasted else message[:4000] or None,
        settings={**_shown(pasted), **_settings(text(fields.settings), fields.settings, problems)},
        log=pasted[-MAX_LOG_LINES:],
    )
    wanted = [(path, name) for path, name in incident.files.items() if _LOG.fullmatch(name) or _REPORT.fullmatch(name)]
    for identifier, name in wanted[-MAX_FILES:]:
        shown = one_line(name, 80)
        try:
            attached = read_from(io.BytesIO(tracker.file(identifier)), Path(shown))
        except TrackerError as error:
            notes.append(f"Cannot read the attached file {shown}: {error}")
        except InputError as error:
            problems[shown] = str(error)
        else:
            settings = {**_shown(attached.log), **attached.settings}
            # Whoever writes an incident could name any address: only the service knows the browser's.
            attached = attached.model_copy(update={"settings": settings, "browser": None})
            report = combined(report, attached, f"attached file {shown}", problems)
    prose = [] if len(pasted) > _SCREENSHOT_LINES or any(map(_LOGGED.search, pasted)) else pasted
    mine = () if len(own) == len(lines) or is_automatic(message) else tuple(own)
    return Said(server, account, "\n".join([incident.subject, *prose]), mine, report, problems, notes)


def combined(said: ClientReport, more: ClientReport, where: str, problems: Problems) -> ClientReport:
    """Both reports in one: `more` has the more exact message and settings and the newer log. A fact that conflicts with
    `where` it comes from is a problem, and not known."""
    facts: dict[str, bool | None] = {}
    for fact in ("internet", "reconnected"):
        first, second = getattr(said, fact), getattr(more, fact)
        if None not in (first, second) and first != second:
            problems[fact] = f"'{fact}' conflicts: incident {_yes(first)}, {where} {_yes(second)}."
        facts[fact] = None if fact in problems else first if second is None else second
    settings = {**said.settings, **more.settings}
    return ClientReport(
        internet=facts["internet"],
        reconnected=facts["reconnected"],
        error_message=more.error_message or said.error_message,
        settings=dict(list(settings.items())[-100:]),
        log=[*said.log, *more.log][-MAX_LOG_LINES:],
        browser=more.browser,
    )


def servers_of(said: Said, asked: Sequence[str], fields: Fields, found: Inventory, problems: Problems) -> list[str]:
    """The servers that were given, else the incident's; none where that is a problem. An incident names a host, never a
    group."""
    server = said.server
    allowed = found.allowed & found.hosts
    if asked:
        if server is not None and not set(spelling.servers(server, allowed)) & set(asked) and server not in asked:
            problems["server"] = f"'server' conflicts: incident '{one_line(server, 80)}', command {', '.join(asked)}."
        return list(asked)
    if server is None:
        # An account at its server, or what the client is set to, names the server, too; else what people write does.
        # What a mail says itself goes before what it quotes.
        meant = sorted({name for line in said.own for name in spelling.servers_in(line, allowed)})
        meant = meant or sorted({name for place in _places(said) for name in spelling.servers(place, allowed)})
        meant = meant or sorted({name for line in _sentences(said) for name in spelling.servers_in(line, allowed)})
        if len(meant) == 1 and "server" not in problems:
            return meant
        problems.setdefault("server", _missing("server", fields.server))
        return []
    meant = spelling.servers(server, allowed)
    if len(meant) == 1:
        return meant
    shown = f"'{one_line(server, 80)}' (field '{fields.server}')"
    several = f"{shown} may be any of {', '.join(meant[:4])}."
    problems["server"] = several if meant else f"{shown} is not a server of the inventory."
    return []


def account_of(said: Said, asked: str | None, needed: bool, fields: Fields, problems: Problems) -> str | None:
    """The account that was given, else the incident's; None where there is none, a problem if it is `needed`."""
    account = spelling.account_alone(said.account) if said.account is not None else None
    if asked is not None:
        if account not in (None, asked):
            problems["account"] = f"'account' conflicts: incident '{one_line(account, 80)}', command {asked}."
        return asked
    if account is None:
        meant = sorted(
            spelling.accounts_of(said.own) or _accounts(said) or spelling.accounts_of(list(_sentences(said)))
        )
        if len(meant) == 1 and "account" not in problems:
            account = meant[0]
        elif needed:
            problems.setdefault("account", _missing("account", fields.account))
    if account is None:
        return None
    try:
        return names.checked("account", account)
    except InputError as error:
        problems["account"] = f"In the field '{fields.account}': {error}"
        return None


def _places(said: Said) -> Iterator[str]:
    """Where the incident's account is, or its client registers."""
    yield said.account or ""
    yield from (str(said.report.settings.get(name) or "") for name in ("address", "domain"))
    yield from (host for _user, host in _registering(said))


def _accounts(said: Said) -> set[str]:
    """The accounts that the client's settings and log show."""
    users = {str(said.report.settings.get("username") or ""), *(user for user, _host in _registering(said))}
    return {name for name in map(spelling.account, users) if names.is_name("account", name)}


def _sentences(said: Said) -> Iterator[str]:
    """What people write about it in their own words."""
    for text in (said.subject, said.report.error_message or ""):
        yield from () if is_automatic(text) else text.splitlines()


def _registering(said: Said) -> set[tuple[str, str]]:
    """Who registers where, by the log."""
    return {(found[1], found[2]) for line in said.report.log if (found := _REGISTERS.search(line[:1000])) is not None}


def _missing(about: str, name: str | None) -> str:
    why = f"the field '{name}' is empty" if name else "the settings name no field for it"
    return f"The {about} is missing: {why}."


def _settings(text: str, name: str | None, problems: Problems) -> dict[str, Scalar]:
    """The settings in a field; a part that cannot be read is a problem."""
    found, unread = spelling.settings(text)
    if unread or len(found) > MAX_SETTINGS:
        shown = one_line(unread[0] if unread else list(found)[MAX_SETTINGS], 80)
        problems["settings"] = (
            f"The field '{name}' must have at most {MAX_SETTINGS} lines 'name: value', not '{shown}'."
        )
    return {key: _scalar(key, value) for key, value in list(found.items())[:MAX_SETTINGS]}


def _shown(lines: Sequence[str]) -> dict[str, Scalar]:
    """The settings in a text of a few lines, which may be a screenshot's; none in a log or in SIP messages."""
    if len(lines) > _SCREENSHOT_LINES or any("SIP/2.0" in line for line in lines):
        return {}
    found: dict[str, set[Scalar]] = {}
    for line in spelling.bare("\n".join(lines)).splitlines():
        settings, _unread = spelling.settings(line)
        for key, value in settings.items():
            if spelling.is_sound(key, str(value)) and (_SIGN.search(line) or not spelling.is_status(str(value))):
                found.setdefault(key, set()).add(_scalar(key, value))
    # Of two values of one setting nobody knows which is meant.
    return {key: values.pop() for key, values in found.items() if len(values) == 1}


def _scalar(key: str, value: Scalar) -> Scalar:
    if not isinstance(value, str):
        return value
    answer = spelling.yes_or_no(value) if re.fullmatch(r"[^\W\d]{1,15}", value) else None
    return printable(value) if answer is None or (key in spelling.SETTINGS and key != "keep_alive") else answer


def _yes(value: object) -> str:
    return "yes" if value else "no"
