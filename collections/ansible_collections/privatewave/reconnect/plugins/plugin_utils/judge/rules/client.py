# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user or the device says (L2.4). Hostile text: it is compared and quoted, never executed."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..client_log import dialogue, subjects
from ..client_log.signatures import SITE_SECONDS, Signature, SignatureError, parse, signatures
from ..client_log.words import readable
from ..evidence import Evidence
from ..facts import report_lines
from ..finding import Finding, Say, rule

#: What a server does to the clients of one network alone, or a network to the clients in it.
_OF_A_NETWORK = ("tls_intercepted", "acl_denies", "client_banned")
#: So many refused logins are what a server bans an address for.
MANY = 3
#: Characters of a line that are quoted as evidence.
QUOTED = 300


@rule
def reported(evidence: Evidence) -> Iterator[Finding]:
    """The exact error message, and what the log says."""
    report = evidence.client_report
    if not report:
        return
    error = str(report.get("error_message") or "")
    lines = report_lines(report)
    deadline = time.monotonic() + SITE_SECONDS
    own: tuple[Signature, ...] = ()
    try:
        own = tuple(parse(evidence.settings.get("client_signatures") or {}))
    except SignatureError as problem:
        yield Say("client.signatures", "client", "signatures").unknown(f"The site's own could not be used: {problem}.")
    found = _said(lines, own, deadline)
    parts = dialogue.networks(lines)
    if len(parts) > 1 and any(dialogue.read(part).registered >= 0 for part in parts):
        # A registration over another network does not end what one network does.
        there = (one for part in parts for one in _said(part, (), deadline, elsewhere=True))
        found = [*(one for one in there if one.cause in _OF_A_NETWORK), *found]
    yield from found
    decisive = next((one.evidence[0][1] for one in found if one.status == "warn"), "")
    # Where the user did not write it down (L1.5), the line that means most is it.
    if message := error or decisive.strip():
        say = Say(
            "client.error", "client", "error message", evidence=(("client_report.error_message", message[:QUOTED]),)
        )
        yield say.passes(f"The client's exact message is {message[:200]!r}.")
    if not found:
        yield Say("client.log", "client", "log").passes("The client's log holds nothing that is known.")


def _said(lines: Sequence[str], own: Sequence[Signature], deadline: float, elsewhere: bool = False) -> list[Finding]:
    """What lines say; ``elsewhere``: they are of one network, and over another one the client registered."""
    said = dialogue.read(lines)
    found = list(_dialogues(said, lines, elsewhere))
    # A site knows what its own are about.
    found += _known(own, [line if said.is_open(number) else "" for number, line in enumerate(lines)], lines, deadline)
    found += _known([one for one in signatures() if one.circumstance is None], said.left(lines), lines)
    return _explained(found, lines, said.registered)


def _dialogues(said: dialogue.Dialogues, lines: Sequence[str], elsewhere: bool) -> Iterator[Finding]:
    """What the SIP dialogues of the log came to."""

    def say(number: int, about: str) -> Say:
        return Say("client.log", "client", about, evidence=(("client_report", lines[number][:QUOTED]),))

    if said.unanswered is not None and said.refusals >= MANY:
        yield say(said.unanswered, "refused_then_silent").warns(
            f"The server refused {said.refusals} logins, and answers nothing since.", "client_banned"
        )
    elif (answer := said.refused) is not None:
        text = f"The server answered the client's REGISTER with {answer.code} {answer.reason[:80]!r}."
        if answer.challenged:
            yield say(answer.line, "login_not_sent").warns(f"{text} The client never answered that with its login.")
        else:
            yield _hint(say(answer.line, ""), text, _meaning(answer, elsewhere))
    elif said.unanswered is not None:
        yield say(said.unanswered, "register_unanswered").warns(
            "The client's log shows no answer to its last REGISTER."
        )
    elif said.registered >= 0:
        yield say(said.registered, "registered").passes("The client's log shows a REGISTER that the server accepted.")
    if (answer := said.call) is not None and answer.code in (488, 606):
        text = f"The server answered the client's call with {answer.code} {answer.reason[:80]!r}."
        yield _hint(say(answer.line, ""), text, _meaning(answer))


def _explained(found: list[Finding], lines: Sequence[str], registered: int) -> list[Finding]:
    """The findings, what explains some of them before these, which hint at no cause of their own then."""
    told = {one.about for one in found if one.status == "warn"}
    reasons = [one for one in signatures() if one.explains & told]
    around = {"set": -1, "seen": registered}
    read = list(map(readable, lines)) if any(one.circumstance for one in reasons) else []
    for reason in reasons:
        if reason.circumstance is not None:
            since = around[reason.circumstance] + 1
            found += _known([reason], [*[""] * since, *read[since:]], lines)
    first = [one for one in found if one.status == "warn" and one.about in {reason.name for reason in reasons}]
    explained = {name for one in reasons if one.name in {said.about for said in first} for name in one.explains}
    rest = (replace(one, cause=None) if one.about in explained else one for one in found if one not in first)
    return [*(replace(one, cause=None) if one.about in explained else one for one in first), *rest]


def _meaning(answer: dialogue.Answer, elsewhere: bool = False) -> Signature | None:
    """The signature that knows a final answer."""
    before = "After login: " if answer.login else "Not elsewhere: " if elsewhere else ""
    line = f"{before}SIP/2.0 {answer.code} {answer.reason} {answer.why}".lower()
    return next((one for one in signatures() if one.last([line], line) is not None), None)


def _hint(say: Say, text: str, signature: Signature | None) -> Finding:
    """A hint and never more: what a log says is no measurement."""
    if signature is None:
        return Say(say.code, say.subject, "refused", evidence=say.evidence).warns(text)
    about = Say(say.code, say.subject, signature.name, evidence=say.evidence)
    return about.warns(f"{text} {signature.meaning}", signature.cause)


def _known(
    known: Sequence[Signature], lines: Sequence[str], quoted: Sequence[str], deadline: float = math.inf
) -> Iterator[Finding]:
    """The last line of each signature, as it is ``quoted``."""
    whole = "\n".join(lines)
    plain: Sequence[str] | None = None
    for signature in known:
        if time.monotonic() > deadline:
            yield Say("client.signatures", "client", signature.name).unknown(
                f"The site's own took longer than {SITE_SECONDS:g} s: {signature.name!r} was not tried."
            )
            continue
        blames = signature.name in subjects.BLAMING and signature in signatures()
        if blames and plain is None:
            plain = [line if line and subjects.is_plain(quoted[number]) else "" for number, line in enumerate(lines)]
        if (number := signature.last(plain if blames and plain else lines, whole, deadline)) is not None:
            line = quoted[number]
            say = Say("client.log", "client", evidence=(("client_report", line[:QUOTED]),))
            yield _hint(say, f"The client says: {line[:200]!r}.", signature)
