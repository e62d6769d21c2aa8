# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's half of a forced reconnection: ask the contacts of an account, remove the dead, notify the others.

A dead contact may take up the only one that the account may have. Without it, or asked to check its configuration, a
client registers again.
"""

from __future__ import annotations

import abc
import re
import time
from typing import TYPE_CHECKING

from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.probes import Asterisk
from ansible_collections.privatewave.reconnect.plugins.module_utils._common import ACCOUNT_NAME
from ansible_collections.privatewave.reconnect.plugins.module_utils._database.realtime import contacts_table
from ansible_collections.privatewave.reconnect.plugins.module_utils._database.sql import Connection, like, login_of
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import config
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._text import account_name, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk.documents import Contact, Reconnection
    from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import Settings

#: Seconds that contacts may take to answer (a qualify takes 3 by default), and between two looks.
ANSWER_LIMIT = 4.0
PAUSE = 0.3
SQL_LIMIT = 3.0
EVENT = "check-sync"
#: What both channel drivers print for each NOTIFY that they send, and how many characters of anything else we quote.
SENT = "Sending NOTIFY"
SAID_LIMIT = 200

_KEY = re.compile(r"^/?registrar/contact/(\S+;@[0-9a-f]+)\s*:\s*(.*)$")


def reconnect(settings: Settings, account: str, change: bool) -> Reconnection:
    """Make the client of ``account`` connect again; without ``change`` only say what would be done.

    Raises `ProbeError`.
    """
    account = account_name(account)
    client: _Client = _Sip(settings, account) if settings["channel_driver"] == "sip" else _Pjsip(settings, account)
    why: list[str] = []
    if change:
        client.qualify()
    contacts = _settled(client) if change else client.contacts()
    dead = [one["uri"] for one in contacts if one["status"] in ("Unreachable", "Unavailable")]
    dropped: list[str] = []
    notified = False
    for uri in dead:
        try:
            if change:
                client.drop(uri)
            dropped.append(uri)
        except ProbeError as error:
            why.append("{0} was not removed: {1}".format(uri, error))
    if len(contacts) > len(dead):
        try:
            if change:
                client.notify()
            notified = change
        except ProbeError as error:
            why.append("no NOTIFY was sent: {0}".format(error))
    return {
        "contacts": [{"uri": one["uri"], "status": one["status"]} for one in contacts],
        "dropped": dropped,
        "notified": notified,
        "why": why,
    }


def _settled(client: _Client) -> list[Contact]:
    """The contacts, once Asterisk knows of each whether it answers, at the latest after `ANSWER_LIMIT`."""
    deadline = time.monotonic() + ANSWER_LIMIT
    while True:
        contacts = client.contacts()
        if all(one["status"] in ("Reachable", "Unreachable", "Unavailable") for one in contacts):
            return contacts
        if time.monotonic() >= deadline:
            return contacts
        time.sleep(PAUSE)


def parse_astdb(text: str, aor: str) -> dict[str, str]:
    """The contacts of an AOR in ``database show registrar/contact``: their values by their keys."""
    found = {}
    for line in text.splitlines():
        match = _KEY.match(line.strip())
        if match and match.group(1).partition(";@")[0] == aor:
            found[match.group(1)] = match.group(2)
    return found


def section_of(sections: Mapping[str, Mapping[str, str]], event: str) -> str | None:
    """The name of a section of pjsip_notify.conf or sip_notify.conf that sends an event and restarts no phone, or None.

    ``check-sync`` may carry ``reboot=true``, which snom's and others' phones obey.
    """
    for name, values in sections.items():
        sent, *parameters = values.get("event", "").lower().replace(" ", "").split(";")
        if sent == event and "reboot=true" not in parameters:
            return name
    return None


class _Client(abc.ABC):
    """The contacts of an account in one channel driver."""

    def __init__(self, settings: Settings, account: str) -> None:
        self._settings = settings
        self._account = account
        self._asterisk = Asterisk(settings)

    def contacts(self) -> list[Contact]:
        """The contacts that Asterisk has; none when it has no such endpoint."""
        try:
            return self._asterisk.live(self._account)["contacts"]
        except ProbeError as error:
            if error.error != "missing":
                raise
            return []

    @abc.abstractmethod
    def qualify(self) -> None:
        """Ask every contact whether it answers."""

    @abc.abstractmethod
    def notify(self) -> None:
        """Send NOTIFY with check-sync to every contact. Raises `ProbeError`."""

    @abc.abstractmethod
    def drop(self, uri: str) -> None:
        """Remove a contact. Raises `ProbeError`."""

    def _notify(self, action: str, name: Mapping[str, str], file: str, command: str) -> None:
        """Over AMI, which needs no section of a file; else by the command line, with a section of ``file``."""
        try:
            self._asterisk.manage(action, **dict(name, Variable="Event={0}".format(EVENT)))
            return
        except ProbeError as error:
            if error.error != "missing":
                raise
        section = section_of(config.read(file), EVENT)
        if section is None or not ACCOUNT_NAME.match(section):
            raise ProbeError(
                "missing",
                "AMI has no user that may send it, and {0} has no section with Event => {1}".format(file, EVENT),
            )
        said = self._asterisk.command(command.format(section, self._account))
        if SENT not in said:
            raise ProbeError("failed", "Asterisk says {0!r}".format(printable(" ".join(said.split()), SAID_LIMIT)))


class _Pjsip(_Client):
    def qualify(self) -> None:
        self._asterisk.command("pjsip qualify " + self._account)

    def notify(self) -> None:
        self._notify(
            "PJSIPNotify", {"Endpoint": self._account}, "pjsip_notify.conf", "pjsip send notify {0} endpoint {1}"
        )

    def drop(self, uri: str) -> None:
        table = contacts_table("pjsip")
        if table:
            with Connection(login_of(self._settings), SQL_LIMIT) as connection:
                # Asterisk writes a semicolon as ^3B: in a file it would end the value.
                connection.change(
                    "DELETE FROM {0} WHERE uri IN (%s, %s) AND (endpoint = %s OR id LIKE %s)".format(
                        connection.quoted(table)
                    ),
                    (uri, uri.replace(";", "^3B"), self._account, like(self._account) + "^3B@%"),
                )
            return
        listed = parse_astdb(self._asterisk.command("database show registrar/contact"), self._account)
        for key, value in listed.items():
            if '"uri":"{0}"'.format(uri.replace(";", "^3B")) in value.replace(" ", ""):
                self._asterisk.command('database del registrar/contact "{0}"'.format(key))
                return
        raise ProbeError("missing", "Asterisk's own database has no such contact")


class _Sip(_Client):
    def qualify(self) -> None:
        self._asterisk.command("sip qualify peer {0} load".format(self._account))

    def notify(self) -> None:
        self._notify("SIPnotify", {"Channel": "SIP/" + self._account}, "sip_notify.conf", "sip notify {0} {1}")

    def drop(self, uri: str) -> None:
        # A peer has one contact.
        del uri
        self._asterisk.command("sip unregister " + self._account)
