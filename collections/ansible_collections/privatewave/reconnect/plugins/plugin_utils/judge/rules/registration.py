# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real registrations: of the reserved account, which verifies that the server serves clients, and of the incident's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.privatewave.reconnect.plugins.module_utils._common import REGISTRATION, RESERVED
from ansible_collections.privatewave.reconnect.plugins.module_utils._net.register import user_of

from ..evidence import Evidence, Probe
from ..finding import Finding, Say, counted, rule
from ..schemas import MISFIT

NOT_STORED = "contact_write_failed"
#: Answers after which a client asks once more.
AGAIN = (401, 407, 423)


@rule
def reserved(evidence: Evidence) -> Iterator[Finding]:
    """The reserved account of the site registers from the control node and from a vantage point."""
    name = str(evidence.settings.get("test_account") or "")
    if "registrations" not in evidence.document:
        yield Say(RESERVED, "asterisk", name).unknown("No registration was tested when this evidence was taken.")
    elif not name:
        yield Say(RESERVED, "asterisk").unknown(
            "No registration was tested: the site has no reserved account (reconnect_test_account is empty)."
        )
    else:
        yield from _registrations(evidence, RESERVED, name, f"the reserved account {name}")


@rule
def account(evidence: Evidence) -> Iterator[Finding]:
    """The account of the incident registers, where the registry has it and no client of its own has a contact."""
    for name in evidence.registrations():
        if name != evidence.settings.get("test_account"):
            yield from _registrations(evidence, REGISTRATION, name, f"the account {name}")


def _registrations(evidence: Evidence, code: str, name: str, who: str) -> Iterator[Finding]:
    subject = "asterisk" if code == RESERVED else "account"
    tests = evidence.registrations().get(name) or {}
    if not tests:
        yield Say(code, subject, name).unknown(f"No registration of {who} was tested.")
    for vantage, found in tests.items():
        say = Say(code, subject, name, vantage, ((found.path, found.data or found.error),))
        yield _judged(say, found, who)


def _judged(say: Say, found: Probe[Any], who: str) -> Finding:
    """One registration from one vantage point."""
    who_from = f"{who} from {say.vantage}"
    if found.error in ("skipped", "missing") or found.message.startswith(MISFIT):
        return say.unknown(f"No registration of {who_from} was tested: {found.message}.")
    if not found.ok:
        return say.fails(f"The registration of {who_from} got no answer ({found.why}).")
    data: Mapping[str, Any] = found.data
    over = f"{who_from} over {data['transport']}"
    last = data["answers"][-1] if data["answers"] else {}
    if not data["accepted"]:
        return say.fails(f"The server refused {over}: {last.get('status')} {last.get('reason')}.")
    if data["others"]:
        return say.unknown(
            f"The server accepted the password of {over}. {_live(data['others'])}, which might give way to ours: so no "
            "contact was registered."
        )
    refusal = next((one for one in data["answers"] if one["expires"] and one["status"] not in (200, *AGAIN)), None)
    if refusal:
        return say.fails(f"The server refused to register {over}: {refusal['status']} {refusal['reason']}.")
    if not data["registered"] or not data["listed"]:
        return say.fails(f"The server answered 200 to {over} and did not keep the contact.", NOT_STORED)
    return _on_server(say, data, over)


def _on_server(say: Say, data: Mapping[str, Any], over: str) -> Finding:
    """Whether the server itself has the contact, where it was asked."""
    there = data.get("server") or {}
    done = f"Registered {over}: the server accepted the password, listed the contact and removed it again."
    if not there.get("ok"):
        return say.passes(done)
    known: Mapping[str, Any] = there["data"]
    mark = user_of(data["contact"])
    if all(user_of(uri) != mark for uri in known["live"]):
        return say.fails(f"The server answered 200 to {over}, and Asterisk has no such contact.", NOT_STORED)
    if known["stored"] is None:
        return say.passes(f"{done} Asterisk had it; whether it was stored is not known ({known['why']}).")
    if all(user_of(uri) != mark for uri in known["stored"]):
        return say.fails(f"The server answered 200 to {over}, and the contact is not in {known['where']}.", NOT_STORED)
    return say.passes(f"{done} Asterisk had it, and {known['where']} too.")


def _live(others: int) -> str:
    return f"{counted(others, 'contact')} of other clients {'is' if others == 1 else 'are'} there"
