# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database behind Asterisk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.privatewave.reconnect.plugins.module_utils._database.codes import DAMAGED

from ..evidence import Evidence
from ..facts import database_hangs, database_is_here, has_database
from ..finding import Finding, Say, are, rule

#: Error codes by which a server says that all its connections are taken (MariaDB, PostgreSQL).
TOO_MANY = {"1040", "1203", "1226", "53300"}
#: … and that it does not accept the login.
REFUSED = {"1044", "1045", "1130", "1698", "1820", "28000", "28P01", "3D000", "1049"}
#: How a question ends that does not get to the server.
UNREACHED = ("refused", "unreachable", "timed_out")
#: Share of the connections that may be in use before it is worth a word.
CONNECTIONS_WARN = 0.85
#: Seconds that finding an account may take: every request of a client waits for several of them.
SLOW_WARN, SLOW_FAIL = 0.5, 2.0
#: … and that the user may not read a table, which then looks as if it were not there.
NO_READING = {"1142", "1143", "42501"}
#: … and that it takes no writes: a finding of its own.
NO_WRITES = {"1290", "1836", "25006"}

#: The columns without which a driver reads or writes nothing, by table; those of later releases by their first.
NEEDED: dict[str, dict[str, tuple[str, ...]]] = {
    "pjsip": {
        "ps_endpoints": ("id", "aors", "auth", "context", "disallow", "allow"),
        "ps_auths": ("id", "auth_type", "username", "password"),
        "ps_aors": ("id", "max_contacts", "remove_existing", "minimum_expiration", "maximum_expiration"),
        # The registrar writes every field of a contact; one column that is missing, and none is stored.
        "ps_contacts": (
            *("id", "uri", "expiration_time", "qualify_frequency", "qualify_timeout", "authenticate_qualify"),
            *("outbound_proxy", "path", "user_agent", "endpoint", "reg_server", "via_addr", "via_port", "call_id"),
            "prune_on_boot",
        ),
    },
    "sip": {
        "sippeers": (
            *("name", "host", "type", "secret", "defaultuser", "ipaddr", "port", "regseconds", "fullcontact"),
            *("useragent", "lastms", "regserver"),
        ),
    },
}
NEEDED_SINCE = {("ps_contacts", "qualify_2xx_only"): 21}

#: Share of the accounts that lack a part, above which the tables have lost them.
LOST_SHARE = 0.5

READ_ONLY = ("read_only", "super_read_only", "innodb_read_only")


@rule
def process(evidence: Evidence) -> Iterator[Finding]:
    """Whether the database's process is there."""
    if not has_database(evidence):
        return
    name = str(evidence.settings.get("database_unit") or "")
    found = evidence.probe("database", "process")
    unit = evidence.unit("database_unit")
    say = Say(
        "database.process", "database", name, evidence=(("database.process", found.data), (f"host.units.{name}", unit))
    )
    works = evidence.probe("database", "login").ok
    state = str((unit or {}).get("active_state"))
    # Debian's postgresql.service only starts the units of the clusters: it has exited, and is active all the same.
    exited = state == "active" and (unit or {}).get("sub_state") == "exited"
    if found.ok:
        yield say.passes(f"{name} runs as process {found.data.get('pid')}.")
    elif found.error == "missing" and database_is_here(evidence) is False:
        yield say.passes("The database runs elsewhere.")
    elif found.error == "missing" and unit and unit.get("load_state") == "not-found":
        yield say.unknown(
            f"Whether the database runs is not known: the server has no unit {name}. Name the right one as "
            "reconnect_database_unit, or say reconnect_database_engine: none."
        )
    elif found.error == "missing" and unit and (state != "active" or (exited and not works)):
        why = "exited" if exited else unit.get("result")
        yield say.fails(f"{name} is {state} ({why}) and has no process.", "database_stopped")
    elif found.error == "missing" and (unit is None or exited) and works:
        yield say.passes("The database runs elsewhere.")
    else:
        yield say.unknown(f"Whether the database runs is not known ({found.why}).")


@rule
def answers(evidence: Evidence) -> Iterator[Finding]:
    """Port, login and query, each as Asterisk would do it."""
    if not has_database(evidence):
        yield _not_needed(evidence)
        return
    port, login, query = (evidence.probe("database", name) for name in ("port", "login", "query"))
    gone = evidence.probe("database", "process").error == "missing" and database_is_here(evidence) is not False
    stopped = gone and not login.ok
    say = Say("database.port", "database", "port", evidence=(("database.port", port.data or port.error),))
    if port.ok:
        yield say.passes("The database can be connected to.")
    elif port.error in (*UNREACHED, "missing"):
        yield _silent(evidence, say, f"The database cannot be connected to ({port.why})")
    else:
        yield say.unknown(f"Whether the database can be connected to is not known ({port.why}).")

    code = str((login.raw or {}).get("code") or "")
    say = Say(
        "database.login",
        "database",
        "login",
        evidence=(("database.login", login.data or {"error": login.error, "code": code}),),
    )
    if login.ok:
        yield say.passes(f"The database accepts Asterisk's login as {login.data.get('user')}.")
    elif stopped:
        yield say.fails(f"Nobody can log in to the database ({login.why}).")
    elif code in TOO_MANY:
        yield say.fails(f"The database has no connection left ({login.message}).", "database_too_many_connections")
    elif login.error in UNREACHED:
        yield _silent(evidence, say, f"The database does not answer a login ({login.why})")
    elif login.error == "denied" or code in REFUSED:
        yield say.fails(f"The database refuses Asterisk's login ({login.message}).", "database_refuses_login")
    else:
        yield say.unknown(f"Whether the database accepts Asterisk's login is not known ({login.why}).")

    say = Say("database.query", "database", "query", evidence=(("database.query", query.data or query.error),))
    if query.ok:
        seconds = float(query.data.get("seconds") or 0)
        yield _speed(say, seconds, "A trivial query took")
    elif query.error == "timed_out" and login.ok:
        yield _silent(evidence, say, "The database accepts a login but does not answer a query within its limit")
    elif not login.ok:
        yield say.unknown("A query needs a login first.")
    else:
        yield say.unknown(f"Whether the database answers a query is not known ({query.why}).")


def _not_needed(evidence: Evidence) -> Finding:
    """Whether Asterisk finds its accounts without a database, where the inventory names none."""
    found = evidence.probe("asterisk", "sources")
    say = Say("database.login", "database", "none", evidence=(("asterisk.sources", found.data or found.error),))
    if not found.ok:
        return say.unknown(f"Whether Asterisk needs a database is not known ({found.why}).")
    tables = sorted({str(one["family"]) for one in found.data.values() if one.get("family")})
    if tables:
        return say.unknown(
            f"Asterisk reads {' and '.join(tables)} from a database, while reconnect_database_engine is none: name the "
            "engine, and the database is checked."
        )
    return say.passes("Asterisk reads its accounts from files: it needs no database.")


def _silent(evidence: Evidence, say: Say, text: str) -> Finding:
    """Why Asterisk gets no answer: the database hangs, or what is between the two loses its questions."""
    place = evidence.probe("database", "place")
    address = place.data.get("address") if place.ok else ""
    if database_hangs(evidence):
        return say.fails(f"{text}, nor does it answer its administrator on the server.", "database_hung")
    if database_is_here(evidence) is False:
        return say.fails(f"{text}; it is elsewhere, at {address}.", "database_unreachable")
    if evidence.probe("database", "admin").ok and say.code != "database.query":
        return say.fails(f"{text}, while it answers its administrator on the server.", "database_unreachable")
    return say.fails(f"{text}.")


@rule
def admin(evidence: Evidence) -> Iterator[Finding]:
    """Whether the administrator gets in: tells a refused login from a sick server."""
    found = evidence.probe("database", "admin")
    if found.ok and found.data.get("reached"):
        yield Say("database.admin", "database", "admin").passes(
            "The administrator reaches the database over its socket."
        )


@rule
def status(evidence: Evidence) -> Iterator[Finding]:
    """Whether it takes writes, and how many connections are left."""
    found = evidence.probe("database", "status")
    if not has_database(evidence):
        return
    if not found.ok:
        yield Say("database.read_only", "database", "read_only").unknown(
            f"Whether it takes writes is not known ({found.why})."
        )
        return
    data = found.data
    on = [name for name in READ_ONLY if data.get(name)]
    say = Say(
        "database.read_only",
        "database",
        "read_only",
        evidence=(("database.status", {name: data.get(name) for name in READ_ONLY}),),
    )
    yield say.either(
        not on,
        "The database takes writes.",
        f"The database takes no writes ({' and '.join(on)} {are(len(on))} on).",
        "database_read_only",
    )
    used, limit = data.get("threads_connected"), data.get("max_connections")
    if used is not None and limit:
        say = Say(
            "database.connections", "database", "connections", evidence=(("database.status.threads_connected", used),)
        )
        text = f"{used} of {limit} connections are in use."
        if int(used) >= int(limit):
            yield say.fails(text, "database_too_many_connections")
        elif int(used) >= int(limit) * CONNECTIONS_WARN:
            yield say.warns(text)
        else:
            yield say.passes(text)
    if (uptime := data.get("uptime")) is not None:
        yield Say("database.uptime", "database", "uptime").passes(
            f"The database has been up for {float(uptime):.0f} s."
        )


@rule
def lookup(evidence: Evidence) -> Iterator[Finding]:
    """How long Asterisk waits for an account."""
    found, query = evidence.probe("database", "lookup"), evidence.probe("database", "query")
    about = str((found.data or {}).get("table") or "accounts")
    busy = _busy(evidence)
    say = Say(
        "database.lookup",
        "database",
        about,
        evidence=(("database.lookup", found.data or found.error), ("database.admin.longest", busy)),
    )
    if found.ok:
        yield _speed(say, float(found.data.get("seconds") or 0), f"Finding an account in {about} took")
    elif found.error == "timed_out" and query.ok:
        yield say.fails(
            f"The database answers a trivial query, but does not find an account within its limit{_waits(busy)}.",
            "database_slow",
        )
    elif (found.raw or {}).get("code") in DAMAGED:
        yield say.fails(f"An account cannot be read ({found.message}).", "database_table_damaged")
    elif (found.raw or {}).get("code") in NO_READING:
        yield say.fails(f"Asterisk's database user may not read accounts ({found.message}).", "database_hides_accounts")
    elif (found.raw or {}).get("code"):
        yield say.fails(f"An account cannot be read ({found.message}).")
    elif found.error != "skipped" and query.ok:
        yield say.unknown(f"Whether an account can be found is not known ({found.why}).")


def _speed(say: Say, seconds: float, text: str) -> Finding:
    if seconds >= SLOW_FAIL:
        return say.fails(f"{text} {seconds:.1f} s.", "database_slow")
    if seconds >= SLOW_WARN:
        return say.warns(f"{text} {seconds:.1f} s.")
    return say.passes(f"{text} {seconds * 1000:.0f} ms.")


def _busy(evidence: Evidence) -> list[Mapping[str, Any]]:
    """Who has worked longest in the database, as its administrator sees it."""
    found = evidence.probe("database", "admin")
    return list(found.data.get("longest") or []) if found.ok else []


def _waits(busy: list[Mapping[str, Any]]) -> str:
    if not busy:
        return ""
    first = busy[0]
    return f"; {first.get('user')} has been at work for {float(first.get('seconds') or 0):.0f} s ({first.get('state')})"


@rule
def writes(evidence: Evidence) -> Iterator[Finding]:
    """Whether Asterisk's user may store registrations; nothing was written to find out."""
    found = evidence.probe("database", "writes")
    if not found.ok:
        return
    table = str(found.data.get("table"))
    answers: Mapping[str, Any] = found.data.get("refused") or {}
    refused = {verb: one for verb, one in answers.items() if one.get("code") not in NO_WRITES}
    say = Say("database.writes", "database", table, evidence=(("database.writes", found.data),))
    if refused and not any(one.get("code") in DAMAGED for one in refused.values()):
        first = list(refused.values())[0]  # noqa: RUF015 - a StopIteration in a generator would be an error
        yield say.fails(
            f"Asterisk's database user may not {', '.join(sorted(refused))} in {table} ({first.get('text')}).",
            "contact_write_failed",
        )
    elif not refused:
        yield say.passes(f"Asterisk's database user may store registrations in {table}.")


@rule
def damage(evidence: Evidence) -> Iterator[Finding]:
    """What the server says of its tables when it checks them."""
    found = evidence.probe("database", "tables")
    for table, one in sorted(found.data.items()) if found.ok else []:
        yield Say("database.check", "database", table, evidence=((f"database.tables.{table}", one),)).either(
            not one.get("damaged"),
            f"The table {table} is whole.",
            f"The table {table} is damaged ({one.get('text')}).",
            "database_table_damaged",
        )


@rule
def schema(evidence: Evidence) -> Iterator[Finding]:
    """The realtime tables are there, with the columns that the driver needs."""
    found = evidence.probe("database", "schema")
    driver = str(evidence.settings.get("channel_driver") or "pjsip")
    version = evidence.probe("asterisk", "version")
    major = version.data.get("major") if version.ok else None
    families = {name: where.get("table") for name, where in _families(evidence).items()}
    hidden = (evidence.probe("database", "lookup").raw or {}).get("code") in NO_READING
    for table, columns in sorted(found.data.items()) if found.ok else []:
        family = next((name for name in NEEDED[driver] if families.get(name, name) == table), "")
        needed = [
            *NEEDED[driver].get(family, ()),
            *(name for (where, name), since in NEEDED_SINCE.items() if where == family and (major or 0) >= since),
        ]
        lacking = [name for name in needed if name not in (columns or [])]
        say = Say("database.table", "database", table, evidence=((f"database.schema.{table}", columns),))
        if not columns and hidden:
            yield say.unknown(f"Asterisk's database user may not see whether the table {table} is there.")
        elif not columns:
            yield say.fails(f"The table {table} is missing.", "database_schema_outdated")
        elif lacking:
            yield say.fails(
                f"The table {table} lacks {', '.join(lacking)}, which chan_{driver} needs.", "database_schema_outdated"
            )
        else:
            yield say.passes(f"The table {table} has {len(columns)} columns, among them all that chan_{driver} needs.")


def _families(evidence: Evidence) -> Mapping[str, Any]:
    """Which table Asterisk takes for each family of accounts."""
    found = evidence.probe("asterisk", "realtime")
    return found.data if found.ok else {}


@rule
def accounts(evidence: Evidence) -> Iterator[Finding]:
    """How many accounts there are, and how many of them nobody can register with."""
    found = evidence.probe("database", "accounts")
    if (found.raw or {}).get("code") in NO_READING:
        say = Say("database.accounts", "database", "accounts", evidence=(("database.accounts", found.error),))
        yield say.fails(f"Asterisk's database user may not read accounts ({found.message}).", "database_hides_accounts")
    if found.ok:
        incomplete = found.data.get("incomplete") or []
        say = Say("database.accounts", "database", "accounts", evidence=(("database.accounts", found.data),))
        total, broken = int(found.data.get("total") or 0), int(found.data.get("incomplete_total") or len(incomplete))
        hidden = found.data.get("hidden") or []
        if not total and hidden:
            yield say.fails(
                f"Asterisk's database user sees no account: {' and '.join(hidden)} may hide rows from it.",
                "database_hides_accounts",
            )
        elif not total:
            yield say.fails("The table of the accounts is empty.", "accounts_lost")
        elif broken > max(1, total * LOST_SHARE):
            yield say.fails(f"{broken} of {total} accounts lack a part without which none registers.", "accounts_lost")
        elif incomplete:
            names = ", ".join(str(one.get("id")) for one in incomplete[:5])
            number = len(incomplete)
            yield say.warns(f"{number} of {found.data.get('total')} accounts {are(number)} incomplete: {names}.")
        else:
            yield say.passes(f"All {found.data.get('total')} accounts are complete.")
