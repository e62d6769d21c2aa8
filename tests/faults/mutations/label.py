"""The label of a case: whether the user's phone can register, and Asterisk has its contact."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from labkit.hosts import HOSTS
from trials.phone import LIVING, linphone
from trials.tools import Lab, ToolError, password_of

from .machine import Machine

#: A client gives up an address after half a minute, and tries the next.
PATIENCE = 45.0
#: After a failure without an answer it tries again soon, at first.
AGAIN = 12.0
STORED = 4.0
STATE = re.compile(r"moving from state \[\w+\] to \[LinphoneRegistration(\w+)\]")
ANSWER = re.compile(r"^SIP/2\.0 (\d{3}) [^\n]*\n(.*?)\n\r?\n", re.MULTILINE | re.DOTALL)
#: Whether Asterisk's console shows the contact; nothing when it does not answer.
CONTACT = {
    "pjsip": "shown=$(asterisk_cli 'pjsip show contacts' 2>/dev/null) || exit 0\n"
    "case $shown in *'/sip:{account}@'*) echo yes ;; *'Objects found'*|*'No objects found'*) echo no ;; esac\n",
    "sip": "shown=$(asterisk_cli 'sip show peer {account}' 2>/dev/null) || exit 0\n"
    "case $shown in *'Reg. Contact : sip:'*) echo yes ;; *'Reg. Contact'*|*'not found'*) echo no ;; esac\n",
}


@dataclass(frozen=True)
class Label:
    """``can_register`` is the label; the rest says how it came about.

    ``phone`` is the client's last state, ``contact`` whether Asterisk's console shows it (None: no answer),
    ``answers`` the final answers to its registrations, ``seconds`` how long it took.
    """

    can_register: bool
    phone: str
    contact: bool | None
    answers: list[int]
    seconds: float = 0.0


def judged(log: str, contact: bool | None, seconds: float = 0.0) -> Label:
    """The label of a client's log and of what Asterisk's console says.

    Asterisk answers 200 even when it could not store the contact. Where its console is silent the answer is a
    witness: it lists what is stored.
    """
    states = STATE.findall(log)
    phone = states[-1] if states else "None"
    answers = registrations(log)
    listed = bool(answers) and answers[-1][0] == 200 and answers[-1][1]
    stored = listed if contact is None else contact
    return Label(phone == "Ok" and stored, phone, contact, [status for status, _listed in answers], seconds)


def registrations(log: str) -> list[tuple[int, bool]]:
    """Each final answer to a REGISTER, and whether it lists a contact."""
    return [
        (int(status), bool(re.search(r"(?im)^(contact|m)\s*:\s*\S", headers)))
        for status, headers in ANSWER.findall(log)
        if status >= "200" and re.search(r"(?im)^cseq\s*:\s*\d+\s+register", headers)
    ]


def is_final(log: str, since_failure: float) -> bool:
    """Whether waiting longer would not change the label."""
    states = STATE.findall(log)
    if not states or states[-1] == "Progress":
        return False
    if states[-1] == "Ok":
        return True
    # 401 is a question as long as nothing follows; what is refused is not tried again.
    refused = [status for status, _listed in registrations(log) if status >= 300 and status not in (408, 503)]
    return bool(refused) or since_failure > AGAIN


class Phone:
    """A client that registers as an account of a server, and goes on trying."""

    def __init__(self, log: Callable[[], str], machine: Machine, server: str, account: str) -> None:
        self._log = log
        self._machine = machine
        self._driver = HOSTS[server].channel_driver
        self._account = account
        self._began = time.monotonic()

    def label(self) -> Label:
        """Wait until it has registered or failed for good."""
        failed: float | None = None
        while True:
            log = self._log()
            now = time.monotonic()
            states = STATE.findall(log)
            failed = (failed or now) if states[-1:] == ["Failed"] else None
            if is_final(log, now - failed if failed else 0) or now - self._began > PATIENCE:
                break
            time.sleep(0.5)  # between two looks into a log
        return self._with_contact(log)

    def now(self) -> Label:
        """The label at this moment."""
        return self._with_contact(self._log())

    def _with_contact(self, log: str) -> Label:
        seconds = round(time.monotonic() - self._began, 1)
        deadline = time.monotonic() + STORED
        while True:
            label = judged(log, self._contact(), seconds)
            # It may be stored a moment after it was answered.
            if label.can_register or label.phone != "Ok" or time.monotonic() > deadline:
                return label
            time.sleep(0.5)

    def _contact(self) -> bool | None:
        try:
            shown = self._machine.run(CONTACT[self._driver].replace("{account}", self._account), 20).strip()
        except ToolError:
            return None
        return {"yes": True, "no": False}.get(shown)


@contextmanager
def phone(machine: Machine, server: str, account: str) -> Iterator[Phone]:
    """Meanwhile the user's phone tries to register at ``server``; ``machine`` is that server."""
    lab = Lab()
    name = f"mutation-{server}"
    host = HOSTS[server]
    domain, transport = (host.domain_name, "tls") if host.has_tls else (host.address, "udp")
    configuration = LIVING.format(
        domain=domain, transport=transport, account=account, password=password_of(server, account)
    )
    with linphone(lab, name, configuration) as log:
        yield Phone(log, machine, server, account)
