# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vendor's own test, a real secure call between two reserved accounts: its set-up, its media, their loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..evidence import Evidence
from ..finding import Finding, Say, rule

#: Seconds after which an answer is late.
SLOW = 4.0
#: So many packets must have been sent before their absence means something: a second of speech is 50.
ENOUGH = 50
#: Shares of the packets that are lost.
LOSSY, BAD = 0.02, 0.10


@rule
def call(evidence: Evidence) -> Iterator[Finding]:
    """Two clients register, one calls the other, and both hear each other."""
    if "call" not in evidence.document:
        return
    found = evidence.call
    if not found.ok:
        yield Say("call.test", "asterisk", "call").unknown(f"The call could not be placed ({found.why}).")
        return
    data: Mapping[str, Any] = found.data
    vantage = str(data.get("vantage") or "")
    for account, client in sorted((data.get("clients") or {}).items()):
        say = Say("call.registration", "account", str(account), vantage, (("call.clients", {account: client}),))
        yield say.either(
            bool(client.get("registered")),
            f"{account} registered for a test call.",
            f"{account} could not register for a test call{_status(client)}.",
        )
    setup = data.get("setup")
    if setup:
        yield from _setup(data, setup, vantage)
        if setup.get("answered"):
            yield from _media(evidence, data, vantage)


def _status(answer: Mapping[str, Any]) -> str:
    if answer.get("status") is None:
        return ": the server gave no final answer"
    return f": {answer['status']} {answer.get('reason') or ''}".rstrip()


def _setup(data: Mapping[str, Any], setup: Mapping[str, Any], vantage: str) -> Iterator[Finding]:
    caller, callee, seconds = data.get("caller"), data.get("callee"), float(setup.get("seconds") or 0)
    say = Say("call.setup", "asterisk", f"{caller} to {callee}", vantage, (("call.setup", setup),))
    if not setup.get("answered"):
        hint = ""
        if setup.get("status") == 488:
            hint = "; the server and the clients agree on no codec or on no encryption of the media"
        yield say.fails(f"{caller} called {callee} and was not answered{_status(setup)}{hint}.")
    elif not setup.get("encrypted"):
        yield say.fails(f"{callee} answered, but the media of the call are not encrypted.")
    elif setup.get("dropped"):
        yield say.fails(f"{callee} answered, and the call ended by itself after {data.get('seconds')} s.")
    elif seconds > SLOW:
        yield say.warns(f"{callee} answered only after {seconds:.1f} s.")
    else:
        yield say.passes(f"{callee} answered after {seconds:.1f} s, with encrypted media.")


def _media(evidence: Evidence, data: Mapping[str, Any], vantage: str) -> Iterator[Finding]:
    """The four media streams: from each client to the server, and from the server to each."""
    server = data.get("server") or {}
    counted: Mapping[str, Any] = server.get("data") or {} if server.get("ok") else {}
    for account, client in sorted((data.get("media") or {}).items()):
        own = counted.get(account)
        if own:
            # The server's last count is older than the client's, so its share is not compared, only what it misses.
            up, down = f"{account} to the server", f"the server to {account}"
            yield _way(evidence, up, client["sent"], own["received"], own["received_lost"], vantage)
            yield _way(evidence, down, own["sent"], client["received"], client["lost"], vantage)
        else:
            other = next((one for name, one in data["media"].items() if name != account), client)
            say = Say("call.media", "network", f"to {account}", vantage, (("call.media", data["media"]),))
            yield say.either(
                client["received"] > 0 or other["sent"] < ENOUGH,
                f"{account} heard the other side.",
                f"{account} heard nothing, and the server did not tell what it heard.",
            )


def _way(evidence: Evidence, way: str, sent: int, received: int, lost: int, vantage: str) -> Finding:
    counts = {"sent": sent, "received": received, "lost": lost}
    say = Say("call.media", "network", way, vantage, (("call.media", counts),))
    if sent < ENOUGH:
        return say.unknown(f"Too little was sent from {way} to say anything ({sent} packets).")
    if not received:
        cause, why = _who(evidence, "input" if way.endswith(" to the server") else "output")
        return say.fails(f"Of {sent} packets of media from {way} none arrived{why}.", cause)
    share = lost / (received + lost)
    if share >= BAD:
        return say.fails(f"{share:.0%} of the media from {way} were lost.", "packet_loss_high")
    if share >= LOSSY:
        return say.warns(f"{share:.0%} of the media from {way} were lost.")
    return say.passes(f"{received} packets of media arrived from {way}, {lost} were lost.")


def _who(evidence: Evidence, hook: str) -> tuple[str | None, str]:
    """Who drops media while the same clients talk to the server: its own rules, or a device of the network."""
    first, last = evidence.settings.get("rtp_ports") or (0, 65535)
    firewall = evidence.probe("host", "firewall")
    if not firewall.ok:
        return None, f"; the server's own rules are not known ({firewall.why})"
    for block in firewall.data.get("blocks") or []:
        if block.get("protocol") != "udp" or str(block.get("hook") or "input") != hook:
            continue
        ports = block.get("ports") or [[0, 65535]]
        accepted = any(low <= first and last <= high for low, high in block.get("accepts") or [])
        # What is kept from some addresses only, as bans do, or is about some packets only, is no matter of the media.
        some = block.get("sources") or block.get("sets") or block.get("partial")
        if not some and not accepted and any(low <= last and first <= high for low, high in ports):
            return "firewall_host_blocks", f": the server's own rule says: {block.get('text') or block.get('chain')}"
    return "firewall_edge_blocks", f"; no rule of the server's own blocks its media ports {first} to {last}"
