# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Registers at a server while its other questions are asked: from the control node, then from a vantage point.

The reserved account stays until the server was asked for its contact. A password that the server rejects is not tried
again from anywhere: it would get the vantage point banned.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from ansible.errors import AnsibleError
from ansible_collections.privatewave.reconnect.plugins.module_utils._net import connections, register
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, failed, probe
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import expected
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.answers import probe_of
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.payload import REGISTRATION_TEST, SERVER_INFO
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.prober import CONTROL, Prober

if TYPE_CHECKING:
    from ansible_collections.privatewave.reconnect.plugins.module_utils._account.documents import WantedAccount
    from ansible_collections.privatewave.reconnect.plugins.module_utils._net.documents import (
        KnownContacts,
        Path,
        RegistrationTest,
    )
    from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import Probe

#: Seconds that our contact stays for the answer of the server.
HOLD_SECONDS = 8.0
#: How often a run sends a password that is refused: once, and once more after a remedy.
MOST_REFUSED = 2
#: What of an account, as the registry has it, a login takes.
LOGIN_FIELDS = ("username", "auth", "password")

Registrations = dict[str, dict[str, "Probe[RegistrationTest]"]]
Name = tuple[str, str]
Question = Callable[[], Any]


class Registering:
    """The registrations of one diagnosis.

    ``account`` is that of the incident, ``wanted`` is how the registry has it, ``found`` is what became of each by
    account and vantage. ``before`` is what became of them in the run's last evidence; who was refused ``most_refused``
    times is not tried again.
    """

    def __init__(
        self,
        prober: Prober,
        account: str | None,
        wanted: WantedAccount | None,
        check_mode: bool,
        before: Mapping[str, Any] | None = None,
        most_refused: int = MOST_REFUSED,
    ) -> None:
        self._prober = prober
        self._refused = {name: _refused(tests) for name, tests in (before or {}).items()}
        self._target = prober.target()
        self.reserved = prober.settings["test_account"]
        self.found: Registrations = {}
        self._accounts: dict[str, WantedAccount] = {}
        for name in dict.fromkeys(one for one in (self.reserved, account) if one):
            if before and self._refused.get(name, 0) >= most_refused:
                # The last refusal stands: one more could ban the control node.
                self.found[name] = before[name]
                continue
            try:
                self._accounts[name] = self._account(name, account, wanted, check_mode)
            except ProbeError as error:
                self.found[name] = {CONTROL: failed(error.error, error)}
        #: By account: whether the server accepted the password; None when it did not say.
        self._accepted: dict[str, Future[bool | None]] = {name: Future() for name in self._accounts}
        self._server: Future[Mapping[str, Any]] = Future()
        self._paths: dict[str, Future[Path | None]] = {}

    def _account(self, name: str, account: str | None, wanted: WantedAccount | None, check_mode: bool) -> WantedAccount:
        """An account to register with. Raises `ProbeError`."""
        if check_mode:
            raise ProbeError("skipped", "nothing registers in check mode")
        if self._target.get("tls_ca_error"):
            raise ProbeError("skipped", str(self._target["tls_ca_error"]))
        if not self._target["transports"]:
            raise ProbeError("skipped", "the settings name no transport")
        if name != account or wanted is None:
            return expected.login(self._prober.name, name, self._prober.server)
        return expected.enabled(wanted)

    # The questions

    def contacts_of(self) -> list[str]:
        """The accounts whose contacts the server is asked for."""
        return [self.reserved] if self.reserved in self._accounts else []

    def testers(self) -> list[str]:
        """The addresses that the account of the incident is tested from."""
        own = map(connections.source_address, self._target["addresses"])
        return sorted({one for one in own if one}) if self._accounts else []

    def watched_server(self, question: Question) -> Question:
        """The question to the server, whose answer the registrations wait for."""
        return partial(_tell, self._server, question, {})

    def watched_path(self, vantage: str, question: Question) -> Question:
        """The question to a vantage point, whose answer its registration may wait for."""
        self._paths[vantage] = Future()
        return partial(_tell, self._paths[vantage], question, None)

    def questions(self, vantage: str | None) -> dict[Name, Question]:
        """Who registers, by account and vantage. The inventory is read here, before any thread."""
        asked: dict[Name, Question] = {(name, CONTROL): partial(self._here, name) for name in self._accounts}
        if vantage and self._accounts:
            try:
                asked["", vantage] = partial(self._there, vantage, self._prober.server.elsewhere(vantage))
            except AnsibleError as error:
                for name in self._accounts:
                    self.found.setdefault(name, {})[vantage] = failed("skipped", error)
        return asked

    def take(self, name: Name, answer: Probe[Any]) -> None:
        """Keep what became of a question."""
        account, vantage = name
        if account:
            self.found.setdefault(account, {})[vantage] = answer
            return
        for one in self._from_vantage():
            self.found.setdefault(one, {})[vantage] = (
                probe_of(answer["data"].get(one)) if answer["ok"] else cast("Probe[RegistrationTest]", answer)
            )

    # Threads

    def _options(self) -> dict[str, Any]:
        first = self._target["transports"][0]
        domain = self._target["sip_domain"] or self._prober.name
        return {
            "addresses": self._target["addresses"] or _resolved(domain),
            "port": first["port"],
            "transport": first["transport"],
            "domain": domain,
            **({"tls_ca": self._target["tls_ca"]} if self._target.get("tls_ca") else {}),
        }

    def _here(self, name: str) -> RegistrationTest:
        """Register from the control node; the reserved account stays until the server has answered."""
        account, accepted = self._accounts[name], self._accepted[name]
        seen: list[Probe[KnownContacts]] = []

        def hold(mark: str) -> bool:
            if name == self.reserved:
                seen[:] = [self._on_server(name, mark)]
            return not seen or not seen[0]["ok"] or is_there(seen[0]["data"], mark)

        verdict: bool | None = None
        try:
            if name != self.reserved:
                # What its client tried and what became of it is read before anything is added to it.
                self._known_to_differ(name, self._answer_of_server())
            found = register.register_and_leave(
                account["username"],
                account["password"],
                accepted=lambda: accepted.set_result(True),
                hold=hold,
                **self._options(),
            )
            verdict = found["accepted"]
        finally:
            if not accepted.done():
                accepted.set_result(verdict)
        if seen:
            found["server"] = seen[0]
        if not found["accepted"] and any(one["algorithm"] for one in found["answers"]):
            found["refused"] = self._refused.get(name, 0) + 1
        return found

    def _known_to_differ(self, name: str, told: Mapping[str, Any]) -> None:
        """Raises `ProbeError` where the server has no such account or another password: ours would only be refused."""
        compared = probe_of((told.get("account") or {}).get("registry"))
        differences = compared["data"].get("findings") or [] if compared["ok"] else []
        if any(one.get("field") in LOGIN_FIELDS for one in differences):
            refused = self._refused.get(name, 0)
            raise ProbeError(
                "skipped", f"the server has not the login of {name} that the registry has", refused=refused
            )

    def _on_server(self, name: str, mark: str) -> Probe[KnownContacts]:
        """The contacts that the server has while ours is registered."""
        try:
            told = self._answer_of_server()
        except ProbeError as error:
            return failed(error.error, error)
        contacts = _contacts(told, name)
        if contacts["ok"] and is_there(contacts["data"], mark):
            return contacts
        # It was asked before we registered.
        asked = {"settings": self._prober.settings, "subsets": [], "contacts_of": [name]}
        answer = probe(lambda: self._prober.server.ask(SERVER_INFO, asked))
        return _contacts(answer["data"], name) if answer["ok"] else answer

    def _answer_of_server(self) -> Mapping[str, Any]:
        """What the server itself has answered. Raises `ProbeError`, ``skipped`` when that takes too long."""
        try:
            told = self._server.result(HOLD_SECONDS)
        except FutureTimeoutError:
            raise ProbeError("skipped", "the server itself does not answer in time") from None
        if not told:
            raise ProbeError("skipped", "cannot log in to the server")
        return told

    def _there(self, vantage: str, endpoint: Any) -> dict[str, Any]:
        """Register from a vantage point as every account whose password was not rejected."""
        try:
            verdicts = {name: self._accepted[name].result() for name in self._from_vantage()}
            found: dict[str, Probe[Any]] = {
                name: failed("skipped", f"the server refused {name} from {CONTROL}, so it was not tried again")
                for name, verdict in verdicts.items()
                if verdict is False
            }
            accounts = [
                {"username": name, "password": self._accounts[name]["password"]}
                for name, verdict in verdicts.items()
                if verdict is not False
            ]
            if accounts:
                if None in verdicts.values() and not _reachable(self._path(vantage)):
                    return {one["username"]: failed("skipped", f"no SIP port answers {vantage}") for one in accounts}
                answer = endpoint.ask(REGISTRATION_TEST, {"accounts": accounts, **self._options()})
                told = answer.get("registrations")
                found.update({one["username"]: probe_of((told or {}).get(one["username"])) for one in accounts})
            return found
        except ProbeError as error:
            raise ProbeError("skipped", f"{vantage} could not be asked: {error}") from None
        finally:
            endpoint.close()

    def _from_vantage(self) -> list[str]:
        """Who registers from the vantage point, too.

        A client may have the same address as the vantage point, and nothing in the events of chan_sip tells them apart.
        """
        everybody = self._prober.settings["channel_driver"] == "pjsip"
        return [name for name in self._accounts if everybody or name == self.reserved]

    def _path(self, vantage: str) -> Path | None:
        return self._paths[vantage].result() if vantage in self._paths else None


def _refused(tests: Mapping[str, Any]) -> int:
    """How often the password was refused, by the registrations of the run's last evidence."""
    last = tests.get(CONTROL) or {}
    return int((last.get("data") or last).get("refused", 0))


def is_there(contacts: KnownContacts, mark: str) -> bool:
    """Whether the contact with that user part is in Asterisk, and stored as far as that could be read."""
    return all(
        any(register.user_of(uri) == mark for uri in uris)
        for uris in (contacts["live"], contacts["stored"])
        if uris is not None
    )


def _contacts(told: Mapping[str, Any], name: str) -> Probe[KnownContacts]:
    contacts = told.get("contacts")
    found: Probe[Any] = probe_of(contacts.get(name) if isinstance(contacts, Mapping) else None)
    return found


def _tell(whom: Future[Any], question: Question, otherwise: object) -> Any:
    """Ask a question and tell its answer, too; ``otherwise`` when there is none."""
    try:
        answer = question()
    except BaseException:
        whom.set_result(otherwise)
        raise
    whom.set_result(answer)
    return answer


def _reachable(path: Path | None) -> bool:
    """Whether a path has SIP answers."""
    return path is not None and any(one["ok"] for one in path["sip"].values())


def _resolved(domain: str) -> list[str]:
    """The addresses of a name, none when it has none."""
    try:
        return list(dict.fromkeys(str(one[4][0]) for one in socket.getaddrinfo(domain, None)))
    except OSError:
        return []
