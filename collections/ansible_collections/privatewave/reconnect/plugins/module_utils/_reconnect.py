# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's half of a forced reconnection: ask the contacts of an account, drop the dead, tell the others.

A contact that no longer answers keeps the client's place. Without it, and asked to check its configuration, a client
registers anew.
"""

from __future__ import annotations

import re
import time

from ansible_collections.privatewave.reconnect.plugins.module_utils import _config
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk import NAME, Asterisk
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk_answers import parse_realtime
from ansible_collections.privatewave.reconnect.plugins.module_utils._asterisk_log import printable
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._sql import Connection, login_of

#: Seconds that contacts may take to answer (a qualify takes 3 unless told otherwise), and between two looks.
ANSWER_LIMIT = 4.0
PAUSE = 0.3
SQL_LIMIT = 3.0
EVENT = "check-sync"
#: What both channel drivers print for each NOTIFY that goes out, and characters of anything else that are told.
SENT = "Sending NOTIFY"
SAID_LIMIT = 200

_KEY = re.compile(r"^/?registrar/contact/(\S+;@[0-9a-f]+)\s*:\s*(.*)$")


def reconnect(settings, account, change):
    """Make the client of ``account`` connect anew; without ``change`` only tell what would be done.

    Returns ``{contacts: [{uri, status}], dropped: [uri], notified, why: [text]}``: the contacts and whether they
    answered, those that were taken away, whether NOTIFY was sent, and why something was not done. Raises `ProbeError`.
    """
    if not NAME.match(account):
        raise ProbeError("invalid", "an account's name is at most 80 letters, digits and . _ + -")
    client = _Sip(settings, account) if settings.get("channel_driver") == "sip" else _Pjsip(settings, account)
    why = []
    if change:
        client.qualify()
    contacts = _settled(client) if change else client.contacts()
    dead = [one["uri"] for one in contacts if one["status"] in ("Unreachable", "Unavailable")]
    dropped, notified = [], False
    for uri in dead:
        try:
            if change:
                client.drop(uri)
            dropped.append(uri)
        except ProbeError as error:
            why.append("{0} was not taken away: {1}".format(uri, error))
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


def _settled(client):
    """The contacts, once each was found to answer or not to."""
    deadline = time.monotonic() + ANSWER_LIMIT
    while True:
        contacts = client.contacts()
        if all(one["status"] in ("Reachable", "Unreachable", "Unavailable") for one in contacts):
            return contacts
        if time.monotonic() >= deadline:
            return contacts
        time.sleep(PAUSE)


def parse_astdb(text, aor):
    """The keys of an AOR's contacts in ``database show registrar/contact``, by what they hold."""
    found = {}
    for line in text.splitlines():
        match = _KEY.match(line.strip())
        if match and match.group(1).partition(";@")[0] == aor:
            found[match.group(1)] = match.group(2)
    return found


def section_of(sections, event):
    """The name of a section of pjsip_notify.conf or sip_notify.conf that sends an event and restarts no phone, or None.

    ``check-sync`` may carry ``reboot=true``, which snom's and others' phones obey.
    """
    for name, values in sections.items():
        sent, *parameters = values.get("event", "").lower().replace(" ", "").split(";")
        if sent == event and "reboot=true" not in parameters:
            return name
    return None


class _Client:
    """The contacts of an account in one channel driver."""

    def __init__(self, settings, account):
        self._settings = settings
        self._account = account
        self._asterisk = Asterisk(settings)

    def contacts(self):
        try:
            return self._asterisk.live(self._account)["contacts"]
        except ProbeError as error:
            # No such endpoint, so no contact either.
            if error.error != "missing":
                raise
            return []

    def _notify(self, action, name, file, command):
        """Over AMI, which needs no section of a file; else by the command line and the section there is."""
        try:
            self._asterisk.manage(action, **dict(name, Variable="Event={0}".format(EVENT)))
            return
        except ProbeError as error:
            if error.error != "missing":
                raise
        section = section_of(_config.read(file), EVENT)
        if section is None or not NAME.match(section):
            raise ProbeError(
                "missing",
                "AMI has no user that may send it, and {0} has no section with Event => {1}".format(file, EVENT),
            )
        said = self._asterisk.command(command.format(section, self._account))
        if SENT not in said:
            raise ProbeError("failed", "Asterisk says {0!r}".format(printable(" ".join(said.split()), SAID_LIMIT)))


class _Pjsip(_Client):
    def qualify(self):
        self._asterisk.command("pjsip qualify " + self._account)

    def notify(self):
        self._notify(
            "PJSIPNotify", {"Endpoint": self._account}, "pjsip_notify.conf", "pjsip send notify {0} endpoint {1}"
        )

    def drop(self, uri):
        sorcery = _config.read("sorcery.conf")
        kept = [section.get("contact", "") for section in sorcery.values() if section.get("contact")]
        if any(one.startswith("realtime") for one in kept):
            connection = Connection(login_of(self._settings), SQL_LIMIT)
            try:
                # Asterisk writes a semicolon as ^3B, for it would end the value in a file.
                connection.change(
                    "DELETE FROM {0} WHERE uri IN (%s, %s) AND (endpoint = %s OR id LIKE %s)".format(
                        connection.quoted(_contacts_table())
                    ),
                    (uri, uri.replace(";", "^3B"), self._account, _like(self._account) + "^3B@%"),
                )
            finally:
                connection.close()
            return
        listed = parse_astdb(self._asterisk.command("database show registrar/contact"), self._account)
        for key, value in listed.items():
            if '"uri":"{0}"'.format(uri.replace(";", "^3B")) in value.replace(" ", ""):
                self._asterisk.command('database del registrar/contact "{0}"'.format(key))
                return
        raise ProbeError("missing", "Asterisk's own database has no such contact")


class _Sip(_Client):
    def qualify(self):
        self._asterisk.command("sip qualify peer {0} load".format(self._account))

    def notify(self):
        self._notify("SIPnotify", {"Channel": "SIP/" + self._account}, "sip_notify.conf", "sip notify {0} {1}")

    def drop(self, uri):
        # A peer has one contact.
        del uri
        self._asterisk.command("sip unregister " + self._account)


def _contacts_table():
    return parse_realtime(_config.read("extconfig.conf")).get("ps_contacts", {}).get("table") or "ps_contacts"


def _like(text):
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
