"""The database: its schema, its rights, its settings, and locks that somebody holds."""

from __future__ import annotations

import re
from random import Random

from ..mutation import Facts, Mutation, sql

LENGTH = re.compile(r"^(?:varchar|character varying)\((\d+)\)$")
SCHEMA = ("database_schema_outdated", "contact_write_failed", "odbc_disconnected", "account_missing")
DENIED = ("database_refuses_login", "contact_write_failed", "database_schema_outdated", "odbc_disconnected")


def draw(rng: Random, facts: Facts) -> Mutation | None:
    """One change of the database."""
    if not facts.tables:
        return None
    return rng.choice((narrowed, dropped, renamed, renamed_table, demanded, revoked, refused, held, configured))(
        rng, facts
    )


def statement(said: str) -> str:
    """A script that lets the database's administrator say it."""
    return sql(said).rstrip() + " > /dev/null\n"


def drawn_column(rng: Random, facts: Facts) -> tuple[str, str]:
    """A table and a column, mostly one that the account or a contact uses."""
    table = rng.choice(sorted(facts.tables))
    used = [name for name, value in facts.rows.get(table, {}).items() if value not in (None, "")]
    return table, rng.choice(used if used and rng.random() < 0.7 else list(facts.tables[table]))


def of_schema(facts: Facts, change: str, table: str, column: str, before: str, after: str, said: str) -> Mutation:
    """A change of a table that is kept whole."""
    return Mutation(
        kind=f"database.{change}",
        target=f"{table}.{column}" if column else table,
        before=before,
        after=after,
        apply=statement(said),
        tables=(table,),
        units=("asterisk",),
        causes=SCHEMA,
    )


def narrowed(rng: Random, facts: Facts) -> Mutation | None:
    """A column that is too short for what it has to hold."""
    table, column = drawn_column(rng, facts)
    kind = facts.tables[table][column]
    found = LENGTH.match(kind)
    if not found or int(found[1]) < 2:
        return None
    name = facts.column(column)
    length = max(1, int(found[1]) // rng.choice((2, 8, 32)))
    if facts.engine == "postgresql":
        said = f"ALTER TABLE {table} ALTER COLUMN {name} TYPE varchar({length}) USING substr({name}, 1, {length})"
    else:
        said = f"SET sql_mode = ''; ALTER TABLE {table} MODIFY {name} varchar({length})"
    return of_schema(facts, "column_narrowed", table, column, kind, f"varchar({length})", said)


def dropped(rng: Random, facts: Facts) -> Mutation | None:
    """A column that is gone."""
    table, column = drawn_column(rng, facts)
    said = f"ALTER TABLE {table} DROP COLUMN {facts.column(column)}"
    return of_schema(facts, "column_dropped", table, column, facts.tables[table][column], "no column", said)


def renamed(rng: Random, facts: Facts) -> Mutation | None:
    """A column that is called otherwise."""
    table, column = drawn_column(rng, facts)
    old, new = facts.column(column), facts.column(f"{column}_old")
    said = f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}"
    return of_schema(facts, "column_renamed", table, column, column, f"{column}_old", said)


def renamed_table(rng: Random, facts: Facts) -> Mutation | None:
    """A table that is called otherwise, or empty."""
    table = rng.choice(sorted(facts.tables))
    if rng.random() < 0.5:
        return of_schema(facts, "table_emptied", table, "", "its rows", "no row", f"DELETE FROM {table}")
    mutation = of_schema(
        facts, "table_renamed", table, "", table, f"{table}_old", f"ALTER TABLE {table} RENAME TO {table}_old"
    )
    return Mutation(**{**mutation.saved(), "revert": statement(f"DROP TABLE IF EXISTS {table}_old")})


def demanded(rng: Random, facts: Facts) -> Mutation | None:
    """A column that Asterisk does not know and that every row must fill."""
    table = rng.choice(sorted(facts.tables))
    default = " DEFAULT 'x'" if rng.random() < 0.3 else ""
    if facts.engine == "postgresql" and not default:
        said = (
            f"ALTER TABLE {table} ADD site varchar(8) NOT NULL DEFAULT 'x'; ALTER TABLE {table} ALTER site DROP DEFAULT"
        )
    else:
        said = f"ALTER TABLE {table} ADD site varchar(8) NOT NULL{default}"
    return of_schema(facts, "column_added", table, "site", "no column", f"NOT NULL{default}", said)


def revoked(rng: Random, facts: Facts) -> Mutation | None:
    """A right of Asterisk's user that is taken away."""
    right = rng.choice(("SELECT", "INSERT", "UPDATE", "DELETE"))
    user = facts.database_user
    if facts.engine == "mysql":
        target = f"{facts.database}.*"
        takes, gives = f"REVOKE {right} ON {target} FROM {user}", f"GRANT {right} ON {target} TO {user}"
    else:
        target = rng.choice(sorted(facts.tables))
        takes, gives = f"REVOKE {right} ON {target} FROM {user}", f"GRANT {right} ON {target} TO {user}"
    return Mutation(
        kind="database.right_revoked",
        target=target,
        before=right,
        after="no right",
        apply=statement(takes) + hung_up(rng, facts),
        revert=statement(gives),
        units=("asterisk",),
        causes=DENIED,
    )


def hung_up(rng: Random, facts: Facts) -> str:
    """Mostly Asterisk has to log in again."""
    name = facts.database_user.split("@")[0].strip("'")
    return f"hang_up {name} || true\n" if rng.random() < 0.7 else ""


def refused(rng: Random, facts: Facts) -> Mutation | None:
    """Asterisk's user that may not log in."""
    user = facts.database_user
    change = rng.choice(("locked", "password", "connections"))
    if facts.engine == "mysql":
        said = {
            "locked": f"ALTER USER {user} ACCOUNT LOCK",
            "password": f"ALTER USER {user} IDENTIFIED BY 'nosuch'",
            "connections": f"ALTER USER {user} WITH MAX_USER_CONNECTIONS 1",
        }[change]
        keeps = f'mysql --skip-column-names --execute "SHOW CREATE USER {user}" | sed s/^CREATE/ALTER/ > "$kept.user"\n'
        gives = (
            f'if [ -f "$kept.user" ]; then database "$(cat "$kept.user")"; rm "$kept.user"; fi\n'
            f'database "ALTER USER {user} WITH MAX_USER_CONNECTIONS 0 ACCOUNT UNLOCK"\n'
        )
    else:
        said = {
            "locked": "ALTER ROLE asterisk NOLOGIN",
            "password": "ALTER ROLE asterisk PASSWORD 'nosuch'",
            "connections": "ALTER ROLE asterisk CONNECTION LIMIT 1",
        }[change]
        asked = "SELECT rolpassword FROM pg_authid WHERE rolname = 'asterisk'"
        keeps = f'database "{asked}" > "$kept.user"\n'
        gives = (
            "database 'ALTER ROLE asterisk LOGIN CONNECTION LIMIT -1'\n"
            'if [ -s "$kept.user" ]; then database "ALTER ROLE asterisk PASSWORD \'$(cat "$kept.user")\'"; fi\n'
            'rm -f "$kept.user"\n'
        )
    return Mutation(
        kind=f"database.user_{change}",
        target=user,
        before="may log in",
        after=said.split(user)[-1].strip() if change != "password" else "another password",
        apply=f"{keeps}{statement(said)}{hung_up(rng, facts)}",
        revert=gives,
        units=("asterisk",),
        causes=("database_refuses_login", "database_too_many_connections", "odbc_disconnected"),
    )


def held(rng: Random, facts: Facts) -> Mutation | None:
    """A lock that a session of an administrator holds."""
    table = rng.choice(sorted(facts.tables))
    unit = "systemd-run --quiet --collect --unit=mutation-lock"
    if facts.engine == "postgresql":
        mode = rng.choice(("ACCESS EXCLUSIVE", "EXCLUSIVE"))
        # The session is idle in its transaction until its input ends.
        holds = f"BEGIN; LOCK TABLE {table} IN {mode} MODE; SELECT 1;"
        command = f"sh -c \"(echo '{holds}'; sleep 900) | runuser -u postgres -- psql --no-psqlrc --quiet asterisk\""
        shown = (
            "SELECT 1 FROM pg_locks JOIN pg_class ON relation = pg_class.oid "
            f"WHERE relname = '{table}' AND mode LIKE '%xclusive%'"
        )
    else:
        mode = rng.choice(("WRITE", "READ"))
        command = f'mysql {facts.database} --execute "LOCK TABLES {table} {mode}; DO SLEEP(900)"'
        shown = "SELECT 1 FROM information_schema.processlist WHERE info LIKE 'DO SLEEP%'"
    return Mutation(
        kind="database.lock_held",
        target=table,
        before="no lock",
        after=mode,
        apply=f'{unit} -- {command}\nuntil [ -n "$(database "{shown}")" ]; do sleep 0.2; done\n',
        revert="systemctl stop mutation-lock.service 2>/dev/null || true\n",
        units=("asterisk",),
        causes=("database_hung", "database_slow", "contact_write_failed", "odbc_disconnected"),
    )


def configured(rng: Random, facts: Facts) -> Mutation | None:
    """A setting of the running server."""
    if facts.engine == "postgresql":
        name, value = rng.choice(
            (
                ("default_transaction_read_only", "on"),
                ("statement_timeout", "1"),
                ("lock_timeout", "1"),
                ("log_statement", "all"),
                ("idle_session_timeout", "500"),
            )
        )
        apply = f"ALTER DATABASE asterisk SET {name} = {value}"
        revert = statement(f"ALTER DATABASE asterisk RESET {name}")
    else:
        name, value = rng.choice(
            (
                ("read_only", "1"),
                ("max_connections", "10"),
                ("wait_timeout", "1"),
                ("max_user_connections", "1"),
                ("general_log", "1"),
                ("max_allowed_packet", "1024"),
                ("connect_timeout", "2"),
                ("sql_mode", "'ANSI'"),
            )
        )
        apply = f"SET GLOBAL {name} = {value}"
        # A restart forgets what was set at run time.
        revert = f"restart {facts.database_unit}\n"
    return Mutation(
        kind="database.setting",
        target=name,
        before="as configured",
        after=value,
        apply=statement(apply) + hung_up(rng, facts),
        revert=revert,
        units=("asterisk",),
        causes=("database_read_only", "database_too_many_connections", "odbc_disconnected", "contact_write_failed"),
    )
