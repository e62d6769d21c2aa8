# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A proxy or session border controller before Asterisk: whether it reaches Asterisk, and whether the server lets it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..blocked import ban_of, blocked_by_host, blocks_of_sip, kept_from_sip
from ..evidence import Evidence, Path, Probe
from ..facts import proxies, registers
from ..finding import Finding, Say, place, rule

#: What a proxy says itself where who is behind it does not answer; 476 to 478 are Kamailio's and OpenSIPS' own.
UNANSWERED = (408, 476, 477, 478, 500, 502, 503, 504)
#: What it makes of a 503 from behind it, too (RFC 3261, 16.7).
DOUBTFUL = (500, 503)
NOT_FOUND = 404


@rule
def passes_on(evidence: Evidence) -> Iterator[Finding]:
    """Whether somebody answers behind the proxy: to a registration of ours, else to OPTIONS for an account."""
    before = proxies(evidence)
    for path in evidence.paths:
        for where, hops in path.hops().items():
            if place(where)[0] in before and hops and hops[0].ok:
                say = Say("sip.proxy", "network", where, path.vantage, ((hops[0].path, hops[0].data),))
                yield _behind(evidence, say, path, hops)


def _behind(evidence: Evidence, say: Say, path: Path, hops: list[Probe[Any]]) -> Finding:
    own = str(hops[0].data["server"])
    proxy = f"The proxy at {say.about}" + (f" ({own})" if own else "")
    tests = _tests(evidence, path, say.about)
    answers = [one for test in tests if test.ok for one in test.data["answers"]]
    behind = hops[1] if len(hops) > 1 else None
    if reached := [one for one in answers if not _is_own(one, own, NOT_FOUND)]:
        return _reaches(evidence, say, proxy, reached[-1])
    lost = [test.message for test in tests if not test.ok]
    if answers or lost:
        ended = f"{_status(answers[-1])} itself" if answers else f"nothing at all ({lost[-1]})"
        text = f"{proxy} answers {path.vantage}, and to REGISTER, which it passes on, it answers {ended}"
    elif behind and behind.ok and _is_own(behind.data, own):
        text = f"{proxy} answers {path.vantage}, and to what it passes on it answers {_status(behind.data)} itself"
    elif behind and behind.ok and behind.data["server"] != own:
        return _reaches(evidence, say, proxy, behind.data)
    elif behind and behind.error == "timed_out":
        text = f"{proxy} answers {path.vantage}, and nothing to what it passes on"
        if path.probes("sip")[say.about].ok:
            # It may keep OPTIONS for an account to itself.
            return say.warns(f"{text}; no registration was tested.", "proxy_cannot_reach_server")
    else:
        return say.unknown(f"{proxy} answers {path.vantage}. Whether Asterisk does behind it is not known.")
    return say.fails(" ".join([f"{text}.", *_hints(evidence, answers)]), "proxy_cannot_reach_server")


def _reaches(evidence: Evidence, say: Say, proxy: str, answer: Mapping[str, Any]) -> Finding:
    text = f"{proxy} passes on what {say.vantage} sends, and {answer.get('server') or 'somebody'} answers behind it."
    return say.passes(text if evidence.settings.get("proxy") else f"{text} Name its addresses in reconnect_proxy.")


def _tests(evidence: Evidence, path: Path, where: str) -> list[Probe[Any]]:
    """The registrations that went over a place from a vantage; of one without an answer only the transport is known."""
    first: Mapping[str, Any] = next(iter(evidence.settings.get("sip_transports") or []), {})
    over = (str(first.get("transport")), int(first.get("port") or 0))
    tests = [one[path.vantage] for one in evidence.registrations().values() if path.vantage in one]
    return [
        test
        for test in tests
        if (test.ok and f"{test.data['transport']}:{test.data['address']}" == where)
        or (test.error == "timed_out" and (where.partition(":")[0], place(where)[1]) == over)
    ]


def _is_own(answer: Mapping[str, Any], own: str, *more: int) -> bool:
    """Whether an answer is the proxy's own, and says that it got none; ``more`` say so where it signs them."""
    status = int(answer["status"])
    signed = str(answer.get("server") or "") == own
    return signed and (status in UNANSWERED or (bool(own) and status in more))


def _status(answer: Mapping[str, Any]) -> str:
    return f"{answer['status']} {answer['reason']}".rstrip()


def _hints(evidence: Evidence, answers: list[Mapping[str, Any]]) -> Iterator[str]:
    """What else may be behind it, sentence by sentence."""
    if answers and int(answers[-1]["status"]) in DOUBTFUL:
        yield "It says the same for a 503 of Asterisk."
    for block in [one for address in proxies(evidence) for one in blocks_of_sip(evidence, address)][:1]:
        yield f"A rule of the server may keep it out: {block.get('text') or block.get('chain')}."
    bans = evidence.probe("host", "bans")
    banned = sorted({one for members in bans.data["jails"].values() for one in members}) if bans.ok else []
    if banned and not evidence.settings.get("proxy"):
        yield f"The server bans {', '.join(banned[:5])}: is that the proxy's address? Then name it in reconnect_proxy."


@rule
def kept_out(evidence: Evidence) -> Iterator[Finding]:
    """A ban of the proxy, or a rule against it, keeps out everybody who comes through it."""
    for address in proxies(evidence):
        ban = ban_of(evidence, [address])
        blocks = [one for one in blocks_of_sip(evidence, address) if one.get("sources") or one.get("sets")]
        if ban and kept_from_sip(evidence, address, ban):
            found = ban
        elif blocks:
            found = blocked_by_host(evidence, blocks)
        else:
            continue
        say = Say("path.proxy", "network", "the proxy", evidence=(("host.bans", evidence.probe("host", "bans").data),))
        text = f"Everybody comes from the proxy, and the server keeps it out{found.reason}"
        if registers(evidence):
            yield say.warns(f"{text} A registration worked all the same.", found.cause)
        else:
            advice = " Have fail2ban ignore the address (ignoreip)." if found is ban else ""
            yield say.fails(f"{text}{advice}", found.cause, found.targets, found.by_hand)
