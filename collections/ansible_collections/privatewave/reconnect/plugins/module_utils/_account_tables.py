# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts in the realtime tables of a database."""

from __future__ import annotations

from ansible_collections.privatewave.reconnect.plugins.module_utils import _config
from ansible_collections.privatewave.reconnect.plugins.module_utils._account import table_of
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk_answers import parse_realtime
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._sql import Connection, login_of

LIMIT = 10.0
#: Kinds of objects with their family in extconfig.conf and the column that is their id.
KINDS = {
    "pjsip": {
        "endpoint": ("ps_endpoints", "id"),
        "auth": ("ps_auths", "id"),
        "aor": ("ps_aors", "id"),
        "contact": ("ps_contacts", "id"),
    },
    "sip": {"peer": ("sippeers", "name")},
}
#: Without these columns nothing can be said of an account.
_NEEDED = {
    "endpoint": ("id", "auth", "aors"),
    "auth": ("id", "username", "password"),
    "aor": ("id", "max_contacts"),
    "peer": ("name", "secret", "host"),
}
_CHUNK = 500


class Tables:
    """The tables as a store: ``read`` objects, ``write`` changes in one transaction."""

    def __init__(self, settings):
        """Log in as Asterisk does. Raises `ProbeError`."""
        families = parse_realtime(_config.read("extconfig.conf"))
        self.kinds = KINDS[settings.get("channel_driver") or "pjsip"]
        self._tables = {kind: table_of(families, family) for kind, (family, _key) in self.kinds.items()}
        self._connection = Connection(login_of(settings), LIMIT)
        try:
            known = self._connection.columns(self._tables.values())
            self.columns = {kind: set(known[table]) for kind, table in self._tables.items()}
            for kind, needed in _NEEDED.items():
                missing = [one for one in needed if kind in self.columns and one not in self.columns[kind]]
                if missing:
                    raise ProbeError(
                        "invalid", "the table {0} has no {1}".format(self._tables[kind], " and no ".join(missing))
                    )
        except ProbeError:
            self.close()
            raise

    def close(self):
        """Hang up."""
        self._connection.close()

    def read(self, users, lock=False):
        """The objects of users: ``{user: {kind: {id: row}, "contact": [row], "doubled": [kind]}}``.

        ``lock`` keeps them as they are until the transaction's end.
        """
        if "peer" in self.kinds:
            peers = self._rows("peer", "name", users, lock)
            return {
                user: {
                    "peer": {user: peers[user][0]} if user in peers else {},
                    "doubled": ["peer"] if len(peers.get(user, [])) > 1 else [],
                }
                for user in users
            }
        endpoints = self._rows("endpoint", "id", users, lock)
        named = {"auth": set(users), "aor": set(users)}
        for rows in endpoints.values():
            for row in rows:
                for kind, column in (("auth", "auth"), ("aor", "aors")):
                    named[kind].update(one.strip() for one in str(row.get(column) or "").split(",") if one.strip())
        auths, aors = (self._rows(kind, "id", sorted(named[kind]), lock) for kind in ("auth", "aor"))
        contacts = self._rows("contact", "endpoint", users, False) if "endpoint" in self.columns["contact"] else {}
        return {user: self._objects(user, endpoints, auths, aors, contacts) for user in users}

    @staticmethod
    def _objects(user, endpoints, auths, aors, contacts):
        own = endpoints.get(user, [])
        found = {"endpoint": {user: own[0]} if own else {}, "doubled": ["endpoint"] if len(own) > 1 else []}
        for kind, column, rows in (("auth", "auth", auths), ("aor", "aors", aors)):
            names = {user} | {one.strip() for row in own for one in str(row.get(column) or "").split(",")}
            found[kind] = {name: rows[name][0] for name in sorted(names) if name in rows}
            found["doubled"] += [kind for name in names if len(rows.get(name, [])) > 1]
        found["contact"] = contacts.get(user, [])
        return found

    def _rows(self, kind, column, values, lock):
        found, values = {}, list(values)
        quoted = self._connection.quoted
        for start in range(0, len(values), _CHUNK):
            chunk = values[start : start + _CHUNK]
            statement = "SELECT * FROM {0} WHERE {1} IN ({2}){3}".format(
                quoted(self._tables[kind]),
                quoted(column),
                ", ".join(["%s"] * len(chunk)),
                " FOR UPDATE" if lock else "",
            )
            for row in self._connection.records(statement, chunk):
                found.setdefault(str(row[column]), []).append(row)
        return found

    def transaction(self):
        """Within it nothing is kept before its end, and nothing at all after an exception."""
        return self._connection.transaction()

    def row(self, kind, key):
        """An object, or None."""
        rows = self._rows(kind, self.kinds[kind][1], [key], False).get(key)
        return rows[0] if rows else None

    def write(self, changes):
        """Carry out changes. Raises `ProbeError`."""
        for change in changes:
            self._write(change["kind"], change["id"], change["action"], change["values"])

    def _write(self, kind, key, action, values):
        quoted = self._connection.quoted
        table, column = quoted(self._tables[kind]), self.kinds[kind][1]
        values = {name: values[name] for name in sorted(values)}
        if action == "insert":
            statement = "INSERT INTO {0} ({1}) VALUES ({2})".format(
                table, ", ".join(map(quoted, values)), ", ".join(["%s"] * len(values))
            )
            self._connection.change(statement, list(values.values()))
        elif action == "update":
            statement = "UPDATE {0} SET {1} WHERE {2} = %s".format(
                table, ", ".join("{0} = %s".format(quoted(name)) for name in values), quoted(column)
            )
            self._connection.change(statement, [*values.values(), key])
        else:
            self._connection.change("DELETE FROM {0} WHERE {1} = %s".format(table, quoted(column)), [key])
