"""A value of the account's rows, or a whole row."""

from __future__ import annotations

from random import Random

from ..mutation import Facts, Mutation, sql

#: Values that somebody could have put there, by column; for every other column there are `USUAL`.
VALUES: dict[str, tuple[str, ...]] = {
    "transport": ("transport-udp", "transport-tls", "udp", "tls", "nosuch"),
    "auth_type": ("md5", "userpass", "digest", "google_oauth"),
    "max_contacts": ("0", "2", "10"),
    "remove_existing": ("no", "yes"),
    "host": ("198.18.20.99", "dynamic"),
    "type": ("user", "peer", "friend"),
    "deny": ("0.0.0.0/0.0.0.0",),
    "permit": ("10.0.0.0/255.0.0.0",),
    "contactdeny": ("0.0.0.0/0.0.0.0",),
    "identify_by": ("ip", "auth_username", "username"),
    "media_encryption": ("no", "sdes", "dtls"),
    "encryption": ("no", "yes"),
    "minimum_expiration": ("0", "60", "7200"),
    "maximum_expiration": ("10", "60", "3600"),
    "allow": ("opus", "ulaw", "nosuch"),
    "context": ("nosuch", "internal"),
    "realm": ("asterisk", "nosuch"),
    "qualify_frequency": ("0", "1"),
    "acl": ("nosuch",),
    "insecure": ("invite", "port"),
    "disallow": ("all", ""),
}
USUAL = ("nosuch", "0", "1", "yes", "no", " ")
#: Which causes a wrong value of a column may be called; of the others nobody can say it beforehand.
CAUSES: dict[str, tuple[str, ...]] = {
    "password": ("password_mismatch",),
    "secret": ("password_mismatch",),
    "md5_cred": ("realm_mismatch", "password_mismatch"),
    "md5secret": ("realm_mismatch", "password_mismatch"),
    "realm": ("realm_mismatch",),
    "username": ("auth_name_mismatch",),
    "max_contacts": ("max_contacts_zero", "max_contacts_reached"),
    "auth": ("auth_missing",),
    "aors": ("aor_missing",),
    "host": ("peer_not_dynamic",),
    "type": ("account_missing", "account_disabled"),
    "transport": ("transport_mismatch",),
    "deny": ("acl_denies",),
    "acl": ("acl_denies",),
    "contactdeny": ("acl_denies",),
    "id": ("account_missing", "auth_missing", "aor_missing"),
    "name": ("account_missing",),
    "allow": ("codec_mismatch",),
    "media_encryption": ("security_model_mismatch",),
    "encryption": ("security_model_mismatch",),
}
#: Which cause a table without the row may be called, by how the table's name ends.
OF_TABLE = {
    "endpoints": "account_missing",
    "sippeers": "account_missing",
    "auths": "auth_missing",
    "aors": "aor_missing",
}


def draw(rng: Random, facts: Facts) -> Mutation | None:
    """A change of one of the rows that make the account."""
    if not facts.rows:
        return None
    table = rng.choice(sorted(facts.rows))
    row = facts.rows[table]
    change = rng.choices(("value", "null", "empty", "other", "double", "delete"), (6, 2, 2, 2, 1, 1))[0]
    where = f"WHERE {facts.table_key} = '{facts.account}'"
    if change == "delete":
        causes = (OF_TABLE[table.rpartition("_")[2]],)
        return made(facts, table, "row", change, "the row", "no row", f"DELETE FROM {table} {where}", causes)
    if change == "double":
        return doubled(rng, facts, table)
    column = drawn_column(rng, row)
    before = row[column]
    if change == "null":
        value = None
    elif change == "empty":
        value = ""
    elif change == "other":
        value = rng.choice(facts.others)
    else:
        value = drawn_value(rng, column, before)
    if value == before:
        return None
    said = f"UPDATE {table} SET {facts.column(column)} = {quoted(value)} {where}"
    return made(facts, table, column, change, told(column, before), told(column, value), said, CAUSES.get(column, ()))


def drawn_column(rng: Random, row: dict[str, str | None]) -> str:
    """Mostly one that has a value, sometimes any."""
    used = [name for name, value in row.items() if value not in (None, "")]
    return rng.choice(used) if used and rng.random() < 0.7 else rng.choice(list(row))


def drawn_value(rng: Random, column: str, before: str | None) -> str:
    """Another value: a known one, a number that is off, a text that is misspelt."""
    choices = [*VALUES.get(column, USUAL)]
    if before and before.isdigit():
        choices += [str(int(before) + 1), str(int(before) * 10), "0"]
    elif before:
        choices += [before[:-1], before.upper(), f"{before} "]
    return rng.choice([one for one in choices if one != before] or ["nosuch"])


def doubled(rng: Random, facts: Facts, table: str) -> Mutation:
    """A second row that equals the first in all but its name."""
    names = list(facts.rows[table])
    name = f"{facts.account}{rng.choice(('0', '-old', 'x'))}"
    if table == "sippeers":
        # Its number is made by the database.
        names.remove("id")
    columns = ", ".join(map(facts.column, names))
    values = ", ".join(quoted(name) if one == facts.table_key else facts.column(one) for one in names)
    said = f"INSERT INTO {table} ({columns}) SELECT {values} FROM {table} WHERE {facts.table_key} = '{facts.account}'"
    return made(facts, table, "row", "double", "one row", f"two rows, the other is {name}", said, ("account_doubled",))


def made(
    facts: Facts, table: str, column: str, change: str, before: str, after: str, said: str, causes: tuple[str, ...]
) -> Mutation:
    """The mutation of a statement."""
    return Mutation(
        kind=f"rows.{change}",
        target=f"{table}.{column} of {facts.account}",
        before=before,
        after=after,
        apply=f"{sql(said)}forget_peer {facts.account} > /dev/null\n",
        tables=(table,),
        units=("asterisk",),
        effect="at once",
        causes=causes,
    )


def quoted(value: str | None) -> str:
    """A value in SQL."""
    return "NULL" if value is None else "'{}'".format(value.replace("'", "''"))


def told(column: str, value: str | None) -> str:
    """A value for people; a password is no word of it."""
    if column in ("password", "secret", "md5_cred", "md5secret") and value:
        return f"a text of {len(value)} characters"
    return "NULL" if value is None else value
