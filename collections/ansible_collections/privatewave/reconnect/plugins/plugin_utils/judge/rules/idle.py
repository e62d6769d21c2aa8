# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a connection may be idle, where that was measured, and whether the account's is ever idle for so long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..evidence import Evidence
from ..facts import KEEP_ALIVE, connection_lost
from ..finding import Finding, Say, rule

#: How often a client speaks that keeps its connection alive, in seconds: what we render for it.
CLIENT_SECONDS = 30


@rule
def idle(evidence: Evidence) -> Iterator[Finding]:
    """Connections that were idle at the same time, beside one that was kept alive."""
    if "idle" not in evidence.document:
        return
    found = evidence.idle
    if not found.ok:
        yield Say("path.idle", "network", "idle").unknown(
            f"How long a connection may be idle could not be measured ({found.why})."
        )
        return
    data = found.data
    kept, idled = data["kept"], data["silent"]
    say = Say("path.idle", "network", "idle", str(data.get("vantage") or ""), (("idle", data),))
    lost = [one["seconds"] for one in idled if one["ended"] == "lost"]
    closed = [one["seconds"] for one in idled if one["ended"] == "closed"]
    if kept["ended"] != "alive":
        within = f"{kept['ended']} within {kept['seconds']:g} s"
        yield say.fails(f"A connection was {within} although it was kept alive ({kept['message']}).")
    elif data["keep_alive_seconds"]:
        yield from _forgotten(evidence, say, min(lost), data["keep_alive_seconds"])
    elif closed:
        yield say.warns(f"The other side closes a connection after {min(closed):g} s idle.")
    elif len(lost) == len(idled):
        yield say.fails(f"A connection was lost after {min(lost):g} s idle, the shortest time that was tested.")
    elif lost:
        yield say.unknown(f"A connection was lost after {min(lost):g} s idle, but one that was idle longer survived.")
    else:
        yield say.passes(f"A connection survives {max(one['seconds'] for one in idled):g} s idle.")


def _forgotten(evidence: Evidence, say: Say, lost: float, survived: int) -> Iterator[Finding]:
    text = f"The network drops connections after {lost:g} s idle; {survived} s survive."
    yield say.warns(text)
    differs = _server_asks(evidence)
    if differs is None:
        return
    say = Say("account.keep_alive", "account", "keep-alive", say.vantage, say.evidence)
    asks = f"The server's keep-alive of the account is {differs['found']}."
    reported = (evidence.client_report.get("settings") or {}).get("keep_alive")
    if reported is not False and survived >= CLIENT_SECONDS and not connection_lost(evidence):
        yield say.warns(f"{asks} Only the client's own keeps the connection alive.")
    else:
        yield say.fails(f"{text} {asks}", KEEP_ALIVE)


def _server_asks(evidence: Evidence) -> Mapping[str, Any] | None:
    """How the server's keep-alive of the account differs from what the network needs, None when it does not."""
    found = evidence.probe("account", "registry")
    findings = found.data.get("findings") or [] if found.ok else []
    return next((one for one in findings if one.get("cause") == KEEP_ALIVE), None)
